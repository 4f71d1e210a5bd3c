"""How evenly nodes, pods or sources are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.report.document import NUMBERS, TONES, Cell, Paragraph, Part, Quoted, Section, Share, Verdict, table
from analyzer.report.text import number, size

if TYPE_CHECKING:
    from analyzer.readings.skew import Skew

IDLE_NAMES = 20


def skew(reading: Skew) -> Section:
    """Write the chapter."""
    known = reading.verdict != "unknown"
    verdict = Verdict(reading.verdict.capitalize() if known else "Cannot tell", TONES.get(reading.verdict, "plain"))
    where = f"{reading.by}s" if reading.basis == "serving" else "the nodes that requests enter through"
    if not reading.groups:
        nothing = Paragraph(("The sources name no node or pod.",))
        return Section("skew", "Skew", [nothing], verdict)
    parts: list[Part] = []
    if known:
        spread = f"coefficient of variation {reading.cv:.2f}, Gini {reading.gini:.2f}"
        said = f"Over {where}: the busiest carries {reading.max_over_mean:.2f} times the mean ({spread})."
        parts.append(Paragraph((said,)))
    if reading.unattributed:
        parts.append(Paragraph((f"{size(reading.unattributed, 'request')} belong to none of them.",)))
    rows: list[list[Cell]] = [
        [Quoted(group.name), Share(group.share_pct), number(group.requests), number(group.pods) if group.pods else "-"]
        for group in reading.groups
    ]
    parts.append(table(f"Requests by {reading.by}", ("Name", "%", "Requests", "Pods"), rows, numeric=NUMBERS))
    if reading.idle:
        more = len(reading.idle) - IDLE_NAMES
        names = [part for name in reading.idle[:IDLE_NAMES] for part in (Quoted(name), ", ")][:-1]
        parts.append(Paragraph(("Idle: ", *names, f" and {number(more)} more." if more > 0 else ".")))
    return Section("skew", "Skew", parts, verdict)
