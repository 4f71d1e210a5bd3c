"""How evenly nodes, zones, pods or sources are used, and who was away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.report.sections import NAME, SHOWN, more
from analyzer.report.text import duration, percentage, printable, size

if TYPE_CHECKING:
    from analyzer.readings.interruptions import Interruption
    from analyzer.readings.skew import Group, Grouping, Skew
    from analyzer.report.page import Page

#: From here a measure other than requests is worth a word of its own.
_WORTH = 1.2


def skew(page: Page, reading: Skew) -> None:
    """Write the section."""
    parts = [*_verdict(reading), *(_group(reading, group) for group in reading.groups[:SHOWN])]
    page.section("Skew", [*parts, *more(len(reading.groups) - SHOWN)])
    page.section("", _costs(reading))
    for each in reading.also:
        if each.verdict == "uneven":
            page.section("", [*_verdict(each), *(_group(each, group) for group in each.groups[:SHOWN])])
    page.section("", [_stretch(each) for each in reading.interruptions[:SHOWN]])
    page.section("", more(reading.interrupted - SHOWN))
    if reading.idle:
        first, *others = [_idle(reading, name) for name in reading.idle[:SHOWN]]
        page.section("", [f"idle: {first}", *others, *more(len(reading.idle) - SHOWN)], gap=", ")


def _verdict(each: Grouping) -> list[str]:
    if each.verdict == "unknown":
        return [f"cannot tell: {each.reason}"]
    where = f"{each.by}s" if each.basis == "serving" else f"the {each.by}s that requests enter through"
    return [f"{each.verdict} over {where} (max/mean {each.max_over_mean:.2f})", each.reason]


def _group(each: Grouping, group: Group) -> str:
    pods = f" ({size(group.pods, 'pod')})" if group.pods and each.by in {"node", "zone"} else ""
    return f"{printable(group.name, limit=NAME)} {percentage(group.share_pct)} %{pods}"


def _costs(reading: Skew) -> list[str]:
    return [
        f"{each.measure.replace('_', ' ')}: max/mean {each.max_over_mean:.2f}, {printable(each.busiest, limit=NAME)}"
        for each in reading.spreads
        if each.measure != "requests" and each.max_over_mean > _WORTH
    ]


def _stretch(each: Interruption) -> str:
    name, start, end = printable(each.name, limit=NAME), f"{each.start:%m-%d %H:%M:%S}", f"{each.end:%m-%d %H:%M:%S}"
    if each.kind == "began":
        return f"{name} had no traffic before {end}"
    if each.kind == "ended":
        return f"{name} had no traffic from {start} on"
    return f"{name} had no traffic from {start} for {duration(each.seconds)}"


def _idle(reading: Skew, name: str) -> str:
    because = reading.idle_because.get(name)
    return printable(name, limit=NAME) + (f" ({because})" if because else "")
