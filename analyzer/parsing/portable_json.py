r"""Matches a line that is a JSON object with its layout, in plain Python, and decodes JSON's escapes.

One walk over the line, without recursion. Only what a pointer leads into is walked; everything else is skipped by its
quotes and brackets and not checked. What is not JSON but is written all the same is read: values that are missing
(``"x": ,``), numbers of a list without quotes (``"x": 0.1, 0.2, "y"``), commas too many.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from analyzer.parsing.json_format import EVERY_ELEMENT
from analyzer.parsing.log_format import Type
from analyzer.parsing.portable_text import is_escaped
from analyzer.parsing.portable_types import (
    EXPECTED_LITERAL,
    MALFORMED_VALUE,
    MisfitError,
    Span,
    first_address,
    read_value,
    split_port,
)

if TYPE_CHECKING:
    from analyzer.parsing.json_format import JsonField, JsonFormat

_BLANKS = re.compile(rb"[ \t\r]*")
_BLANKS_AND_COMMAS = re.compile(rb"[ \t\r,]*")
_STRUCTURE = re.compile(rb'["{}\[\]]')
_SCALAR_END_IN_OBJECT = re.compile(rb'[}\]]|,(?=[ \t\r]*+")')
_SCALAR_END_IN_ARRAY = re.compile(rb"[,}\]]")
_ESCAPE = re.compile(
    rb'\\(?:(["\\/bfnrt])|u([Dd][89ABab][0-9A-Fa-f]{2})\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4}))'
)
#: The fraction of nothing that programs add to whole numbers which know of doubles only: ``200.0``.
_ZEROS = re.compile(rb"\.0*")
_WHOLE = frozenset({Type.STATUS, Type.PORT, Type.INTEGER})
_ESCAPED = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}

#: The number of a field and of one of its pointers.
_Place = tuple[int, int]


class _BrokenError(Exception):
    """The line is not an object that can be read; the argument says where."""


class _Value(NamedTuple):
    text: bytes
    position: int
    escaped: bool
    quoted: bool


@dataclass(slots=True)
class _Frame:
    """A container that is walked: the pointers that lead on into it, and those that end at it."""

    start: int
    is_array: bool
    leading: list[_Place]
    ending: list[_Place] = field(default_factory=list)


class JsonMatcher:
    """Matches lines with one `JsonFormat`; the arrays of field `whole` are not taken apart."""

    def __init__(self, json_format: JsonFormat, whole: int = -1) -> None:
        self._fields = json_format.fields
        self._whole = whole
        self._pointers = {
            (number, rank): pointer
            for number, json_field in enumerate(self._fields)
            for rank, pointer in enumerate(json_field.pointers)
        }

    def match(self, line: bytes) -> list[Span]:
        """The spans of all fields.

        Raises
        ------
        MisfitError
            Where the line is no object; else the first field that lacks its value or cannot be read says it.
        """
        try:
            found = _Walk(line, self._pointers, self._whole).found
        except _BrokenError as broken:
            raise MisfitError(broken.args[0], -1, EXPECTED_LITERAL) from None
        return [self._span(number, json_field, found) for number, json_field in enumerate(self._fields)]

    def _span(self, number: int, json_field: JsonField, found: dict[_Place, list[_Value]]) -> Span:
        seen = [found[number, rank] for rank in range(len(json_field.pointers)) if (number, rank) in found]
        if json_field.required and not seen:
            raise MisfitError(0, number, EXPECTED_LITERAL)
        values = next((values for values in seen if values), None)
        if values is None:
            return Span(b"", there=False, seen=bool(seen), quoted=bool(seen))
        text = b", ".join(value.text for value in values)
        span = _typed(json_field.type, text)
        if span is None:
            raise MisfitError(values[0].position, number, MALFORMED_VALUE)
        return span._replace(
            escaped=all(value.escaped for value in values), quoted=len(values) == 1 and values[0].quoted
        )


def _typed(type_: Type, text: bytes) -> Span | None:
    """The span of a text that is all there is of a field; None where its type cannot read it."""
    if type_ is Type.ADDRESS_PORT:
        return Span(*split_port(text))
    if type_ is Type.FIRST_ADDRESS:
        return Span(first_address(text))
    if type_ is Type.TEXT or text == b"-":
        return Span(text)
    read = read_value(type_, text, 0)
    if read is None:
        return None
    end, value = read
    if type_ is Type.SECONDS and value is not None and text.startswith(b"s", end):
        end += 1
    if type_ in _WHOLE and value is not None and (zeros := _ZEROS.match(text, end)):
        end = zeros.end()
    return Span(text, value) if end == len(text) else None


class _Walk:
    """One walk over a line; `found` has the values of every pointer that was seen, none for an empty text."""

    def __init__(self, line: bytes, pointers: dict[_Place, tuple[bytes, ...]], whole: int) -> None:
        self._line = line
        self._pointers = pointers
        self._whole = whole
        self.found: dict[_Place, list[_Value]] = {}
        at = _past(_BLANKS, line, 0)
        if not line.startswith(b"{", at):
            raise _BrokenError(at)
        self._frames = [_Frame(at, is_array=False, leading=list(pointers))]
        at += 1
        while self._frames:
            at = self._step(_past(_BLANKS_AND_COMMAS, line, at))
        at = _past(_BLANKS_AND_COMMAS, line, at)
        if at < len(line):
            raise _BrokenError(at)

    def _step(self, at: int) -> int:
        """Read the next member or element of the innermost container, or its end."""
        line, frame = self._line, self._frames[-1]
        byte = line[at : at + 1]
        if byte == (b"]" if frame.is_array else b"}"):
            self._frames.pop()
            self._note_container(frame.ending, frame.start, at + 1)
            return at + 1
        key = EVERY_ELEMENT
        if not frame.is_array:
            if byte != b'"':
                raise _BrokenError(at)
            quote = _string_end(line, at + 1)
            key = line[at + 1 : quote]
            at = _past(_BLANKS, line, quote + 1)
            if not line.startswith(b":", at):
                raise _BrokenError(at)
            at = _past(_BLANKS, line, at + 1)
        elif byte in (b"}", b""):
            raise _BrokenError(at)
        depth = len(self._frames) - 1
        matching = [
            place
            for place in frame.leading
            if self._pointers[place][depth] == key and (key != EVERY_ELEMENT or frame.is_array)
        ]
        return self._value(at, frame, depth + 1, matching)

    def _value(self, at: int, frame: _Frame, depth: int, matching: list[_Place]) -> int:
        """Read the value at `at`, which the pointers of `matching` lead to; return where it ends."""
        line = self._line
        ending = [place for place in matching if len(self._pointers[place]) == depth]
        if line.startswith(b'"', at):
            quote = _string_end(line, at + 1)
            self._note(ending, _Value(line[at + 1 : quote], at + 1, escaped=True, quoted=True))
            return quote + 1
        if line.startswith((b"{", b"["), at):
            is_array = line.startswith(b"[", at)
            leading = [
                place
                for place in matching
                if len(self._pointers[place]) > depth and (self._pointers[place][depth] == EVERY_ELEMENT) == is_array
            ]
            if leading:
                self._frames.append(_Frame(at, is_array, leading, ending))
                return at + 1
            end = _container_end(line, at)
            self._note_container(ending, at, end)
            return end
        match = (_SCALAR_END_IN_ARRAY if frame.is_array else _SCALAR_END_IN_OBJECT).search(line, at)
        if match is None:
            raise _BrokenError(len(line))
        text = line[at : match.start()].rstrip(b" \t\r")
        if text not in (b"", b"null"):
            self._note(ending, _Value(text, at, escaped=True, quoted=False))
        return match.start()

    def _note_container(self, ending: list[_Place], start: int, end: int) -> None:
        for place in ending:
            raw = _Value(self._line[start:end], start, escaped=False, quoted=False)
            as_it_is = raw.text.startswith(b"{") or place[0] == self._whole
            self._note([place], raw if as_it_is else _joined(raw))

    def _note(self, ending: list[_Place], value: _Value) -> None:
        for place in ending:
            values = self.found.setdefault(place, [])
            if value.text:
                if EVERY_ELEMENT not in self._pointers[place]:
                    values.clear()
                values.append(value)


def _joined(array: _Value) -> _Value:
    """The elements of an array in one text; the array as it is where they are not all strings and scalars."""
    inside = array.text[1:-1]
    items: list[bytes] = []
    first = 0
    at = _past(_BLANKS_AND_COMMAS, inside, 0)
    while at < len(inside):
        if inside[at : at + 1] in b"{}[]":
            return array
        if inside.startswith(b'"', at):
            at += 1
            try:
                stop = _string_end(inside, at)
            except _BrokenError:
                return array
            text = inside[at:stop]
            after = stop + 1
        else:
            match = _SCALAR_END_IN_ARRAY.search(inside, at)
            after = match.start() if match else len(inside)
            text = inside[at:after].rstrip(b" \t\r")
            text = b"" if text == b"null" else text
        if text:
            first = first if items else at
            items.append(text)
        at = _past(_BLANKS_AND_COMMAS, inside, after)
    return _Value(b", ".join(items), array.position + 1 + first, escaped=True, quoted=False)


def _past(pattern: re.Pattern[bytes], line: bytes, at: int) -> int:
    match = pattern.match(line, at)
    return match.end() if match else at


def _string_end(line: bytes, start: int) -> int:
    """Where the quote is that ends the string whose text begins at `start`."""
    at = line.find(b'"', start)
    while at >= 0 and is_escaped(line, start, at):
        at = line.find(b'"', at + 1)
    if at < 0:
        raise _BrokenError(len(line))
    return at


def _container_end(line: bytes, start: int) -> int:
    """Behind the bracket that ends the container at `start`; any closing bracket closes any opening one."""
    depth, at = 0, start
    while (match := _STRUCTURE.search(line, at)) is not None:
        at = match.end()
        if match[0] == b'"':
            at = _string_end(line, at) + 1
            continue
        depth += 1 if match[0] in b"{[" else -1
        if depth == 0:
            return at
    raise _BrokenError(len(line))


def unescape(text: bytes) -> bytes:
    r"""Decode JSON's escapes; what is none stays as it is, half of a surrogate pair becomes U+FFFD."""
    return _ESCAPE.sub(_unescaped, text) if b"\\" in text else text


def _unescaped(match: re.Match[bytes]) -> bytes:
    character, high, low, unit = match.groups()
    if character:
        return _ESCAPED.get(character, character)
    code = 0x10000 + (int(high, 16) - 0xD800 << 10) + int(low, 16) - 0xDC00 if high else int(unit, 16)
    return "\ufffd".encode() if 0xD800 <= code < 0xE000 else chr(code).encode()
