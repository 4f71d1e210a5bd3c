"""The verdict, why, and what next."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from analyzer.findings.model import leading
from analyzer.readings.shares import percent
from analyzer.report.document import TONES, Headline, Share, Verdict
from analyzer.report.sections import LOST
from analyzer.report.sections.headline import HEADLINES, because, next_step
from analyzer.report.text import number, percentage, size

if TYPE_CHECKING:
    from analyzer.readings.preservation import Preservation
    from analyzer.report.model import Report


def headline(report: Report) -> Headline:
    """Say it."""
    reading = report.preservation
    name, _ = HEADLINES[reading.verdict]
    found = leading(report.findings, lost=reading.verdict in LOST)
    if found is None:
        lines = {"Because": because(reading, sys.maxsize, report.input.parsed)}
        step = next_step(report)
        if step:
            lines["Next"] = step
    else:
        lines = {"Because": found.because}
        if found.fixes:
            lines["Fix"] = found.fixes[0].text
    return Headline(
        Verdict(name.capitalize(), TONES.get(reading.verdict, "plain")), _share(reading), lines, _stack(reading)
    )


def _share(reading: Preservation) -> str:
    if reading.verdict == "unknown":
        return f"none of {size(reading.requests, 'request')} can be judged"
    share, of = percentage(reading.preserved_pct), f"{number(reading.preserved)} of {number(reading.considered)}"
    return f"{share} % of visitors keep their IP: {of} requests"


def _stack(reading: Preservation) -> dict[str, Share]:
    """Shares of what is preserved and of what stands in for the rest, by class."""
    counts = {"preserved": reading.preserved}
    for row in reading.kinds:
        lost = row.considered - row.preserved
        if lost:
            counts[row.class_] = counts.get(row.class_, 0) + lost
    return {
        name: Share(percent(count, reading.considered), "good" if name == "preserved" else "bad")
        for name, count in counts.items()
        if count
    }
