"""Two reports side by side: what a change did to every reading, and whether the two can be compared at all.

Reports are read as the JSON documents that they are written as (``logscan.report/1``), so that one of last month is as
good as a log of today.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = Mapping[str, Any]
Value = float | int | str | None

FEW = 1000
"""Considered requests below which a percentage is not worth much."""
LONGER = 3.0
"""So many times longer or shorter may a log be without a word about it."""
_DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: what was read, from when to when, and how many requests count."""

    name: str
    formats: list[str]
    first_time: datetime | None
    last_time: datetime | None
    considered: int
    cluster: str | None
    version: str


@dataclass(frozen=True, slots=True)
class Change:
    """A number or verdict before and after.

    `change` is after less before, in points where `unit` is ``%``; None where either is not known or is a word.
    `better` says whether the change is for the better, None where it is neither.
    """

    section: str
    measure: str
    unit: str
    before: Value
    after: Value
    change: float | None
    better: bool | None


@dataclass(frozen=True, slots=True)
class FindingChange:
    """A finding that is ``gone``, ``new`` or ``still`` there."""

    state: Literal["gone", "new", "still"]
    id: str
    severity: str
    title: str


@dataclass(frozen=True, slots=True)
class Compared:
    """All of it; `caveats` say why the two may not be comparable."""

    before: Side
    after: Side
    caveats: list[str]
    changes: list[Change]
    findings: list[FindingChange]


def compare_reports(before: Json, after: Json, names: tuple[str, str]) -> Compared:
    """Compare two documents of the schema ``logscan.report/1``.

    Parameters
    ----------
    before, after
        The documents.
    names
        What to call them.
    """
    sides = _side(before, names[0]), _side(after, names[1])
    return Compared(*sides, _caveats(*sides), list(_changes(before, after)), _findings(before, after))


def _side(document: Json, name: str) -> Side:
    read = document["input"]
    formats = {source["format"] for source in read["sources"] if source["format"]}
    first, last = (moment and datetime.fromisoformat(moment) for moment in (read["first_time"], read["last_time"]))
    considered = document["preservation"]["considered"]
    return Side(name, sorted(formats), first, last, considered, read.get("cluster"), document["version"])


def _caveats(before: Side, after: Side) -> list[str]:
    found = []
    if before.formats and after.formats and before.formats != after.formats:
        found.append(f"other log formats: {', '.join(before.formats)}; now {', '.join(after.formats)}")
    if (before.cluster is None) != (after.cluster is None):
        named = "before" if before.cluster else "after"
        found.append(f"a cluster file tells who is who {named} only: what is inferred on the other side may differ")
    if before.version != after.version:
        found.append(f"written by different versions: {before.version} and {after.version}")
    for side, when in ((before, "before"), (after, "after")):
        if side.considered < FEW:
            found.append(f"{when} there are only {side.considered:,} requests to judge by")
    if before.first_time and before.last_time and after.first_time and after.last_time:
        spans = (before.last_time - before.first_time, after.last_time - after.first_time)
        if max(spans) > LONGER * max(min(spans), timedelta(minutes=1)):
            found.append(f"one log is much longer: {_duration(spans[0])} and {_duration(spans[1])}")
        if not (_hours(before.first_time, spans[0]) & _hours(after.first_time, spans[1])):
            found.append("other hours of the day: other people may have been about")
    return found


def _hours(first: datetime, span: timedelta) -> set[int]:
    """Hours of the day that a log touches."""
    start = first.replace(minute=0, second=0, microsecond=0)
    count = int((first + span - start) / timedelta(hours=1)) + 1
    return {(start.hour + hour) % 24 for hour in range(min(count, 24))}


