"""DuckDB: its CSV reader with a blank as the delimiter, totals per address.

A retried request has blanks inside its upstream lists, so its row has too many columns and `ignore_errors` drops it.
The time range is taken of the text of `$time_local`, which is right within one month only and faster than parsing it.
"""

from __future__ import annotations

import json
import sys

import duckdb

QUERY = """
SELECT CAST(sum(n) AS BIGINT), count(*), CAST(sum(errors) AS BIGINT), CAST(sum(bytes) AS BIGINT), min(first), max(last)
FROM (
  SELECT address, count(*) AS n, count(*) FILTER (status >= 500) AS errors, sum(bytes) AS bytes,
         min(time) AS first, max(time) AS last
  FROM read_csv(
    ?, delim = ' ', quote = '"', escape = '"', header = false, auto_detect = false, ignore_errors = true,
    columns = {
      'address': 'VARCHAR', 'dash': 'VARCHAR', 'user': 'VARCHAR', 'time': 'VARCHAR', 'zone': 'VARCHAR',
      'request': 'VARCHAR', 'status': 'USMALLINT', 'bytes': 'UBIGINT', 'referer': 'VARCHAR', 'agent': 'VARCHAR',
      'length': 'VARCHAR', 'seconds': 'VARCHAR', 'upstream': 'VARCHAR', 'alternative': 'VARCHAR',
      'upstream_addr': 'VARCHAR', 'upstream_length': 'VARCHAR', 'upstream_seconds': 'VARCHAR',
      'upstream_status': 'VARCHAR', 'id': 'VARCHAR'})
  GROUP BY address)
"""

rows, addresses, errors, body, first, last = duckdb.connect().execute(QUERY, [sys.argv[1]]).fetchall()[0]
print(json.dumps({"rows": rows, "addresses": addresses, "errors": errors, "bytes": body, "range": [first, last]}))
