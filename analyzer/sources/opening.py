"""Opening a source."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

from analyzer.errors import SourceError
from analyzer.sources.compression import MAGIC, kind_of
from analyzer.sources.reading import File
from analyzer.sources.streams import Stream

if TYPE_CHECKING:
    from analyzer.sources.find import Source
    from analyzer.sources.reading import Reader


def open_source(source: Source) -> Reader:
    """Open a source for reading.

    Raises
    ------
    SourceError
        Where it cannot be opened, or is compressed in a way that this Python cannot read.
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
        if source.uri != "-" and stat.S_ISREG(os.fstat(fd).st_mode) and kind_of(os.pread(fd, MAGIC, 0)) is None:
            return File(fd)
        return Stream(fd)
    except BaseException as error:
        os.close(fd)
        if isinstance(error, OSError):
            raise SourceError(f"{name}: cannot be read: {error.strerror}") from None
        if isinstance(error, SourceError):
            raise SourceError(f"{name}: {error}", error.hint) from None
        raise
