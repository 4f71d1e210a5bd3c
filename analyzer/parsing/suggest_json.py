"""What the keys of JSON lines that no known format reads may be: a start for a rule file.

The keys of a few hundred objects, their values' looks and their names give a variable for each; the format that comes
of it is tried on the lines. See `analyzer.parsing.suggest` for lines of text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from analyzer.errors import FormatError
from analyzer.parsing.guess import look_of, named
from analyzer.parsing.json_format import JsonFormat, compile_json
from analyzer.parsing.suggest import LEAST, LINES, LONGEST, stopped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Keys that are looked at, how deep they may lie, and how long one may be.
_KEYS = 200
_DEPTH = 4
_LONGEST_KEY = 100

#: What a request can be told by: a suggestion requires those of them that every line has.
_TELLING = ("status", "request", "request_method", "request_uri", "remote_addr", "remote_addr_port")


@dataclass(frozen=True, slots=True)
class Key:
    """A key as a JSON pointer, how many of the lines have it, one value, and the variable that it may be."""

    pointer: str
    lines: int
    example: str
    variable: str | None


@dataclass(frozen=True, slots=True)
class JsonSuggestion:
    """The keys of `lines` objects; the first of each variable makes a format that reads `read` of them.

    `fields` and `required` are what a rule file says of such a format; empty where it would read nothing.
    """

    keys: tuple[Key, ...]
    fields: dict[str, str]
    required: tuple[str, ...]
    read: int
    lines: int


def suggest_json(lines: Sequence[bytes]) -> JsonSuggestion | None:
    """Say what the keys of JSON lines may be; None where most of them are no objects."""
    known = [line for line in lines if 0 < len(line) <= LONGEST][:LINES]
    objects = [found for found in map(_object, known) if found]
    if len(objects) * 2 < len(known) or not objects:
        return None
    values: dict[tuple[str, ...], list[str]] = {}
    for each in objects:
        for path, value in _values(each, ()):
            if path in values or len(values) < _KEYS:
                values.setdefault(path, []).append(value)
    looks = {path: look_of(found) for path, found in values.items()}
    variables = _variables(looks)
    keys = tuple(
        Key(_pointer(path), len(found), next(filter(None, found), "")[:_LONGEST_KEY], variables.get(path))
        for path, found in values.items()
    )
    fields = {variable: _pointer(path) for path, variable in variables.items()}
    always = {_pointer(path) for path, found in values.items() if len(found) == len(objects)}
    required = tuple(name for name in _TELLING if fields.get(name) in always)
    read = 0
    while fields:
        layout = _compiled(fields, required)
        if layout is None or len(layout.columns) < LEAST:
            fields = {}
            break
        read, stops = stopped(layout, known)
        if stops is None or layout.fields[stops].variable in required:
            break
        del fields[layout.fields[stops].variable]  # its values only looked like what it stands for
    return JsonSuggestion(keys, fields, required if read else (), read, len(known))


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _values(value: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, inside in value.items():
        if len(key) > _LONGEST_KEY or not key.isprintable() or not key:
            continue
        if isinstance(inside, dict):
            if len(path) < _DEPTH - 1:
                yield from _values(inside, (*path, key))
        elif not isinstance(inside, list):
            yield (*path, key), "" if inside is None else str(inside)


def _variables(looks: dict[tuple[str, ...], str]) -> dict[tuple[str, ...], str]:
    """A variable for each key that may be one: names count before looks, and keys further out before others."""
    found: dict[tuple[str, ...], str] = {}
    paths = sorted(looks, key=len)
    for path in paths:
        variable = named(path, looks[path])
        if variable is not None and variable not in found.values():
            found[path] = variable
    for path in paths:
        look = looks[path]
        wanted = {
            "address": "remote_addr",
            "address_port": "remote_addr_port",
            "request": "request",
            "http_user_agent": "http_user_agent",
            "time_any": "time_any",
            "time_local": "time_any",
            "time_iso8601": "time_any",
            "msec": "time_any",
        }.get(look)
        taken = {"remote_addr", "remote_addr_port"} if wanted in {"remote_addr", "remote_addr_port"} else {wanted}
        if wanted is not None and path not in found and not taken & set(found.values()):
            found[path] = wanted
    return found


def _compiled(fields: dict[str, str], required: tuple[str, ...]) -> JsonFormat | None:
    try:
        return compile_json("custom", fields, required)
    except FormatError:
        return None


def _pointer(path: tuple[str, ...]) -> str:
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)
