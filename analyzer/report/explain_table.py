"""What ``logscan explain`` says, for a person. Sentences fit the width; what is there to be pasted stays whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from analyzer.report.page import Page
from analyzer.report.sections.findings import STYLES

if TYPE_CHECKING:
    from analyzer.findings.model import Fix
    from analyzer.report.explain import Explanations, FindingExplained

_LABEL = 9


def render(explanations: Explanations, stream: TextIO | None) -> str:
    """Write an answer; a terminal is asked for its width and gets colours."""
    page = Page.to_fit(stream)
    for finding in explanations.findings:
        if explanations.is_list:
            _title(page, finding)
        else:
            _finding(page, finding)
    for fact in explanations.facts:
        page.words("", f"{fact.name} ({fact.dtype})", "bold", width=0)
        page.words("", fact.meaning, width=4)
    if explanations.is_list:
        page.blank()
        page.line("logscan explain NAME says all of one, logscan explain --facts what conditions are made of", "dim")
    return page.write()


def _title(page: Page, finding: FindingExplained) -> None:
    page.line(finding.id, "bold", label=f"{finding.severity:<{_LABEL}}", label_style=STYLES[finding.severity])
    page.words("", finding.title, width=_LABEL)


def _finding(page: Page, finding: FindingExplained) -> None:
    _title(page, finding)
    page.blank()
    for paragraph in finding.explanation.split("\n\n"):
        lines = paragraph.split("\n")
        items: list[str] = []
        for line in lines:
            if line.startswith("- ") or not items:
                items.append(line)
            else:
                items[-1] += f" {line.strip()}"
        for item in items:
            dash = "- " if item.startswith("- ") else ""
            page.words(dash, item.removeprefix("- "), width=len(dash), label_style="")
        page.blank()
    for number, fix in enumerate(finding.fixes, 1):
        _fix(page, number, fix)
    page.words("shown", f"when {finding.condition}", "dim", width=_LABEL)
    if finding.supersedes:
        page.words("replaces", ", ".join(finding.supersedes), "dim", width=_LABEL)
    page.words("rule", finding.file, "dim", width=_LABEL)
    page.blank()


def _fix(page: Page, number: int, fix: Fix) -> None:
    wanted = {"": fix.platform, "load balancer ": fix.load_balancer, "controller ": fix.controller}
    place = ", ".join(f"{what}{' or '.join(name.split())}" for what, name in wanted.items() if name != "any")
    page.words(f"fix {number}", f"{fix.text}{f' ({place})' if place else ''}", width=_LABEL)
    if fix.note:
        page.words("", fix.note, width=_LABEL)
    for line in (fix.patch or "").split("\n") if fix.patch else ():
        page.whole(line, "cyan", width=_LABEL)
    page.words("", f"then: {fix.verify}", "dim", width=_LABEL)
    page.whole(fix.source, "dim", width=_LABEL)
    page.blank()
