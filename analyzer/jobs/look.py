"""The beginning of one log: how much of it is looked at, and what its lines hold besides what the tables need.

What lines are and how many fit is counted by `analyzer.runs.piece_scan`, as in a run over the whole log.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from analyzer.errors import SourceError
from analyzer.parsing.batches import Batch, batches
from analyzer.parsing.detect import detect, detect_head, is_told
from analyzer.parsing.json_format import JsonFormat
from analyzer.parsing.layers import Layers
from analyzer.parsing.other import OtherLines
from analyzer.parsing.scanner import new_scanner
from analyzer.parsing.schema import SCHEMA, outputs
from analyzer.parsing.suggest import LINES, LONGEST
from analyzer.sources import Block, Piece
from analyzer.sources.reading import Held

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from analyzer.parsing.detect import Known, Shape
    from analyzer.parsing.formats import Layout
    from analyzer.parsing.layers import Layer
    from analyzer.sources import Reader

#: Bytes at the beginning of a log that are enough; with the block that they are in, it is about 1 MiB.
_ENOUGH = 512 << 10
#: How far on a log is tried where no format reads any line before, as in a run.
_TRIED = 7 << 20

#: How far a format must come, of as far as another, to be as near.
_AS_FAR = 0.97

#: Lines that decide which known format is the nearest.
_NEAREST = 50


class Head(NamedTuple):
    """The beginning of a log as a piece, its size, whether that is all, what could not be read, its compression."""

    piece: Piece | Batch
    shape: Shape
    size: int
    whole: bool
    error: str | None
    compression: str | None


def head_of(reader: Reader, known: Known) -> Head:
    """Read the beginning of a log and say what it is."""
    shape = detect_head(reader.head, known)
    return _lines(reader, known, shape) if shape.document is None else _document(reader, known, shape.document)


def _lines(reader: Reader, known: Known, shape: Shape) -> Head:
    """The first `_ENOUGH` bytes; where no format reads any of them, all up to where one does."""
    blocks: list[Block] = []
    size, error, whole = 0, None, True
    coming = _blocks(reader)
    try:
        for block in coming:
            if size >= (_ENOUGH if shape.layout is not None else _TRIED):
                whole = False
                break
            text = bytes(block.text[: block.stop])
            blocks.append(block._replace(text=text))
            size += block.stop
            if shape.layout is None and not block.too_long:
                found = detect(text, known)
                shape = found if found.layout is not None or len(blocks) == 1 else shape
    except SourceError as broken:
        error = str(broken)
    if shape.layout is None:
        first = next((number for number, block in enumerate(blocks) if block.offset >= _ENOUGH), len(blocks))
        whole = whole and first == len(blocks)
        blocks = blocks[:first]
        size = sum(block.stop for block in blocks)
    return Head(
        Piece(0, inside=False, content=Held(blocks, _keep)),
        shape,
        size,
        whole,
        error or reader.error,
        reader.compression,
    )


def _blocks(reader: Reader) -> Iterator[Block]:
    for piece in reader.pieces():
        yield from piece.blocks()


def _keep(_: bytearray) -> None:
    """The blocks are copies: nobody waits for their buffers."""


def _document(reader: Reader, known: Known, document: str) -> Head:
    """The records that a document begins with; it is read until there are enough, or to the end of its only value."""
    coming = batches(reader.pieces())
    batch = next(coming)
    whole = next(coming, None) is None
    end = batch.text.rfind(b"\n", 0, _ENOUGH) + 1
    shape = detect(batch.text[: end or None], known)._replace(document=document)
    return Head(batch, shape, len(batch.text), whole, batch.error or reader.error, reader.compression)


def inside(head: Head, mixed: Iterable[Sequence[Layer]] = ()) -> bytes:
    """The lines of the piece without their envelopes, and the `mixed` ones; those that are too long are left out."""
    outer = head.piece.inner if isinstance(head.piece, Batch) else None
    layers = Layers([*head.shape.layers, *chain.from_iterable(mixed)], outer)
    parts: list[bytes] = []
    try:
        for block in head.piece.blocks():
            if not block.too_long:
                text, stop = layers.unwrap(block.text, block.stop, block.offset)
                parts.append(bytes(text[:stop]))
    except SourceError:
        pass  # said already
    return b"".join([*parts, layers.flush()[0]])


def count_values(text: bytes, layouts: Sequence[Layout]) -> dict[str, int]:
    """In how many lines each column has a value; a line is read by the first layout that it fits.

    ``-`` and an empty text are no values: so a format of text writes what is not there.
    """
    counts: dict[str, int] = {}
    for layout in layouts:
        wanted = outputs(layout, [column for column in SCHEMA if column in layout.columns])
        if not wanted:
            continue
        scanner = new_scanner(layout, wanted)
        scanner.scan(text, 0, len(text), 0)
        taken = scanner.take()
        for column in taken.rows:
            known = column.drop_nulls()
            if column.dtype == pl.String:
                known = known.filter(~known.is_in(["", "-"]))
            if isinstance(layout, JsonFormat) and known.is_empty():
                continue  # one of many keys that an object may have
            counts[column.name] = counts.get(column.name, 0) + known.len()
        text = _joined(taken.misfits["line"].to_list())
    return {column: counts[column] for column in SCHEMA if column in counts}


class Unread:
    """Lines that no format reads, and how far the known ones come.

    Parameters
    ----------
    text
        All lines.
    layout
        The format that reads most of them, if any does.
    layouts
        All known formats.
    """

    def __init__(self, text: bytes, layout: Layout | None, layouts: Sequence[Layout]) -> None:
        misfits = OtherLines().sort(_misfits(layout or layouts[0], text))
        lines = [line.rstrip(b"\r\n") for line in misfits["line"].head(4 * LINES).to_list()]
        self.lines = [line for line in lines if 0 < len(line) <= LONGEST][:LINES]
        self.nearest = layout or self._nearest(layouts)

    def _nearest(self, layouts: Sequence[Layout]) -> Layout | None:
        """The format of text that these lines fit furthest, beyond a field that not any text has."""
        lines = [line for line in self.lines[:_NEAREST] if not line.lstrip().startswith(b"{")]
        text = _joined(lines)
        whole = sum(map(len, lines))
        best, most = None, 0.0
        for layout in layouts if lines else ():
            if isinstance(layout, JsonFormat):
                continue
            misfits = _misfits(layout, text)
            told = sum(any(is_told(field.type) for field in layout.fields[: stop - 1]) for stop in misfits["field"])
            fitting = (int(misfits["position"].sum()) - len(layout.prefix) * misfits.height) / whole
            # Of formats that come nearly as far the one that says least, which the others build on.
            if fitting > _AS_FAR * most and 2 * told >= misfits.height:
                best, most = layout, max(most, fitting)
        return best

    def stops(self, line: bytes) -> dict[str, Any] | None:
        """Where the nearest format stops in a line, as a misfit; None where none is near."""
        if self.nearest is None:
            return None
        return next(_misfits(self.nearest, line + b"\n").iter_rows(named=True), None)


def _misfits(layout: Layout, text: bytes) -> pl.DataFrame:
    scanner = new_scanner(layout, outputs(layout, list(SCHEMA)))
    scanner.scan(text, 0, len(text), 0)
    return scanner.take().misfits


def _joined(lines: list[bytes]) -> bytes:
    return b"".join(line if line.endswith(b"\n") else line + b"\n" for line in lines)
