"""A full terminal of what is watched: as much as fits, the most telling first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.report.page import GAP, INDENT, LABEL, Page, first_that_fits
from analyzer.report.sections.addresses import addresses
from analyzer.report.sections.findings import STYLES
from analyzer.report.sections.headline import headline
from analyzer.report.sections.read import signals
from analyzer.report.sections.skew import skew
from analyzer.report.sections.timeline import spark_line
from analyzer.report.text import duration, number, percentage, size

if TYPE_CHECKING:
    from rich.text import Text

    from analyzer.readings.preservation import AddressRow
    from analyzer.report.watch import Noted, Watched

_MOST_WIDTH = 160


def screen(watched: Watched, columns: int, rows: int) -> list[Text]:
    """Lay out at most so many rows, none wider than so many columns."""
    page = Page(min(max(columns - 1, 20), _MOST_WIDTH))
    report, reading = watched.report, watched.report.preservation
    page.line(_state(watched, page.width - len(INDENT)), "reverse")
    for error in watched.errors[:3]:
        page.line(error, "red", label="error  ")
    page.blank()
    if not report.input.lines:
        page.line(f"no line in the last {duration(round(watched.window_seconds))}", label="waiting  ")
        page.blank()
    headline(page, report)
    considered = [share for share in watched.shares if share[0]]
    if considered:
        shares = [own / total if total else None for total, own in watched.shares]
        now = percentage(100 * considered[-1][1] / considered[-1][0])
        page.section("Preserved", [spark_line(shares), f"now {now} %"])
    for found in (*watched.findings, *watched.gone):
        _finding(page, found, watched)
    page.blank()
    addresses(page, reading)
    if watched.others:
        page.line(
            f"{size(watched.others, 'request')} of addresses too many to be told apart or counted",
            label=f"{'Others':<{LABEL}}",
        )
    page.blank()
    skew(page, report.skew)
    signals(page, report.signals)
    read = report.input
    page.line(
        f"{size(read.lines, 'line')} in the window, {number(read.rejected)} rejected, {number(read.other)} other"
        f"{GAP}{', '.join(watched.formats)}",
        "dim",
    )
    page.blank()
    for at, row in enumerate(reading.addresses):
        _address(page, row, first=at == 0)
    return page.lines[:rows]


def _state(watched: Watched, room: int) -> str:
    logs = size(watched.logs, "log")
    speed = f"{number(round(watched.lines_per_second))} lines/s"
    window = f"last {duration(round(watched.window_seconds))}"
    end = "input ended, q leaves" if watched.ended else "q leaves"
    clock = f"{watched.time:%H:%M:%S} UTC"
    parts = ["logscan watch", logs, speed, window, clock, end]
    return first_that_fits(room, GAP.join(parts), GAP.join(parts[1:]), GAP.join([speed, end]))


def _finding(page: Page, found: Noted, watched: Watched) -> None:
    moment = found.since if found.until is None else found.until
    age = duration(max(0, round((watched.time - moment).total_seconds())))
    if found.until is None:
        page.line(
            f"{found.title}{GAP}for {age}", label=f"{found.severity:<{LABEL}}", label_style=STYLES[found.severity]
        )
    else:
        page.line(f"{found.title}{GAP}gone {age} ago", "dim", label=f"{'gone':<{LABEL}}", label_style="green")


def _address(page: Page, row: AddressRow, *, first: bool) -> None:
    style = "green" if row.class_ == "client" else "red"
    label = f"{'Top' if first else '':<{LABEL}}"
    page.line(f"{number(row.requests):>12}  {row.address}  {row.class_} {row.kind}{GAP}{row.rule}", style, label=label)
