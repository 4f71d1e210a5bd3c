"""JSON objects that are spread over several lines of a container's log, put into one line each.

A ``log-format-upstream`` with line breaks in it makes such lines, and a container runtime puts its envelope round each.
Where no envelope is round them, they are a document (`analyzer.parsing.documents`).
"""

from __future__ import annotations

import io
import re
from itertools import islice

import polars as pl

from analyzer.parsing.scanned import Unwrapped
from analyzer.parsing.schema import TIME

#: Bytes that an object may have: what is longer was never ended.
_MOST = 256 << 10

#: Lines that are asked for where their objects end.
_ASKED = 20

_BEGINS = re.compile(rb"^[ \t]*\{.*$", re.MULTILINE)
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
#: A line within an object: others stand between, as those of the other stream.
_GOES_ON = re.compile(rb'["}\]{\[,]|(?:-?\d[\d.eE+-]*|true|false|null|NaN|-?Infinity),?$')


def is_spread(text: bytes) -> bool:
    """Whether most objects of these lines do not end in the line that they begin in."""
    begun = [_depth(match[0]) > 0 for match in islice(_BEGINS.finditer(text), _ASKED)]
    return 2 * sum(begun) > len(begun)


def _depth(line: bytes) -> int:
    """How many more brackets a line opens than it closes."""
    bare = _STRING.sub(b"", line)
    return bare.count(b"{") + bare.count(b"[") - bare.count(b"}") - bare.count(b"]")


class SpreadObjects:
    """An `Unwrapper` of lines that objects are spread over; all others come out as they are."""

    def __init__(self) -> None:
        self._open: list[tuple[bytes, int, int]] = []  # lines, each with its number and place
        self._depth = self._size = 0
        self._out: list[bytes] = []
        self._reset()

    def _reset(self) -> None:
        self._lines: list[tuple[int, int]] = []
        self._joined: list[tuple[int, int, int]] = []
        self._inputs = self._fitted = 0

    def unwrap(self, text: bytes | bytearray, start: int, stop: int, offset: int, into: bytearray) -> int:
        """Write the objects that end in these lines, and the lines that belong to none."""
        for line in io.BytesIO(bytes(text[start:stop])):
            self._add(line.removesuffix(b"\n").removesuffix(b"\r"), offset)
            offset += len(line)
        return self._write(into)

    def flush(self, into: bytearray) -> int:
        """Write the lines of an object that has no end."""
        self._give_up()
        return self._write(into)

    def take(self) -> Unwrapped:
        """Which lines each object was spread over."""
        lines = pl.DataFrame(self._lines, {"input": pl.UInt64, "start": pl.UInt64}, orient="row")
        lines = lines.with_columns(pl.lit(0, pl.UInt32).alias("origin"), pl.lit(None, TIME).alias("time"))
        joined = pl.DataFrame(self._joined, {"line": pl.UInt64, "input": pl.UInt64, "start": pl.UInt64}, orient="row")
        taken = Unwrapped(lines, joined, [{}], self._fitted, self._inputs)
        self._reset()
        return taken

    def _add(self, line: bytes, start: int) -> None:
        part, bare = (line, self._inputs, start), line.strip()
        self._inputs += 1
        if bare.startswith(b"{") and self._depth <= 1:
            self._give_up()  # the object before has lost its end
            self._depth = _depth(bare)
            if self._depth > 0:
                self._open, self._size = [part], len(line)
                return
        if not self._open or not _GOES_ON.match(bare):
            self._end([part])
            return
        self._open.append(part)
        self._size += len(line) + 1
        self._depth += _depth(bare)
        if self._depth <= 0:
            parts, self._open = self._open, []
            self._fitted += len(parts)
            self._end(parts)
        elif self._size > _MOST:
            self._give_up()

    def _give_up(self) -> None:
        parts, self._open, self._depth = self._open, [], 0
        for part in parts:
            self._end([part])

    def _end(self, parts: list[tuple[bytes, int, int]]) -> None:
        self._joined += [(len(self._lines), number, start) for _, number, start in parts[1:]]
        self._lines.append(parts[0][1:])
        self._out.append(b" ".join(line for line, _, _ in parts) + b"\n")

    def _write(self, into: bytearray) -> int:
        text = b"".join(self._out)
        self._out = []
        into[: len(text)] = text
        return len(text)
