"""What the remote addresses are, class by class and one by one."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from analyzer.report.document import Cell, Paragraph, Part, Quoted, Section, Share, Tone, table
from analyzer.report.sections.addresses import left_out, merge
from analyzer.report.text import number, percentage, size

if TYPE_CHECKING:
    from analyzer.readings.preservation import KindRow, Preservation


SUSPECTED = 10
"""Most addresses of the list of those that may be proxies."""


def classes(reading: Preservation) -> Section | None:
    """Write the chapter of classes and kinds."""
    if not reading.requests:
        return None
    rows: list[list[Cell]] = [
        [
            Quoted(row.kind),
            row.class_,
            Share(row.pct, _tone(row)),
            number(row.considered),
            number(row.preserved),
            number(row.addresses),
            Quoted(", ".join(chain(row.examples, ["..."] if row.addresses > len(row.examples) > 0 else [])) or "-"),
            Quoted(merge(row.rules) or "-"),
        ]
        for row in reading.kinds
    ]
    kinds = table(
        "Requests by class and kind of their remote address",
        ("Kind", "Class", "%", "Requests", "Preserved", "Addresses", "Such as", "Known by"),
        rows,
        numeric=(2, 3, 4, 5),
    )
    formula = (
        f"{size(reading.requests, 'request')}, {number(reading.considered)} of them considered, "
        f"{number(reading.preserved)} preserved. Left out: {left_out(reading)}."
    )
    parts: list[Part] = [Paragraph((formula,)), kinds]
    if reading.recoverable_pct:
        recoverable = percentage(reading.recoverable_pct)
        said = f"The log holds the client of another {recoverable} % of requests beside the address."
        parts.insert(1, Paragraph((said,)))
    if reading.suspicions:
        suspected: list[list[Cell]] = [
            [Quoted(each.address), number(each.requests), percentage(100 * each.confidence), Quoted(each.evidence)]
            for each in reading.suspicions
        ]
        columns = ("Address", "Requests", "Confidence %", "Evidence")
        parts.append(table("Addresses that may be proxies", columns, suspected, numeric=(1, 2), most=SUSPECTED))
    return Section("classes", "Classes of addresses", parts)


def _tone(row: KindRow) -> Tone:
    if row.preserved == row.considered:
        return "good"
    return "warn" if row.preserved else "bad"


def addresses(reading: Preservation) -> Section | None:
    """Write the chapter of the busiest addresses."""
    if not reading.addresses:
        return None
    rows: list[list[Cell]] = [
        [
            Quoted(row.address),
            number(row.requests),
            row.class_,
            Quoted(row.kind),
            "-" if row.user_agents is None else number(row.user_agents),
            "-" if row.forwarded_clients is None else number(row.forwarded_clients),
            Quoted(row.rule),
        ]
        for row in reading.addresses
    ]
    busiest = table(
        "Addresses with the most requests",
        ("Address", "Requests", "Class", "Kind", "User agents", "Forwarded clients", "Known by"),
        rows,
        numeric=(1, 4, 5),
    )
    return Section("addresses", "Busiest addresses", [busiest])
