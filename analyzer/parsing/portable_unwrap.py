"""The unwrapper in plain Python: takes lines out of what a collector wrote round them.

As `portable.Scanner` is to the native scanner, so is this one to the native unwrapper: the same contract, to the byte.
An inner line keeps the bytes of the record, decoded where the envelope is JSON; whether they are UTF-8 is for the
scanner that reads the line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from analyzer.parsing.log_format import LineFormat
from analyzer.parsing.portable import lines_of
from analyzer.parsing.portable_json import JsonMatcher, unescape
from analyzer.parsing.portable_text import TextMatcher
from analyzer.parsing.portable_types import MisfitError, Span
from analyzer.parsing.scanned import JOINS, MOST_WAITING, ROOM, Unwrapped, named_origin, roles_of
from analyzer.parsing.schema import TIME

if TYPE_CHECKING:
    from analyzer.parsing.json_format import Layout

#: Bounds for what hostile lines could fill the memory with.
_MOST_ORIGINS = 65_535
_MOST_ORIGIN_BYTES = 64 << 20

LINES: dict[str, Any] = {"input": pl.UInt64, "start": pl.UInt64, "origin": pl.UInt32, "time": TIME}
JOINED: dict[str, Any] = {"line": pl.UInt64, "input": pl.UInt64, "start": pl.UInt64}


@dataclass(slots=True)
class _Line:
    """An inner line that may still grow; `more` are the input lines that were added to it."""

    text: bytearray
    input: int
    start: int
    origin: int
    time: int | None
    more: list[tuple[int, int]] = field(default_factory=list)


class Unwrapper:
    """Takes lines out of envelopes of one layout; one thread at a time.

    Parameters
    ----------
    layout
        The envelope: the field `message` of it is the inner line.
    join
        ``cri``: a `cri_tag` that begins with P says that the record goes on. ``newline``: a JSON string without a
        newline at its end does. Else one line is one record.
    """

    def __init__(self, layout: Layout, join: str | None = None) -> None:
        self._roles = roles_of(layout, join)
        self._matcher = (
            TextMatcher(layout) if isinstance(layout, LineFormat) else JsonMatcher(layout, self._roles.message)
        )
        self._waiting: list[_Line | None] = [None, None]  # second: of stderr; first: of all else
        self._origins: list[dict[str, str]] = [{}]
        self._origin_numbers: dict[tuple[bytes, ...], int] = {}
        self._origin_bytes = 0
        self._reset()

    def _reset(self) -> None:
        self._lines: list[_Line] = []
        self._fitted = 0
        self._input_lines = 0

    def unwrap(self, text: bytes | bytearray, start: int, stop: int, offset: int, into: bytearray) -> int:
        """Write the inner lines of ``text[start:stop]`` to `into`, each with a newline; return how many bytes.

        The first line of the text begins at byte `offset` of the source. What waits for its continuation is written
        when that has come, or by `flush`.

        Raises
        ------
        ValueError
            Where `into` has less room than the text and `ROOM`.
        """
        if not 0 <= start <= stop <= len(text):
            raise ValueError("expected 0 <= start <= stop <= len(text)")
        self._begin(into, stop - start)
        for stripped, whole in lines_of(text, start, stop):
            self._unwrap_line(stripped, offset)
            self._input_lines += 1
            offset += len(whole)
        return self._written

    def flush(self, into: bytearray) -> int:
        """Write what still waits for its continuation; return how many bytes."""
        self._begin(into, 0)
        self._write_waiting(0)
        self._write_waiting(1)
        return self._written

    def take(self) -> Unwrapped:
        """What was unwrapped since the last call."""
        lines = [(line.input % 2**64, line.start, line.origin, line.time) for line in self._lines]
        joined = [(number, more % 2**64, start) for number, line in enumerate(self._lines) for more, start in line.more]
        raw = pl.DataFrame(lines, schema={**LINES, "time": pl.Int64}, orient="row")
        taken = Unwrapped(
            raw.cast({"time": TIME}),
            pl.DataFrame(joined, schema=JOINED, orient="row"),
            self._origins,
            self._fitted,
            self._input_lines,
        )
        for line in self._waiting:
            if line is not None:
                line.input -= self._input_lines
                line.more = [(more - self._input_lines, start) for more, start in line.more]
        self._reset()
        return taken

    def _begin(self, into: bytearray, length: int) -> None:
        if len(into) < length + ROOM:
            raise ValueError(f"expected room for {length + ROOM} bytes, got {len(into)}")
        self._into = into
        self._written = 0

    def _unwrap_line(self, line: bytes, offset: int) -> None:
        whole = _Line(bytearray(line), self._input_lines, offset, 0, None)
        if not line:
            self._write(whole)
            return
        try:
            spans = self._matcher.match(line)
        except MisfitError:
            self._write(whole)
            return
        self._fitted += 1
        roles = self._roles
        whole.origin = self._origin(spans)
        whole.time = spans[roles.time].value if roles.time >= 0 else None
        if roles.message < 0 or not spans[roles.message].seen:
            self._write(whole)
            return
        message = spans[roles.message]
        text, ended = self._message(message)
        whole.text[:] = text
        join = JOINS[roles.join]
        partial = (join == "newline" and not ended) or (
            join == "cri" and roles.cri_tag >= 0 and spans[roles.cri_tag].text.startswith(b"P")
        )
        is_stderr = roles.stream >= 0 and spans[roles.stream].text == b"stderr"
        self._add(int(is_stderr), whole, partial=partial)

    def _message(self, message: Span) -> tuple[bytes, bool]:
        """The inner line, and whether it is a whole one as far as newlines tell."""
        if not message.quoted:
            return message.text, True
        text = unescape(message.text)
        ended = text.endswith(b"\n")
        text = text.removesuffix(b"\n").removesuffix(b"\r") if ended else text
        return text.replace(b"\n", b" ").replace(b"\r", b" "), ended

    def _add(self, stream: int, part: _Line, *, partial: bool) -> None:
        """Add a part to what waits of its stream; let it wait or write it."""
        waiting, other = self._waiting[stream], self._waiting[1 - stream]
        elsewhere = len(other.text) if other else 0
        if waiting and len(waiting.text) + elsewhere + len(part.text) > MOST_WAITING:
            self._write_waiting(stream)
            waiting = None
        if waiting:
            waiting.text += part.text
            waiting.more.append((part.input, part.start))
        else:
            self._waiting[stream] = part
        if not partial or (not waiting and elsewhere + len(part.text) > MOST_WAITING):
            self._write_waiting(stream)

    def _write_waiting(self, stream: int) -> None:
        line = self._waiting[stream]
        if line is not None:
            self._waiting[stream] = None
            self._write(line)

    def _write(self, line: _Line) -> None:
        end = self._written + len(line.text) + 1
        self._into[self._written : end] = line.text + b"\n"
        self._written = end
        line.text.clear()
        self._lines.append(line)

    def _origin(self, spans: list[Span]) -> int:
        names = self._roles.origins
        texts = tuple(
            unescape(spans[number].text) if spans[number].escaped else spans[number].text for _, number in names
        )
        if not any(texts):
            return 0
        number = self._origin_numbers.get(texts)
        if number is not None:
            return number
        size = self._origin_bytes + sum(map(len, texts))
        if len(self._origin_numbers) == _MOST_ORIGINS or size > _MOST_ORIGIN_BYTES:
            return 0
        self._origin_bytes = size
        self._origins.append(named_origin(names, texts))
        self._origin_numbers[texts] = len(self._origins) - 1
        return len(self._origins) - 1
