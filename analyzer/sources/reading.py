"""One source, read in pieces that can be scanned side by side.

A regular file is cut into byte ranges that end where lines end; each is read by the thread that scans it, into one
small buffer used again and again (fresh memory and mapped pages both cost more than the copy, and both count as
memory in use). What can only be read forward (standard input, pipes, compressed files) is in `analyzer.sources.streams`
and comes as pieces already in memory.

A file is read up to the size that it has when it is opened; what is appended later is for the next run.
A line longer than `MAX_LINE` is no access-log line; it passes through in bounded parts.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, NamedTuple, Protocol

from analyzer.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    #: Whether a record that these last lines before a cut begin goes on behind it.
    OpenEnd = Callable[[bytes], bool]

#: nginx limits a request line and each header to 32 KiB as ingress-nginx sets it up, so no real line comes near.
MAX_LINE = 1 << 20
#: Bytes of a piece: large enough for group_by to pay, small enough that a few in flight stay cheap.
PIECE = 32 << 20
HEAD = 256 << 10
BOM = b"\xef\xbb\xbf"
#: Bytes before a cut that are looked at for a record that goes on behind it.
_TAIL = 64 << 10
#: Line ends behind a cut that are each tried in its place; further on they are tried ever further apart.
_TRIED = 64


class Block(NamedTuple):
    """Whole lines in ``text[:stop]``, or a part of a line that is too long."""

    text: bytes | bytearray
    stop: int
    offset: int
    too_long: bool = False
    continued: bool = False


class Readable(Protocol):
    """Bytes that are read forward."""

    error: SourceError | None  #: why they ended before their end

    def readinto(self, buffer: memoryview, /) -> int:
        """Read some bytes; 0 at the end."""


def cut(source: Readable, new: Callable[[], bytearray], offset: int, *, inside: bool) -> Iterator[Block]:
    """Cut text into blocks. Each is in a buffer that `new` gives; where that is always one, it lasts until the next.

    Raises
    ------
    SourceError
        Where the text breaks off, after all of it.
    """
    buffer, held, ended = new(), 0, False
    while held or not ended:
        if not ended:
            got = source.readinto(memoryview(buffer)[held:])
            held, ended = held + got, not got
        if inside and held:
            stop = buffer.find(b"\n", 0, held) + 1 or held
            yield Block(buffer, stop, offset, too_long=True, continued=True)
            inside = buffer[stop - 1] != 0x0A
        elif stop := buffer.rfind(b"\n", 0, held) + 1:
            yield Block(buffer, stop, offset)
        elif held == len(buffer):
            stop, inside = held, True
            yield Block(buffer, stop, offset, too_long=True)
        elif held and ended:
            stop = held
            yield Block(buffer, stop, offset)
        else:
            continue
        rest = memoryview(buffer)[stop:held]
        buffer, held, offset = new(), held - stop, offset + stop
        memoryview(buffer)[:held] = rest
    if source.error is not None:
        raise source.error


class Content(Protocol):
    """What a piece holds that is in memory."""

    @property
    def blocks(self) -> Iterable[Block]:
        """Blocks of whole lines, one behind the other."""

    @property
    def stop(self) -> int:
        """Where the last one ends."""

    def read(self, start: int, size: int) -> bytes:
        """Bytes from `start` on; fewer than `size`, but some, where what holds them ends."""


class Held:
    """Blocks in memory, one behind the other; their buffers go back to `free` when nobody needs them any more."""

    def __init__(self, blocks: Sequence[Block], free: Callable[[bytearray], object]) -> None:
        self.blocks = blocks
        self._free = free

    def __del__(self) -> None:
        """Let go of the buffers."""
        for block in self.blocks:
            if isinstance(block.text, bytearray):
                self._free(block.text)

    @property
    def stop(self) -> int:
        """Where the last one ends."""
        return self.blocks[-1].offset + self.blocks[-1].stop

    def read(self, start: int, size: int) -> bytes:
        """Bytes from `start` on, up to the end of a block at most."""
        block = self.blocks[bisect_right(self.blocks, start, key=lambda block: block.offset) - 1]
        at = start - block.offset
        return bytes(memoryview(block.text)[at : min(at + size, block.stop)])


class _Range:
    """Bytes ``[start, stop)`` of an open file, read without moving the file's own position."""

    def __init__(self, fd: int, start: int, stop: int) -> None:
        self._fd, self._at, self._stop = fd, start, stop
        self.error: SourceError | None = None

    def readinto(self, buffer: memoryview, /) -> int:
        if self._at == self._stop:
            return 0
        try:
            got = os.preadv(self._fd, [buffer[: self._stop - self._at]], self._at)
        except OSError as error:
            self.error = SourceError(f"cannot be read further than byte {self._at:,}: {error.strerror}")
            return 0
        if not got:
            self.error = SourceError(f"was cut at byte {self._at:,} while it was read")
        self._at += got
        return got


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a source: where it begins in the (decompressed) source and how to read it.

    `inside` says that it begins within a line that is too long. A piece of a file can be read until its reader is
    closed.
    """

    offset: int
    inside: bool
    content: Content | tuple[int, int, int]

    def blocks(self) -> Iterator[Block]:
        """Read the piece as blocks of whole lines. A block is valid until the next one is asked for.

        Raises
        ------
        SourceError
            Where the source breaks off, after all that could be read.
        """
        if isinstance(self.content, tuple):
            buffer = bytearray(MAX_LINE)
            yield from cut(_Range(*self.content), lambda: buffer, self.offset, inside=self.inside)
        else:
            yield from self.content.blocks

    def read(self, start: int, size: int) -> bytes:
        """At most so many bytes of the (decompressed) source from byte `start` of it on, fewer at the piece's end.

        Raises
        ------
        ValueError
            Where `start` is not in the piece.
        SourceError
            Where the source cannot be read any more.
        """
        stop = self.content[2] if isinstance(self.content, tuple) else self.content.stop
        if not self.offset <= start <= stop:
            raise ValueError(f"expected an offset from {self.offset} to {stop}, got {start}")
        parts: list[bytes] = []
        wanted = min(size, stop - start)
        while wanted > 0 and (part := self._read(start, wanted)):
            parts.append(part)
            start, wanted = start + len(part), wanted - len(part)
        return b"".join(parts)

    def _read(self, start: int, size: int) -> bytes:
        if not isinstance(self.content, tuple):
            return self.content.read(start, size)
        try:
            return os.pread(self.content[0], size, start)
        except OSError as error:
            raise SourceError(f"cannot be read at byte {start:,}: {error.strerror}") from None

    def line_at(self, start: int) -> bytes:
        """The line that begins at byte `start` of the (decompressed) source, with its newline; its first `MAX_LINE`."""
        size = min(4096, MAX_LINE)
        while True:
            text = self.read(start, size)
            end = text.find(b"\n") + 1
            if end or len(text) < size or size == MAX_LINE:
                return text[: end or None]
            size = min(16 * size, MAX_LINE)


def behind_cut(before: bytes, behind: bytes, open_end: OpenEnd) -> int:
    """How many bytes of the lines behind a cut belong to what is open at the end of those before it; all at most."""
    text, at = before + behind, len(before)
    for tried in count(-_TRIED):
        for _ in range(1 << max(0, tried)):
            at = text.find(b"\n", at) + 1 or len(text)
        if at == len(text) or not open_end(tail_of(text, at)):
            return at - len(before)
    raise AssertionError


def tail_of(text: bytes, end: int) -> bytes:
    """The last lines before `end`, where a line ends: 64 KiB of whole lines, or the last one alone if it is longer."""
    begin = end - _TAIL
    if begin <= 0:
        return text[:end]
    begin = text.find(b"\n", begin - 1, end - 1) + 1 or text.rfind(b"\n", 0, end - 1) + 1
    return text[begin:end]


def whole_cut(read: Callable[[int, int], bytes], at: int, size: int, open_end: OpenEnd | None) -> int | None:
    """Where a source of this size can be cut near a byte: a line ends there, and no record goes on behind it.

    None where there is no such place nearby; `read` gives so many bytes from a place on.
    """
    begin = max(0, at - MAX_LINE)
    text = read(begin, min(size, at + MAX_LINE) - begin)
    end = text.find(b"\n", at - begin) + 1
    if not end:
        return None
    before = text[text.find(b"\n") + 1 if begin else 0 : end]
    if open_end is not None and before and open_end(tail_of(before, len(before))):
        behind = text[end : text.rfind(b"\n") + 1]
        moved = behind_cut(before, behind, open_end)
        if moved == len(behind):
            return None
        end += moved
    return begin + end


class Reader(Protocol):
    """An open source."""

    head: bytes  #: the first decompressed bytes, to tell the format by
    error: str | None  #: why reading broke off, known when the pieces are through
    bytes_read: int  #: bytes of the source as stored
    compression: str | None  #: what it is compressed with

    def pieces(self, open_end: OpenEnd | None = None) -> Iterator[Piece]:
        """The source from its beginning, in order; what can only be read forward, once.

        Parameters
        ----------
        open_end
            Called with the last lines before a cut between two pieces (`tail_of`); while it says True the cut moves to
            the next line end, `MAX_LINE` bytes on at most.
        """

    def close(self) -> None:
        """Let go of the file, and of what reads it."""


class File:
    """A plain regular file; it takes over the descriptor.

    Parameters
    ----------
    fd
        The descriptor.
    begin, stop
        The byte to begin at, where a line does, and the one to stop at, where one ends.
    """

    def __init__(self, fd: int, begin: int = 0, stop: int | None = None) -> None:
        self._fd = fd
        self._begin = begin
        self._size = os.fstat(fd).st_size if stop is None else stop
        self.head = os.pread(fd, HEAD, 0).removeprefix(BOM)
        self.error: str | None = None
        self._unread = 0 if stop is None else begin
        self.bytes_read = self._size - self._unread
        self.compression: str | None = None

    def pieces(self, open_end: OpenEnd | None = None) -> Iterator[Piece]:
        """See `Reader`."""
        start, inside = self._begin, False
        if start == 0 and os.pread(self._fd, len(BOM), 0) == BOM:
            start = len(BOM)
        while start < self._size:
            try:
                stop, next_inside = self._cut(min(start + PIECE, self._size))
                if open_end is not None and stop < self._size and not next_inside:
                    stop += self._open_at(start, stop, open_end, inside=inside)
            except OSError as error:
                self.error = f"cannot be read further than byte {start:,}: {error.strerror}"
                return
            yield Piece(start, inside, (self._fd, start, stop))
            start, inside = stop, next_inside
            size = os.fstat(self._fd).st_size
            if size < start:
                self.error = f"was cut at byte {size:,} while it was read"
                self.bytes_read = start - self._unread
                return

    @property
    def inode(self) -> tuple[int, int]:
        """Its device and number."""
        about = os.fstat(self._fd)
        return about.st_dev, about.st_ino

    @property
    def stop(self) -> int:
        """Where what is read ends."""
        return self._size

    def read_at(self, start: int, size: int) -> bytes:
        """So many bytes from a place on, fewer at the end."""
        return os.pread(self._fd, size, start)

    def leave_unfinished(self, open_end: OpenEnd | None) -> None:
        """Read no further than to the last line that is whole, as is the record (`open_end`) that it belongs to."""
        begin = min(self._begin, self._size)
        try:
            self._size = self._last_end(begin, open_end)
        except OSError as error:
            self._size, self.error = begin, f"cannot be read near its end: {error.strerror}"

    def _last_end(self, start: int, open_end: OpenEnd | None) -> int:
        at, end = self._size, 0
        while at > start and not end:
            begin = max(start, at - _TAIL)
            end, at = os.pread(self._fd, at - begin, begin).rfind(b"\n") + 1, begin
        if not end:
            return start
        end += at
        if open_end is None:
            return end
        begin = max(start, end - MAX_LINE)
        text = os.pread(self._fd, end - begin, begin)
        whole = len(text)
        while whole and open_end(tail_of(text, whole)):
            whole = text.rfind(b"\n", 0, whole - 1) + 1
        # What stays open for so long was never ended.
        return begin + whole if whole or begin == start else end

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

    def _open_at(self, start: int, stop: int, open_end: OpenEnd, *, inside: bool) -> int:
        """How much further on the cut at `stop` has to be."""
        begin = max(start, stop - MAX_LINE)
        before = os.pread(self._fd, stop - begin, begin)
        if begin > start or inside:
            before = before[before.find(b"\n") + 1 :]
        if not before or not open_end(tail_of(before, len(before))):
            return 0
        behind = os.pread(self._fd, min(MAX_LINE, self._size - stop), stop)
        if stop + len(behind) < self._size:
            behind = behind[: behind.rfind(b"\n") + 1]
        return behind_cut(before, behind, open_end)

    def close(self) -> None:
        """See `Reader`."""
        os.close(self._fd)
