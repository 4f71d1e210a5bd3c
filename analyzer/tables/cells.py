"""The fold of a state: the tables of `Fold`, apart for each stream and each hour of its requests.

So a stream's part can be taken out again, and a window of hours be added up. Rate limits are tried over all hours of a
stream in one go; what they reject counts for the hour in which the stream stood when that was known. Of a stream that
goes on another time it is kept how they stand, and what they would reject if it were over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from analyzer.parsing.schema import TIME
from analyzer.tables.address_table import COUNT, new_address_table
from analyzer.tables.clients import new_clients, with_clients
from analyzer.tables.fold import Fold
from analyzer.tables.limited import LimitTable
from analyzer.tables.merge import LIMIT, PLACE, add_up, frames_of
from analyzer.tables.small_cells import MOST, MOST_CELLS, Cell, tables_of_cells

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from analyzer.tables.fold import Folds

    Saved = Mapping[str, pl.DataFrame]
    _Part = tuple[int | None, pl.DataFrame]

_HOUR = 3_600_000
#: Milliseconds that rows are apart by: hours, and wider where a piece of a log holds more than `_MOST` of them.
_WIDTHS = (_HOUR, 24 * _HOUR, 28 * 24 * _HOUR)
_MOST = 200
#: Cells that are open at a time.
_OPEN = 64
#: Rows of a cell that come at once and are summed with others (`analyzer.tables.small_cells`), because a fold of their
#: own would cost more.
_SMALL = 2000

_KEY: dict[str, pl.DataType] = {"stream": pl.UInt32(), "hour": TIME}
_TOTALS = {"stream": pl.UInt32(), "hour": pl.Int64(), "name": pl.String(), "count": COUNT}


class Left(NamedTuple):
    """What a stream leaves behind that goes on: how its limits stand, and what they would reject if it were over."""

    saved: dict[str, pl.DataFrame]
    pending: pl.DataFrame


class Cells:
    """Adds up tables by stream and hour.

    Parameters
    ----------
    folds
        What they are made with.
    saved
        How the limits stood where a stream (its number) was left; None where it is new.
    goes_on
        Whether a stream may go on another time.
    """

    def __init__(
        self,
        folds: Folds,
        *,
        saved: Callable[[int], Saved | None] = lambda _: None,
        goes_on: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self._folds = folds
        self._saved = saved
        self._goes_on = goes_on
        self._limited: dict[int, _Limited] = {}
        self._open: dict[tuple[int, object], Fold] = {}
        self._visitors = new_clients(folds.labels)
        self._left: dict[int, Left] = {}
        self._small: list[Cell] = []
        self._small_rows = 0
        self._totals: list[tuple[int, object, str, int]] = []
        self._parts = {
            name: [_placed(frame.clear(), None, None)] for name, frame in frames_of(Fold(folds.labels).tables()).items()
        }
        self._rows = 0

    def prepare(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Say what each row tells by itself; on any thread."""
        return with_clients(rows, self._visitors)

    def add(self, source: int, rows: pl.DataFrame, *, exact_times: bool) -> None:
        """Rows of one stream (its number), which come in the order of its log."""
        rows = self.prepare(rows)
        hours = _hours(rows)
        if source not in self._limited:
            _, limits, allowed = self._folds
            table = _Limited(LimitTable(limits, new_address_table(), allowed))
            saved = self._saved(source)
            if saved is not None:
                table.table.restore(0, saved, exact_times=exact_times)
            self._limited[source] = table
        in_order, by_hour = ([(hours[0], rows)],) * 2 if hours.n_unique() == 1 else _apart(rows, hours)
        for hour, part in in_order:
            for where, found in self._limited[source].add(hour, part, exact_times=exact_times):
                self._keep_limits(found, source, where)
        for hour, part in by_hour:
            if part.height <= _SMALL:
                self._add_small(Cell(source, hour, part))
                continue
            fold = self._open.pop((source, hour), None) or self._folds._replace(limits=()).new()
            self._open[source, hour] = fold
            fold.add(source, part, exact_times=exact_times)
            if len(self._open) > _OPEN:
                self._close(next(iter(self._open)))

    def _add_small(self, cell: Cell) -> None:
        if self._small_rows + cell.rows.height > MOST or len(self._small) == MOST_CELLS:
            self._count_small()
        self._small.append(cell)
        self._small_rows += cell.rows.height

    def _count_small(self) -> None:
        """Add up the small cells."""
        for name, frame in tables_of_cells(self._small, self._folds.labels):
            self._keep_placed(name, frame)
        self._small, self._small_rows = [], 0

    def _keep(self, name: str, frame: pl.DataFrame, stream: int, hour: object) -> None:
        if frame.height:
            self._keep_placed(name, _placed(frame, stream, hour))

    def _keep_limits(self, found: _Found, stream: int, hour: object) -> None:
        self._keep("limits", found.rejected, stream, hour)
        self._keep("pooled", found.pooled, stream, hour)

    def _keep_placed(self, name: str, frame: pl.DataFrame) -> None:
        parts = self._parts[name]
        parts.append(frame.select(parts[0].columns))
        self._rows += frame.height

    def _close(self, cell: tuple[int, object]) -> None:
        for name, frame in frames_of(self._open.pop(cell).tables()).items():
            if name == "totals":
                self._keep(name, frame.filter(~pl.col("name").str.starts_with(LIMIT)), *cell)
            elif name != "limits":  # which are the stream's
                self._keep(name, frame, *cell)

    def close_source(self, source: int) -> None:
        """No more rows will come from this stream."""
        for cell in [cell for cell in self._open if cell[0] == source]:
            self._close(cell)
        limited = self._limited.pop(source, None)
        if limited is None:
            return
        self._keep_limits(limited.take(), source, limited.hour)
        for hour, counts in limited.counts.items():
            self._totals += [(source, hour, LIMIT + name, count) for name, count in counts.items() if count]
        goes_on = self._goes_on(source)
        saved = limited.table.state(0) if goes_on else {}
        limited.table.close(0)
        pending = limited.take().rejected
        if goes_on:
            self._left[source] = Left(saved, _placed(pending, source, limited.hour))
        else:
            self._keep("limits", pending, source, limited.hour)

    def add_taken(self, frames: Mapping[str, pl.DataFrame], left: Mapping[int, Left]) -> None:
        """Add what was taken of other cells, whose streams are numbered as those of these are."""
        for name, frame in frames.items():
            self._keep_placed(name, frame)
        self._left |= left

    def take(self) -> tuple[dict[str, pl.DataFrame], dict[int, Left]]:
        """The frames of all streams closed since the last time, see `analyzer.tables.merge`, with `PLACE`.

        And what those leave behind that go on.
        """
        self._count_small()
        totals = pl.DataFrame(self._totals, schema=_TOTALS, orient="row").with_columns(pl.col("hour").cast(TIME))
        self._keep_placed("totals", totals)
        taken = {name: add_up(name, parts, PLACE) for name, parts in self._parts.items()}
        self._totals = []
        self._parts = {name: [parts[0].clear()] for name, parts in self._parts.items()}
        left, self._left, self._rows = self._left, {}, 0
        return taken, left

    def __len__(self) -> int:
        """How many rows wait to be taken."""
        return self._rows


