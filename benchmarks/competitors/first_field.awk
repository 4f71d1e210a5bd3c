# mawk: requests per first field, and nothing else. It does not look at the rest of the line.
{ requests[$1]++ }
END {
  for (address in requests) { rows += requests[address]; addresses++ }
  printf "{\"rows\": %d, \"addresses\": %d}\n", rows, addresses
}
