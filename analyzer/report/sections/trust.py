"""Whether the logged addresses can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.readings.trust import summary
from analyzer.report.sections import NAME
from analyzer.report.text import printable, size

if TYPE_CHECKING:
    from analyzer.readings.trust import Trust
    from analyzer.report.page import Page


def trust(page: Page, reading: Trust) -> None:
    """Write the section, with the first example of a forged address."""
    page.section("Trust", " ".join(f"{part}." for part in summary(reading)).split(), gap=" ")
    for example in reading.examples[:1]:
        parts = [f"for example {example.remote_addr or '-'}", size(example.requests, "request")]
        if example.x_forwarded_for is not None:
            parts.insert(1, f"X-Forwarded-For: {printable(example.x_forwarded_for, limit=NAME)}")
        page.section("", parts)
