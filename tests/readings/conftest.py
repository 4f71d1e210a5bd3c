"""Small labelled tables, as the classifier makes them."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from analyzer.addresses.classify import Class
from analyzer.addresses.ranges import to_number
from analyzer.parsing.schema import TIME

Rows = Callable[..., pl.DataFrame]
Schema = dict[str, pl.DataType | type[pl.DataType]]

_DEFAULTS: dict[str, object] = {
    "address": None,
    "requests": 0,
    "health_probes": 0,
    "unparsed_requests": 0,
    "user_agents": 0,
    "forwarded": 0,
    "class": "client",
    "kind": "public",
    "rule": "public",
    "node": None,
    "in_cluster": False,
    "health_probe": False,
    "confidence": None,
    "evidence": None,
    "first_time": None,
    "last_time": None,
}
_COUNTS = ("requests", "health_probes", "unparsed_requests", "user_agents", "forwarded")
_SCHEMA: Schema = {
    "address": pl.UInt128,
    **dict.fromkeys(_COUNTS, pl.UInt64),
    "class": Class,
    "kind": pl.String,
    "rule": pl.String,
    "node": pl.String,
    "in_cluster": pl.Boolean,
    "health_probe": pl.Boolean,
    "confidence": pl.Float32,
    "evidence": pl.Categorical,
    "first_time": TIME,
    "last_time": TIME,
    "range_class": Class,
    "visitor": pl.Boolean,
}


@pytest.fixture
def labelled() -> Rows:
    """Return a function that makes a labelled address table of dicts, each holding what differs from the defaults."""

    def make(*rows: dict[str, object]) -> pl.DataFrame:
        filled = [{**_DEFAULTS, **row} for row in rows]
        for row in filled:
            row["address"] = row["address"] and to_number(str(row["address"]))
            row.setdefault("range_class", row["class"])
            row.setdefault("visitor", row["class"] == "client")
        return pl.DataFrame(filled, schema=_SCHEMA, orient="row")

    return make
