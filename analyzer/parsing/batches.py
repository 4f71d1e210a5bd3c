"""Documents, in which one JSON value holds many records, cut into batches of lines that are scanned like pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from analyzer.errors import FormatError, SourceError
from analyzer.parsing.documents import ValueSplitter, records
from analyzer.parsing.layers import Inner
from analyzer.parsing.origin import Origin, origin_of
from analyzer.parsing.schema import TIME
from analyzer.sources import Block

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from analyzer.parsing.documents import Record
    from analyzer.sources import Piece

#: Bytes of records that come together.
_BATCH = 8 << 20


@dataclass(frozen=True)
class Batch:
    """Records of a document, a line each, and what the document says of them; read like a `Piece`."""

    text: bytes
    inner: Inner
    error: str | None

    def blocks(self) -> Iterator[Block]:
        """All lines at once.

        Raises
        ------
        SourceError
            Where the document breaks off, after all that could be read.
        """
        if self.text:
            yield Block(self.text, len(self.text), 0)
        if self.error is not None:
            raise SourceError(self.error)

    def line_at(self, start: int) -> bytes:
        """The line that begins at this byte of the batch, with its newline."""
        return self.text[start : self.text.index(b"\n", start) + 1]


def batches(pieces: Iterable[Piece]) -> Iterator[Batch]:
    """Read a document from its beginning."""
    held: list[Record] = []
    size = 0
    splitter = ValueSplitter()
    error = None
    try:
        for piece in pieces:
            for block in piece.blocks():
                for value in splitter.feed(bytes(block.text[: block.stop])):
                    for record in records(value):
                        held.append(record)
                        size += len(record.text) + 1
                        if size > _BATCH:
                            yield _batch(held, None)
                            held, size = [], 0
        left = splitter.close()
        if left.strip():
            error = f"breaks off in the middle of a JSON value of {len(left):,} bytes"
    except (SourceError, FormatError) as found:
        error = str(found)
    yield _batch(held, error)


def _batch(records_: list[Record], error: str | None) -> Batch:
    text = b"".join(record.text + b"\n" for record in records_)
    numbers: dict[Origin, int] = {Origin(): 0}
    origins = [numbers.setdefault(origin_of(dict(record.origin)), len(numbers)) for record in records_]
    sizes = pl.Series("size", [len(record.text) + 1 for record in records_], dtype=pl.UInt64)
    times = pl.Series("time", [record.time for record in records_], dtype=pl.Int64)
    lines = pl.DataFrame({"origin": pl.Series(origins, dtype=pl.UInt32), "time": times}).select(
        pl.int_range(pl.len(), dtype=pl.UInt64).alias("number"),
        (sizes.cum_sum() - sizes).alias("start"),
        "origin",
        pl.col("time").cast(TIME),
    )
    parts = lines.select(pl.col("number").alias("line"), "start")
    return Batch(text, Inner(lines, parts, list(numbers), len(records_), len(records_)), error)
