"""The table of loads: what each stream answered over time, or what came from each address, and what it cost.

=================  ==============================================================================================
column             what it holds
=================  ==============================================================================================
source, address    the stream (its number), or the address
time               start of the bucket, null where the format logs no time
considered         requests, less what the preserved percentage leaves out
bytes              sum of ``body_bytes_sent`` over them
upstream_requests  how many of them have an ``upstream_response_time``
upstream_ms        sum of those, in whole milliseconds: a sum of floats would depend on the order of its parts
=================  ==============================================================================================

Buckets are of one width, the smallest of `BUCKET_SECONDS` with which the table has no more than `MOST` rows. Tables of
parts of a log make the table of the whole: `add_up` widens their buckets to the widest, concatenates and sums.
`new_load_table` gives the table in C where it was built; the portable one does the same with Polars' group_by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import polars as pl

from analyzer.arrow import frame_of
from analyzer.native import compiled, random_seed
from analyzer.parsing.scanner import use_native
from analyzer.parsing.schema import TIME
from analyzer.tables.address_table import COUNT

if TYPE_CHECKING:
    from collections.abc import Sequence

_NATIVE = compiled("analyzer.tables._loads")

#: Widths of a bucket, each a multiple of the one before.
BUCKET_SECONDS = (10, 60, 300, 900, 3600, 21_600, 86_400, 604_800 * 4, 604_800 * 520)
#: Rows that the table may have before its buckets are made wider.
MOST = 100_000

#: What is read of each row besides its stream and time, where the format carries it.
READ: dict[str, pl.DataType] = {"bytes": pl.UInt64(), "upstream_time": pl.Float64()}

SUMS: dict[str, pl.DataType] = {
    "time": TIME,
    **dict.fromkeys(("considered", "bytes", "upstream_requests", "upstream_ms"), COUNT),
}
_SUMS = pl.col("considered", "bytes", "upstream_requests", "upstream_ms").sum()
#: An upstream time beyond this is no time.
_LONGEST_MS = 1e9
#: Room in a key for the number of a bucket, counted from its middle; 0 stands for no time.
_BUCKETS = 1 << 34


@dataclass(frozen=True, slots=True)
class Loads:
    """The table, see above, and the width of its buckets."""

    rows: pl.DataFrame
    bucket_seconds: int

    def lasted_ms(self) -> float | None:
        """How many milliseconds upstreams took for a request on average; None where that is not known."""
        requests, milliseconds = map(int, self.rows.select(pl.sum("upstream_requests", "upstream_ms")).row(0))
        return milliseconds / requests if requests else None


class LoadTable(Protocol):
    """Adds up rows by a column of numbers."""

    def add(self, rows: pl.DataFrame, labels: pl.Series) -> None:
        """Add those rows whose labels (UInt8) are wanted: the key, ``time``, and the columns of `READ`."""

    def table(self, addresses: pl.Series | None = None) -> Loads:
        """The table of all rows so far; where keys are the numbers of addresses, with these in their place."""


def new_load_table(key: str, wanted: Sequence[int]) -> LoadTable:
    """An empty table of the numbers in the column `key`, for rows with these labels (`analyzer.tables.timeline`)."""
    return (NativeLoadTable if _NATIVE is not None and use_native() else PortableLoadTable)(key, wanted)


class NativeLoadTable:
    """loads.c behind the contract of `LoadTable`."""

    def __init__(self, key: str, wanted: Sequence[int]) -> None:
        self._key = key
        widths = tuple(seconds * 1000 for seconds in BUCKET_SECONDS)
        self._loads = _NATIVE.Loads(widths, MOST, sum(1 << label for label in wanted), random_seed())

    def add(self, rows: pl.DataFrame, labels: pl.Series) -> None:
        """Add rows."""
        self._loads.add(rows.select(self._key, "time", *READ, labels.alias("label")).__arrow_c_stream__())

    def table(self, addresses: pl.Series | None = None) -> Loads:
        """The table."""
        rows = frame_of(self._loads.rows()).rename({"key": self._key}).sort(self._key, "time")
        return Loads(_named(rows, addresses), BUCKET_SECONDS[self._loads.width()])


class PortableLoadTable:
    """The same with group_by."""

    def __init__(self, key: str, wanted: Sequence[int]) -> None:
        self._wanted = list(wanted)
        self._schema = {key: pl.UInt32(), **SUMS}
        self._key = key
        self._width = 0
        self._parts = [pl.DataFrame(schema=self._schema)]
        self._height = 0

    def add(self, rows: pl.DataFrame, labels: pl.Series) -> None:
        """Add rows."""
        wanted = labels.is_in(self._wanted)
        if not wanted.any():
            return
        bucket = pl.col("time").to_physical() // (BUCKET_SECONDS[0] * 1000) + _BUCKETS // 2
        bucket = bucket.clip(1, _BUCKETS - 1).fill_null(0)
        milliseconds = (pl.col("upstream_time") * 1000).round().clip(0, _LONGEST_MS).fill_nan(None)
        rows = rows.select(
            (pl.col(self._key).cast(pl.Int64) * _BUCKETS + bucket).alias("key"),
            "bytes",
            milliseconds.cast(COUNT).alias("upstream_ms"),
        ).filter(wanted)
        # Most logs are in order; then groups are slices, which takes a fifth of the time.
        in_order = rows["key"].is_sorted()
        sums = (
            rows.with_columns(pl.col("key").set_sorted() if in_order else pl.col("key"))
            .group_by("key")
            .agg(
                considered=pl.len(),
                bytes=pl.col("bytes").sum(),
                upstream_requests=pl.col("upstream_ms").count(),
                upstream_ms=pl.col("upstream_ms").sum(),
            )
        )
        bucket = pl.col("key") % _BUCKETS
        start = pl.when(bucket > 0).then((bucket - _BUCKETS // 2) * (BUCKET_SECONDS[0] * 1000))
        sums = sums.with_columns((pl.col("key") // _BUCKETS).alias(self._key), time=start)
        self._parts.append(sums.select(pl.col(name).cast(dtype) for name, dtype in self._schema.items()))
        self._height += sums.height
        if self._height > 2 * MOST:
            self._merge()

    def table(self, addresses: pl.Series | None = None) -> Loads:
        """The table."""
        self._merge()
        return Loads(_named(self._parts[0], addresses), BUCKET_SECONDS[self._width])

    def _merge(self) -> None:
        """Make one part of all."""
        rows, self._width = _narrowed(pl.concat(self._parts), self._width)
        self._parts, self._height = [rows], rows.height


def _named(rows: pl.DataFrame, addresses: pl.Series | None) -> pl.DataFrame:
    """Put addresses in the place of their numbers."""
    return rows if addresses is None else rows.select(addresses.gather(rows[:, 0]).alias("address"), *SUMS)


def add_up(tables: Sequence[Loads]) -> Loads:
    """Make one table of one or several, whose numbers of streams must mean the same."""
    widest = max(BUCKET_SECONDS.index(part.bucket_seconds) for part in tables)
    rows, width = _narrowed(pl.concat([part.rows for part in tables]), widest)
    return Loads(rows, BUCKET_SECONDS[width])


def bucket(seconds: int) -> pl.Expr:
    """The start of the bucket of a time."""
    step = seconds * 1000
    return (pl.col("time").to_physical() // step * step).cast(TIME).alias("time")


def _narrowed(rows: pl.DataFrame, width: int) -> tuple[pl.DataFrame, int]:
    """Sum up rows, with wider buckets where there would be too many; return them and the place of their width."""
    key = rows.columns[0]
    while True:
        bucketed = rows.lazy().with_columns(bucket(BUCKET_SECONDS[width]))
        rows = bucketed.group_by(key, "time").agg(_SUMS).collect()  # the eager group_by takes far longer
        if rows.height <= MOST or width == len(BUCKET_SECONDS) - 1:
            return rows.sort(key, "time"), width
        width += 1
