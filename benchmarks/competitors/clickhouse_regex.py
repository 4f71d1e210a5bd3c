"""ClickHouse (chdb): a regular expression in one of three ways, totals per address.

`fields` takes all 17 fields with `extractGroups`, `short` only the four that the totals need and does not look at the
end of the line, `format` reads all fields with the input format `Regexp`. The time range is taken of the text of
`$time_local`, which is right within one month only and faster than parsing it.
"""

from __future__ import annotations

import json
import sys

import chdb

UPSTREAM = r"(\S+(?:(?:, | : )\S+)*)"
LINE = (
    r'^(\S+) - (\S+) \[([^\]]+)\] "([^"]*)" (\d{3}) (\d+) "([^"]*)" "([^"]*)" (\d+) ([\d.]+) '
    rf"\[([^\]]*)\] \[([^\]]*)\] {UPSTREAM} {UPSTREAM} {UPSTREAM} {UPSTREAM} (\S+)$"
)
SHORT = r'^(\S+) - \S+ \[([^\]]+)\] "[^"]*" (\d{3}) (\d+) "[^"]*" "[^"]*" \d+ [\d.]+ \['
COLUMNS = (
    "address String, user String, time String, request String, status UInt16, bytes UInt64, referer String, "
    "agent String, length UInt64, seconds Float64, upstream String, alternative String, upstream_addr String, "
    "upstream_length String, upstream_seconds String, upstream_status String, id String"
)


def quoted(text: str) -> str:
    """Return text as a ClickHouse string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def groups(path: str, pattern: str, time: int, status: int, body: int) -> str:
    """Return the subquery that takes the wanted groups out of each line; a line that does not match drops out."""
    source = f"file({quoted(path)}, 'LineAsString', 'line String')"
    lines = f"SELECT extractGroups(line, {quoted(pattern)}) AS g FROM {source}"  # noqa: S608 - quoted()
    taken = f"g[1] AS address, g[{time}] AS time, toUInt16(g[{status}]) AS status, toUInt64(g[{body}]) AS bytes"
    return f"SELECT {taken} FROM ({lines}) WHERE length(g) > 0"  # noqa: S608 - every literal goes through quoted()


def main(way: str, path: str) -> None:
    """Run the query and print its totals."""
    settings = ""
    if way == "format":
        fields = f"SELECT * FROM file({quoted(path)}, 'Regexp', {quoted(COLUMNS)})"  # noqa: S608 - quoted()
        settings = f"SETTINGS format_regexp = {quoted(LINE)}, format_regexp_escaping_rule = 'Raw', "
        settings += "format_regexp_skip_unmatched = 1"
    else:
        fields = groups(path, SHORT, 2, 3, 4) if way == "short" else groups(path, LINE, 3, 5, 6)
    query = f"""
        SELECT sum(n), count(), sum(errors), sum(bytes), min(first), max(last) FROM (
          SELECT address, count() AS n, countIf(status >= 500) AS errors, sum(bytes) AS bytes,
                 min(time) AS first, max(time) AS last
          FROM ({fields}) GROUP BY address) {settings}
    """  # noqa: S608 - every literal goes through quoted()
    answer = chdb.query(query, "CSV")  # type: ignore[no-untyped-call]
    rows, addresses, errors, body, first, last = json.loads(f"[{answer}]")
    print(json.dumps({"rows": rows, "addresses": addresses, "errors": errors, "bytes": body, "range": [first, last]}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
