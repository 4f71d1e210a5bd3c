"""Whether addresses can be located."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.report.document import NUMBERS, TONES, Cell, Paragraph, Part, Quoted, Section, Share, Verdict, table
from analyzer.report.sections import READY
from analyzer.report.sections.geo import database, located, warning
from analyzer.report.text import number

if TYPE_CHECKING:
    from analyzer.readings.geo import Geo
    from analyzer.readings.preservation import Preservation


def geo(reading: Geo, preservation: Preservation) -> Section:
    """Write the chapter."""
    said = located(reading, preservation)
    parts: list[Part] = [Paragraph((f"{'. '.join(said)}.",))] if said else []
    if reading.countries:
        most = max(row.pct or 0.0 for row in reading.countries)
        rows: list[list[Cell]] = [
            [Quoted(row.code), Share(row.pct, largest=most), number(row.requests)] for row in reading.countries
        ]
        parts.append(table("Requests by country", ("Country", "%", "Requests"), rows, numeric=NUMBERS))
    if reading.asns:
        networks: list[list[Cell]] = [
            [f"AS{row.asn}", Share(row.pct), number(row.requests), Quoted(row.name or "")] for row in reading.asns
        ]
        parts.append(table("Requests by network", ("Network", "%", "Requests", "Name"), networks, numeric=(1, 2)))
    if reading.rules:
        hits: list[list[Cell]] = [
            [
                Quoted(f"{rule.rule} {' '.join(rule.values)}"),
                Share(rule.rejected_pct),
                number(rule.rightly),
                number(rule.wrongly),
                number(rule.unseen),
            ]
            for rule in reading.rules
        ]
        columns = ("Rule", "Rejects %", "Rightly", "Wrongly", "Let in unseen")
        parts.append(table("What rules would do", columns, hits, numeric=NUMBERS))
    parts += [Paragraph((f"{warning(each)}: ", Quoted(", ".join(each.names)), ".")) for each in reading.asn_classes]
    parts += [Paragraph((Quoted(database(each)), ".")) for each in reading.database or ()]
    parts += [Paragraph((f"What is missing for more: {need}.",)) for need in reading.needs]
    verdict = Verdict(READY[reading.verdict].capitalize(), TONES.get(reading.verdict, "plain"))
    return Section("geo", "Geo", parts, verdict)
