"""The chapters of a document about a report, one module each, and the order they come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.report.chapters.addresses import addresses, classes
from analyzer.report.chapters.findings import findings
from analyzer.report.chapters.geo import geo
from analyzer.report.chapters.headline import headline
from analyzer.report.chapters.rate_limit import rate_limit
from analyzer.report.chapters.read import read_input, signals
from analyzer.report.chapters.skew import skew
from analyzer.report.chapters.timeline import timeline
from analyzer.report.chapters.trust import trust
from analyzer.report.document import Document

if TYPE_CHECKING:
    from analyzer.report.model import Report


def document(report: Report) -> Document:
    """Say in words, tables and charts what a report holds."""
    sections = (
        findings(report.findings),
        timeline(report.timeline),
        classes(report.preservation),
        addresses(report.preservation),
        trust(report.trust),
        skew(report.skew),
        geo(report.geo, report.preservation),
        rate_limit(report.rate_limit),
        signals(report.signals),
        read_input(report.input),
    )
    return Document(
        title="Are client IPs preserved?",
        headline=headline(report),
        sections=[section for section in sections if section is not None],
    )
