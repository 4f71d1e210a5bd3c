"""Times and lengths of time as they are written."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from analyzer.errors import UsageError

_LENGTH = re.compile(r"(\d{1,6})([mhdw])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def as_length(option: str, text: str | None) -> timedelta | None:
    """The length of time that an option names."""
    if text is None:
        return None
    match = _LENGTH.fullmatch(text)
    if match is None or not int(match[1]):
        raise UsageError(f"{option}: expected a length of time such as 90m, 24h, 7d or 4w, got {text!r}")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def as_time(option: str, given: datetime | str | None) -> datetime | None:
    """The moment that an option names: itself, its text, or how long it is ago, as kubectl has it (``1h``)."""
    if given is None or isinstance(given, datetime):
        return given
    try:
        if _LENGTH.fullmatch(given):
            return datetime.now(UTC) - (as_length(option, given) or timedelta())
        return datetime.fromisoformat(given)
    except (TypeError, ValueError, OverflowError):
        expected = "a time such as 2026-11-21T07:00:00Z, or how long ago it is such as 24h"
        raise UsageError(f"{option}: expected {expected}, got {given!r}") from None
