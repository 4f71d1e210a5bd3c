"""A JSON object per line as data: which values of it are fields, wherever they stand.

A `JsonFormat` is to a scanner what a `LineFormat` is: it drives the native and the portable one alike. Values that no
field wants are skipped, not checked, so that a line is read however its other members look. Documents of several
records in one value are not read here (`documents`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from analyzer.errors import FormatError
from analyzer.parsing.log_format import MAX_FIELDS, MEANING, REASONS, VARIABLES, LineFormat, Type, columns_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Bounds of scanner.c: segments of a pointer, and pointers of a format.
_MAX_DEPTH = 16
_MAX_POINTERS = 255

#: The key that stands for every element of an array.
EVERY_ELEMENT = b"*"

#: Types that say where a text ends within a line; a JSON value ends by itself, and so these are texts.
_TEXTS_IN_JSON = frozenset({
    Type.USER, Type.LIST, Type.NAME, Type.BLANKS, Type.STREAM, Type.CRI_TAG, Type.SYSLOG_TIME,
    Type.WORD,
    Type.UNQUOTED,
    Type.ADDRESSES,
})  # fmt: skip

_BAD_ESCAPE = re.compile(r"~(?![01])")


@dataclass(frozen=True, slots=True)
class JsonField:
    """One value that is read.

    Attributes
    ----------
    variable
        As in `VARIABLES`; the pointer itself where a value must be there and is not read.
    type
        What its text may be.
    column
        The column that it is made for, or None.
    pointers
        Where it stands, the best place first: keys from the outside in, ``*`` for every element of an array.
    required
        Whether a line without it, or with null, does not fit.
    """

    variable: str
    type: Type
    column: str | None
    pointers: tuple[tuple[bytes, ...], ...]
    required: bool


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """The layout of a line that is a JSON object.

    Attributes
    ----------
    name
        As the report shows it.
    fields
        The values that are read.
    """

    name: str
    fields: tuple[JsonField, ...]

    @property
    def columns(self) -> dict[str, int]:
        """Columns that the line carries, each with the number of its field."""
        return columns_of(self.fields)

    def explain(self, field: int, reason: int) -> str:
        """Say why a line does not fit; the numbers are those that the scanners give (field -1: the object itself)."""
        if REASONS[reason] in {"too_long", "continued"}:
            return "the line is longer than 1 MiB"
        if field < 0:
            return "expected a JSON object"
        at = self.fields[field]
        where = " or ".join(_pointer_text(pointer) for pointer in at.pointers)
        if REASONS[reason] == "malformed_value":
            return f"{where} is not {MEANING[at.type]}"
        return f"expected a value at {where}"


#: What lines of one kind look like: either drives the scanners.
Layout = LineFormat | JsonFormat


def compile_json(name: str, fields: Mapping[str, str | Sequence[str]], required: Sequence[str]) -> JsonFormat:
    """Compile what a rule file says of a JSON line.

    Parameters
    ----------
    name
        What the report calls the format.
    fields
        A variable of `VARIABLES` and the JSON pointer (RFC 6901) of its value, or several, the best first. A key of
        ``*`` stands for every element of an array; other elements of arrays cannot be pointed at.
    required
        Variables or pointers whose value must be there and not be null, for a line to fit.

    Raises
    ------
    FormatError
        With what cannot be meant.
    """
    if not fields:
        raise FormatError("JSON format: expected at least one field, got none")
    made: dict[str, JsonField] = {}
    for variable, pointers in fields.items():
        if variable not in VARIABLES:
            raise FormatError(f"JSON format: expected the name of a variable, got {variable!r}")
        type_, column = VARIABLES[variable]
        listed = [pointers] if isinstance(pointers, str) else pointers
        if not isinstance(listed, list | tuple) or not listed:
            raise FormatError(f"JSON format: expected a pointer or several for {variable}, got {pointers!r}")
        found = tuple(_pointer(pointer) for pointer in listed)
        if len(set(found)) < len(found):
            raise FormatError(f"JSON format: expected every pointer of {variable} once, got {list(listed)!r}")
        type_ = Type.TEXT if type_ in _TEXTS_IN_JSON else type_
        made[variable] = JsonField(variable, type_, column, found, required=variable in required)
    for wanted in required:
        if not isinstance(wanted, str) or wanted not in fields:
            _require(wanted, made)
    if len(made) > MAX_FIELDS:
        raise FormatError(f"JSON format: expected at most {MAX_FIELDS} fields, got {len(made)}")
    pointed = sum(len(field.pointers) for field in made.values())
    if pointed > _MAX_POINTERS:
        raise FormatError(f"JSON format: expected at most {_MAX_POINTERS} pointers, got {pointed}")
    return JsonFormat(name, tuple(made.values()))


def _require(wanted: str, made: dict[str, JsonField]) -> None:
    """Note that a line must have the value at a pointer, which may be one that no field reads."""
    if not isinstance(wanted, str) or not wanted.startswith("/"):
        raise FormatError(f"JSON format: expected one of its fields or a pointer under `required`, got {wanted!r}")
    pointers = (_pointer(wanted),)
    for variable, field in made.items():
        if field.pointers == pointers:
            made[variable] = replace(field, required=True)
            return
    made[wanted] = JsonField(wanted, Type.TEXT, None, pointers, required=True)


def _pointer(text: str) -> tuple[bytes, ...]:
    """The keys of a pointer, as bytes."""
    if not isinstance(text, str) or not text.startswith("/"):
        raise FormatError(f"JSON format: expected a pointer such as /request/method, got {text!r}")
    if _BAD_ESCAPE.search(text):
        raise FormatError(f"JSON format: expected `~0` or `~1` for `~` or `/` in a key, got {text!r}")
    keys = [key.replace("~1", "/").replace("~0", "~").encode() for key in text[1:].split("/")]
    if len(keys) > _MAX_DEPTH:
        raise FormatError(f"JSON format: expected at most {_MAX_DEPTH} keys in a pointer, got {len(keys)} in {text!r}")
    return tuple(keys)


def _pointer_text(pointer: tuple[bytes, ...]) -> str:
    return "".join("/" + key.decode().replace("~", "~0").replace("/", "~1") for key in pointer)
