"""Polars: one regular expression for the whole ingress-nginx line, streaming engine, totals per address.

The time range is taken of the text of `$time_local`, which is right within one month only and faster than parsing it.
"""

from __future__ import annotations

import json
import sys

import polars as pl

UPSTREAM = r"(\S+(?:(?:, | : )\S+)*)"
LINE = (
    r'^(\S+) - (\S+) \[([^\]]+)\] "([^"]*)" (\d{3}) (\d+) "([^"]*)" "([^"]*)" (\d+) ([\d.]+) '
    rf"\[([^\]]*)\] \[([^\]]*)\] {UPSTREAM} {UPSTREAM} {UPSTREAM} {UPSTREAM} (\S+)$"
)
ADDRESS, TIME, STATUS, BYTES = "1", "3", "5", "6"

per_address = (
    pl.scan_lines(sys.argv[1], name="line")
    .select(pl.col("line").str.extract_groups(LINE).alias("field"))
    .unnest("field")
    .filter(pl.col(ADDRESS).is_not_null())
    .group_by(ADDRESS)
    .agg(
        rows=pl.len(),
        errors=(pl.col(STATUS).cast(pl.UInt16) >= 500).sum(),
        bytes=pl.col(BYTES).cast(pl.UInt64).sum(),
        first=pl.col(TIME).min(),
        last=pl.col(TIME).max(),
    )
    .collect(engine="streaming")
)
print(
    json.dumps(
        {
            "rows": per_address["rows"].sum(),
            "addresses": per_address.height,
            "errors": per_address["errors"].sum(),
            "bytes": per_address["bytes"].sum(),
            "range": [per_address["first"].min(), per_address["last"].max()],
        }
    )
)
