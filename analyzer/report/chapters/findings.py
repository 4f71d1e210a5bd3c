"""What was found, why, and what mends it, to be copied."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from analyzer.findings.model import ANY
from analyzer.report.document import (
    TONES,
    Cell,
    Fold,
    Link,
    Paragraph,
    Part,
    Quoted,
    Section,
    Topic,
    Verdict,
    sentence,
    table,
    to_copy,
)
from analyzer.report.text import percentage

if TYPE_CHECKING:
    from analyzer.findings.model import Finding, Fix


def findings(found: list[Finding]) -> Section | None:
    """Write the chapter; none where nothing was found."""
    return Section("findings", "Findings", [_topic(each) for each in found]) if found else None


def _topic(finding: Finding) -> Topic:
    parts: list[Part] = [Paragraph((sentence(finding.because),))]
    shown = [fix for fix in finding.fixes if fix.recognised] or finding.fixes
    others = [fix for fix in finding.fixes if fix not in shown]
    for fix, following in zip_longest(shown, shown[1:]):
        parts += _fix(fix)
        if following is None or following.verify != fix.verify:
            parts.append(to_copy("To see that it worked.", fix.verify))
    if others:
        parts.append(Fold("For other platforms and controllers", [part for fix in others for part in _fix(fix)]))
    facts: list[list[Cell]] = [[name, _value(value)] for name, value in finding.evidence.items()]
    if facts:
        parts.append(Fold("Evidence", [table(f"Evidence of {finding.id}", ("Fact", "Value"), facts)]))
    parts.append(Paragraph(("All of it: ", Quoted(f"logscan explain {finding.id}"))))
    return Topic(finding.title, Verdict(finding.severity.capitalize(), TONES.get(finding.severity, "plain")), parts)


def _fix(fix: Fix) -> list[Part]:
    where = ", ".join(name for name in (fix.platform, fix.load_balancer, fix.controller) if name != ANY)
    said = sentence(f"{fix.text} ({where})" if where else fix.text)
    if fix.note:
        said = f"{said} {sentence(fix.note)}"
    first = Paragraph((said,)) if fix.patch is None else to_copy(said, fix.patch)
    return [first, Link(f"Source: {urlsplit(fix.source).netloc or fix.source}", fix.source)]


def _value(value: object) -> Cell:
    if isinstance(value, float):
        return percentage(value)
    return Quoted(", ".join(map(str, value)) if isinstance(value, list) else str(value))
