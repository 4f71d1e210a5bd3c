"""The report as JSON on one line, for what ships logs: the same document as ``--format json``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.report.json import to_json

if TYPE_CHECKING:
    from analyzer.report.model import Report


def render(report: Report) -> str:
    """Write the whole report on one line."""
    return to_json(report, indent=False)
