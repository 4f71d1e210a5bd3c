"""What ``logscan state show`` says: for a person, or as JSON with the field names of `Summary` as keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from analyzer.report.json import to_json

if TYPE_CHECKING:
    from analyzer.state.summary import Summary

#: Days that are listed.
_DAYS = 31


def render(found: Summary, format_name: str, stream: TextIO | None) -> str:
    """Write a summary."""
    if format_name == "json":
        return to_json(found)
    return _table(found, stream)


def _table(found: Summary, stream: TextIO | None) -> str:
    from analyzer.report.page import Page  # noqa: PLC0415 - JSON needs no rich
    from analyzer.report.text import number, size  # noqa: PLC0415

    page = Page.to_fit(stream)
    page.section("State", [found.url])
    page.section(
        "written",
        [f"{found.written[:16].replace('T', ' ')} UTC", f"by logscan {found.written_by}", f"write {found.generation}"],
    )
    page.section("holds", [size(found.rows, "row"), f"{number(found.bytes)} bytes in {size(found.files, 'file')}"])
    settled = [f"{number(found.settled_logs)} settled"] if found.settled_logs else []
    page.section("logs", [size(found.logs, "log"), size(found.streams, "stream"), *settled])
    page.section(
        "lines",
        [size(found.lines, "line"), f"{number(found.parsed)} parsed", f"{number(found.rejected)} rejected"]
        + ([f"{number(found.waiting_bytes)} bytes wait for the end of their line"] if found.waiting_bytes else []),
    )
    if found.first_hour is not None and found.last_hour is not None:
        page.section("hours", [f"{found.first_hour:%Y-%m-%d %H:%M} to {found.last_hour:%Y-%m-%d %H:%M} UTC"])
    page.blank()
    for day in found.days[-_DAYS:]:
        label = "no time" if day.day is None else f"{day.day:%Y-%m-%d}"
        page.section(label, [f"{number(day.requests)} requests", size(day.addresses, "address", "addresses")])
    return page.write()
