"""The verdict in three lines: how much is preserved, why not, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.findings.model import leading
from analyzer.readings.shares import percent
from analyzer.report.page import GAP, INDENT, first_that_fits
from analyzer.report.sections import LOST
from analyzer.report.sections.addresses import left_out
from analyzer.report.text import number, percentage, size

if TYPE_CHECKING:
    from analyzer.findings.model import Finding
    from analyzer.readings.preservation import KindRow, Preservation
    from analyzer.report.model import Report
    from analyzer.report.page import Page


HEADLINES = {
    "preserved": ("PRESERVED", "bold green"),
    "partly": ("PARTLY PRESERVED", "bold yellow"),
    "not-preserved": ("NOT PRESERVED", "bold red"),
    "unknown": ("CANNOT TELL", "bold yellow"),
}
_NOUNS = {"node": "node address", "lb": "load balancer address", "private": "private address"}


def headline(page: Page, report: Report) -> None:
    """Write the verdict."""
    reading = report.preservation
    verdict, style = HEADLINES[reading.verdict]
    width = len(verdict) + len(GAP)
    room = page.width - len(INDENT) - width
    share = percentage(reading.preserved_pct)
    of = f"{number(reading.preserved)} of {number(reading.considered)}"
    line = first_that_fits(
        room,
        f"{share} % of visitors keep their IP   {of} requests",
        f"{share} % of visitors keep their IP   {of}",
        f"{share} % keep their IP   {of}",
        f"{share} %   {of}",
    )
    if reading.verdict == "unknown":
        line = f"none of {size(reading.requests, 'request')} can be judged"
    page.line(line, label=f"{verdict:<{width}}", label_style=style)
    found = leading(report.findings, lost=reading.verdict in LOST)
    if found is None:
        page.line(because(reading, room, report.input.parsed), label=f"{'because':<{width}}")
        step = next_step(report)
        if step:
            page.line(step, label=f"{'next':<{width}}")
    else:
        page.words("because", found.because, width=width)
        _fix(page, found, room, width)
    page.blank()


def because(reading: Preservation, room: int, parsed: int) -> str:
    """Say, from the numbers, what stands in for visitors."""
    if reading.verdict == "unknown":
        if reading.requests:
            return left_out(reading)
        return "no request lies in that time" if parsed else "no line could be read as an access-log line"
    by_class: dict[str, list[KindRow]] = {}
    for row in reading.kinds:
        if row.class_ in _NOUNS and row.considered > row.preserved:
            by_class.setdefault(row.class_, []).append(row)
    stand_ins = sorted(by_class.items(), key=lambda item: -sum(row.considered - row.preserved for row in item[1]))
    if not stand_ins:
        return "no node, load balancer or private address stands in for a visitor"
    brief: list[str] = []
    full: list[str] = []
    for class_, rows in stand_ins:
        addresses = sum(row.addresses for row in rows)
        who = size(addresses, _NOUNS[class_], _NOUNS[class_] + "es")
        kinds = ", ".join(row.kind for row in rows)
        verb = "" if full else " stands" if addresses == 1 else " stand"
        share = percentage(percent(sum(row.considered - row.preserved for row in rows), reading.considered))
        brief.append(f"{who}{verb} for {share} %")
        full.append(f"{who} ({kinds}){verb} for {share} %")
    lists = [full, [full[0], *brief[1:]], brief, full[:1], brief[:1]]
    ends = (" of requests", "")
    return first_that_fits(room, *(", ".join([part[0] + end, *part[1:]]) for part in lists for end in ends))


def _fix(page: Page, found: Finding, room: int, width: int) -> None:
    """Say what mends it: what to paste where that fits on the line, else in words; and where the rest stands."""
    explain = f"logscan explain {found.id}"
    if not found.fixes:
        page.line(explain, label=f"{'more':<{width}}")
        return
    fix = found.fixes[0]
    if fix.patch is not None and "\n" not in fix.patch and first_that_fits(room, fix.patch, "") == fix.patch:
        page.line(fix.patch, label=f"{'fix':<{width}}")
    else:
        page.words("fix", fix.text, width=width)
    page.line(explain, "dim", label=" " * width)


def next_step(report: Report) -> str | None:
    """Say what is missing, if anything is."""
    reading = report.preservation
    if report.input.parsed == 0:
        return "give --log-format with the log_format of the controller" if report.input.lines else None
    if reading.verdict not in LOST:
        return None
    lost = [row for row in reading.kinds if row.class_ in ("node", "private")]
    if lost and report.input.cluster is None:
        return "give --cluster cluster.json to name the nodes"
    if any(row.class_ == "private" and row.kind not in ("pod", "service") for row in lost):
        return "say what they are with --node, --lb or --client CIDR"
    return None
