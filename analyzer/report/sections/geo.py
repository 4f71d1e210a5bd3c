"""Whether addresses can be located."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.readings.shares import percent
from analyzer.report.sections import READY, SAMPLES, SHOWN
from analyzer.report.text import percentage

if TYPE_CHECKING:
    from analyzer.readings.geo import Geo
    from analyzer.readings.preservation import Preservation
    from analyzer.report.page import Page


def geo(page: Page, reading: Geo, preservation: Preservation) -> None:
    """Write the section."""
    parts = [READY[reading.verdict]]
    if reading.locatable_pct is not None:
        can = "can be located" if reading.database else "could be located by a geo database (--geoip)"
        parts.append(f"{percentage(reading.locatable_pct)} % of requests {can}")
        lost = percent(preservation.considered - preservation.preserved, preservation.considered)
        if lost:
            parts.append(f"{percentage(lost)} % would be judged by the address of another machine")
    parts += [f"{country.code} {percentage(country.pct)} %" for country in reading.countries[:SHOWN]]
    parts += [f"AS{each.asn} {each.name or ''} {percentage(each.pct)} %" for each in reading.asns[:SAMPLES]]
    page.section("Geo", parts)
