"""What ``logscan watch`` tells: the readings of a window, and how it got there. Plain data, and one JSON line of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from analyzer.report.json import to_json
from analyzer.report.sections.headline import HEADLINES
from analyzer.report.text import number, percentage, printable

if TYPE_CHECKING:
    from datetime import datetime

    from analyzer.report.model import Report

SCHEMA = "logscan.watch/1"


@dataclass(frozen=True, slots=True)
class Noted:
    """A finding, since when it holds, and where it holds no more, until when."""

    id: str
    severity: str
    title: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Watched:
    """The readings of the last `window_seconds`.

    `lines` are all since the watching began. `shares` are requests considered and preserved in each part of the window,
    the oldest first. `others` are requests of addresses that are too many to be told apart: no list has them, and no
    count of addresses. `gone` are findings that held until a moment ago.
    """

    time: datetime
    window_seconds: float
    logs: int
    errors: list[str]
    formats: list[str]
    lines: int
    lines_per_second: float
    shares: list[tuple[int, int]]
    others: int
    findings: list[Noted]
    gone: list[Noted]
    ended: bool
    report: Report


def as_line(watched: Watched) -> str:
    """Write one line for a person, with a newline at the end."""
    reading = watched.report.preservation
    classes = " ".join(f"{name} {percentage(each.pct)}" for name, each in reading.classes.items() if each.requests)
    parts = [
        f"{watched.time:%Y-%m-%dT%H:%M:%SZ}",
        HEADLINES[reading.verdict][0],
        f"{percentage(reading.preserved_pct)} %",
        f"{number(reading.preserved)} of {number(reading.considered)}",
        f"{number(round(watched.lines_per_second))} lines/s",
        classes,
        ", ".join(found.id for found in watched.findings),
    ]
    return printable("  ".join(filter(None, parts))) + "\n"


def as_json(watched: Watched) -> str:
    """Write one JSON object on a line, schema ``logscan.watch/1``, with a newline at the end."""
    report, reading = watched.report, watched.report.preservation
    read = report.input
    document = {
        "schema": SCHEMA,
        "time": watched.time,
        "window_seconds": watched.window_seconds,
        "logs": watched.logs,
        "errors": watched.errors,
        "formats": watched.formats,
        "total_lines": watched.lines,
        "lines_per_second": watched.lines_per_second,
        **{name: getattr(read, name) for name in ("lines", "parsed", "rejected", "other")},
        "preservation": {
            **{name: getattr(reading, name) for name in ("verdict", "requests", "considered", "preserved")},
            "preserved_pct": reading.preserved_pct,
            "excluded": reading.excluded,
            "classes": reading.classes,
            "addresses": reading.addresses,
        },
        "shares": [{"considered": considered, "preserved": preserved} for considered, preserved in watched.shares],
        "others": {"requests": watched.others},
        "skew": {"by": report.skew.by, "verdict": report.skew.verdict, "groups": report.skew.groups},
        "signals": report.signals,
        "findings": watched.findings,
        "gone": watched.gone,
    }
    return to_json(document, indent=False)
