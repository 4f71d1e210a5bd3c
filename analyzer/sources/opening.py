"""Opening a source."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

from analyzer.errors import SourceError
from analyzer.sources import reading
from analyzer.sources.buffers import Buffers
from analyzer.sources.compression import MAGIC, kind_of
from analyzer.sources.fetch import AHEAD, PART, Fetcher
from analyzer.sources.foreign import refuse_foreign
from analyzer.sources.objects import Object
from analyzer.sources.reading import File
from analyzer.sources.streams import Descriptor, Stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.sources.find import Source
    from analyzer.sources.reading import Reader
    from analyzer.sources.streams import Stored

#: Bytes of a request for an object that may not be wanted whole.
_FIRST_BYTES = 1 << 20


class Opener:
    """Opens sources, in the order given: what is in buckets is fetched ahead.

    Parameters
    ----------
    sources
        All that will be opened.
    whole
        Whether they will be read to their ends; else nothing is fetched before it is wanted.
    """

    def __init__(self, sources: Sequence[Source], *, whole: bool = True) -> None:
        part, ahead = (PART, AHEAD) if whole else (_FIRST_BYTES, 0)
        self._fetcher = Fetcher([source for source in sources if source.in_bucket], part, ahead)
        self._buffers = Buffers(reading.MAX_LINE)

    def open(self, source: Source, begin: int = 0) -> Reader:
        """Open one; a plain file may be read from a byte on that begins a line.

        Raises
        ------
        SourceError
            Where it cannot be opened, or is compressed in a way that this Python cannot read.
        """
        name = "standard input" if source.uri == "-" else source.uri or '""'
        try:
            reader = self._open_object(source) if source.in_bucket else self._open_file(source, begin)
        except FileNotFoundError:
            raise SourceError(f"{name}: expected a file, a directory, a glob or -, found nothing there") from None
        except OSError as error:
            raise SourceError(f"{name}: cannot be read: {error.strerror}") from None
        except SourceError as error:
            raise SourceError(f"{name}: {error}", error.hint) from None
        try:
            refuse_foreign(reader.head)
        except SourceError as error:
            reader.close()
            raise SourceError(f"{name}: {error}", error.hint) from None
        return reader

    def _open_object(self, source: Source) -> Reader:
        stored = self._fetcher.open(source)
        try:
            if source.part is not None:
                return Object(stored, source.part[0])
            if kind_of(stored.read(MAGIC)) is None:
                stored.rewind()
                return Object(stored)
            stored.rewind()
        except BaseException:
            stored.close()
            raise
        return Stream(stored, self._buffers)

    def _open_file(self, source: Source, begin: int) -> Reader:
        if source.uri == "-" and sys.__stdin__ is None:
            raise SourceError("cannot be read: it is closed")
        fd = os.dup(0) if source.uri == "-" else os.open(source.uri, os.O_RDONLY)
        try:
            if source.part is not None:
                return File(fd, *source.part)
            if source.uri != "-" and stat.S_ISREG(os.fstat(fd).st_mode) and kind_of(os.pread(fd, MAGIC, 0)) is None:
                return File(fd, begin)
            stored: Stored = Descriptor(fd)
        except BaseException:
            os.close(fd)
            raise
        return Stream(stored, self._buffers)

    def close(self) -> None:
        """Fetch no more."""
        self._fetcher.close()
        self._buffers.close()


def open_source(source: Source) -> Reader:
    """Open a source whose beginning is wanted, as `Opener` does."""
    return Opener([source], whole=False).open(source)