class _Found(NamedTuple):
    """What limits of a stream rejected since the last time, and what was counted for those over all controllers."""

    rejected: pl.DataFrame
    pooled: pl.DataFrame


class _Limited:
    """The limits of a stream, by hour."""

    def __init__(self, table: LimitTable) -> None:
        self.table = table
        self.hour: Any = None
        self.counts: dict[object, dict[str, int]] = {}
        self._begun = False

    def add(self, hour: object, rows: pl.DataFrame, *, exact_times: bool) -> Iterator[tuple[object, _Found]]:
        """Add rows of one hour; give what was found in the hour before, when it is over."""
        if self._begun and hour != self.hour:
            yield self.hour, self.take()
        self._begun, self.hour = True, hour
        before = self.table.totals()
        self.table.add(0, rows, self.table.number(rows), exact_times=exact_times)
        counts = self.counts.setdefault(hour, {})
        for name, count in self.table.totals().items():
            counts[name] = counts.get(name, 0) + count - before[name]

    def take(self) -> _Found:
        """What was found since the last time."""
        named = self.table.named()
        return _Found(self.table.take(*named), self.table.pooled(*named).whole())


def _placed(frame: pl.DataFrame, stream: int | None, hour: object) -> pl.DataFrame:
    values = zip(PLACE, (stream, hour), strict=True)
    return frame.with_columns(pl.lit(value, _KEY[column]).alias(column) for column, value in values)


def _hours(rows: pl.DataFrame) -> pl.Series:
    """The start of the hour that each row is of, or of a wider stretch where they are too many; null without a time."""
    if "time" not in rows.columns:
        return pl.repeat(None, rows.height, dtype=pl.Int64, eager=True)
    starts = rows["time"].to_physical()
    for width in _WIDTHS:
        starts = starts // width * width
        if starts.min() == starts.max() or starts.n_unique() <= _MOST:
            break
    return starts


def _apart(rows: pl.DataFrame, hours: pl.Series) -> tuple[list[_Part], list[_Part]]:
    """Rows in their order, apart where the hour changes (whole, as of the last, where it often does), and by hour."""
    parts = rows.with_columns(hours.alias("hour")).partition_by("hour", as_dict=True, include_key=False)
    by_hour = [(hour, part) for (hour,), part in parts.items()]
    begins = [0, *(hours.ne_missing(hours.shift(1)).arg_true().to_list()[1:])]
    if len(begins) > _MOST:
        return [(hours[-1], rows)], by_hour
    ends = [*begins[1:], rows.height]
    return [(hours[begin], rows[begin:end]) for begin, end in zip(begins, ends, strict=True)], by_hour
