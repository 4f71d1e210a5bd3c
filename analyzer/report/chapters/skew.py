"""How evenly nodes, zones, pods or sources are used, over time, and who was away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.report.document import (
    NUMBERS,
    TONES,
    Cell,
    Figure,
    Fold,
    Paragraph,
    Part,
    Quoted,
    Section,
    Share,
    Topic,
    Verdict,
    sentence,
    table,
)
from analyzer.report.sections.skew import where
from analyzer.report.text import duration, number, percentage, size

if TYPE_CHECKING:
    from analyzer.readings.skew import Grouping, Skew

IDLE_NAMES = 20


def skew(reading: Skew) -> Section:
    """Write the chapter."""
    parts = _grouping(reading)
    if reading.over_time:
        last = [point for point in reading.over_time if point.time == reading.over_time[-1].time]
        shares = ", ".join(f"{point.name} {percentage(point.share_pct)} %" for point in last)
        parts.insert(1, Figure(reading.plot_over_time(), f"Shares over time, at last {shares}"))
    for each in reading.also:
        title = where(each)
        if each.verdict == "uneven":
            parts.append(Topic(title[:1].upper() + title[1:], _verdict(each), _grouping(each)))
        else:
            parts.append(Fold(f"Over {title}: {each.verdict}", _grouping(each)))
    return Section("skew", "Skew", parts, _verdict(reading))


def _verdict(each: Grouping) -> Verdict:
    name = "Cannot tell" if each.verdict == "unknown" else each.verdict.capitalize()
    return Verdict(name, TONES.get(each.verdict, "plain"))


def _grouping(each: Grouping) -> list[Part]:
    said = sentence(each.reason)
    if each.max_over_mean is not None:
        said += (
            f" Over {where(each)} the busiest carries {each.max_over_mean:.2f} times the mean "
            f"(coefficient of variation {each.cv:.2f}, Gini {each.gini:.2f})."
        )
    parts: list[Part] = [Paragraph((said,))]
    if each.groups:
        parts.append(_groups(each))
    if each.unlisted:
        parts.append(Paragraph((f"And {number(each.unlisted)} more {each.by}s.",)))
    if each.unattributed and each.groups:
        parts.append(Paragraph((f"{size(each.unattributed, 'request')} belong to none of them.",)))
    if each.interruptions:
        stretches: list[list[Cell]] = [
            [Quoted(stretch.name), f"{stretch.start:%Y-%m-%d %H:%M:%S}", duration(stretch.seconds), stretch.kind]
            for stretch in each.interruptions
        ]
        caption = f"Without traffic while the others had some: {number(each.interrupted)}"
        parts.append(table(caption, ("Name", "From (UTC)", "For", "Kind"), stretches, numeric=(2,)))
    if each.idle:
        more = len(each.idle) + each.idle_unlisted - IDLE_NAMES
        named = [
            part
            for name in each.idle[:IDLE_NAMES]
            for part in (Quoted(name), f" ({each.idle_because[name]})" if each.idle_because.get(name) else "", ", ")
        ][:-1]
        parts.append(Paragraph(("Idle: ", *named, f" and {number(more)} more." if more > 0 else ".")))
    return parts


def _groups(each: Grouping) -> Part:
    optional = {
        "Pods": [number(group.pods) if group.pods else None for group in each.groups],
        "Bytes %": [_percentage(group.bytes_pct) for group in each.groups],
        "Upstream time %": [_percentage(group.upstream_pct) for group in each.groups],
        "If even by pod %": [_percentage(group.by_pod_pct) for group in each.groups],
        "If even by node %": [_percentage(group.by_node_pct) for group in each.groups],
    }
    known = {name: column for name, column in optional.items() if any(column)}
    rows: list[list[Cell]] = [
        [
            Quoted(group.name),
            Share(group.share_pct),
            number(group.requests),
            *(column[at] or "-" for column in known.values()),
        ]
        for at, group in enumerate(each.groups)
    ]
    return table(f"Requests by {each.by}", ("Name", "%", "Requests", *known), rows, numeric=NUMBERS)


def _percentage(value: float | None) -> str | None:
    return None if value is None else percentage(value)
