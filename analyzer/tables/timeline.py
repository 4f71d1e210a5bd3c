"""The table of requests over time, by class.

Rows come with the numbers of their addresses, and each address is labelled once, when it is new. `TimelineTable` counts
with the counter in C where it was built; the portable one does the same with Polars' group_by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

import polars as pl

from analyzer.arrow import frame_of
from analyzer.native import compiled, random_seed
from analyzer.parsing.scanner import use_native
from analyzer.parsing.schema import TIME
from analyzer.tables.address_table import COUNT, NO_ADDRESS
from analyzer.tables.columns import Outcome
from analyzer.tables.labels import codes

if TYPE_CHECKING:
    from analyzer.tables.labels import Labels

_NATIVE = compiled("analyzer.tables._timeline")

#: Widths of a bucket, each a multiple of the one before; a longer log gets wider buckets.
BUCKET_SECONDS = (60, 300, 900, 3600, 21_600, 86_400, 604_800 * 4, 604_800 * 520)
#: Rows that the table may have before its buckets are made wider.
MOST = 10_000

#: What is read of each row.
_TIMED = ("time", "outcome", "number")


class Counter(Protocol):
    """Counts requests by time and class. A label is twice the number of a class, and 1 more where none is considered.

    However rows come, the buckets have the smallest width of which the table is no longer than `MOST`.
    """

    def label(self, labels: pl.Series) -> None:
        """The labels (UInt8) of the next addresses by number."""

    def add(self, rows: pl.DataFrame) -> tuple[int, pl.Series]:
        """Count a frame of ``time``, ``outcome`` and ``number``.

        Return how many rows are considered, and the label of each: that of its address, but odd where it is not.
        """

    def width(self) -> int:
        """The place in `BUCKET_SECONDS` of the width that the buckets have."""

    def rows(self) -> pl.DataFrame:
        """Columns time (start of the bucket), class (UInt8), requests, considered; in any order."""


class TimelineTable:
    """Requests by time and class."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        nobody = labels.label(pl.DataFrame({"address": [None]}, schema={"address": pl.UInt128()}))
        self._class = cast("pl.Enum", nobody.schema["class"])
        kind = NativeCounter if _NATIVE is not None and use_native() else PortableCounter
        self._counter: Counter = kind(len(self._class.categories), codes(nobody).item() | 1)

    @property
    def bucket_seconds(self) -> int:
        """The width of a bucket."""
        return BUCKET_SECONDS[self._counter.width()]

    def label(self, addresses: pl.Series) -> None:
        """Take the next addresses by number."""
        if addresses.len():
            self._counter.label(codes(self._labels.label(addresses.alias("address").to_frame())))

    def add(self, rows: pl.DataFrame) -> tuple[int, pl.Series]:
        """Count rows of ``time``, ``outcome`` and ``number`` (of the address), see `Counter.add`.

        Not considered are health probes, what nginx could not read, and whatever comes from a live pod, from a range
        that sends only probes, or from no address.
        """
        return self._counter.add(rows.select(*_TIMED))

    def rows(self) -> pl.DataFrame:
        """Columns time (start of the bucket), class, requests, considered."""
        return self.named(self._counter.rows())

    def named(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows with names in place of the numbers of classes."""
        return rows.with_columns(self._class.categories.gather(rows["class"]).cast(self._class).alias("class"))


class NativeCounter:
    """timeline.c behind the contract of `Counter`."""

    def __init__(self, classes: int, label_of_none: int, most: int = MOST) -> None:
        widths = tuple(seconds * 1000 for seconds in BUCKET_SECONDS)
        self._timeline = _NATIVE.Timeline(widths, most, classes, label_of_none, random_seed())
        self.width = self._timeline.width

    def label(self, labels: pl.Series) -> None:
        """The labels of the next addresses."""
        self._timeline.label(labels.to_frame().__arrow_c_stream__())

    def add(self, rows: pl.DataFrame) -> tuple[int, pl.Series]:
        """Count a frame."""
        considered, labels = self._timeline.add(rows.__arrow_c_stream__())
        return considered, frame_of(labels)["label"]

    def rows(self) -> pl.DataFrame:
        """The table."""
        return frame_of(self._timeline.rows())


_SCHEMA = {"time": TIME, "class": pl.UInt8(), "requests": COUNT, "considered": COUNT}


class PortableCounter:
    """The same with group_by."""

    def __init__(self, classes: int, label_of_none: int, most: int = MOST) -> None:
        self._classes = classes
        self._label_of_none = label_of_none
        self._most = most
        self._labels = pl.Series("label", [], dtype=pl.UInt8)
        self._width = 0
        self._parts = [pl.DataFrame(schema=_SCHEMA)]

    def label(self, labels: pl.Series) -> None:
        """The labels of the next addresses."""
        if labels.len() and labels.max() >= 2 * self._classes:  # type: ignore[operator]
            raise ValueError("a label of an unknown class")
        self._labels = pl.concat([self._labels, labels.alias("label")])

    def add(self, rows: pl.DataFrame) -> tuple[int, pl.Series]:
        """Count a frame."""
        number = rows["number"]
        known = number < self._labels.len()
        if ((number != NO_ADDRESS) & ~known).any():
            raise ValueError("an address without a label")
        label = self._labels.gather(number.set(~known, None)).fill_null(self._label_of_none)
        labels = label | (rows["outcome"] != Outcome.CONSIDERED.value).cast(pl.UInt8)
        counted = rows.select(
            bucket(BUCKET_SECONDS[self._width]), (labels // 2).alias("class"), (labels % 2 == 0).alias("considered")
        )
        part = counted.group_by("time", "class").agg(
            pl.len().cast(COUNT).alias("requests"), pl.col("considered").sum().cast(COUNT)
        )
        self._parts.append(part)
        if sum(part.height for part in self._parts) > 2 * self._most:
            self._merge()
        return int(counted["considered"].sum()), labels

    def width(self) -> int:
        """The place of the width."""
        self._merge()
        return self._width

    def rows(self) -> pl.DataFrame:
        """The table."""
        self._merge()
        return self._parts[0]

    def _merge(self) -> None:
        """Make one part of all, with wider buckets where it would be too long."""
        parts = self._parts
        while True:
            bucketed = pl.concat(parts).with_columns(bucket(BUCKET_SECONDS[self._width]))
            parts = [bucketed.group_by("time", "class").agg(pl.col("requests", "considered").sum())]
            if parts[0].height <= self._most or self._width == len(BUCKET_SECONDS) - 1:
                break
            self._width += 1
        self._parts = parts


def bucket(seconds: int) -> pl.Expr:
    """``time`` as the beginning of its bucket."""
    width = seconds * 1000
    return (pl.col("time").to_physical() // width * width).cast(TIME).alias("time")
