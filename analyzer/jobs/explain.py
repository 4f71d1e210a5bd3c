"""What is known of findings and of the facts they are made of, without a log: `logscan explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analyzer._version import __version__
from analyzer.findings.evaluate import fill, filled, usable_findings
from analyzer.findings.facts import FACTS
from analyzer.findings.rules import chosen, load_body
from analyzer.report.explain import Explanations, FactExplained, FindingExplained

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from analyzer.findings.model import Rule


def explain(wanted: Sequence[str] = (), *, rules: Iterable[str | os.PathLike[str]] = ()) -> Explanations:
    """Say all of findings, or list them.

    Parameters
    ----------
    wanted
        Ids; without any, all findings are listed, with neither explanation nor fixes.
    rules
        Folders with more rules, read after the shipped ones.

    Raises
    ------
    UsageError
        For an id that is none.
    RuleError
        For a rule that cannot be used.
    """
    known = usable_findings([Path(folder) for folder in rules])
    listed = [chosen(known, each, "explain") for each in wanted] or sorted(known, key=lambda rule: rule.id)
    return Explanations(
        version=__version__,
        is_list=not wanted,
        findings=[_explained(rule, whole=bool(wanted)) for rule in listed],
    )


def explain_facts() -> Explanations:
    """Say what conditions are written over."""
    facts = [FactExplained(name, str(dtype), meaning) for name, (dtype, meaning) in FACTS.items()]
    return Explanations(version=__version__, is_list=False, facts=facts)


def _explained(rule: Rule, *, whole: bool) -> FindingExplained:
    body = load_body(rule) if whole else None
    return FindingExplained(
        id=rule.id,
        severity=rule.severity,
        title=rule.title,
        because=fill(rule.because, {}, to_paste=False),
        condition=rule.condition,
        evidence=list(rule.evidence),
        supersedes=list(rule.supersedes),
        file=f"{rule.file.parent.name}/{rule.file.name}",
        explanation=body.explanation if body else "",
        fixes=[filled(fix, {}) for fix in body.fixes] if body else [],
    )
