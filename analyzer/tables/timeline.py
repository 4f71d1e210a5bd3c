"""The table of requests over time, by class; and by address where it may turn out to be a proxy.

Most rows come from plain visitors: they are counted as what is left of all rows when the notable ones are taken away,
so that only few rows are looked up.
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
#: From this share of a frame's rows on, a notable address has rows of its own.
PROMINENT = 1 / 1000

_SUMS = pl.col("requests", "considered").sum()


class Labels(Protocol):
    """Says by ranges what addresses are (`analyzer.addresses.classify.Classifier`)."""

    def label(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Append ``class``, ``in_cluster`` and ``health_probe`` to a frame with a column ``address``."""


class TimelineTable:
    """Requests by time, class and (for notable addresses) address."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._width = 0
        self._parts: list[pl.DataFrame] = []
        nobody = pl.DataFrame({"address": [None]}, schema={"address": pl.UInt128()})
        self._notable = self._label(nobody)

    @property
    def bucket_seconds(self) -> int:
        """The width of a bucket."""
        return _BUCKET_SECONDS[self._width]

    def add(self, rows: pl.DataFrame, *, new: pl.Series, busy: pl.Series) -> None:
        """Add a frame of rows.

        Parameters
        ----------
        rows
            With ``address``, ``time`` and ``outcome``.
        new
            The addresses that are in no frame before this one.
        busy
            Addresses with a large share of this frame: notable even if they look like visitors.
        """
        labelled = self._label(pl.DataFrame({"address": new}))
        visitors = (pl.col("class") == "client") & ~pl.col("skipped")
        notable = [self._notable, labelled.filter(~visitors | pl.col("address").is_in(busy.implode()))]
        late = busy.filter(~busy.is_in(self._notable["address"].implode()) & ~busy.is_in(new.implode()))
        if late.len():
            notable.append(self._label(pl.DataFrame({"address": late})))
        self._notable = pl.concat(notable)
        self._parts.append(self._count(rows))
        if sum(part.height for part in self._parts) > _ROWS:
            self._merge()

    def rows(self) -> pl.DataFrame:
        """Columns time (start of the bucket), class, address (null: all others of the class), requests, considered."""
        self._merge()
        return self._parts[0]

    def _label(self, addresses: pl.DataFrame) -> pl.DataFrame:
        skipped = pl.col("health_probe") | pl.col("in_cluster") | pl.col("address").is_null()
        return self._labels.label(addresses).select("address", "class", skipped=skipped)

    def _count(self, rows: pl.DataFrame) -> pl.DataFrame:
        seen = pl.col("outcome") == Outcome.CONSIDERED.value
        timed = rows.select("address", _bucket(self.bucket_seconds), seen=seen)
        counts = {"requests": pl.len().cast(pl.Int64), "considered": pl.col("seen").sum().cast(pl.Int64)}
        is_notable = pl.col("address").is_in(self._notable["address"].implode()) | pl.col("address").is_null()
        notable = (
            timed.filter(is_notable)
            .group_by("time", "address")
            .agg(**counts)
            .join(self._notable, on="address", how="left", nulls_equal=True)
        )
        everybody = timed.group_by("time").agg(**counts)
        taken = notable.select("time", -pl.col("requests", "considered"))
        visitors = pl.concat([everybody, taken]).group_by("time").agg(_SUMS).filter(pl.col("requests") > 0)
        prominent = pl.col("requests").sum().over("address") >= rows.height * PROMINENT
        return pl.concat(
            [
                notable.select(
                    "time",
                    "class",
                    pl.when(prominent).then("address").alias("address"),
                    pl.col("requests").cast(COUNT),
                    pl.when("skipped").then(0).otherwise("considered").cast(COUNT).alias("considered"),
                ),
                visitors.select(
                    "time",
                    pl.lit("client", self._notable.schema["class"]).alias("class"),
                    pl.lit(None, pl.UInt128()).alias("address"),
                    pl.col("requests", "considered").cast(COUNT),
                ),
            ]
        )

    def _merge(self) -> None:
        """Make one part of all, with wider buckets where it would be too long."""
        empty = {"time": TIME, "class": self._notable.schema["class"], "address": pl.UInt128()}
        nothing = pl.DataFrame(schema={**empty, "requests": COUNT, "considered": COUNT})
        while True:
            merged = pl.concat([nothing, *self._parts]).with_columns(_bucket(self.bucket_seconds))
            self._parts = [merged.group_by("time", "class", "address").agg(_SUMS)]
            if self._parts[0].height <= _ROWS // 2 or self._width == len(_BUCKET_SECONDS) - 1:
                return
            self._width += 1


def _bucket(seconds: int) -> pl.Expr:
    width = seconds * 1000
    return (pl.col("time").to_physical() // width * width).cast(TIME).alias("time")
