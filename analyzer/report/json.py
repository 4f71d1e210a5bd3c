"""The report as JSON: ``logscan.report/1``.

Text from logs stays what it was, but nothing in the document can drive a terminal or reorder what a person reads:
such characters stand as JSON escapes.
"""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from analyzer.report.model import Report

# orjson escapes the C0 controls. Left are DEL, the C1 controls, and what turns the reading direction or breaks lines.
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def render(report: Report) -> str:
    """Write the whole report, indented by two blanks."""
    return to_json(report)


def to_json(value: object, *, indent: bool = True) -> str:
    """Write a dataclass as JSON with a newline at the end."""
    options = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE | (orjson.OPT_INDENT_2 if indent else 0)
    text = orjson.dumps(_plain(value), option=options).decode()
    return _UNSAFE.sub(lambda unsafe: f"\\u{ord(unsafe[0]):04x}", text)


def _plain(value: object) -> object:
    """Turn dataclasses into dicts, and what JSON cannot hold into what it can."""
    if isinstance(value, str):
        # A file name with bytes that are no UTF-8 holds lone surrogates.
        return value if value.isascii() else value.encode(errors="replace").decode()
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if is_dataclass(value):
        # `class` is a Python keyword; the field is `class_`.
        return {each.name.rstrip("_"): _plain(getattr(value, each.name)) for each in fields(value)}
    return value
