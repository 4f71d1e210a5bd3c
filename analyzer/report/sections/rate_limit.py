"""What rate limits would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.readings.shares import percent
from analyzer.report.sections import READY
from analyzer.report.text import number, percentage, printable, size

if TYPE_CHECKING:
    from analyzer.readings.rate_limit import RateLimit
    from analyzer.report.page import Page


def rate_limit(page: Page, reading: RateLimit) -> None:
    """Write the section."""
    parts = [READY[reading.verdict]]
    if reading.shared_keys:
        who = size(reading.shared_keys, "shared address", "shared addresses")
        verb = "stands" if reading.shared_keys == 1 else "stand"
        parts.append(f"{who} {verb} for {percentage(reading.shared_key_pct)} % of requests")
    elif reading.keys:
        parts.append("no address is shared by many visitors")
    if reading.suggested:
        parts.append(f"smallest limit that spares visitors: limit-rps {reading.suggested.limit_rps}")
    page.section("Rate limits", parts)
    if not any(each.rejected_high for each in reading.simulations):
        if reading.simulations and reading.keys:
            page.section("", ["none of the simulated limits would reject a request"])
        return
    rows = [("limit", "burst", "rejected %", "low to high", "on shared %")]
    harmless = [each for each in reading.simulations if not each.rejected_high]
    for each in reading.simulations:
        if each in harmless[1:]:  # one limit that rejects nothing says it for all
            continue
        low, high = percent(each.rejected_low, each.requests), percent(each.rejected_high, each.requests)
        rows.append(
            (
                printable(each.limit, limit=20),
                number(each.burst),
                percentage(each.rejected_pct),
                f"{percentage(low)} to {percentage(high)}",
                percentage(each.rejected_on_shared_keys_pct),
            )
        )
    first = max(len(row[0]) for row in rows)
    for index, (limit, burst, *shares) in enumerate(rows):
        line = f"{limit:<{first}}{burst:>7}{shares[0]:>12}{shares[1]:>15}{shares[2]:>13}"
        page.section("", [line], style="" if index else "dim")
