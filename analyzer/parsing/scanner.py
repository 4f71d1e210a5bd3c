"""What reads lines: scanners make columns of them, unwrappers take them out of the envelopes of collectors.

Both are the native ones where they were built, else the portable ones. ``LOGSCAN_SCANNER=portable`` or ``native``
forces one of them, for tests and benchmarks.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from analyzer.arrow import frame_of
from analyzer.errors import UsageError
from analyzer.native import SCANNER
from analyzer.parsing.log_format import LineFormat
from analyzer.parsing.scanned import FITS_NONE, ROOM, Taken, Unwrapped, named_origin, roles_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from analyzer.parsing.json_format import Layout
    from analyzer.parsing.schema import Output

__all__ = [
    "FITS_NONE",
    "ROOM",
    "Scanner",
    "Sorter",
    "Taken",
    "Unwrapped",
    "Unwrapper",
    "new_scanner",
    "new_sorter",
    "new_unwrapper",
    "use_native",
]


class Scanner(Protocol):
    """Reads lines of one layout into columns; one thread at a time."""

    def scan(self, text: bytes | bytearray, start: int, stop: int, offset: int) -> None:
        """Add the lines of ``text[start:stop]``; the first of them begins at byte `offset` of the source.

        A line ends with a newline or with the text; a carriage return before it is not part of the line. Bytes may be
        kept alive by columns of text; a bytearray is free to be used again.
        """

    def reject(self, text: bytes | bytearray, start: int, stop: int, offset: int, continued: bool) -> None:  # noqa: FBT001
        """Add ``text[start:stop]`` as a piece of a line that is too long to read: its beginning, or a later piece."""

    def misfits(self) -> int:
        """How many misfits were found since the last `take`."""

    def take(self) -> Taken:
        """What was scanned since the last call."""


class Unwrapper(Protocol):
    """Takes lines out of envelopes of one layout; one thread at a time."""

    def unwrap(self, text: bytes | bytearray, start: int, stop: int, offset: int, into: bytearray) -> int:
        """Write the inner lines of ``text[start:stop]`` to `into`, each with a newline; return how many bytes.

        The first line of the text begins at byte `offset` of the source. A blank line and one that is not of the
        layout come out as they are. `into` must have room for the text and `ROOM` bytes more, else ValueError is
        raised; it may not be the buffer that `text` is.
        """

    def flush(self, into: bytearray) -> int:
        """Write what still waits for its continuation; return how many bytes."""

    def take(self) -> Unwrapped:
        """What was unwrapped since the last call."""


class Sorter(Protocol):
    """Tells which of several layouts lines fit; one thread at a time."""

    def sort(self, text: bytes) -> pl.Series:
        """For each line the number of the first layout that it fits, `FITS_NONE` where there is none."""


def new_sorter(layouts: Sequence[Layout]) -> Sorter:
    """Make what tries these layouts, in their order: those of JSON on objects, the others on other lines."""
    if use_native():
        return NativeSorter(layouts)
    from analyzer.parsing import portable  # noqa: PLC0415 - as below

    return portable.Sorter(layouts)


def new_scanner(layout: Layout, outputs: list[Output]) -> Scanner:
    """Make a scanner for lines of this layout and these outputs, which must not be empty."""
    if use_native():
        return NativeScanner(layout, outputs)
    from analyzer.parsing import portable  # noqa: PLC0415 - costs its import only where it is used

    return portable.Scanner(layout, outputs)


def new_unwrapper(layout: Layout, join: str | None = None) -> Unwrapper:
    """Make an unwrapper for envelopes of this layout, whose field `message` is the line inside.

    Parameters
    ----------
    layout
        The envelope.
    join
        How a record that was split over several lines is told: ``cri`` by its tag, ``newline`` by the newline that a
        JSON string lacks, None: none is.

    Raises
    ------
    FormatError
        For another way of joining, and for a message in many places at once.
    """
    if use_native():
        return NativeUnwrapper(layout, join)
    from analyzer.parsing import portable_unwrap  # noqa: PLC0415 - as above

    return portable_unwrap.Unwrapper(layout, join)


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
    if wanted == "native":
        _native()
    return SCANNER is not None and wanted != "portable"


def _native() -> Any:
    """The compiled module."""
    if SCANNER is None:
        raise UsageError(
            "LOGSCAN_SCANNER=native: expected the native scanner, found that it was not built",
            hint="install a C compiler and then logscan again, or leave the variable out",
        )
    return SCANNER


class _Same:
    """A layout as a key: to compare all that it holds would take longer than what is looked up."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def __hash__(self) -> int:
        return id(self.layout)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.layout is self.layout


def _program(layout: Layout) -> tuple[bytes | None, tuple[Any, ...]]:
    return _programs(_Same(layout))


@lru_cache(maxsize=1024)
def _programs(key: _Same) -> tuple[bytes | None, tuple[Any, ...]]:
    """A layout as the C extension takes it: its prefix, None for JSON, and its fields."""
    layout = key.layout
    if isinstance(layout, LineFormat):
        return layout.prefix, tuple((int(f.type), f.literal, int(f.retry)) for f in layout.fields)
    return None, tuple((int(f.type), f.pointers, int(f.required)) for f in layout.fields)


class NativeScanner:
    """scanner.c behind the contract of `Scanner`."""

    def __init__(self, layout: Layout, outputs: list[Output]) -> None:
        wanted = tuple((int(o.kind), o.field, o.patterns) for o in outputs)
        self._names = [output.name for output in outputs]
        self._scanner = _native().Scanner(*_program(layout), wanted)
        self.scan = self._scanner.scan
        self.reject = self._scanner.reject
        self.misfits = self._scanner.misfits

    def take(self) -> Taken:
        """What was scanned since the last call."""
        rows, misfits, lines, blank = self._scanner.take()
        frame = frame_of(rows)
        frame.columns = self._names
        return Taken(frame, frame_of(misfits), lines, blank)


class NativeSorter:
    """sorter.h behind the contract of `Sorter`."""

    def __init__(self, layouts: Sequence[Layout]) -> None:
        self._sorter = _native().Sorter(tuple(map(_program, layouts)))

    def sort(self, text: bytes) -> pl.Series:
        """For each line the number of the first layout that it fits."""
        return frame_of(self._sorter.sort(text))["layout"]


class NativeUnwrapper:
    """The unwrapper in C behind the contract of `Unwrapper`."""

    def __init__(self, layout: Layout, join: str | None = None) -> None:
        roles = roles_of(layout, join)
        self._names = roles.origins
        self._origins: list[dict[str, str]] = []
        numbers = tuple(number for _, number in roles.origins)
        self._unwrapper = _native().Unwrapper(
            *_program(layout), roles.message, numbers, roles.join, roles.cri_tag, roles.stream, roles.time
        )
        self.unwrap = self._unwrapper.unwrap
        self.flush = self._unwrapper.flush

    def take(self) -> Unwrapped:
        """What was unwrapped since the last call."""
        lines, joined, origins, fitted, input_lines = self._unwrapper.take()
        self._origins.extend(named_origin(self._names, texts) for texts in origins[len(self._origins) :])
        return Unwrapped(frame_of(lines), frame_of(joined), self._origins, fitted, input_lines)