def _duration(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h" if span < _DAY else f"{span / _DAY:.1f} days"


#: section, measure, unit, where it stands in the document, 1 where more is better and -1 where less is.
_MEASURES: tuple[tuple[str, str, str, tuple[str, ...], int], ...] = (
    ("preservation", "preserved", "%", ("preservation", "preserved_pct"), 1),
    ("preservation", "recoverable", "%", ("preservation", "recoverable_pct"), 0),
    *(
        ("preservation", f"of class {name}", "%", ("preservation", "classes", name, "pct"), better)
        for name, better in (("client", 1), ("node", -1), ("lb", -1), ("private", 0), ("unknown", 0))
    ),
    ("trust", "verdict", "", ("trust", "verdict"), 0),
    ("trust", "forged requests", "", ("trust", "forged_requests"), -1),
    ("skew", "verdict", "", ("skew", "verdict"), 0),
    ("skew", "max over mean", "", ("skew", "max_over_mean"), -1),
    ("skew", "coefficient of variation", "", ("skew", "cv"), -1),
    ("skew", "Gini", "", ("skew", "gini"), -1),
    ("geo", "verdict", "", ("geo", "verdict"), 0),
    ("geo", "locatable", "%", ("geo", "locatable_pct"), 1),
    ("rate limit", "verdict", "", ("rate_limit", "verdict"), 0),
    ("rate limit", "on shared addresses", "%", ("rate_limit", "shared_key_pct"), -1),
    ("rate limit", "keys", "", ("rate_limit", "keys"), 0),
    ("rate limit", "suggested limit-rps", "", ("rate_limit", "suggested", "limit_rps"), 0),
)
_FAULTS = ("proxy_", "broken_", "limiting_")
"""Signals that somebody suffers from; TLS to a plain listener is mostly a scanner's."""
_HARDLY = {"skew": 0.05}
"""Differences that are no news."""
_RANKS = {
    "trust": ("spoofed", "exposed", "cannot-tell", "sound"),
    "skew": ("uneven", "unknown", "even"),
    "geo": ("not-ready", "partly", "unknown", "ready"),
    "rate limit": ("not-ready", "partly", "unknown", "ready"),
}
"""Verdicts, the worst first."""


def _changes(before: Json, after: Json) -> Iterator[Change]:
    comparable = before["skew"]["by"] == after["skew"]["by"]
    for section, measure, unit, place, direction in _MEASURES:
        if section == "skew" and not comparable:
            continue
        values = _at(before, place), _at(after, place)
        if values != (None, None):
            yield _change((section, measure, unit), values, direction)
    limits = [
        {(each["controller"], each["limit"]): each["rejected_pct"] for each in side["rate_limit"]["simulations"]}
        for side in (before, after)
    ]
    for key in limits[0]:
        if key in limits[1]:
            yield _change(("rate limit", f"rejected by {key[1]}", "%"), (limits[0][key], limits[1][key]), -1)
    for name in dict.fromkeys((*before["signals"], *after["signals"])):
        counts = before["signals"].get(name, 0), after["signals"].get(name, 0)
        if any(counts):
            yield _change(("signals", name.replace("_", " "), ""), counts, -1 if name.startswith(_FAULTS) else 0)


def _at(document: Json, place: tuple[str, ...]) -> Value:
    value: Any = document
    for key in place:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, (int, float, str)) else None


def _change(what: tuple[str, str, str], values: tuple[Value, Value], direction: int) -> Change:
    before, after = values
    difference, better = None, None
    if isinstance(before, str) and isinstance(after, str):
        ranks = _RANKS.get(what[0], ())
        if before != after and before in ranks and after in ranks:
            better = ranks.index(after) > ranks.index(before)
    elif isinstance(before, (int, float)) and isinstance(after, (int, float)):
        difference = round(after - before, 4)
        if direction and abs(difference) > _HARDLY.get(what[0], 0):
            better = (difference > 0) == (direction > 0)
    return Change(*what, before, after, difference, better)


def _findings(before: Json, after: Json) -> list[FindingChange]:
    sides = [{finding["id"]: finding for finding in side.get("findings") or []} for side in (before, after)]
    found = []
    for id_, finding in {**sides[0], **sides[1]}.items():
        state: Literal["gone", "new", "still"] = (
            "still" if all(id_ in side for side in sides) else "new" if id_ in sides[1] else "gone"
        )
        found.append(FindingChange(state, id_, finding["severity"], finding["title"]))
    order = {"new": 0, "still": 1, "gone": 2}
    return sorted(found, key=lambda each: order[each.state])
