"""Objects fetched in ranges on threads of their own, in the order in which they will be read, some way ahead.

Ahead means over the end of an object into the next ones, so that many small objects come as fast as one large one.
"""

from __future__ import annotations

from functools import partial
from threading import Condition, Thread
from typing import TYPE_CHECKING, NamedTuple

from analyzer.errors import SourceError
from analyzer.sources.buckets import bare_etag, failure, open_store, parse_url
from analyzer.sources.buffers import Buffers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from analyzer.sources.find import Source

#: Bytes of a request, and of what was fetched or is being fetched and not read yet, at most.
PART = 8 << 20
AHEAD = 64 << 20
#: Requests at the same time.
CONNECTIONS = 16
#: Ranges ahead, however small.
_RANGES = 64


class _Range(NamedTuple):
    number: int  #: of the object
    start: int
    stop: int


class Fetcher:
    """Fetches objects in this order.

    Parameters
    ----------
    objects
        Sources in buckets.
    part
        Bytes of a request.
    ahead
        Bytes held or on their way at most; one range always is.
    """

    def __init__(self, objects: Sequence[Source], part: int = PART, ahead: int = AHEAD) -> None:
        self.objects = objects
        self._part, self._ahead = part, ahead
        self._urls = [url for source in objects if (url := parse_url(source.uri)) is not None]
        self._numbers = {source.uri: number for number, source in enumerate(objects)}
        self._left: set[int] = set()  # objects of which no more is wanted
        self._coming = self._ranges()
        self._next = next(self._coming, None)
        self._begun: set[_Range] = set()
        self._done: dict[_Range, memoryview | Exception] = {}
        self._held = 0
        self._changed = Condition()
        self._closed = False
        self._threads: list[Thread] = []
        self._buffers = Buffers(part)

    def _ranges(self) -> Iterator[_Range]:
        for number in range(len(self.objects)):
            for wanted in self.ranges(number):
                if number in self._left:
                    break
                yield wanted

    def open(self, source: Source) -> StoredObject:
        """Begin to fetch an object and those after it."""
        if not self._threads:
            sizes = [stop - start for start, stop in map(_bounds, self.objects)]
            wanted = sum(-(-size // self._part) for size in sizes)
            at_once = 1 + self._ahead * wanted // max(1, sum(sizes))
            self._threads = [
                Thread(target=self._work, name="logscan-fetch", daemon=True)
                for _ in range(min(CONNECTIONS, at_once, wanted))
            ]
            for thread in self._threads:
                thread.start()
        return StoredObject(self, self._numbers[source.uri])

    def ranges(self, number: int) -> Iterator[_Range]:
        """The ranges of an object."""
        begin, stop = _bounds(self.objects[number])
        return (_Range(number, start, min(start + self._part, stop)) for start in range(begin, stop, self._part))

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._next is None or self._has_room(self._next))
                wanted = self._next
                if self._closed or wanted is None:
                    return
                self._begun.add(wanted)
                self._held += wanted.stop - wanted.start
                self._next = next(self._coming, None)
            try:
                got: memoryview | Exception = self.fetch(wanted)
            except Exception as error:  # noqa: BLE001 - raised where the range is read
                got = error
            with self._changed:
                if wanted.number in self._left:
                    self._drop(wanted)
                else:
                    self._done[wanted] = got
                self._changed.notify_all()

    def _has_room(self, wanted: _Range) -> bool:
        if not self._begun:
            return True
        return self._held + wanted.stop - wanted.start <= self._ahead and len(self._begun) < _RANGES

    def _drop(self, read: _Range) -> None:
        self._begun.discard(read)
        self._done.pop(read, None)
        self._held -= read.stop - read.start
        self._changed.notify_all()

    def take(self, wanted: _Range, stored: StoredObject) -> memoryview:
        """The bytes of a range, once; none where its reader has been stopped."""
        with self._changed:
            self._changed.wait_for(lambda: stored.stopped or wanted in self._done)
            if stored.stopped:
                return memoryview(b"")
            got = self._done[wanted]
            self._drop(wanted)
        if isinstance(got, Exception):
            raise got
        return got

    def fetch(self, wanted: _Range) -> memoryview:
        """Ask for a range.

        Raises
        ------
        SourceError
            Where it cannot be had, or the object is not the one that was listed.
        """
        source, url = self.objects[wanted.number], self._urls[wanted.number]
        store = open_store(url)
        import obstore  # noqa: PLC0415 - costs its import only where it is used
        from obstore.exceptions import BaseError, PreconditionError  # noqa: PLC0415

        if_match = f'"{source.etag}"' if source.etag else None
        size, got = wanted.stop - wanted.start, 0
        fits = self._part // 2 < size <= self._part
        content = memoryview(self._buffers.new() if fits else bytearray(size))[:size]
        try:
            answer = obstore.get(store, url.key, options={"range": (wanted.start, wanted.stop), "if_match": if_match})
            same = (bare_etag(answer.meta), answer.meta["size"]) == (source.etag, source.size)
            # As they come: a whole answer in one piece would be fresh memory each time.
            for piece in answer.stream(min_chunk_size=1) if same else ():
                come = memoryview(piece)[: size - got]
                content[got : got + len(come)] = come
                got += len(come)
        except PreconditionError:
            same = False
        except FileNotFoundError:
            raise SourceError("was listed, but is not there any more") from None
        except (BaseError, OSError, ValueError) as error:
            said = failure(url, error)
            raise SourceError(str(said).removeprefix(f"{url}: "), said.hint) from None
        if not same:
            raise SourceError("was written anew while it was read", hint="read it again")
        if got != size:
            raise SourceError(f"cannot be read further than byte {wanted.start + got:,}: the answer ends there")
        return content

    def free(self, content: memoryview) -> None:
        """What `fetch` returned is not needed any more."""
        if isinstance(content.obj, bytearray) and len(content.obj) == self._part:
            self._buffers.free(content.obj)

    def leave(self, number: int) -> None:
        """No more of an object is wanted."""
        with self._changed:
            self._left.add(number)
            for read in [read for read in self._done if read.number == number]:
                self._drop(read)
            while self._next is not None and self._next.number == number:
                self._next = next(self._coming, None)
            self._changed.notify_all()

    def close(self) -> None:
        """Fetch no more. What is on its way is let go; threads end with it."""
        with self._changed:
            self._closed = True
            self._done.clear()
            self._buffers.close()
            self._changed.notify_all()


def _bounds(source: Source) -> tuple[int, int]:
    """Where what is meant of an object begins and ends."""
    return source.part or (0, source.size or 0)


class StoredObject:
    """The bytes of an object, as `analyzer.sources.streams.Stored` has it."""

    def __init__(self, fetcher: Fetcher, number: int) -> None:
        self._fetcher = fetcher
        self._number = number
        self._take: Callable[[_Range], memoryview] = partial(fetcher.take, stored=self)
        self._coming = fetcher.ranges(number)
        self._fetched = self._first = self._part = memoryview(b"")
        self.bytes_read = 0
        self.stopped = False

    def read(self, size: int, /) -> bytes:
        """At most so many more bytes, none at the end."""
        found = bytearray(size)
        return bytes(found[: self.readinto(memoryview(found))])

    def readinto(self, buffer: memoryview, /) -> int:
        """As `read`, to where it is wanted; nothing more where nobody wants it."""
        if not self._part and (part := self._next()):
            self.free(self._fetched)
            self._fetched = self._part = part
        got = min(len(buffer), len(self._part))
        buffer[:got] = self._part[:got]
        self._part = self._part[got:]
        self.bytes_read += got
        return got

    def read_at(self, start: int, size: int) -> bytes:
        """So many bytes from a place on, fewer at the end, whatever part of the object is meant."""
        stop = min(start + size, self._fetcher.objects[self._number].size or 0)
        return bytes(self._fetcher.fetch(_Range(self._number, start, stop))) if start < stop else b""

    def part(self) -> memoryview:
        """The rest of what was begun, or the next part, to be given back with `free`; nothing at the end."""
        part = self._part or self._next()
        self._fetched = self._first = self._part = memoryview(b"")
        self.bytes_read += len(part)
        return part

    def free(self, part: memoryview) -> None:
        """Give a part back, or a part of it."""
        self._fetcher.free(part)

    def _next(self) -> memoryview:
        wanted = next(self._coming, None) if not self.stopped else None
        if wanted is None:
            return memoryview(b"")
        try:
            part = self._take(wanted)
        except SourceError as error:
            place = f"from byte {self.bytes_read:,} on: " if self.bytes_read else ""
            raise SourceError(f"{place}{error}", error.hint) from None
        self._first = part if not self.bytes_read else memoryview(b"")
        return part

    def rewind(self) -> bool:
        """Begin again; what is past the first range is fetched once more."""
        if not self._first and self.bytes_read:
            self._coming = self._fetcher.ranges(self._number)
            self._take = self._fetcher.fetch
        self._part, self.bytes_read = self._first, 0
        return True

    def stop(self) -> None:
        """End a read that waits, on another thread."""
        self.stopped = True
        self._fetcher.leave(self._number)

    def close(self) -> None:
        """Let go of what was fetched."""
        self.stop()
