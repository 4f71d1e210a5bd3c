"""The scanner in plain Python: what runs where no compiler was, and the oracle that the native one is tested against.

The contract is that of scanner.c, to the byte: the same lines fit, the same values come out, a line that does not fit
is given with the same place and reason. It is meant to be obviously right, not fast. `portable_text` and
`portable_json` match a line, `portable_types` reads its values, `portable_unwrap` is the unwrapper.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import polars as pl

from analyzer.parsing.json_format import JsonFormat
from analyzer.parsing.log_format import DURATIONS, LineFormat, Type
from analyzer.parsing.portable_json import JsonMatcher, unescape
from analyzer.parsing.portable_text import TextMatcher
from analyzer.parsing.portable_types import CONTINUED, TOO_LONG, MisfitError, Span, address_number, read_seconds
from analyzer.parsing.scanned import FITS_NONE, Taken
from analyzer.parsing.schema import DTYPES, Kind, Output

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from analyzer.parsing.json_format import Layout

_REQUEST = re.compile(rb"([A-Z_-]+) (.+?)(?: (HTTP/[^ ]{0,7}))?", re.DOTALL)
_KEPT_BLANK = 2048  # as scanner.c has it


class Sorter:
    """Tells which of several layouts lines fit; see sorter.h for the contract."""

    def __init__(self, layouts: Sequence[Layout]) -> None:
        self._matchers = [
            (isinstance(layout, JsonFormat) or layout.prefix.startswith(b"{"), _matcher(layout)) for layout in layouts
        ]

    def sort(self, text: bytes) -> pl.Series:
        """For each line the number of the first layout that it fits."""
        found = [self._first_fitting(line) for line, _ in lines_of(text, 0, len(text))]
        return pl.Series("layout", found, dtype=pl.UInt16)

    def _first_fitting(self, line: bytes) -> int:
        is_object = line.lstrip(b" \t\r").startswith(b"{")
        for number, (objects, matcher) in enumerate(self._matchers if line else ()):
            if objects is is_object:
                with suppress(MisfitError):
                    matcher.match(line)
                    return number
        return FITS_NONE


class Scanner:
    """Reads lines of one layout into columns; see scanner.c for the contract."""

    def __init__(self, layout: Layout, outputs: list[Output]) -> None:
        self._matcher = _matcher(layout)
        self._durations = [layout.fields[output.field].type in DURATIONS for output in outputs]
        self._outputs = outputs
        self._blank_run = 0
        self._reset()

    def _reset(self) -> None:
        self._columns: list[list[Any]] = [[] for _ in self._outputs]
        self._misfits: list[tuple[bytes, int, int, int, int, int]] = []
        self._lines = 0
        self._blank = 0

    def scan(self, text: bytes | bytearray, start: int, stop: int, offset: int) -> None:
        """Add the lines of ``text[start:stop]``; the first of them begins at byte `offset` of the source."""
        for stripped, whole in lines_of(text, start, stop):
            self._blank_run = 0 if stripped else self._blank_run + 1
            if self._blank_run > _KEPT_BLANK:
                self._blank += 1
            else:
                self._line(stripped, whole, offset)
            self._lines += 1
            offset += len(whole)

    def _line(self, stripped: bytes, whole: bytes, offset: int) -> None:
        try:
            spans = self._matcher.match(stripped)
        except MisfitError as misfit:
            place = (whole, offset, misfit.position, self._lines, misfit.field + 1, misfit.reason)
            self._misfits.append(place)
            return
        for values, output, duration in zip(self._columns, self._outputs, self._durations, strict=True):
            if output.kind is Kind.OFFSET:
                values.append(offset)
            elif output.kind is Kind.LINE:
                values.append(self._lines)
            elif output.kind is Kind.SECONDS_SUM and duration:
                values.append(spans[output.field].value)
            else:
                values.append(_VALUES[output.kind](spans[output.field], output))

    def reject(self, text: bytes | bytearray, start: int, stop: int, offset: int, continued: bool) -> None:  # noqa: FBT001
        """Add ``text[start:stop]`` as a piece of a line that is too long to read: its beginning, or a later piece."""
        reason = CONTINUED if continued else TOO_LONG
        self._misfits.append((bytes(text[start:stop]), offset, 0, self._lines, 0, reason))
        self._lines += not continued

    def misfits(self) -> int:
        """How many misfits were found since the last `take`."""
        return len(self._misfits)

    def take(self) -> Taken:
        """What was scanned since the last call."""
        rows = pl.DataFrame(
            [
                pl.Series(output.name, values, dtype=pl.Int64 if output.kind is Kind.TIME else DTYPES[output.kind])
                for output, values in zip(self._outputs, self._columns, strict=True)
            ]
        ).cast({o.name: DTYPES[o.kind] for o in self._outputs if o.kind is Kind.TIME})
        misfits = pl.DataFrame(self._misfits, schema=MISFITS, orient="row")
        taken = Taken(rows, misfits, self._lines, self._blank)
        self._reset()
        return taken


#: Lines that do not fit: the line as it came, where it begins, where in it and at which field (1 + its number) it
#: stops fitting, how many lines came before it, and why (log_format.REASONS).
MISFITS = {
    "line": pl.Binary,
    "offset": pl.UInt64,
    "position": pl.UInt64,
    "number": pl.UInt64,
    "field": pl.UInt8,
    "reason": pl.UInt8,
}


def _matcher(layout: Layout) -> TextMatcher | JsonMatcher:
    return TextMatcher(layout) if isinstance(layout, LineFormat) else JsonMatcher(layout)


def lines_of(text: bytes | bytearray, start: int, stop: int) -> list[tuple[bytes, bytes]]:
    """The lines of ``text[start:stop]``, each without its end and with it."""
    *ended, rest = bytes(text[start:stop]).split(b"\n")
    lines = [(line.removesuffix(b"\r"), line + b"\n") for line in ended]
    return [*lines, (rest.removesuffix(b"\r"), rest)] if rest else lines


@lru_cache(maxsize=65536)
def text_hash(text: bytes) -> int:
    """A hash of 64 bits of the text, in two lanes of eight bytes."""
    k, mask = 0x9E3779B97F4A7C15, 2**64 - 1

    def rotate(value: int, by: int) -> int:
        return (value << by | value >> (64 - by)) & mask

    a = len(text) * k & mask
    b = ~a & mask
    for at in range(0, len(text), 16):
        words = text[at : at + 16].ljust(16, b"\0")
        a = rotate((a ^ int.from_bytes(words[:8], "little")) * k & mask, 31)
        b = rotate((b ^ int.from_bytes(words[8:], "little")) * k & mask, 31)
    hashed = (a ^ rotate(b, 17)) * k & mask
    return (hashed ^ hashed >> 32) * k & mask


def fanin_bit(text: bytes) -> int:
    """One of 64 bits, by a hash of the text."""
    return 1 << (text_hash(text) >> 58)


def _outward(text: bytes, *, escaped: bool) -> str:
    return (unescape(text) if escaped else text).decode("utf-8", "replace")


def _text(span: Span, _: Output) -> str | None:
    return _outward(span.text, escaped=span.escaped) if span.there else None


def _value(span: Span, _: Output) -> Any:
    return span.value


def _seconds_sum(span: Span, _: Output) -> float | None:
    items = [item for item in re.split(rb"[ ,:]+", span.text) if item]
    known = [read_seconds(Type.SECONDS, item, 0) for item in items]
    if any(read is None or read[0] != len(item) for read, item in zip(known, items, strict=True)):
        return None
    values = [read[1] for read in known if read is not None and read[1] is not None]
    total = 0.0
    for value in values:
        total += value
    return total if values else None


def _request_part(span: Span, output: Output) -> Any:
    match = _REQUEST.fullmatch(span.text)
    if output.kind is Kind.READABLE:
        return int(match is not None and match[3] is not None)
    group = match[int(output.kind) - int(Kind.METHOD) + 1] if match else None
    return None if group is None else _outward(group, escaped=span.escaped)


def _fanin_first(span: Span, _: Output) -> int:
    first = span.text.partition(b",")[0]
    return 0 if first in (b"", b"-") else fanin_bit(first)


def _chain(span: Span, output: Output) -> str | None:
    plain = span.text in (b"", b"-") or address_number(span.text) is not None
    return None if plain else _text(span, output)


def _hash(span: Span, _: Output) -> int:
    return 0 if span.text in (b"", b"-") else text_hash(span.text) & 0xFFFF_FFFF


def _tag(span: Span, output: Output) -> int:
    for number, pattern in enumerate(output.patterns, 1):
        whole = not pattern or pattern.endswith(b"\0")
        if span.text == pattern.removesuffix(b"\0") if whole else span.text.startswith(pattern):
            return number
    return 0


_VALUES: dict[Kind, Callable[[Span, Output], Any]] = {
    Kind.TEXT: _text,
    Kind.ADDRESS: lambda span, _: address_number(span.text),
    Kind.TIME: _value,
    Kind.UINT16: _value,
    Kind.UINT64: _value,
    Kind.SECONDS: _value,
    Kind.SECONDS_SUM: _seconds_sum,
    Kind.METHOD: _request_part,
    Kind.PATH: _request_part,
    Kind.PROTOCOL: _request_part,
    Kind.READABLE: _request_part,
    Kind.FANIN: lambda span, _: fanin_bit(span.text),
    Kind.FANIN_FIRST: _fanin_first,
    Kind.TAG: _tag,
    Kind.CHAIN: _chain,
    Kind.HASH: _hash,
}
