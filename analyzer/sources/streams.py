"""What can only be read forward: standard input, pipes, compressed files, and objects in buckets.

It is read (and decompressed) on a thread of its own, a few pieces ahead of those that scan. A compressed file is read
to the end that it has when the reader gets there: what was appended until then counts.
"""

from __future__ import annotations

import os
import select
import stat
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, Protocol

from analyzer.errors import SourceError
from analyzer.sources import compression, reading
from analyzer.sources.ahead import Ahead
from analyzer.sources.compression import MAGIC, kind_of, unpacked
from analyzer.sources.reading import BOM, HEAD, Block, Held, Piece, behind_cut, cut, tail_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from analyzer.sources.buffers import Buffers
    from analyzer.sources.reading import OpenEnd

#: Bytes of a piece: small at first, so that scanning begins, and never so large that much is left to scan at the end.
PIECE = 8 << 20
_FIRST_PIECE = 1 << 20
#: Pieces that are read ahead, beside the one that is being read.
_AHEAD = 2


class Stored(compression.Stored, Protocol):
    """The bytes of a source as they are stored."""

    def stop(self) -> None:
        """End a read that waits, on another thread."""

    def close(self) -> None:
        """Let go of them."""


class Descriptor:
    """The bytes of a descriptor, which it takes over."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.bytes_read = 0
        self._stopped = False
        self._wake: tuple[int, int] | None = None
        self._begin: int | None = None
        if stat.S_ISREG(os.fstat(fd).st_mode):
            self._begin = os.lseek(fd, 0, os.SEEK_CUR)
        else:
            self._wake = os.pipe()
            self._poll = select.poll()
            self._poll.register(fd, select.POLLIN)
            self._poll.register(self._wake[0], select.POLLIN)

    def read(self, size: int, /) -> bytes:
        """At most so many more bytes, none at the end."""
        if not self._wait():
            return b""
        try:
            found = os.read(self._fd, size)
        except OSError as error:
            raise self._broken(error) from None
        self.bytes_read += len(found)
        return found

    def readinto(self, buffer: memoryview, /) -> int:
        """As `read`, to where it is wanted."""
        if not self._wait():
            return 0
        try:
            got = os.readv(self._fd, [buffer])
        except OSError as error:
            raise self._broken(error) from None
        self.bytes_read += got
        return got

    def rewind(self) -> bool:
        """Begin again; False where that cannot be."""
        if self._begin is None:
            return False
        self.bytes_read = 0
        os.lseek(self._fd, self._begin, os.SEEK_SET)
        return True

    def _wait(self) -> bool:
        """Wait for bytes; False where nobody wants them any more."""
        if self._wake is not None:
            self._poll.poll()
        return not self._stopped

    def _broken(self, error: OSError) -> SourceError:
        place = f" further than byte {self.bytes_read:,}" if self.bytes_read else ""
        return SourceError(f"cannot be read{place}: {error.strerror}")

    def stop(self) -> None:
        """End a read that waits."""
        self._stopped = True
        if self._wake is not None:
            os.write(self._wake[1], b"\0")

    def close(self) -> None:
        """Close it, and what waits for it."""
        for fd in (self._fd, *(self._wake or ())):
            os.close(fd)
        self._wake = None


class _Filled:
    """Fills buffers to the end, with `begun` first."""

    def __init__(self, source: compression.Text | Stored, begun: bytes) -> None:
        self._source = source
        self._begun = begun
        self._ended = False
        self.error: SourceError | None = None

    def readinto(self, buffer: memoryview, /) -> int:
        got = min(len(self._begun), len(buffer))
        buffer[:got] = self._begun[:got]
        self._begun = self._begun[got:]
        while got < len(buffer) and not self._ended:
            try:
                more = self._source.readinto(buffer[got:])
            except SourceError as error:
                self.error, more = error, 0
            self._ended = not more
            got += more
        return got

    def skip_mark(self) -> int:
        """Skip a byte order mark; return its size."""
        first = bytearray(len(BOM))
        got = self.readinto(memoryview(first))
        if first == BOM:
            return got
        self._begun = bytes(first[:got]) + self._begun
        return 0


class _Made(NamedTuple):
    blocks: list[Block]
    bytes_read: int


def _make(stored: Stored, text: _Filled, new: Callable[[], bytearray]) -> Iterator[_Made]:
    """The blocks of pieces; for the thread that reads ahead."""
    held: list[Block] = []
    wanted, error = min(_FIRST_PIECE, PIECE), None
    try:
        for block in cut(text, new, text.skip_mark(), inside=False):
            held.append(block)
            if block.offset + block.stop - held[0].offset >= wanted:
                yield _Made(held, stored.bytes_read)
                held, wanted = [], min(2 * wanted, PIECE)
    except SourceError as raised:
        error = raised
    if held:
        yield _Made(held, stored.bytes_read)
    if error is not None:
        raise error


class Stream:
    """A source that is read forward, once; it takes over what is stored.

    Parameters
    ----------
    stored
        The source.
    buffers
        What its blocks are made in, each for a line of the longest kind at least.
    """

    def __init__(self, stored: Stored, buffers: Buffers) -> None:
        self._stored = stored
        self._buffers = buffers
        self._ahead: Ahead[_Made] | None = None
        self.error: str | None = None
        self.bytes_read = 0
        self.compression: str | None = None
        try:
            self._ahead = self._begin()
            self._coming = self._blocks(self._ahead)
            self._begun, self.head = self._read_head()
        except BaseException:
            self._end()
            raise

    def _begin(self) -> Ahead[_Made]:
        first = b""
        while len(first) < MAGIC and (more := self._stored.read(MAGIC - len(first))):
            first += more
        kind = kind_of(first)
        self.compression = kind and kind.name
        text = _Filled(self._stored, first) if kind is None else _Filled(unpacked(kind, self._stored, first), b"")
        return Ahead(_make(self._stored, text, self._buffers.new), _AHEAD)

    def _read_head(self) -> tuple[list[list[Block]], bytes]:
        begun, head = [], b""
        for blocks in self._coming:
            begun.append(blocks)
            for block in blocks:
                head += block.text[: min(block.stop, HEAD - len(head))]
            if len(head) == HEAD:
                break
        return begun, head

    def _blocks(self, ahead: Ahead[_Made]) -> Iterator[list[Block]]:
        try:
            for blocks, self.bytes_read in ahead:
                yield blocks
        except SourceError as error:
            self.error = str(error)
        self.bytes_read = self._stored.bytes_read

    def pieces(self, open_end: OpenEnd | None = None) -> Iterator[Piece]:
        """See `Reader`."""
        held: list[Block] = []
        try:
            for blocks in chain(self._begun, self._coming):
                if held and open_end is not None:  # its last record is open
                    self._move(held, blocks, open_end)
                    yield self._piece(held)
                held = blocks
                before = _last_lines(blocks) if open_end is not None else b""
                if open_end is None or not before or not open_end(tail_of(before, len(before))):
                    if blocks:
                        yield self._piece(blocks)
                    held = []
            if held:
                yield self._piece(held)
        finally:
            self._begun = []
            self._stop()

    def _piece(self, held: list[Block]) -> Piece:
        return Piece(held[0].offset, held[0].continued, Held(held, self._buffers.free))

    def _move(self, held: list[Block], blocks: list[Block], open_end: OpenEnd) -> None:
        """Move the lines that end what is open from the next blocks to those held."""
        text, stop, offset, too_long, _ = blocks[0]
        if too_long:
            return
        moved = behind_cut(_last_lines(held), bytes(text[:stop]), open_end)
        if moved == stop:
            held.append(blocks.pop(0))
            return
        front, view = self._buffers.new(), memoryview(text)
        front[:moved] = view[:moved]
        held.append(Block(front, moved, offset))
        view[: stop - moved] = view[moved:stop]
        blocks[0] = Block(text, stop - moved, offset + moved)

    def _stop(self) -> None:
        self._stored.stop()
        if self._ahead is not None:
            self._ahead.stop()

    def _end(self) -> None:
        self._stop()
        if self._ahead is not None:
            self._ahead.join()
        self._stored.close()

    def close(self) -> None:
        """See `Reader`."""
        self._end()


def _last_lines(held: list[Block]) -> bytes:
    """The whole lines that the last blocks end with, at least those that `tail_of` looks at."""
    found = b""
    for block in reversed(held):
        if block.too_long or len(found) > reading.MAX_LINE:
            break
        found = bytes(block.text[: block.stop]) + found
    return found
