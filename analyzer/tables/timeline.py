"""The table of requests over time, by class.

Most rows come from plain visitors: they are counted as what is left of all rows when the others are taken away, so that
only few rows are looked up.
"""

from __future__ import annotations

from typing import Protocol

import polars as pl

from analyzer.parsing.schema import TIME
from analyzer.tables.address_table import COUNT
from analyzer.tables.columns import Outcome

#: Widths of a bucket, each a multiple of the one before; a longer log gets wider buckets.
_BUCKET_SECONDS = (60, 300, 900, 3600, 21_600, 86_400, 604_800 * 4, 604_800 * 520)
#: Rows that the table may have before its buckets are made wider.
_ROWS = 20_000

_SUMS = pl.col("requests", "considered").sum()


class Labels(Protocol):
    """Says by ranges what addresses are (`analyzer.addresses.classify.Classifier`)."""

    def label(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Append ``class``, ``in_cluster`` and ``health_probe`` to a frame with a column ``address``."""


class TimelineTable:
    """Requests by time and class."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._width = 0
        self._parts: list[pl.DataFrame] = []
        nobody = pl.DataFrame({"address": [None]}, schema={"address": pl.UInt128()})
        self._others = self._label(nobody)

    @property
    def bucket_seconds(self) -> int:
        """The width of a bucket."""
        return _BUCKET_SECONDS[self._width]

    @property
    def left_out(self) -> pl.Series:
        """Addresses whose requests are not considered: live pods, and ranges that send only probes."""
        return self._others.filter(pl.col("skipped") & pl.col("address").is_not_null())["address"]

    def add(self, rows: pl.DataFrame, new: pl.Series) -> None:
        """Add a frame of rows (``address``, ``time``, ``outcome``); `new` are addresses that were in none before."""
        labelled = self._label(pl.DataFrame({"address": new}))
        others = labelled.filter((pl.col("class") != "client") | pl.col("skipped"))
        self._others = pl.concat([self._others, others])
        self._parts.append(self._count(rows))
        if sum(part.height for part in self._parts) > _ROWS:
            self._merge()

    def rows(self) -> pl.DataFrame:
        """Columns time (start of the bucket), class, requests, considered."""
        self._merge()
        return self._parts[0]

    def _label(self, addresses: pl.DataFrame) -> pl.DataFrame:
        skipped = pl.col("health_probe") | pl.col("in_cluster") | pl.col("address").is_null()
        return self._labels.label(addresses).select("address", "class", skipped=skipped)

    def _count(self, rows: pl.DataFrame) -> pl.DataFrame:
        seen = pl.col("outcome") == Outcome.CONSIDERED.value
        timed = rows.select("address", _bucket(self.bucket_seconds), seen=seen)
        counts = {"requests": pl.len().cast(pl.Int64), "considered": pl.col("seen").sum().cast(pl.Int64)}
        is_other = pl.col("address").is_in(self._others["address"].implode()) | pl.col("address").is_null()
        others = (
            timed.filter(is_other)
            .group_by("time", "address")
            .agg(**counts)
            .join(self._others, on="address", how="left", nulls_equal=True)
        )
        taken = others.select("time", -pl.col("requests", "considered"))
        visitors = pl.concat([timed.group_by("time").agg(**counts), taken]).group_by("time").agg(_SUMS)
        client = pl.lit("client", self._others.schema["class"]).alias("class")
        considered = pl.when("skipped").then(0).otherwise("considered").cast(COUNT).alias("considered")
        return pl.concat(
            [
                others.select("time", "class", pl.col("requests").cast(COUNT), considered),
                visitors.filter(pl.col("requests") > 0).select(
                    "time", client, pl.col("requests", "considered").cast(COUNT)
                ),
            ]
        )

    def _merge(self) -> None:
        """Make one part of all, with wider buckets where it would be too long."""
        schema = {"time": TIME, "class": self._others.schema["class"], "requests": COUNT, "considered": COUNT}
        parts = [pl.DataFrame(schema=schema), *self._parts]
        while True:
            bucketed = pl.concat(parts).with_columns(_bucket(self.bucket_seconds))
            self._parts = parts = [bucketed.group_by("time", "class").agg(_SUMS)]
            if parts[0].height <= _ROWS // 2 or self._width == len(_BUCKET_SECONDS) - 1:
                return
            self._width += 1


def _bucket(seconds: int) -> pl.Expr:
    width = seconds * 1000
    return (pl.col("time").to_physical() // width * width).cast(TIME).alias("time")
