"""How evenly nodes, pods or sources are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.report.sections import NAME, SHOWN, more
from analyzer.report.text import percentage, printable, size

if TYPE_CHECKING:
    from analyzer.readings.skew import Skew
    from analyzer.report.page import Page


def skew(page: Page, reading: Skew) -> None:
    """Write the section."""
    where = f"{reading.by}s" if reading.basis == "serving" else "the nodes that requests enter through"
    parts = [
        f"{printable(group.name, limit=NAME)} {percentage(group.share_pct)} %{_pods(reading, group.pods)}"
        for group in reading.groups[:SHOWN]
    ]
    parts += more(len(reading.groups) - SHOWN)
    if reading.verdict != "unknown":
        parts.insert(0, f"{reading.verdict} over {where} (max/mean {reading.max_over_mean:.2f})")
    elif reading.groups:
        parts = [f"cannot tell: {where} known: {len(reading.groups)}", *parts]
    else:
        parts = ["cannot tell: the sources name no node or pod"]
    page.section("Skew", parts)
    if reading.idle:
        first, *others = [printable(name, limit=NAME) for name in reading.idle[:SHOWN]]
        page.section("", [f"idle: {first}", *others, *more(len(reading.idle) - SHOWN)], gap=", ")


def _pods(reading: Skew, pods: int | None) -> str:
    return f" ({size(pods, 'pod')})" if pods and reading.by == "node" else ""
