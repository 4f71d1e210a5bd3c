"""The report on a terminal: the verdict in three lines, then what to act on, then what was read.

What stands where; the words are those of `analyzer.report.sections`. Making it fit, safe and coloured is the work of
`analyzer.report.page`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from analyzer.report.page import Page
from analyzer.report.sections.addresses import addresses
from analyzer.report.sections.findings import findings
from analyzer.report.sections.geo import geo
from analyzer.report.sections.headline import headline
from analyzer.report.sections.rate_limit import rate_limit
from analyzer.report.sections.read import read_input, signals
from analyzer.report.sections.skew import skew
from analyzer.report.sections.timeline import timeline
from analyzer.report.sections.trust import trust

if TYPE_CHECKING:
    from analyzer.report.model import Report


def render(report: Report, stream: TextIO | None) -> str:
    """Write a report; a terminal is asked for its width and gets colours."""
    page = Page.to_fit(stream)
    lay_out(page, report)
    return page.write()


def lay_out(page: Page, report: Report) -> None:
    """Put a report on a page."""
    headline(page, report)
    addresses(page, report.preservation)
    page.blank()
    findings(page, report)
    page.blank()
    trust(page, report.trust)
    skew(page, report.skew)
    geo(page, report.geo, report.preservation)
    rate_limit(page, report.rate_limit)
    timeline(page, report.timeline)
    signals(page, report.signals)
    page.blank()
    read_input(page, report.input)
