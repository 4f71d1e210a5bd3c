"""Requests by key and second, for limits that count over all controller pods at once (`Limit.pooled`).

Their windows begin with a second, so the order of requests within one is nothing to them: what they reject is up to how
many requests of a key came in each second, or in each minute where all windows are of minutes. Such counts add up over
logs, pieces and runs in any order, and limits are tried when all are added up, in the order of time; until then many of
them wait on disk.

A request meets a limit when it begins. Where whole seconds are logged and how long a request lasted, it may have begun
up to a second later than the earliest that it can: what both would reject is told.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from contextlib import contextmanager
from functools import partial, reduce
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from analyzer.errors import UsageError
from analyzer.tables.arrivals import lasted, met
from analyzer.tables.limit_req import LIMITS
from analyzer.tables.limits import Type
from analyzer.tables.replay import Decided, in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from analyzer.tables.limits import Limit

#: The table: ``key`` is what is counted under (`analyzer.tables.limited.KEYS`), ``second`` the first of a stretch of
#: seconds, ``count`` the requests that began in it at the earliest, and ``late`` those of them that may have begun in
#: the next one.
POOLED: dict[str, pl.DataType] = {
    "key": pl.UInt8(),
    "zone": pl.UInt32(),
    "address": pl.UInt128(),
    "second": pl.Int64(),
    "count": pl.UInt64(),
    "late": pl.UInt64(),
}
_COUNTED: dict[str, pl.DataType] = {
    "zone": pl.UInt32(),
    "number": pl.UInt32(),
    "second": pl.Int64(),
    "count": pl.UInt32(),
    "late": pl.UInt32(),
}
_KEY = ("zone", "number", "second")
_DAY = 86_400
_COUNT = pl.len().cast(pl.UInt32).alias("count")
#: Rows that are added up at once, and requests that limits are asked about at once.
_ROWS = 500_000
#: Rows that are held in memory, about 100 MB; what is more waits on disk.
_HELD = 4_000_000


def stretch_of(limits: Sequence[Limit]) -> int:
    """Seconds that requests are counted by, of which all windows of pooled limits are multiples; 0 without these."""
    pooled = [limit.policy for limit in limits if limit.pooled]
    if any(policy.type is Type.SLIDING for policy in pooled):
        return 1  # how much of the window before counts changes by the second
    return reduce(gcd, (length if length > 0 else _DAY for policy in pooled for length, _ in policy.parts), 0)


class Pooled:
    """What was counted, see `POOLED`, in parts: requests of an address are all in one part.

    Several rows of a key and second are possible. It is sent to others as one part.
    """

    def __init__(self, parts: Sequence[Callable[[], pl.DataFrame]]) -> None:
        self.parts = parts

    @classmethod
    def of(cls, rows: pl.DataFrame) -> Pooled:
        """One part."""
        return cls([lambda: rows])

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """The parts, none of which is kept here."""
        return (part() for part in self.parts)

    def whole(self) -> pl.DataFrame:
        """All rows."""
        parts = list(self)
        return pl.concat(parts) if parts else pl.DataFrame(schema=POOLED)

    def __reduce__(self) -> tuple[Callable[[pl.DataFrame], Pooled], tuple[pl.DataFrame]]:
        """As it is sent."""
        return Pooled.of, (self.whole(),)


class PooledTable:
    """Counts the requests of all logs.

    Parameters
    ----------
    limits
        All limits.
    """

    def __init__(self, limits: Sequence[Limit]) -> None:
        self._stretch = stretch_of(limits)
        self._parts: list[pl.DataFrame] = []
        self._whole: list[pl.DataFrame] = []
        self._waiting = self._held = 0
        self._spilled: Spilled | None = None

    def add(self, rows: pl.DataFrame, *, exact_times: bool) -> None:
        """Rows as `analyzer.tables.replay.LogReplay.add` takes them."""
        if not self._stretch:
            return
        lasting = "request_time" in rows.columns
        begin = pl.col("time").to_physical() - (lasted() if lasting else 0)
        earliest, latest = (
            (begin + late) // (1000 * self._stretch) * self._stretch
            for late in (0, 999 if lasting and not exact_times else 0)
        )
        come = rows.lazy().filter(met(rows, exact_times=exact_times))
        come = come.select("zone", "number", second=earliest, late=earliest != latest)
        self._parts.append(come.group_by(_KEY).agg(_COUNT, pl.col("late").sum()).collect())
        self._waiting += self._parts[-1].height
        if self._waiting > _ROWS:
            self._add_up()

    def _add_up(self) -> None:
        """Add up what came last: of a log that is in order the same key and second does not come again."""
        if not self._parts:
            return
        self._whole.append(pl.concat(self._parts).lazy().group_by(_KEY).agg(pl.col("count", "late").sum()).collect())
        self._held += self._whole[-1].height
        self._parts, self._waiting = [], 0
        if self._held > _HELD:
            self._spilled = self._spilled or Spilled()
            self._spilled.write(pl.concat(self._whole))
            self._whole, self._held = [], 0

    def take(self, key: int, addresses: pl.Series) -> Pooled:
        """What was counted since the last time; given are what it is counted under, and the addresses by number."""
        self._add_up()
        rows, spilled = pl.concat([pl.DataFrame(schema=_COUNTED), *self._whole]), self._spilled
        self._whole, self._held, self._spilled = [], 0, None

        def named(counted: pl.DataFrame) -> pl.DataFrame:
            address = addresses.alias("address").gather(counted["number"])
            told = counted.with_columns(address, key=pl.lit(key, pl.UInt8()))
            return told.select(pl.col(name).cast(dtype) for name, dtype in POOLED.items())

        if spilled is None:
            return Pooled.of(named(rows))
        spilled.write(rows)
        return Pooled([partial(lambda part: named(spilled.read(part)), part) for part in range(Spilled.PARTS)])


class Spilled:
    """Rows on disk, in parts by their number; gone with the object."""

    PARTS = 32

    def __init__(self) -> None:
        with _room():
            self._folder = Path(tempfile.mkdtemp(prefix="logscan-"))
        self._files = 0
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def write(self, rows: pl.DataFrame) -> None:
        """Write rows, each into the file of its part."""
        apart = rows.with_columns(part=pl.col("number") % self.PARTS).partition_by("part", as_dict=True)
        with _room():
            for (part,), some in apart.items():
                some.drop("part").write_ipc(self._folder / f"{part}-{self._files}", compression="lz4")
        self._files += 1

    def read(self, part: int) -> pl.DataFrame:
        """The rows of a part."""
        files = [pl.read_ipc(file) for file in sorted(self._folder.glob(f"{part}-*"))]
        return pl.concat([pl.DataFrame(schema=_COUNTED), *files])


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UsageError(
            f"Kong's limits: expected room on disk for what is counted over all logs: {error}",
            hint="TMPDIR names the folder",
        ) from None


def pooled_rejections(pooled: Pooled, limits: Sequence[Limit]) -> pl.DataFrame:
    """What pooled limits reject of all requests, see `limit_req.LIMITS`."""
    places = [place for place in in_order(limits) if limits[place].pooled]
    found = [pl.DataFrame(schema=LIMITS)]
    for part in pooled if places else ():
        for (key,), counted in part.partition_by("key", as_dict=True, include_key=False).items():
            rows = _that_may_meet(counted, limits, places)
            addresses = rows.select("address").unique().with_row_index("number")
            rows = rows.join(addresses, on="address").drop("address")
            for some in _by_number(rows):
                rejected = _rejections(some, limits, places)
                address = addresses["address"].gather(rejected["number"])
                found.append(rejected.select(pl.lit(key, pl.UInt8()).alias("key"), "limit", address, "most", "fewest"))
    return pl.concat(found)


def _by_number(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Rows apart, those of a number together: what deciders remember of the keys of one part is no more than that."""
    part = pl.col("number") % (rows.height // _ROWS + 1)
    return rows.with_columns(part.alias("part")).partition_by("part", include_key=False)


def _rejections(rows: pl.DataFrame, limits: Sequence[Limit], places: Sequence[int]) -> pl.DataFrame:
    """What is rejected of these requests, see `limit_req.REJECTIONS`."""
    orders = [rows, _late(rows, stretch_of(limits))] if rows["late"].sum() else [rows]
    decided = Decided(limits, places, orders=len(orders))
    for order, counted in enumerate(orders):
        for requests in _requests(counted):
            decided.decide(order, requests)
    return decided.take().group_by("limit", "number").agg(pl.col("most", "fewest").sum())


def _that_may_meet(rows: pl.DataFrame, limits: Sequence[Limit], places: Sequence[int]) -> pl.DataFrame:
    """Without keys that sent no more in all than the smallest window lets through."""
    least = min(most for place in places for _, most in limits[place].policy.parts)
    often = rows.lazy().group_by("zone", "address").agg(pl.sum("count")).filter(pl.col("count") > least)
    return rows.lazy().join(often, on=["zone", "address"], how="semi").collect()


def _late(rows: pl.DataFrame, stretch: int) -> pl.DataFrame:
    """The same where each request began as late as it may."""
    moved = rows.with_columns(pl.col("second") + stretch, count="late")
    return pl.concat([rows.with_columns(pl.col("count") - pl.col("late")), moved]).filter(pl.col("count") > 0)


def _requests(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """A row for each request, in the order of time."""
    counted = rows.sort("second").with_columns(pl.col("count").cast(pl.Int64))
    apart = counted.with_columns(first=pl.int_ranges(0, pl.col("count"), _ROWS)).explode("first")
    moment = pl.col("second") * 1000
    some = apart.select(
        "number",
        key=pl.col("zone").cast(pl.UInt64) * (1 << 32) + pl.col("number"),
        begin=moment,
        end=moment,
        count=pl.min_horizontal(pl.col("count") - pl.col("first"), _ROWS),
    )
    batch = pl.col("count").cum_sum() // _ROWS
    for part in some.with_columns(batch.alias("batch")).partition_by("batch", maintain_order=True):
        yield part.select(pl.col("number", "key", "begin", "end").repeat_by("count").explode())
