"""Findings in the HTML and Markdown reports."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from analyzer.findings.model import Findings
from analyzer.report import write_report

if TYPE_CHECKING:
    from analyzer.findings.model import Finding
    from analyzer.report.model import Report


def test_a_finding_with_its_patch(report: Report, finding: Finding) -> None:
    """Reason, evidence, patch, how to verify it and source stand in both; the headline names reason and fix."""
    found = replace(report, findings=Findings([finding]))
    markdown = write_report(found, "markdown")
    assert "**Because:** externalTrafficPolicy is Cluster on web/front: nodes masquerade" in markdown
    assert "**Fix:** Set the policy to Local" in markdown
    assert "### Nodes masquerade: Error" in markdown
    assert "`logscan explain external-traffic-policy-cluster`" in markdown
    page = write_report(found, "html")
    for text in ("Nodes masquerade", "web/front", "controller.service.externalTrafficPolicy=Local", "example.org"):
        assert text in markdown
        assert text in page


def test_how_to_verify_follows_its_fixes(report: Report, finding: Finding) -> None:
    """Fixes that are verified alike have one word of it behind them, another fix has its own."""
    fixes = [
        replace(finding.fixes[0], text=f"fix {number}", verify=f"verify {how}", recognised=True)
        for number, how in enumerate("aab", 1)
    ]
    markdown = write_report(replace(report, findings=Findings([replace(finding, fixes=fixes)])), "markdown")
    chapter = markdown[markdown.index("## Findings") :]
    assert re.findall("[Ff]ix [123]|verify [ab]", chapter) == ["Fix 1", "Fix 2", "verify a", "Fix 3", "verify b"]


def test_no_finding_makes_no_chapter(report: Report) -> None:
    """Where nothing was found there is no empty chapter."""
    assert "## Findings" not in write_report(report, "markdown")


def test_an_alternative_says_what_it_is_for(report: Report, finding: Finding) -> None:
    """A fix that may be for another platform names it."""
    other = replace(finding.fixes[0], platform="gcp", recognised=False, note="mind this")
    markdown = write_report(replace(report, findings=Findings([replace(finding, fixes=[other])])), "markdown")
    assert r"Set the policy to Local (gcp, ingress-nginx). Mind this." in markdown.replace("\\", "")


def test_hostile_names_are_no_markup(report: Report, finding: Finding) -> None:
    """What a cluster file holds reaches a page as text."""
    hostile = replace(finding, because="<script>alert(1)</script>", evidence={"service": "<img src=x onerror=y>"})
    page = write_report(replace(report, findings=Findings([hostile])), "html")
    assert "<script>alert" not in page
    assert "<img src=x" not in page
