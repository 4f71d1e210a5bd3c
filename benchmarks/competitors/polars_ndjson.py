"""Polars: `scan_ndjson` on Kong's file-log, streaming engine, totals per client address.

`infer` finds out itself what the objects hold; `schema` is told exactly the four values that the totals need, and
reads no others.
"""

from __future__ import annotations

import json
import sys

import polars as pl

SCHEMA = {
    "client_ip": pl.String,
    "started_at": pl.UInt64,
    "response": pl.Struct({"status": pl.UInt16, "size": pl.UInt64}),
}

way, path = sys.argv[1:]
response = pl.col("response").struct
per_address = (
    pl.scan_ndjson(path, schema=SCHEMA if way == "schema" else None)
    .group_by("client_ip")
    .agg(
        rows=pl.len(),
        errors=(response.field("status") >= 500).sum(),
        bytes=response.field("size").sum(),
        first=pl.col("started_at").min(),
        last=pl.col("started_at").max(),
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
