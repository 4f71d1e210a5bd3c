"""Matches a line of text with its layout, in plain Python: a prefix, then fields and the literals between them."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from analyzer.parsing.log_format import LineFormat, Type
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
    from analyzer.parsing.log_format import Field

_MAX_RETRIES = 64
#: A bracket begins an item only where an address of IPv6 stands in it: the name of an upstream, or the want of
#: one, is of a format with one field more.
_LIST_ITEM = re.compile(rb"(?!\[)|\[(?=[^] ]*\])[^]: ]*:")
_TEXTS = (Type.TEXT, Type.USER, Type.ADDRESS_PORT, Type.WORD, Type.UNQUOTED, Type.FIRST_ADDRESS)
#: What the text of a type must not hold.
_NO_LIST = re.compile(rb"(?:\A|[^, ])[ \t]")
_FORBIDDEN = {Type.WORD: (b" ", b"\t"), Type.UNQUOTED: (b'"',)}


class TextMatcher:
    """Matches lines with one `LineFormat`."""

    def __init__(self, line_format: LineFormat) -> None:
        self._prefix = line_format.prefix
        self._fields = line_format.fields

    def match(self, line: bytes) -> list[Span]:
        """The spans of all fields.

        Raises
        ------
        MisfitError
            Of several tries of a text that may hold its own end, the one that came farthest says where and why.
        """
        try:
            return self._match(line, escapes=True)
        except MisfitError:
            if b'\\"' not in line:
                raise
            # Some programs escape a quote with a backslash, others write both as they come.
            with suppress(MisfitError):
                return self._match(line, escapes=False)
            raise

    def _match(self, line: bytes, *, escapes: bool) -> list[Span]:
        if not line.startswith(self._prefix):
            raise MisfitError(0, -1, EXPECTED_LITERAL)
        spans: list[Span] = []
        places: list[tuple[int, int]] = []  # where each field begins, and where its literal does
        at = search = len(self._prefix)
        again, retries, worst = -1, 0, MisfitError(0, -1, EXPECTED_LITERAL)
        index = 0
        while index < len(self._fields):
            field = self._fields[index]
            found = _match_field(field, line, at, search, last=index == len(self._fields) - 1, escapes=escapes)
            if isinstance(found, int):
                if index > worst.field:
                    worst = MisfitError(at, index, found)
                if again < 0 or again == index or (retries := retries + 1) > _MAX_RETRIES:
                    raise worst
                index = again
                at, search = places[index][0], places[index][1] + 1
                continue
            span, end = found
            del spans[index:], places[index:]
            spans.append(span)
            places.append((at, end))
            if field.retry:
                again = index
            at = search = end + len(field.literal)
            index += 1
        return spans


def _match_field(  # noqa: PLR0913
    field: Field, line: bytes, at: int, search: int, *, last: bool, escapes: bool
) -> tuple[Span, int] | int:
    """The span of a field and where its literal begins, or the reason why there is none."""
    value: Any = None
    literal = field.literal
    reason = EXPECTED_LITERAL if field.type in (*_TEXTS, Type.LIST) else MALFORMED_VALUE
    if field.type in _TEXTS:
        end = max(at, len(line) - len(literal)) if last else _find_literal(line, literal, at, search, escapes=escapes)
    elif field.type is Type.LIST:
        end = _list_end(line, at)
    else:
        read = read_value(field.type, line, at)
        end, value = read or (-1, None)
    if end < 0:
        return reason
    text = line[at:end]
    if any(byte in text for byte in _FORBIDDEN.get(field.type, ())):
        return MALFORMED_VALUE
    if field.type is Type.ADDRESS_PORT:
        text, value = split_port(text)
    if field.type is Type.FIRST_ADDRESS:
        if _NO_LIST.search(text):
            return MALFORMED_VALUE
        text = first_address(text)
    if field.type is Type.CRI_TAG:
        end += line.startswith(b" ", end)
    if not line.startswith(literal, end) or (last and end + len(literal) != len(line)):
        return reason
    return Span(text, value), end


def _find_literal(line: bytes, literal: bytes, at: int, search: int, *, escapes: bool) -> int:
    """Where the literal begins, or -1; where `escapes`, no quote behind an odd number of backslashes begins it."""
    while (found := line.find(literal, search)) >= 0:
        if not (escapes and literal.startswith(b'"') and is_escaped(line, at, found)):
            return found
        search = found + 1
    return -1


def is_escaped(line: bytes, start: int, at: int) -> bool:
    """Whether an odd number of backslashes stands before a place, counted back to `start` at most."""
    first = at
    while first > start and line[first - 1] == ord("\\"):
        first -= 1
    return (at - first) % 2 == 1


def _list_end(line: bytes, at: int) -> int:
    position = at
    while _LIST_ITEM.match(line, position):
        position = line.find(b" ", position)
        if position < 0:
            return len(line)
        if position > at and line[position - 1 : position] == b",":
            position += 1
        elif line.startswith(b" : ", position):
            position += 3
            if position == len(line) or line.startswith(b" ", position):
                return position
        else:
            return position
    return -1
