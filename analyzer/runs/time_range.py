"""Which range of time a filter leaves, and which pieces of a file lie outside it.

Nothing tells that a file is in order but its lines. So the first and the last time of each piece are remembered when it
was read, and a piece is passed over only by what was seen in it: of a file that is in no order, few are.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

if TYPE_CHECKING:
    from polars._typing import ClosedInterval

    from analyzer.sources import Piece

_TIME = pl.col("time")


class TimeRange(NamedTuple):
    """Milliseconds since 1970, both included; None where it has no end."""

    first: int | None = None
    last: int | None = None

    def within(self, other: TimeRange) -> TimeRange:
        """What both leave."""
        first = [moment for moment in (self.first, other.first) if moment is not None]
        last = [moment for moment in (self.last, other.last) if moment is not None]
        return TimeRange(max(first, default=None), min(last, default=None))


def time_range(predicate: pl.Expr) -> TimeRange:
    """A range of time outside of which `predicate` is true of no row; all of time where it does not say."""
    inputs = predicate.meta.pop()
    if len(inputs) == 2:
        right, left = inputs
        for one, other in ((left, right), (right, left)):
            if (one & other).meta.eq(predicate):
                return time_range(one).within(time_range(other))
        return _compared(predicate, left, right)
    if len(inputs) == 3:
        return _between(predicate, inputs)
    return TimeRange()


def _compared(predicate: pl.Expr, *sides: pl.Expr) -> TimeRange:
    for value, time in (sides, reversed(sides)):
        moment = _moment(value) if time.meta.eq(_TIME) else None
        if moment is None:
            continue
        if any(written.meta.eq(predicate) for written in (time > value, time >= value, value < time, value <= time)):
            return TimeRange(first=moment)
        if any(written.meta.eq(predicate) for written in (time < value, time <= value, value > time, value >= time)):
            return TimeRange(last=moment + 1)
        if any(written.meta.eq(predicate) for written in (time == value, value == time)):
            return TimeRange(moment, moment + 1)
    return TimeRange()


def _between(predicate: pl.Expr, inputs: list[pl.Expr]) -> TimeRange:
    last, first, _ = inputs
    closed: tuple[ClosedInterval, ...] = ("both", "left", "right", "none")
    if not any(_TIME.is_between(first, last, each).meta.eq(predicate) for each in closed):
        return TimeRange()
    begin, end = _moment(first), _moment(last)
    return TimeRange(begin, None if end is None else end + 1)


def _moment(value: pl.Expr) -> int | None:
    """The moment that an expression without columns is; fractions of a millisecond are dropped."""
    if value.meta.root_names():
        return None
    try:
        found = pl.select(value).to_series()
    except pl.exceptions.PolarsError:  # the engine will say it
        return None
    if found.len() != 1 or not isinstance(found.dtype, pl.Datetime) or found.dtype.time_zone is None:
        return None
    moment = found.dt.epoch("ms").item()
    return moment if isinstance(moment, int) else None


class Seen:
    """The first and the last time in pieces of files, None where a piece has no time.

    A file that was written to since it was seen is another file.
    """

    def __init__(self) -> None:
        self._spans: dict[tuple[int, ...], tuple[int, int] | None] = {}

    def add(self, piece: Piece, span: tuple[int, int] | None) -> None:
        """Remember the first and the last time of a piece."""
        key = _key(piece)
        if key is not None:
            self._spans[key] = span

    def outside(self, piece: Piece, wanted: TimeRange) -> bool:
        """Whether no row of the piece is within the range, by what was seen."""
        key = _key(piece)
        if key is None or key not in self._spans:
            return False
        span = self._spans[key]
        if span is None:
            return True
        return (wanted.first is not None and span[1] < wanted.first) or (
            wanted.last is not None and span[0] > wanted.last
        )


def file_of(piece: Piece) -> tuple[int, ...] | None:
    """What a plain file is known by for as long as nobody writes to it; None for what is read but once."""
    if not isinstance(piece.content, tuple):
        return None
    about = os.fstat(piece.content[0])
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def _key(piece: Piece) -> tuple[int, ...] | None:
    """What a piece of a plain file is known by."""
    file = file_of(piece)
    return None if file is None or not isinstance(piece.content, tuple) else (*file, *piece.content[1:])
