"""Three columns of the rows with an error status, as a frame, made by three tools; or how many rows there are.

    three_columns.py scan|polars|duckdb|count LOG

Polars reads the line with one regular expression for all fields; DuckDB with its CSV reader, which drops the retried
requests, whose upstream lists hold blanks.
"""

# ruff: noqa: PLC0415 - each tool pays for its own imports
from __future__ import annotations

import json
import sys

UPSTREAM = r"(\S+(?:(?:, | : )\S+)*)"
LINE = (
    r'^(\S+) - (\S+) \[([^\]]+)\] "([^"]*)" (\d{3}) (\d+) "([^"]*)" "([^"]*)" (\d+) ([\d.]+) '
    rf"\[([^\]]*)\] \[([^\]]*)\] {UPSTREAM} {UPSTREAM} {UPSTREAM} {UPSTREAM} (\S+)$"
)
QUERY = """
SELECT address, request, status
FROM read_csv(
  ?, delim = ' ', quote = '"', escape = '"', header = false, auto_detect = false, ignore_errors = true,
  columns = {
    'address': 'VARCHAR', 'dash': 'VARCHAR', 'user': 'VARCHAR', 'time': 'VARCHAR', 'zone': 'VARCHAR',
    'request': 'VARCHAR', 'status': 'USMALLINT', 'bytes': 'UBIGINT', 'referer': 'VARCHAR', 'agent': 'VARCHAR',
    'length': 'VARCHAR', 'seconds': 'VARCHAR', 'upstream': 'VARCHAR', 'alternative': 'VARCHAR',
    'upstream_addr': 'VARCHAR', 'upstream_length': 'VARCHAR', 'upstream_seconds': 'VARCHAR',
    'upstream_status': 'VARCHAR', 'id': 'VARCHAR'})
WHERE status >= 500
"""


def scan(log: str) -> int:
    """The library that the benchmark is about."""
    import polars as pl

    import analyzer

    frame = analyzer.scan(log).filter(pl.col("status") >= 500).select("remote_addr", "request", "status")
    return frame.collect().height


def polars(log: str) -> int:
    """Polars alone."""
    import polars as pl

    fields = pl.scan_lines(log, name="line").select(pl.col("line").str.extract_groups(LINE).alias("field"))
    frame = fields.unnest("field").select("1", "4", pl.col("5").cast(pl.UInt16)).filter(pl.col("5") >= 500)
    return frame.collect(engine="streaming").height


def duckdb(log: str) -> int:
    """DuckDB, which hands its result out as Arrow does, a column at a time."""
    import duckdb

    return len(duckdb.connect().execute(QUERY, [log]).fetchnumpy()["status"])


def count(log: str) -> int:
    """How many rows logscan finds."""
    import polars as pl

    import analyzer

    return int(analyzer.scan(log).select(pl.len()).collect().item())


tool, path = sys.argv[1:]
found = {"scan": scan, "polars": polars, "duckdb": duckdb, "count": count}[tool](path)
print(json.dumps({"rows" if tool == "count" else "errors": found}))
