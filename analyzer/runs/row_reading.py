"""One query over the logs: their rows, in order, made on threads as far as the query wants them."""

from __future__ import annotations

import warnings
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING, Literal

import polars as pl

from analyzer.errors import LogscanWarning, SourceError
from analyzer.parsing.detect import detect_head
from analyzer.runs.logs import Log, pieces
from analyzer.runs.piece_scan import Scanned
from analyzer.runs.row_scan import COLUMNS, RowScan, Wanted
from analyzer.runs.threads import ordered_map
from analyzer.runs.time_order import TimeOrder
from analyzer.runs.time_range import Seen, TimeRange, file_of, time_range
from analyzer.sources import Piece
from analyzer.sources.ahead import Ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from analyzer.addresses.cluster import Cluster
    from analyzer.addresses.forwarded import Trusted
    from analyzer.parsing.detect import Known, Shape
    from analyzer.report.model import RejectedSample
    from analyzer.runs.logs import Work
    from analyzer.sources import Source

OnUnreadable = Literal["warn", "ignore", "raise"]

#: Seconds after which Polars is given an empty frame where there are no rows yet: only then does it heed Ctrl-C.
_PATIENCE = 0.2
#: Rows of a ``head that are read without reading ahead.
_FEW = 100_000


@dataclass
class RowReader:
    """What all queries on a LazyFrame share; each reads the logs anew, whatever another is about.

    `trusted` says whose word is taken on who a visitor is. Plain files are `in_order` of time where somebody says so.
    """

    sources: Sequence[Source]
    known: Known
    cluster: Cluster | None
    trusted: Callable[[], Trusted]
    on_unreadable: OnUnreadable
    workers: int
    seen: Seen = field(default_factory=Seen)
    in_order: bool = False
    orders: dict[tuple[int, ...], TimeOrder] = field(default_factory=dict)
    looking: Lock = field(default_factory=Lock)
    shapes: dict[bytes, Shape] = field(default_factory=dict)
    input_read: bool = False

    def frames(
        self, with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        """The rows, as an IO plugin of Polars hands them on: `n_rows` are taken, then filtered, then the columns.

        Polars may let go of the generator at any time and on any thread, one that works for it too: so all is done, and
        closed, on a thread that the generator only tells to stop.
        """
        self._check_input()
        ahead = Ahead(self._read(with_columns, predicate, n_rows), 1)
        nothing = pl.DataFrame(schema={name: COLUMNS[name] for name in with_columns or COLUMNS})
        try:
            for frame in ahead.paced(_PATIENCE):
                yield nothing if frame is None else frame
        finally:
            try:
                ahead.stop()
            except KeyboardInterrupt:  # Polars raises it as well, where somebody hears it
                ahead.stop()

    def _read(
        self, with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None
    ) -> Iterator[pl.DataFrame]:
        query = _Query(self, with_columns or list(COLUMNS), predicate, n_rows)
        logs = [Log(number, source) for number, source in enumerate(self.sources)]
        try:
            with closing(ordered_map(query.scan, pieces(logs, self.known, self._look), query.workers)) as scans:
                for work, scanned in scans:
                    if scanned is not None:
                        query.note(work, scanned)
                        yield from query.rows(scanned)
                    if scanned is None or query.left == 0:
                        query.tell(work.log)
                    if query.left == 0:
                        return
            for log in logs:
                if log.reader is None:  # it could not be opened
                    query.tell(log)
        finally:
            for log in logs:
                log.close()

    def _look(self, head: bytes, known: Known) -> Shape:
        """What a source is that begins so, found out once."""
        digest = blake2b(head).digest()
        if digest not in self.shapes:
            self.shapes[digest] = detect_head(head, known)
        return self.shapes[digest]

    def _check_input(self) -> None:
        if any(source.uri == "-" for source in self.sources):
            if self.input_read:
                raise SourceError(
                    "standard input: can be read once, and was",
                    hint="collect() it once and go on with the frame",
                )
            self.input_read = True


class _Query:
    """One query, and what was read for it so far."""

    def __init__(self, reader: RowReader, columns: list[str], predicate: pl.Expr | None, n_rows: int | None) -> None:
        self._reader = reader
        self._columns = columns
        self._predicate = predicate
        self.left = n_rows
        self.workers = 1 if n_rows is not None and n_rows <= _FEW else reader.workers
        self._range = TimeRange() if predicate is None else time_range(predicate)
        roots = () if predicate is None else predicate.meta.root_names()
        # `time` costs next to nothing, and the next query may ask for a range of it.
        needed = dict.fromkeys(("time", *columns, *roots))
        self._wanted = Wanted(
            tuple(needed), reader.cluster, reader.trusted, self._finish if n_rows is None else _as_it_is
        )
        self._first: dict[int, RejectedSample] = {}

    def _finish(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Filter, then keep the columns; text that is left does not hold all that was scanned with it."""
        rows = frame.head(self.left) if self.left is not None else frame
        if self._predicate is not None:
            rows = rows.filter(self._predicate)
        rows = rows.select(self._columns)
        if 2 * rows.height <= frame.height or _texts(rows) < _texts(frame):
            rows = rows.with_columns(pl.col(pl.String) + "")  # makes it anew: a view keeps all of its buffer
        return rows

    def scan(self, work: Work) -> Scanned | None:
        """Read a piece; runs on a thread."""
        if work.piece is None:
            return None
        piece, seen = work.piece, self._reader.seen
        # Rows passed over count where the first so many are wanted.
        if isinstance(piece, Piece) and self.left is None and self._range != TimeRange():
            if seen.outside(piece, self._range):
                return Scanned()
            if self._reader.in_order and self._is_outside(piece, work):
                return Scanned()
        scan = RowScan(work, self._reader.known, self._wanted)
        scanned = scan.scan()
        if isinstance(piece, Piece) and scanned.error is None:
            seen.add(piece, (min(scan.moments), max(scan.moments)) if scan.moments else None)
        return scanned

    def _is_outside(self, piece: Piece, work: Work) -> bool:
        """Whether no row of the piece is within the range where its file is in order of time."""
        if (key := file_of(piece)) is None or not isinstance(piece.content, tuple):
            return False
        wanted = Wanted(("time",), None, self._reader.trusted, _as_it_is)

        def look(part: Piece) -> tuple[int, int] | None:
            scan = RowScan(work._replace(piece=part), self._reader.known, wanted)
            scan.scan()
            return (min(scan.moments), max(scan.moments)) if scan.moments else None

        orders = self._reader.orders
        with self._reader.looking:
            if key not in orders:
                orders[key] = TimeOrder(piece.content[0], look)
        return orders[key].outside(piece, self._range)

    def rows(self, scanned: Scanned) -> Iterator[pl.DataFrame]:
        """The rows of a piece that are wanted."""
        for frame in (rows.frame for rows in scanned.rows):
            if self.left is None:
                wanted = frame
            else:
                wanted = self._finish(frame)
                self.left -= min(frame.height, self.left)
            if wanted.height:
                yield wanted

    def note(self, work: Work, scanned: Scanned) -> None:
        """Count what could not be read, and remember the first such line of each log."""
        log, before = work.log, work.log.lines
        for part in log.count(scanned, keep_rejected=False):
            for sample in log.samples(work.shape, part.first[:1], before):
                self._first.setdefault(log.number, sample)
        if self._reader.on_unreadable == "raise":
            self.tell(log)

    def tell(self, log: Log) -> None:
        """Say what of a log could not be read so far, in the way that was asked for."""
        way = self._reader.on_unreadable
        if log.reader is None:
            if way != "ignore":
                raise SourceError(f"{log.source.uri}: {log.error}")
            return
        error = log.error or log.reader.error
        first = self._first.get(log.number)
        said = [] if error is None else [error]
        if first is not None:
            lines = f"{log.rejected:,} of {log.lines:,} lines cannot be read"
            said.append(f"{lines}, the first of them is line {first.line:,}: {first.reason}")
        if said and way == "raise":
            raise SourceError(f"{log.source.uri}: {said[0]}")
        if said and way == "warn":
            for each in said:
                warnings.warn(f"{log.source.uri}: {each}", LogscanWarning, stacklevel=2)


def _as_it_is(frame: pl.DataFrame) -> pl.DataFrame:
    return frame


def _texts(frame: pl.DataFrame) -> int:
    return frame.schema.dtypes().count(pl.String())
