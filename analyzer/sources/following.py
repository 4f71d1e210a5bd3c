"""Logs that grow: files through rotation and truncation, new files of a directory or a glob, standard input.

Nothing waits here: whoever follows asks for what there is. A line comes when it is whole. A file that is there when the
following begins is followed from its end on, as ``tail -f`` does; one that appears later is read from its beginning.
"""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from typing import TYPE_CHECKING

from analyzer.errors import SourceError
from analyzer.sources.compression import MAGIC, kind_of
from analyzer.sources.find import find
from analyzer.sources.reading import HEAD, MAX_LINE, Block, tail_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from analyzer.sources.find import Source
    from analyzer.sources.reading import OpenEnd

#: Seconds that a file is read on which is not at its place any more: its writer may not have heard of it yet.
LINGER = 10.0
#: Bytes before the place that was read to, by which a file is known to be the same that has only grown.
_KNOWN_BY = 64
#: Lines that a record, open at the end of what there is, is looked for the beginning of.
_OPEN_LINES = 64
#: What stands between the name of a log and what rotation makes of it: ``access.log.1``, ``access.log-20261121``.
_ROTATED = ".-"


class _Lines:
    """Bytes as they come, cut into blocks of whole lines, as `analyzer.sources.reading.cut` does of what is there."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._offset = 0
        self._inside = False

    @property
    def room(self) -> int:
        """How many bytes may be added before the next cut."""
        return MAX_LINE - len(self._held)

    def add(self, more: bytes, open_end: OpenEnd | None) -> Iterator[Block]:
        """Take more bytes; give the lines that are whole, up to a record that goes on (`open_end`)."""
        self._held += more
        if self._inside:
            stop = self._held.find(b"\n") + 1
            self._inside = not stop
            yield self._block(stop or len(self._held), too_long=True, continued=True)
        stop = self._held.rfind(b"\n") + 1
        if open_end is not None and stop and len(self._held) < MAX_LINE:
            stop = self._closed(stop, open_end)
        if stop:
            yield self._block(stop)
        elif len(self._held) >= MAX_LINE:
            self._inside = True
            yield self._block(len(self._held), too_long=True)

    def end(self) -> Iterator[Block]:
        """Give what waits for its end, because none will come."""
        if self._held:
            yield self._block(len(self._held), too_long=self._inside, continued=self._inside)
        self._inside = False

    def _closed(self, stop: int, open_end: OpenEnd) -> int:
        text = bytes(self._held)
        for _ in range(_OPEN_LINES):
            if not stop or not open_end(tail_of(text, stop)):
                return stop
            stop = text.rfind(b"\n", 0, stop - 1) + 1
        return 0

    def _block(self, stop: int, *, too_long: bool = False, continued: bool = False) -> Block:
        block = Block(bytes(self._held[:stop]), stop, self._offset, too_long, continued)
        del self._held[:stop]
        self._offset += stop
        return block


class _File:
    """An open file, read from `begin` on; it takes over the descriptor."""

    def __init__(self, fd: int, begin: int) -> None:
        self._fd = fd
        self._at = begin
        self._seen: tuple[int, int] | None = None
        self._known_by = os.pread(fd, min(begin, _KNOWN_BY), max(0, begin - _KNOWN_BY))
        self.lines = _Lines()
        about = os.fstat(fd)
        self.identity = about.st_dev, about.st_ino
        self.left: float | None = None
        self.ended = False

    def read(self, open_end: OpenEnd | None) -> list[Block]:
        about = os.fstat(self._fd)
        seen = about.st_size, about.st_mtime_ns
        if seen == self._seen and about.st_size == self._at:
            return []
        self._seen = seen
        blocks: list[Block] = []
        if not self._only_grew(about.st_size):
            blocks += self.lines.end()
            self._at, self._known_by = 0, b""
        more = os.pread(self._fd, self.lines.room, self._at)
        if more:
            self._at += len(more)
            self._known_by = (self._known_by + more[-_KNOWN_BY:])[-_KNOWN_BY:]
            blocks += self.lines.add(more, open_end)
        return blocks

    def _only_grew(self, size: int) -> bool:
        """Whether what was read is still there: a copy may have been made, and the file emptied and filled again."""
        if size < self._at:
            return False
        known = len(self._known_by)
        return os.pread(self._fd, known, self._at - known) == self._known_by

    def close(self) -> None:
        os.close(self._fd)


class _Pipe:
    """Standard input, or another thing that can only be read forward; it takes over the descriptor."""

    left: float | None = None

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.lines = _Lines()
        about = os.fstat(fd)
        self.identity = about.st_dev, about.st_ino
        self.ended = False
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def read(self, open_end: OpenEnd | None) -> list[Block]:
        if self.ended or not self._poll.poll(0):
            return []
        more = os.read(self.fd, self.lines.room)
        self.ended = not more
        return [*(self.lines.add(more, open_end) if more else self.lines.end())]

    def close(self) -> None:
        os.close(self.fd)


class Followed:
    """A log that is followed, under one name, through all files that bear it.

    Attributes
    ----------
    source
        Which it is.
    head
        The first bytes of a file that is not read from its beginning, to tell the format by.
    open_end
        Says of the last lines that are there whether they begin a record that goes on; whoever knows sets it.
    error
        Why it cannot be read at the moment.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.head = b""
        self.open_end: OpenEnd | None = None
        self.error: str | None = None
        self._current: _File | _Pipe | None = None
        self._left: list[_File | _Pipe] = []

    @property
    def identities(self) -> set[tuple[int, int]]:
        """Device and number of the files that are read."""
        return {each.identity for each in self._opened()}

    @property
    def ended(self) -> bool:
        """Whether no more will ever come: a pipe is over, or a file is gone for long."""
        current = self._current
        return not self._left and (current is None or current.ended)

    @property
    def pipe(self) -> int | None:
        """What can be waited for: the descriptor of a pipe that is not over."""
        current = self._current
        return current.fd if isinstance(current, _Pipe) and not current.ended else None

    def open(self, *, from_end: bool) -> None:
        """Open the file that bears the name now; one that was read before is read to its end beside it.

        Raises
        ------
        OSError
            Where it cannot be opened.
        """
        fd = os.dup(0) if self.source.uri == "-" else os.open(self.source.uri, os.O_RDONLY | os.O_NONBLOCK)
        try:
            if self.source.uri == "-" or not stat.S_ISREG(os.fstat(fd).st_mode):
                opened: _File | _Pipe = _Pipe(fd)
            else:
                self.head = os.pread(fd, HEAD, 0)
                opened = _File(fd, _last_line_end(fd) if from_end else 0)
        except BaseException:
            os.close(fd)
            raise
        self.leave()
        self._current, self.error = opened, None

    def leave(self) -> None:
        """The file is not at its place any more."""
        if self._current is not None:
            self._current.left = time.monotonic()
            self._left.append(self._current)
            self._current = None

    def is_at(self, identity: tuple[int, int]) -> bool:
        """Whether this is the file that bears the name."""
        return self._current is not None and self._current.identity == identity

    def read(self) -> list[Block]:
        """What is whole of what is new, a block of each file at most or two."""
        found: list[Block] = []
        for opened in self._opened():
            try:
                blocks = opened.read(self.open_end)
            except OSError as error:
                self.error, blocks = f"cannot be read: {error.strerror}", []
            found += blocks
            if opened.left is None:
                continue
            if blocks:
                opened.left = time.monotonic()
            elif time.monotonic() - opened.left > LINGER:
                found += opened.lines.end()
                self._left.remove(opened)
                opened.close()
        return found

    def end(self) -> list[Block]:
        """Close all; give what waits for the end of its line."""
        found = [block for opened in self._opened() for block in opened.lines.end()]
        for opened in self._opened():
            opened.close()
        self._current, self._left = None, []
        return found

    def _opened(self) -> list[_File | _Pipe]:
        return [*self._left, *([self._current] if self._current is not None else [])]


