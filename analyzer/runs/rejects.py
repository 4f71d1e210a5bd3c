"""The file of ``--rejects``: every line that could not be read, byte for byte."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from analyzer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self


class Rejects:
    """Takes rejected lines in input order; without a file it takes them and lets them go.

    Parameters
    ----------
    path
        Where to write, or None.
    sources
        What is read: none of it may be written over.

    Raises
    ------
    UsageError
        Where the file cannot be written or is one of the sources.
    """

    def __init__(self, path: str | os.PathLike[str] | None, sources: Iterable[str]) -> None:
        self._name = "" if path is None else os.fspath(path)
        self._file: BinaryIO | None = None
        self._source, self._unfinished = 0, False
        if path is None:
            return
        if is_one_of(self._name, sources):
            raise UsageError(f"--rejects: expected a file that is not read itself, got {self._name}")
        try:
            self._file = open(path, "wb")  # noqa: SIM115 - closed by __exit__
        except OSError as error:
            raise self._error(error) from None

    @property
    def wanted(self) -> bool:
        """Whether anybody wants the lines."""
        return self._file is not None

    def write(self, lines: bytes, source: int) -> None:
        """Write lines of a source (its number). Where the last one lacks its end, the next source begins a new line."""
        if self._file is None or not lines:
            return
        try:
            if source != self._source and self._unfinished:
                self._file.write(b"\n")
            self._file.write(lines)
        except OSError as error:
            raise self._error(error) from None
        self._source, self._unfinished = source, not lines.endswith(b"\n")

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is buffered."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                raise self._error(error) from None

    def _error(self, error: OSError) -> UsageError:
        return UsageError(f"{self._name}: cannot be written: {error.strerror}")


def is_one_of(path: str, sources: Iterable[str]) -> bool:
    """Whether a path leads to the same file as one of the sources."""
    return os.path.exists(path) and any(
        source != "-" and os.path.exists(source) and os.path.samefile(path, source) for source in sources
    )
