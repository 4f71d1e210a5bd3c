"""What the remote addresses are, class by class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.report.page import GAP, INDENT, broken, flow
from analyzer.report.text import number, percentage, printable, size

if TYPE_CHECKING:
    from analyzer.readings.preservation import Preservation
    from analyzer.report.page import Page


_COUNT = 16
"""Columns of a number in the list of addresses."""


def addresses(page: Page, reading: Preservation) -> None:
    """Write the list of kinds."""
    names = [f"{row.class_:<8}{printable(row.kind, limit=16)}" for row in reading.kinds]
    if not reading.requests:
        return
    first = max([len("Remote addresses"), *map(len, names)])
    page.line(f"{'requests':>{_COUNT}}{'%':>8}{'addresses':>12}", "bold", label=f"{'Remote addresses':<{first}}")
    for name, row in zip(names, reading.kinds, strict=True):
        counts = f"{number(row.considered):>{_COUNT}}{percentage(row.pct):>8}{number(row.addresses):>12}"
        page.line(counts, label=f"{name:<{first}}", label_style="green" if row.preserved == row.considered else "red")
        examples = [*row.examples, "..."] if row.addresses > len(row.examples) and row.examples else row.examples
        details = [" ".join(examples), merge(row.rules)] if examples else []
        if row.class_ != "client" and row.preserved:
            details.insert(0, f"{number(row.preserved)} requests of addresses like one person each are preserved")
        room = page.width - len(INDENT) - 8
        for line in flow(broken(details, room), room, GAP):
            page.line(line, "dim", label=" " * 8)
    page.words("left out:", left_out(reading), "dim", label_style="dim", width=len("left out: "))


def left_out(reading: Preservation) -> str:
    """Say what does not count for the share."""
    excluded = reading.excluded
    line = (
        f"{size(excluded.health_probe, 'health probe')}, {size(excluded.unparsed_request, 'unreadable request')}, "
        f"{number(excluded.in_cluster)} from pods"
    )
    return f"{line}, {number(excluded.unknown)} without an address" if excluded.unknown else line


def merge(rules: list[str]) -> str:
    """Join rules that differ in their last word alone: ``podCIDR of worker-1, worker-2``; one inferred is enough."""
    inferred = [rule for rule in rules if rule.startswith("inferred: ")]
    merged: dict[str, list[str]] = {}
    for rule in rules:
        if rule in inferred[1:]:
            continue
        start, _, end = rule.rpartition(" ")
        merged.setdefault(start, []).append(end)
    return "; ".join(f"{start} {', '.join(ends)}".strip() for start, ends in merged.items())