class Follower:
    """Follows what some names stand for, now and later.

    Parameters
    ----------
    names
        Files, globs, directories and ``-``.

    Raises
    ------
    SourceError
        For a file or directory that is not there, and where nothing can be opened. A glob may match later.
    """

    def __init__(self, names: Iterable[str | os.PathLike[str]]) -> None:
        self._names = [os.fspath(name) for name in names]
        self.followed: dict[str, Followed] = {}
        for name in self._names:
            self._check(name)
        self._begun = False
        self.look()
        self._begun = True
        failed = [each for each in self.followed.values() if each.error]
        if failed and len(failed) == len(self.followed):
            raise SourceError(f"{failed[0].source.uri}: {failed[0].error}")

    @staticmethod
    def _check(name: str) -> None:
        if name == "-":
            if sys.__stdin__ is None:
                raise SourceError("standard input: cannot be read: it is closed")
            return
        if "://" in name and not name.startswith("file://"):
            raise SourceError(f"{name}: expected a file, a directory, a glob or - to follow, got a URL")
        if not os.path.lexists(name) and not any(char in name for char in "*?["):
            raise SourceError(f"{name}: expected a file, a directory, a glob or -, found nothing there")

    def look(self) -> None:
        """See which files are there now."""
        found = {source.uri: source for name in self._names for source in _found(name)}
        for uri, followed in [*self.followed.items()]:
            identity = _identity(uri)
            if uri != "-" and identity is None:
                followed.leave()
            elif identity is not None and not followed.is_at(identity) and followed.pipe is None:
                self._open(followed)
            if followed.ended and uri not in found:
                followed.end()
                del self.followed[uri]
        for uri, source in found.items():
            if uri not in self.followed and (uri == "-" or self._is_new(uri)):
                self.followed[uri] = Followed(source)
                self._open(self.followed[uri])

    def _open(self, followed: Followed) -> None:
        try:
            followed.open(from_end=not self._begun)
        except OSError as error:
            followed.error = f"cannot be read: {error.strerror}"

    def _is_new(self, uri: str) -> bool:
        """Whether this is a log of its own: not what rotation made of another one."""
        identity = _identity(uri)
        if identity is None or any(identity in followed.identities for followed in self.followed.values()):
            return False
        if any(uri.startswith(other) and uri[len(other)] in _ROTATED for other in self.followed):
            return False
        return not _is_compressed(uri)

    def read(self, most: int) -> Iterator[tuple[Followed, list[Block]]]:
        """What is new, of all logs in turn, until there are so many bytes of it."""
        size = 0
        for uri in [*self.followed]:
            followed = self.followed.pop(uri)
            self.followed[uri] = followed  # whoever had a turn is the last of the next round
            blocks = followed.read()
            if blocks:
                size += sum(block.stop for block in blocks)
                yield followed, blocks
            if size >= most:
                return

    def pipes(self) -> list[int]:
        """The descriptors that tell when there is more; files do not."""
        return [pipe for followed in self.followed.values() if (pipe := followed.pipe) is not None]

    @property
    def ended(self) -> bool:
        """Whether no more will ever come, from anywhere."""
        return self._names == ["-"] and all(followed.ended for followed in self.followed.values())

    def close(self) -> None:
        """Let go of all."""
        for followed in self.followed.values():
            followed.end()


def _found(name: str) -> list[Source]:
    try:
        return find([name])
    except SourceError:
        return []  # a directory or glob without a log, yet


def _identity(uri: str) -> tuple[int, int] | None:
    try:
        about = os.stat(uri)
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _is_compressed(uri: str) -> bool:
    """Whether this is one that rotation has packed; what cannot be read is said when it is opened."""
    try:
        if not stat.S_ISREG(os.stat(uri).st_mode):
            return False
        with open(uri, "rb", buffering=0) as file:
            return kind_of(file.read(MAGIC)) is not None
    except OSError:
        return False


def _last_line_end(fd: int) -> int:
    """Where the last whole line of a file ends; its end, where the last line is a long one."""
    size = os.fstat(fd).st_size
    begin = max(0, size - MAX_LINE)
    newline = os.pread(fd, size - begin, begin).rfind(b"\n") + 1
    return begin + newline if newline or not begin else size
