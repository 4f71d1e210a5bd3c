"""What was found, and in a sentence each why and what mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.findings.model import leading
from analyzer.report.sections import LOST, SHOWN, more

if TYPE_CHECKING:
    from analyzer.report.model import Report
    from analyzer.report.page import Page

STYLES = {"error": "bold red", "warning": "bold yellow", "info": "bold"}
_LABEL = 9


def findings(page: Page, report: Report) -> None:
    """Write the section; of the finding that the headline tells of, its name alone."""
    told = leading(report.findings, lost=report.preservation.verdict in LOST)
    if report.findings in ([], [told]):
        return
    page.line("", label="Findings")
    for found in report.findings[:SHOWN]:
        page.line(found.id, "bold", label=f"{found.severity:<{_LABEL}}", label_style=STYLES[found.severity])
        if found is told:
            continue
        page.words("", found.because, width=_LABEL)
        if found.fixes:
            page.words("", f"fix: {found.fixes[0].text}", "dim", width=_LABEL)
    for left_out in more(len(report.findings) - SHOWN):
        page.line(left_out, label=" " * _LABEL)
    page.line("logscan explain NAME says all of it", "dim", label=" " * _LABEL)
