"""Logs on their way through: what each is, its pieces in order, and what was read of it by then."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import polars as pl

from analyzer.errors import SourceError
from analyzer.parsing.batches import Batch, batches
from analyzer.parsing.detect import Shape, detect, detect_head
from analyzer.parsing.layers import is_open, joins, name_of
from analyzer.parsing.origin import Origin
from analyzer.parsing.other import OtherLines
from analyzer.runs.piece_scan import SAMPLE_BYTES, rejected
from analyzer.sources import Opener, Piece, Reader, Source, open_source
from analyzer.sources.reading import File

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from analyzer.addresses.cluster import Cluster
    from analyzer.parsing.detect import Known
    from analyzer.report.model import RejectedSample
    from analyzer.runs.piece_scan import Rejected, Scanned
    from analyzer.sources.reading import OpenEnd

#: Blocks of a source that are tried with every format where its first bytes have none.
_TRIED_BLOCKS = 8


@dataclass
class Log:
    """A source on its way through; `mixed` are lines in other envelopes than `shape` has.

    One that `grows` is read to its last whole line, from the byte `begin` on, where an earlier run ended: what that run
    counted stands in it already, and in `left` how the rate limits of each of its streams stood (packed). `inode`
    (device and number) says which file that was.
    """

    number: int
    source: Source
    begin: int = 0
    grows: bool = False
    inode: tuple[int, int] | None = None
    left: dict[tuple[Origin, str], dict[str, bytes]] = field(default_factory=dict)
    other: OtherLines = field(default_factory=OtherLines)
    reader: Reader | None = None
    opened: bool = False
    is_known: bool = False
    bytes_read: int = 0
    is_plain: bool = False
    end: int = 0
    shape: Shape = field(default_factory=Shape)
    is_cut: bool = False
    lines: int = 0
    parsed: int = 0
    rejected: int = 0
    error: str | None = None
    formats: dict[str, int] = field(default_factory=dict)
    mixed: dict[str, int] = field(default_factory=dict)
    streams: dict[tuple[Origin, str], int] = field(default_factory=dict)

    @property
    def origin(self) -> Origin:
        """What the path of the source says."""
        return Origin(None, self.source.pod, self.source.namespace, self.source.container)

    @property
    def may_go_on(self) -> bool:
        """Whether another run can read on where this one ends."""
        return self.is_plain and self.shape.document is None

    def close(self) -> None:
        """Close its reader."""
        if self.reader is not None and self.opened:
            self.opened = False
            self.bytes_read = self.reader.bytes_read
            self.end = self.reader.stop if isinstance(self.reader, File) else self.bytes_read
            self.reader.close()

    def count(self, scanned: Scanned, *, keep_rejected: bool) -> list[Rejected]:
        """Add up what the next piece held; return its rejected lines, which the pieces before may tell from others."""
        found = [*scanned.rejected]
        if scanned.lead is not None:
            found.insert(0, rejected(self.other.sort(scanned.lead), keep=keep_rejected))
        if scanned.other is not None:
            self.other.add(scanned.other)
        self.other.end_piece(scanned.inner)
        self.rejected += sum(part.number for part in found)
        self.lines += scanned.lines
        self.parsed += scanned.parsed
        self.error = self.error or scanned.error
        for layers, lines in scanned.mixed.items():
            name = name_of(layers)
            self.mixed[name] = self.mixed.get(name, 0) + lines
        return found

    def samples(self, shape: Shape, first: Iterable[dict[str, Any]], before: int) -> Iterator[RejectedSample]:
        """Rejected lines of a piece as a report shows them; `before` lines stand before the piece."""
        from analyzer.report.model import RejectedSample  # noqa: PLC0415 - where all is read, `scan` does without it

        explain = shape.layout.explain if shape.layout else _fits_nothing
        for row in first:
            text = row["line"][:SAMPLE_BYTES].decode("utf-8", "replace").rstrip("\r\n")
            reason = explain(row["field"] - 1, row["reason"])
            yield RejectedSample(self.source.name, before + row["source_line"] + 1, reason, text)


class Work(NamedTuple):
    """A piece to scan, or None where the log is over."""

    log: Log
    piece: Piece | Batch | None
    shape: Shape


def pieces(
    logs: Sequence[Log],
    known: Known,
    look: Callable[[bytes, Known], Shape] = detect_head,
    *,
    go_on: bool = False,
) -> Iterator[Work]:
    """All pieces of all logs in order, each with what is known of the source by then; `look` says it of its head.

    Raises
    ------
    SourceError
        Where the only log cannot be opened, unless it is to `go_on`; of several, it stands in `Log.error`.
    """
    with closing(Opener([log.source for log in logs])) as opener:
        for log in logs:
            try:
                log.reader, log.opened = opener.open(log.source, log.begin), True
                log.is_plain = isinstance(log.reader, File)
                _check(log)
            except SourceError as error:
                if len(logs) == 1 and not go_on:
                    raise
                log.error = str(error).removeprefix(f"{log.source.uri}: ")
                continue
            log.shape = look(log.reader.head, known)
            log.is_known = log.shape.layout is not None
            if log.shape.document is not None:
                for batch in batches(log.reader.pieces()):
                    log.shape = _look_again(log.shape, batch, known)
                    yield Work(log, batch, log.shape)
            else:
                may_join = log.shape.layout is None or joins(log.shape.layers)
                open_end = partial(_is_open, log, known) if may_join else None
                if log.grows and isinstance(log.reader, File):
                    _begin_again(log, known, open_end)
                for number, piece in enumerate(log.reader.pieces(open_end)):
                    if number == 0 and not log.begin:
                        log.shape = _look_again(log.shape, piece, known)
                    yield Work(log, piece, log.shape)
            yield Work(log, None, log.shape)


def _check(log: Log) -> None:
    """Whether a file is still the one that it was when it was found."""
    if log.inode is None or not isinstance(log.reader, File):
        return
    if log.reader.inode != log.inode or log.reader.stop < log.begin:
        log.close()
        raise SourceError("was replaced by another file when it was to be read: the next run reads it")


def _begin_again(log: Log, known: Known, open_end: OpenEnd | None) -> None:
    """Leave out what is not finished; of a log that was begun before, see again what it is as at its beginning."""
    reader = cast("File", log.reader)
    if log.begin and log.shape.layout is None:
        with closing(open_source(log.source)) as from_the_beginning:
            for piece in from_the_beginning.pieces(open_end):
                log.shape = _look_again(log.shape, piece, known)
                break
    layers = log.shape.layers
    reader.leave_unfinished(partial(is_open, layers) if joins(layers) else None)


def _look_again(shape: Shape, piece: Piece | Batch, known: Known) -> Shape:
    """What a source is that begins with other lines, or whose first bytes only say that it is a document."""
    if shape.layout is not None:
        return shape
    try:
        for _, block in zip(range(_TRIED_BLOCKS), piece.blocks(), strict=False):
            if block.too_long:
                continue
            found = detect(block.text[: block.stop], known)
            if found.layout is not None:
                return found._replace(document=shape.document)
    except SourceError:
        pass  # scanning meets it too, and says it
    return shape


def _is_open(log: Log, known: Known, tail: bytes) -> bool:
    """Whether a record goes on behind a cut; what begins with other lines is looked at again before the first."""
    if log.shape.layout is None and not log.is_cut:
        found = detect(tail, known)
        log.shape = found if found.layout is not None else log.shape
    log.is_cut = True
    return is_open(log.shape.layers, tail)


def origins_of(streams: Iterable[tuple[int, Origin, str]], cluster: Cluster | None) -> pl.DataFrame:
    """The node, pod and namespace of each stream by its number (``source``), and the name of its log."""
    rows = [(number, node_of(origin, cluster), origin.pod, origin.namespace, name) for number, origin, name in streams]
    schema = {"source": pl.UInt32, **dict.fromkeys(("node", "pod", "namespace", "name"), pl.String)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def node_of(origin: Origin, cluster: Cluster | None) -> str | None:
    """The node that a line was written on, by whatever says so."""
    if origin.node is not None or cluster is None or origin.pod is None:
        return origin.node
    return cluster.node_of(origin.namespace, origin.pod)


def _fits_nothing(_: int, __: int) -> str:
    return "fits no known log format"
