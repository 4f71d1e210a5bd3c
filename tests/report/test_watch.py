"""What is watched, on a screen and as lines."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from command import validator

from analyzer.report.watch import Noted, Watched, as_json, as_line
from analyzer.report.watch_screen import screen

if TYPE_CHECKING:
    from analyzer.findings.model import Finding
    from analyzer.report.model import Report

NOW = datetime(2026, 11, 21, 7, 8, 9, tzinfo=UTC)


@pytest.fixture
def watched(report: Report, finding: Finding) -> Watched:
    """Some minutes of a busy log."""
    before = NOW - timedelta(seconds=70)
    return Watched(
        time=NOW,
        window_seconds=300.0,
        logs=2,
        errors=["b.log: cannot be read: Permission denied\x1b[2J"],
        formats=["ingress-nginx"],
        lines=7_000_000,
        lines_per_second=99_999.6,
        shares=[(0, 0), (10, 1), (10, 9)],
        others=227_004,
        findings=[Noted(finding.id, finding.severity, finding.title, before, None)],
        gone=[Noted("other", "warning", "Another one", before, NOW)],
        ended=False,
        report=report,
    )


@pytest.mark.parametrize(("columns", "rows"), [(120, 50), (60, 15), (20, 3), (400, 100)])
def test_a_screen_fits(watched: Watched, columns: int, rows: int) -> None:
    """No line is wider than the terminal, and there are no more of them; nothing drives it."""
    lines = [line.plain for line in screen(watched, columns, rows)]
    assert len(lines) <= rows
    assert "99,999" in lines[0] or "100,000" in lines[0]
    assert not any("\x1b" in line for line in lines)
    assert all(len(line) < max(columns, 40) for line in lines)


def test_a_screen_says_what_matters(watched: Watched) -> None:
    """Findings with their age, what is gone, and what was not told apart."""
    text = "\n".join(line.plain for line in screen(watched, 120, 60))
    assert "for 1 min 10 s" in text
    assert "Another one" in text
    assert "gone" in text
    assert "227,004 requests of addresses too many to be told apart" in text
    assert "now 90.0 %" in text
    assert "told apart" not in "\n".join(line.plain for line in screen(replace(watched, others=0), 120, 60))


def test_lines_say_the_same(watched: Watched) -> None:
    """The object is of its schema; the line for people is one line."""
    document = json.loads(as_json(watched))
    validator("watch.schema.json").validate(document)
    assert document["others"] == {"requests": 227_004}
    assert document["gone"][0]["until"] == "2026-11-21T07:08:09Z"
    assert as_line(watched).count("\n") == 1
