"""What was found, why, and every fix that may apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.report.document import TONES, Cell, Link, Paragraph, Part, Patch, Quoted, Section, Topic, Verdict, table
from analyzer.report.text import percentage

if TYPE_CHECKING:
    from analyzer.findings.model import Finding, Fix


def findings(found: list[Finding]) -> Section | None:
    """Write the chapter; none where nothing was found."""
    return Section("findings", "Findings", [_topic(each) for each in found]) if found else None


def _topic(finding: Finding) -> Topic:
    facts: list[list[Cell]] = [[name, _value(value)] for name, value in finding.evidence.items()]
    parts: list[Part] = [Paragraph((finding.because,))]
    if facts:
        parts.append(table("Evidence", ("Fact", "Value"), facts))
    for fix in finding.fixes:
        parts += _fix(fix)
    severity = Verdict(finding.severity.capitalize(), TONES.get(finding.severity, "plain"))
    return Topic(f"{finding.title} ({finding.id})", severity, parts)


def _fix(fix: Fix) -> list[Part]:
    for_what = ", ".join(name for name in (fix.platform, fix.load_balancer, fix.controller) if name != "any")
    text = fix.text if fix.recognised or not for_what else f"{fix.text} ({for_what})"
    said = f"{text}: {fix.note}" if fix.note else text
    first: Part = Paragraph((f"{said}.",)) if fix.patch is None else Patch(said, fix.patch)
    return [first, Paragraph(("Then: ", Quoted(fix.verify))), Link(fix.source, fix.source)]


def _value(value: object) -> Cell:
    if isinstance(value, float):
        return percentage(value)
    return Quoted(", ".join(map(str, value)) if isinstance(value, list) else str(value))
