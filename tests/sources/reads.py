"""Reads sources as the analyzer does, and makes compressed ones."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from analyzer.sources import Source, open_source

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["PACK", "Part", "Read", "piped", "read", "skippable", "zstd"]


def _zstd(content: bytes) -> bytes:
    return zstd.compress(content, options={zstd.CompressionParameter.checksum_flag: 1})


#: How each kind of source is made, with a checksum.
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda content: gzip.compress(content, mtime=0),
    "zstd": _zstd,
    "bzip2": bz2.compress,
    "xz": lambda content: lzma.compress(content, preset=0),
}


def skippable(content: bytes, number: int = 0) -> bytes:
    """A zstd frame that readers skip."""
    return bytes((0x50 + number, 0x2A, 0x4D, 0x18)) + len(content).to_bytes(4, "little") + content


class Part(NamedTuple):
    """A block as it came."""

    offset: int
    text: bytes
    too_long: bool
    continued: bool


class Read(NamedTuple):
    """A source as it came."""

    head: bytes
    parts: list[Part]
    error: str | None
    bytes_read: int

    @property
    def text(self) -> bytes:
        """All bytes."""
        return b"".join(part.text for part in self.parts)


def read(path: Path | str) -> Read:
    """Read a source to its end."""
    reader = open_source(Source(str(path)))
    try:
        parts = [
            Part(block.offset, bytes(block.text[: block.stop]), block.too_long, block.continued)
            for piece in reader.pieces()
            for block in piece.blocks()
        ]
    finally:
        reader.close()
    return Read(reader.head, parts, reader.error, reader.bytes_read)


@contextmanager
def piped(content: bytes, path: Path, chunk: int = 1 << 16) -> Iterator[Path]:
    """A named pipe into which a thread writes the content in chunks, as long as somebody reads it."""

    def write() -> None:
        with suppress(BrokenPipeError), path.open("wb", buffering=0) as pipe:
            for at in range(0, len(content), chunk):
                pipe.write(content[at : at + chunk])

    os.mkfifo(path)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield path
    finally:
        writer.join()
        path.unlink()
