"""A plain object of a bucket, as pieces of the parts that it was fetched in.

A part stays where it was fetched to until its piece is scanned: then it comes through one small buffer, as a file does,
so that of an object no more is held than the pieces under way.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Protocol

from analyzer.errors import SourceError
from analyzer.sources import reading
from analyzer.sources.reading import BOM, HEAD, Piece, behind_cut, cut, tail_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from analyzer.sources.reading import Block, OpenEnd

#: Bytes of a piece: small at first, so that scanning begins.
PIECE = 16 << 20
_FIRST_PIECE = 4 << 20
_HEAD = HEAD + len(BOM)
#: Bytes at the end of a part that are looked at first for the end of a line.
_NEAR_END = 64 << 10


class StoredParts(Protocol):
    """The bytes of an object as they are stored, a part after the other."""

    bytes_read: int

    def read_at(self, start: int, size: int) -> bytes:
        """So many bytes from a place on, fewer at the end."""

    def part(self) -> memoryview:
        """The next part, to be given back with `free`; nothing at the end."""

    def free(self, part: memoryview) -> None:
        """Give a part back, or a part of it."""

    def close(self) -> None:
        """Let go of them."""


class _Text:
    """Parts, one behind the other, read forward."""

    def __init__(self, parts: list[memoryview]) -> None:
        self._coming = iter(parts)
        self._part = memoryview(b"")
        self.error: SourceError | None = None

    def readinto(self, buffer: memoryview, /) -> int:
        """See `Readable`."""
        got = 0
        while got < len(buffer):
            self._part = self._part or next(self._coming, memoryview(b""))
            if not self._part:
                break
            more = min(len(buffer) - got, len(self._part))
            buffer[got : got + more] = self._part[:more]
            self._part = self._part[more:]
            got += more
        return got


class Parts:
    """The content of a piece: its parts, which go back to `free` when nobody needs them any more."""

    def __init__(
        self, parts: list[memoryview], offset: int, free: Callable[[memoryview], object], *, inside: bool
    ) -> None:
        self._parts, self._offset, self._inside = parts, offset, inside
        self._free = free

    def __del__(self) -> None:
        """Let go of the parts."""
        for part in self._parts:
            self._free(part)

    @property
    def stop(self) -> int:
        """Where the last one ends."""
        return self._offset + _size(self._parts)

    @property
    def blocks(self) -> Iterator[Block]:
        """Blocks of whole lines, each valid until the next one is asked for."""
        buffer = bytearray(reading.MAX_LINE)
        return cut(_Text(self._parts), lambda: buffer, self._offset, inside=self._inside)

    def read(self, start: int, size: int) -> bytes:
        """Bytes from `start` on, up to the end of a part at most."""
        at = start - self._offset
        for part in self._parts:
            if at < len(part):
                return bytes(part[at : at + size])
            at -= len(part)
        return b""


class Object:
    """A plain object, of which `head` is known when it is made; it takes over what is stored.

    Parameters
    ----------
    stored
        The object.
    begin
        The byte that its parts begin at, where a line does.
    """

    def __init__(self, stored: StoredParts, begin: int = 0) -> None:
        self._stored = stored
        self._begin = begin
        self.error: str | None = None
        self.bytes_read = 0
        self.compression: str | None = None
        self._coming = self._fetched()
        self._begun: list[memoryview] = []
        while not begin and _size(self._begun) < _HEAD and (part := next(self._coming, None)) is not None:
            self._begun.append(part)
        head = stored.read_at(0, _HEAD) if begin else b"".join(bytes(part[:_HEAD]) for part in self._begun)
        marked = len(BOM) if head.startswith(BOM) else 0
        self._marked = 0 if begin else marked
        self.head = head[marked:][:HEAD]

    def read_at(self, start: int, size: int) -> bytes:
        """So many bytes from a place on, fewer at the end."""
        return self._stored.read_at(start, size)

    def _fetched(self) -> Iterator[memoryview]:
        try:
            while part := self._stored.part():
                self.bytes_read = self._stored.bytes_read
                yield part
        except SourceError as error:
            self.error = str(error)

    def pieces(self, open_end: OpenEnd | None = None) -> Iterator[Piece]:
        """See `Reader`."""
        coming = chain(self._begun, self._coming)
        self._begun, held = [], []
        start, inside, wanted = self._begin + self._marked, False, min(_FIRST_PIECE, PIECE)
        if self._marked:
            held = _split([next(coming)], self._marked)[1]
        for part in coming:
            held.append(part)
            if _size(held) < wanted:
                continue
            end, next_inside = _last_end(held)
            if open_end is not None and end and not next_inside:
                end += self._open_at(held, end, coming, open_end, whole=not inside)
            if not end:
                continue
            piece, held = _split(held, end)
            yield self._piece(piece, start, inside=inside)
            start, inside, wanted = start + end, next_inside, min(2 * wanted, PIECE)
        if held:
            yield self._piece(held, start, inside=inside)

    def _piece(self, parts: list[memoryview], start: int, *, inside: bool) -> Piece:
        return Piece(start, inside, Parts(parts, start, self._stored.free, inside=inside))

    def _open_at(
        self, held: list[memoryview], end: int, coming: Iterator[memoryview], open_end: OpenEnd, *, whole: bool
    ) -> int:
        """How much further on the cut has to be; what is held begins a line where it is `whole`."""
        begin = max(0, end - reading.MAX_LINE)
        before = _bytes(held, begin, end)
        if begin or not whole:
            before = before[before.find(b"\n") + 1 :]
        if not before or not open_end(tail_of(before, len(before))):
            return 0
        while _size(held) - end < reading.MAX_LINE and (part := next(coming, None)) is not None:
            held.append(part)
        behind = _bytes(held, end, end + reading.MAX_LINE)
        if end + len(behind) < _size(held) or len(behind) == reading.MAX_LINE:
            behind = behind[: behind.rfind(b"\n") + 1]
        return behind_cut(before, behind, open_end)

    def close(self) -> None:
        """See `Reader`."""
        self._stored.close()


def _size(parts: list[memoryview]) -> int:
    return sum(map(len, parts))


def _bytes(parts: list[memoryview], start: int, stop: int) -> bytes:
    found, at = b"", 0
    for part in parts:
        found += part[max(0, start - at) : max(0, stop - at)]
        at += len(part)
    return found


def _last_end(parts: list[memoryview]) -> tuple[int, bool]:
    """Where the last line ends, 0 where none does; or where all ends, within a line that is too long (True)."""
    size = behind = _size(parts)
    for part in reversed(parts):
        behind -= len(part)
        newline = bytes(part[-_NEAR_END:]).rfind(b"\n")
        end = newline + 1 + max(0, len(part) - _NEAR_END) if newline >= 0 else bytes(part).rfind(b"\n") + 1
        if end or size - behind >= reading.MAX_LINE:
            break
    if size - behind - end >= reading.MAX_LINE:
        return size, True
    return (behind + end if end else 0), False


def _split(parts: list[memoryview], end: int) -> tuple[list[memoryview], list[memoryview]]:
    """Parts before and behind a place. A part on both sides stays with that which has more of it, the other copies."""
    before: list[memoryview] = []
    for number, part in enumerate(parts):
        if end <= len(part):
            first, second = part[:end], part[end:]
            if len(first) < len(second):
                first = memoryview(bytes(first))
            else:
                second = memoryview(bytes(second))
            return [*before, first], [*([second] if second else []), *parts[number + 1 :]]
        before.append(part)
        end -= len(part)
    return before, []
