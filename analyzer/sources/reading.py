"""One source, read in pieces that can be scanned side by side.

A regular file is cut into byte ranges that end where lines end; each is read by the thread that scans it, into one
small buffer used again and again (fresh memory and mapped pages both cost more than the copy, and both count as
memory in use). What can only be read forward (standard input, pipes, gzip) comes as pieces already in memory.

A line longer than `MAX_LINE` is no access-log line; it passes through in bounded parts.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from analyzer.errors import SourceError
from analyzer.sources.compression import MAGIC_ZSTD, Gunzip, is_gzip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.sources.find import Source

#: nginx limits a request line and each header to 32 KiB as ingress-nginx sets it up, so no real line comes near.
MAX_LINE = 1 << 20
#: Bytes of a piece: large enough for group_by to pay, small enough that a few in flight stay cheap.
PIECE = 32 << 20
_STREAM_PIECE = 16 << 20
_HEAD = 256 << 10
_BOM = b"\xef\xbb\xbf"


class Block(NamedTuple):
    """Whole lines in ``text[:stop]``, or a part of a line that is too long."""

    text: bytearray
    stop: int
    offset: int
    too_long: bool = False
    continued: bool = False


class _Readable(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...


class _FileRange(io.RawIOBase):
    """Bytes ``[start, stop)`` of an open file, read without moving the file's own position."""

    def __init__(self, fd: int, start: int, stop: int) -> None:
        self._fd, self._at, self._stop = fd, start, stop

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        try:
            got = os.preadv(self._fd, [buffer[: self._stop - self._at]], self._at)
        except OSError as error:
            raise SourceError(f"cannot be read further than byte {self._at:,}: {error.strerror}") from None
        self._at += got
        return got

    def check_end(self) -> None:
        """Raise where the file ended before the range did."""
        if self._at < self._stop:
            raise SourceError(f"was cut at byte {self._at:,} while it was read")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a source: where it begins in the (decompressed) source and how to read it.

    `inside` says that it begins within a line that is too long.
    """

    offset: int
    inside: bool
    content: bytes | tuple[int, int, int]

    def blocks(self) -> Iterator[Block]:
        """Read the piece as blocks of whole lines. A block is valid until the next one is asked for.

        Raises
        ------
        SourceError
            Where the source breaks off, after all that could be read.
        """
        source: _Readable
        source = io.BytesIO(self.content) if isinstance(self.content, bytes) else _FileRange(*self.content)
        buffer = bytearray(MAX_LINE)
        view = memoryview(buffer)
        held, offset, inside = 0, self.offset, self.inside
        while got := source.readinto(view[held:]):
            held += got
            if inside:
                newline = buffer.find(b"\n", 0, held) + 1
                stop = newline or held
                yield Block(buffer, stop, offset, too_long=True, continued=True)
                inside = not newline
            else:
                stop = buffer.rfind(b"\n", 0, held) + 1
                if stop:
                    yield Block(buffer, stop, offset)
                elif held == MAX_LINE:
                    stop, inside = held, True
                    yield Block(buffer, stop, offset, too_long=True)
            offset += stop
            view[: held - stop] = view[stop:held]
            held -= stop
        while held:  # what an `inside` part left behind may hold more than one line
            stop = buffer.rfind(b"\n", 0, held) + 1 or held
            yield Block(buffer, stop, offset)
            offset += stop
            view[: held - stop] = view[stop:held]
            held -= stop
        if isinstance(source, _FileRange):
            source.check_end()


class Reader(Protocol):
    """An open source."""

    head: bytes  #: the first decompressed bytes, to tell the format by
    error: str | None  #: why reading broke off, known when the pieces are through
    bytes_read: int  #: bytes of the source as stored

    def pieces(self) -> Iterator[Piece]:
        """The source from its beginning, in order."""

    def close(self) -> None:
        """Let go of the file."""


def open_source(source: Source) -> Reader:
    """Open a source for reading.

    Raises
    ------
    SourceError
        Where it cannot be opened, or is compressed in a way that is not read.
    """
    name = "standard input" if source.uri == "-" else source.uri or '""'
    if source.uri == "-" and sys.__stdin__ is None:
        raise SourceError("standard input: cannot be read: it is closed")
    try:
        fd = os.dup(0) if source.uri == "-" else os.open(source.uri, os.O_RDONLY)
    except FileNotFoundError:
        raise SourceError(f"{name}: expected a file, a directory, a glob or -, found nothing there") from None
    except OSError as error:
        raise SourceError(f"{name}: cannot be read: {error.strerror}") from None
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode) and source.uri != "-":
            first = os.pread(fd, 4, 0)
            if not is_gzip(first) and first != MAGIC_ZSTD:
                return _File(fd)
        return _Stream(fd)
    except OSError as error:
        os.close(fd)
        raise SourceError(f"{name}: cannot be read: {error.strerror}") from None
    except SourceError as error:
        os.close(fd)
        raise SourceError(f"{name}: {error}", error.hint) from None


class _File:
    """A plain regular file."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._size = os.fstat(fd).st_size
        self.head = os.pread(fd, _HEAD, 0).removeprefix(_BOM)
        self.error: str | None = None
        self.bytes_read = self._size

    def pieces(self) -> Iterator[Piece]:
        start = len(_BOM) if os.pread(self._fd, len(_BOM), 0) == _BOM else 0
        inside = False
        while start < self._size:
            try:
                stop, next_inside = self._cut(min(start + PIECE, self._size))
            except OSError as error:
                self.error = f"cannot be read further than byte {start:,}: {error.strerror}"
                return
            yield Piece(start, inside, (self._fd, start, stop))
            start, inside = stop, next_inside

    def _cut(self, at: int) -> tuple[int, bool]:
        """Where the line that `at` stands in ends, or some way on where it is too long."""
        begin = at
        while at < self._size and at - begin < MAX_LINE:
            text = os.pread(self._fd, 16 << 10, at)
            if not text:
                break
            newline = text.find(b"\n")
            if newline >= 0:
                return at + newline + 1, False
            at += len(text)
        return min(at, self._size), at < self._size

    def close(self) -> None:
        os.close(self._fd)


