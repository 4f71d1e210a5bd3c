"""How evenly nodes, zones, pods or sources are used, and who was away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len

from analyzer.report.page import INDENT, LABEL
from analyzer.report.sections import NAME, SHOWN, more
from analyzer.report.text import duration, percentage, printable, size

if TYPE_CHECKING:
    from analyzer.readings.interruptions import Interruption
    from analyzer.readings.skew import Group, Grouping, Skew
    from analyzer.report.page import Page

#: Columns of the longest bar.
BAR = 24
#: With fewer columns a bar tells nothing.
_SHORTEST = 6
_EIGHTHS = "▏▎▍▌▋▊▉"
#: From here a measure other than requests is worth a word of its own.
_WORTH = 1.2


def skew(page: Page, reading: Skew) -> None:
    """Write the section."""
    _grouping(page, "Skew", reading)
    page.section("", _costs(reading))
    for each in reading.also:
        if each.verdict == "uneven":
            _grouping(page, "", each)
    page.section("", [_stretch(each) for each in reading.interruptions[:SHOWN]])
    page.section("", more(reading.interrupted - SHOWN))
    if reading.idle:
        first, *others = [_idle(reading, name) for name in reading.idle[:SHOWN]]
        page.section(
            "", [f"idle: {first}", *others, *more(len(reading.idle) + reading.idle_unlisted - SHOWN)], gap=", "
        )


def where(each: Grouping) -> str:
    """What a grouping is over."""
    return f"{each.by}s" if each.basis == "serving" else f"the {each.by}s that requests enter through"


def _verdict(each: Grouping) -> list[str]:
    if each.verdict == "unknown":
        return [f"cannot tell: {each.reason}"]
    return [f"{each.verdict} over {where(each)} (max/mean {each.max_over_mean:.2f})", each.reason]


def _grouping(page: Page, label: str, each: Grouping) -> None:
    """Write the verdict, and a line with a bar for each of several groups."""
    shown = [group for group in each.groups[:SHOWN] if group.share_pct is not None]
    if len(shown) < 2:
        page.section(label, [*_verdict(each), *(" ".join(_group(each, group)).strip() for group in shown)])
        return
    page.section(label, _verdict(each))
    rows = [_group(each, group) for group in shown]
    name, share, pods = (max(map(cell_len, column)) for column in zip(*rows, strict=True))
    room = min(page.width - len(INDENT) - LABEL - name - share - pods - 3, BAR)
    most = max(group.requests for group in shown) or 1
    for group, row in zip(shown, rows, strict=True):
        first = row[0] + " " * (name - cell_len(row[0]))
        page.section("", [f"{first} {row[1]:>{share}} {row[2]:<{pods}} {_bar(group.requests / most, room)}".rstrip()])
    page.section("", more(len(each.groups) + each.unlisted - SHOWN))


def _group(each: Grouping, group: Group) -> tuple[str, str, str]:
    pods = f"({size(group.pods, 'pod')})" if group.pods and each.by in {"node", "zone"} else ""
    return printable(group.name, limit=NAME), f"{percentage(group.share_pct)} %", pods


def _bar(share: float, room: int) -> str:
    """Draw a part of so many columns, to an eighth of a column."""
    if room < _SHORTEST:
        return ""
    eighths = round(share * room * 8)
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8 - 1] if eighths % 8 else "")


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
