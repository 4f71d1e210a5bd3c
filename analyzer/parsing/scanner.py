"""The scanner that reads access-log lines: the native one where it was built, else the portable one.

``LOGSCAN_SCANNER=portable`` or ``native`` forces one of them, for tests and benchmarks.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from analyzer.arrow import frame_of
from analyzer.errors import UsageError
from analyzer.native import SCANNER
from analyzer.parsing import portable
from analyzer.parsing.portable import Taken

if TYPE_CHECKING:
    from analyzer.parsing.log_format import LineFormat
    from analyzer.parsing.schema import Output


class Scanner(Protocol):
    """Reads lines of one layout into columns; one thread at a time."""

    def scan(self, text: bytes | bytearray, start: int, stop: int, offset: int) -> None:
        """Add the lines of ``text[start:stop]``; the first of them begins at byte `offset` of the source.

        A line ends with a newline or with the text; a carriage return before it is not part of the line.
        """

    def reject(self, text: bytes | bytearray, start: int, stop: int, offset: int, continued: bool) -> None:  # noqa: FBT001
        """Add ``text[start:stop]`` as a piece of a line that is too long to read: its beginning, or a later piece."""

    def misfits(self) -> int:
        """How many misfits were found since the last `take`."""

    def take(self) -> Taken:
        """What was scanned since the last call."""


def new_scanner(line_format: LineFormat, outputs: list[Output]) -> Scanner:
    """Make a scanner for lines of this format and these outputs, which must not be empty."""
    return NativeScanner(line_format, outputs) if use_native() else portable.Scanner(line_format, outputs)


def use_native() -> bool:
    """Whether the native scanner is there and not forbidden.

    Raises
    ------
    UsageError
        Where ``LOGSCAN_SCANNER`` asks for what is not there.
    """
    wanted = os.environ.get("LOGSCAN_SCANNER", "")
    if wanted not in ("", "native", "portable"):
        raise UsageError(f"LOGSCAN_SCANNER: expected native or portable, got {wanted!r}")
    if wanted == "native" and SCANNER is None:
        raise UsageError("LOGSCAN_SCANNER=native: the native scanner was not built when logscan was installed")
    return SCANNER is not None and wanted != "portable"


class NativeScanner:
    """scanner.c behind the contract of `Scanner`."""

    def __init__(self, line_format: LineFormat, outputs: list[Output]) -> None:
        if SCANNER is None:
            raise UsageError("the native scanner was not built when logscan was installed")
        fields = tuple((int(f.type), f.literal, int(f.retry)) for f in line_format.fields)
        wanted = tuple((int(o.kind), o.field, o.patterns) for o in outputs)
        self._names = [output.name for output in outputs]
        self._scanner = SCANNER.Scanner(line_format.prefix, fields, wanted)
        self.scan = self._scanner.scan
        self.reject = self._scanner.reject
        self.misfits = self._scanner.misfits

    def take(self) -> Taken:
        """What was scanned since the last call."""
        rows, misfits, lines, blank = self._scanner.take()
        frame = frame_of(rows)
        frame.columns = self._names
        return Taken(frame, frame_of(misfits), lines, blank)
