"""Dates in names: ``logs/{:%Y/%m/%d/%H}/`` stands for folders by hour, of which only those are listed that count.

The dates of names are those of UTC. What a name dates is when an object was begun or when it was written, so a log of
one hour may hold requests of the hour before and be named after the next: one unit more is listed at either end.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from analyzer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    #: A half-open range of time, open where None.
    Span = tuple[datetime | None, datetime | None]

_TEMPLATE = re.compile(r"\{:([^{}]*)\}")
_CODE = re.compile(r"%(.?)")
#: Units, the widest first, and how many digits each has.
_UNITS = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2}
#: No log is older.
_FIRST = datetime(2000, 1, 1, tzinfo=UTC)
#: How far in the future a name may be dated where nothing is said.
_AHEAD = timedelta(days=2)


def dated(name: str, span: Span) -> list[str]:
    """The names and globs that a name with dates stands for; the name itself where it has none.

    A unit that lies wholly within the span comes once, with globs for the units within it.

    Raises
    ------
    UsageError
        For a template with other codes than ``%Y %m %d %H %M``, or one that leaves out a wider unit.
    """
    codes = [code for template in _TEMPLATE.findall(name) for code in _CODE.findall(template)]
    if not codes:
        return [name]
    units = list(_UNITS)[: len(set(codes))]
    if set(codes) != set(units):
        got = ", ".join(f"%{code}" for code in dict.fromkeys(codes))
        raise UsageError(f"{name}: expected a date of %Y, %m, %d, %H and %M, each with all wider ones, got {got}")
    if span == (None, None):
        return [_fill(name, {})]
    since, until = span
    last = datetime.now(UTC) + _AHEAD
    wide = _after(_FIRST, units[-1]) - _FIRST
    begin = _FIRST if since is None else max(_FIRST, since.astimezone(UTC)) - wide
    end = last if until is None else min(last, until.astimezone(UTC)) + wide
    return [
        _fill(name, values) for values in _cover(units, {}, (_FIRST, _FIRST.replace(year=last.year + 2)), (begin, end))
    ]


def _fill(name: str, values: dict[str, int]) -> str:
    def digits(code: re.Match[str]) -> str:
        unit, width = code[1], _UNITS[code[1]]
        return f"{values[unit]:0{width}}" if unit in values else "[0-9]" * width

    return _TEMPLATE.sub(lambda template: _CODE.sub(digits, template[1]), name)


def _cover(
    units: list[str], known: dict[str, int], within: tuple[datetime, datetime], span: tuple[datetime, datetime]
) -> Iterator[dict[str, int]]:
    """The values of the widest units that lie within the span, or at the end of all units overlap it."""
    unit, *finer = units
    start, stop = within
    begin, end = span
    while start < stop:
        after = _after(start, unit)
        if after > begin and start < end:
            values = known | {unit: _value(start, unit)}
            if not finer or (begin <= start and after <= end):
                yield values
            else:
                yield from _cover(finer, values, (start, after), span)
        start = after


def _after(moment: datetime, unit: str) -> datetime:
    """When the next unit begins."""
    if unit == "Y":
        return moment.replace(year=moment.year + 1)
    if unit == "m":
        return moment.replace(year=moment.year + moment.month // 12, month=moment.month % 12 + 1)
    return moment + {"d": timedelta(days=1), "H": timedelta(hours=1), "M": timedelta(minutes=1)}[unit]


def _value(moment: datetime, unit: str) -> int:
    return {"Y": moment.year, "m": moment.month, "d": moment.day, "H": moment.hour, "M": moment.minute}[unit]
