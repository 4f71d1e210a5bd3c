"""Whether addresses can be located."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.readings.shares import percent
from analyzer.report.sections import READY, SAMPLES, SHOWN, more
from analyzer.report.text import number, percentage, size

if TYPE_CHECKING:
    from analyzer.readings.geo import AsnClass, Geo
    from analyzer.readings.geo_rules import RuleHit
    from analyzer.readings.preservation import Preservation
    from analyzer.report.page import Page


def geo(page: Page, reading: Geo, preservation: Preservation) -> None:
    """Write the section."""
    parts = [READY[reading.verdict]]
    parts += located(reading, preservation)
    if preservation.preserved < preservation.considered and reading.locatable_if_recovered_pct is not None:
        parts.append(f"{percentage(reading.locatable_if_recovered_pct)} % if logged clients were used")
    parts += [f"{country.code} {percentage(country.pct)} %" for country in reading.countries[:SHOWN]]
    parts += [f"AS{each.asn} {each.name or ''} {percentage(each.pct)} %" for each in reading.asns[:SAMPLES]]
    page.section("Geo", parts)
    page.section("", [warning(each) for each in reading.asn_classes])
    for rule in reading.rules:
        page.section("", hit(rule))
    page.section("", [database(each) for each in reading.database or ()])


def located(reading: Geo, preservation: Preservation) -> list[str]:
    """What share of requests can be located, and what share would be mistaken."""
    if reading.locatable_pct is None:
        return []
    known = any("country" in str(each["knows"]) for each in reading.database or ())
    can = "can be located" if known else "could be located by a geo database (--geoip)"
    said = [f"{percentage(reading.locatable_pct)} % of requests {can}"]
    lost = percent(preservation.considered - preservation.preserved, preservation.considered)
    if lost:
        said.append(f"{percentage(lost)} % would be judged by the address of another machine")
    return said


def warning(each: AsnClass) -> str:
    """What addresses of a CDN or of a data centre mean."""
    what = "CDNs, whose address stands for others" if each.class_ == "cdn" else "data centres: programs, proxies, VPNs"
    return f"{percentage(each.pct)} % come from {what}"


def hit(rule: RuleHit) -> list[str]:
    """What a rule would do."""
    values = " ".join([*rule.values[:SAMPLES], *more(len(rule.values) - SAMPLES)])
    addresses = size(rule.rejected_addresses, "address", "addresses")
    return [
        f"{rule.rule} {values} would reject {percentage(rule.rejected_pct)} % of requests",
        f"{addresses}: {size(rule.rightly, 'request')} rightly, {number(rule.wrongly)} wrongly",
        f"{percentage(rule.unseen_pct)} % get in unseen" if rule.unseen else "",
    ]


def database(each: dict[str, object]) -> str:
    """Which database, and how old it was when the log ended."""
    age = each["age_days"]
    old = f", {number(age)} days before the last request" if isinstance(age, int) and age > 0 else ""
    return f"{each['type']} of {str(each['built'])[:10]}{old}"