class _Stream:
    """Standard input, a pipe, or a compressed file: read forward, once."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._raw = io.BufferedReader(io.FileIO(fd, closefd=False), 1 << 20)
        magic = self._raw.read(4)
        if magic == MAGIC_ZSTD:
            raise SourceError(
                "expected text or gzip, got zstd", hint="decompress it first: zstd -dc FILE | logscan ..."
            )
        self._gunzip = Gunzip(self._raw, magic) if is_gzip(magic) else None
        self.error: str | None = None
        self.bytes_read = len(magic)
        self.head = b"" if self._gunzip is not None else magic
        while len(self.head) < _HEAD and (text := self._read(_HEAD)):
            self.head += text
        self._begun = self.head
        self.head = self.head.removeprefix(_BOM)

    def _read(self, size: int) -> bytes:
        """More decompressed bytes; none at the end and where the source is broken, which `error` then says."""
        try:
            if self._gunzip is not None:
                text = self._gunzip.read(size)
                self.bytes_read = self._gunzip.bytes_read
                return text
            text = self._raw.read1(size)
            self.bytes_read += len(text)
        except OSError as error:
            self.error = f"cannot be read further: {error.strerror or error}"
            return b""
        except SourceError as error:
            self.error = str(error)
            return b""
        return text

    def pieces(self) -> Iterator[Piece]:
        held = [self._begun]
        size, offset, inside = len(self._begun), 0, False
        if self.head is not self._begun:
            held, size, offset = [self.head], len(self.head), len(_BOM)
        while True:
            text = self._read(1 << 20) if self.error is None else b""
            held.append(text)
            size += len(text)
            if text and size < _STREAM_PIECE:
                continue
            whole = b"".join(held)
            cut = len(whole) if not text else whole.rfind(b"\n") + 1
            next_inside = False
            if text and size - cut >= MAX_LINE:
                cut, next_inside = size, True
            if cut:
                yield Piece(offset, inside, whole[:cut])
                inside = next_inside
            if not text:
                return
            offset += cut
            held = [whole[cut:]]
            size -= cut

    def close(self) -> None:
        self._raw.close()
        os.close(self._fd)
