"""How the share changes over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.report.page import INDENT, LABEL
from analyzer.report.text import percentage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.readings.timeline import Timeline
    from analyzer.report.page import Page


_SPARKS = "▁▂▃▄▅▆▇█"


def timeline(page: Page, reading: Timeline) -> None:
    """Write the section."""
    points = [point for point in reading.points if point.considered]
    if len(points) < 2:
        return
    room = min(len(points), page.width - len(INDENT) - LABEL - 22)
    shares = []
    for index in range(room):
        part = points[index * len(points) // room : (index + 1) * len(points) // room]
        shares.append(sum(point.preserved for point in part) / sum(point.considered for point in part))
    lowest, highest = (percentage(100 * share) for share in (min(shares), max(shares)))
    page.section("Timeline", [spark_line(shares), f"{lowest} to {highest} %"])


def spark_line(shares: Iterable[float | None]) -> str:
    """Draw shares of 1, a column each; a blank where there is none."""
    return "".join(" " if share is None else _SPARKS[int(share * (len(_SPARKS) - 1))] for share in shares)
