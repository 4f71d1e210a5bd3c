"""Text for people: what a log wrote made safe to show, and numbers as they are read.

Access logs are written by whoever sends requests. A path or user agent may hold escape sequences that drive a terminal
or marks that reverse the reading order; nothing of a log or file name is shown before it went through `printable`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


def printable(text: str, limit: int | None = None) -> str:
    r"""Show every character that is not plainly visible as a backslash escape.

    That is every control, format (bidi overrides, zero-width), surrogate, private-use and unassigned character and
    every separator but the blank.

    Parameters
    ----------
    text
        Anything from a log, a file name or a cluster.
    limit
        Most characters to return; a cut is marked with ``...``.

    Examples
    --------
    >>> printable("\x1b[31mred\n")
    '\\x1b[31mred\\n'
    >>> printable("access.log.2026-11-21", limit=10)
    'access....'
    """
    if limit is not None and len(text) > limit:
        # Escapes make a text longer, never shorter: what is cut off here could not have been shown.
        text, cut = text[:limit], True
    else:
        cut = False
    if not text.isprintable():
        text = "".join(char if char.isprintable() else _escape(char) for char in text)
    if limit is not None and (cut or len(text) > limit):
        text = text[: max(limit - 3, 0)] + "..."
    return text


def number(value: int) -> str:
    """Write a count with thousands separators."""
    return f"{value:,}"


def percentage(value: float | None) -> str:
    """Write a percentage with one decimal and without the sign.

    100.0 means all and 0.0 means none: whatever lies between never rounds to either.

    Examples
    --------
    >>> percentage(99.97), percentage(100.0), percentage(0.01), percentage(None)
    ('99.9', '100.0', '<0.1', '-')
    """
    if value is None:
        return "-"
    if 0 < value < 0.1:
        return "<0.1"
    return f"{value if value == 100 else min(value, 99.9):.1f}"


def size(count: int, unit: str, plural: str | None = None) -> str:
    """Write a count and what is counted: ``1 address``, ``2 addresses``."""
    return f"{number(count)} {unit if count == 1 else plural or unit + 's'}"


def period(first: datetime, last: datetime) -> str:
    """Write from when to when, to the minute; the day of the end where it is another."""
    end = f"{last:%H:%M}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M}"
    return f"{first:%Y-%m-%d %H:%M} to {end} UTC"


def duration(seconds: int) -> str:
    """Write a length of time in its two largest units.

    Examples
    --------
    >>> duration(30), duration(90), duration(7200), duration(100_000)
    ('30 s', '1 min 30 s', '2 h', '1 d 3 h')
    """
    units = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    parts = []
    for width, unit in units:
        count, seconds = divmod(seconds, width)
        parts.append(f"{count} {unit}" if count else "")
    first = next((place for place, part in enumerate(parts) if part), len(parts) - 1)
    return " ".join(filter(None, parts[first : first + 2])) or "0 s"


def _escape(char: str) -> str:
    short = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}.get(char)
    return short or char.encode("unicode_escape", "surrogatepass").decode("ascii")
