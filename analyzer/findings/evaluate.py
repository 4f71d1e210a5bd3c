"""Rules held against facts: which conditions are true, why, and which fixes apply here.

A fix for the platform, controller or load balancer that was recognised comes first. One for another than what was
recognised is left out; one whose platform, controller or load balancer is not known here is an alternative.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from analyzer.errors import RuleError
from analyzer.findings.facts import SCHEMA
from analyzer.findings.model import ANY, SEVERITIES, Finding, Findings
from analyzer.findings.rules import load_body, load_findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from analyzer.findings.model import Fix, Rule

_PLACE = re.compile(r"\{\{(\w+)\}\}")
_PLAIN = re.compile(r"[\w.:/,+-]{1,253}", re.ASCII)
_SHOWN = 3
#: What a fix is for, from the least telling to the most, and the facts that say what is here.
_FITS = {"platform": ("platform", "cloud"), "controller": ("controller",), "load_balancer": ("load_balancer",)}


def usable_findings(folders: Sequence[Path]) -> list[Rule]:
    """Load the shipped rules and those of `folders`, which are checked (`check`)."""
    rules = load_findings(folders)
    check(rules)
    return rules


def check(rules: Iterable[Rule]) -> None:
    """Check the rules that are not shipped: their conditions are expressions over the facts, and true or false.

    Raises
    ------
    RuleError
        Names the file, the key and what is wrong with it.
    """
    own = [rule for rule in rules if not rule.is_shipped]
    nothing = pl.DataFrame(schema=SCHEMA if own else {}).clear(1)
    for rule in own:
        try:
            found = nothing.select(pl.sql_expr(rule.condition).alias("holds"))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise _error(rule, "condition", f"SQL over the facts, got: {str(error).splitlines()[0]}") from error
        if found.height != 1 or found["holds"].dtype not in (pl.Boolean, pl.Null):
            raise _error(rule, "condition", f"an expression that is true or false, got {found['holds'].dtype}")
        named = {"evidence": rule.evidence, "share": (rule.share,) if rule.share else ()}
        for key, names in {**named, "because": _PLACE.findall(rule.because)}.items():
            for name in names:
                if name not in SCHEMA:
                    raise _error(rule, key, f"names of facts, got {name!r}")


def findings(rules: Sequence[Rule], facts: pl.DataFrame) -> Findings:
    """Return what was found, the gravest first, and of these what explains most of the loss.

    Parameters
    ----------
    rules
        All rules, checked.
    facts
        What `read_facts` returned.

    Raises
    ------
    RuleError
        Where an expression cannot be evaluated after all.
    """
    holds = facts.select(_expression(rule).alias(rule.id) for rule in rules)
    held = {rule.id: holds[rule.id].arg_true().to_list() for rule in rules if holds[rule.id].any()}
    general = {id_ for rule in rules if rule.id in held for id_ in rule.supersedes}
    rows = facts.rows(named=True)
    found = [
        _finding(rule, [rows[place] for place in held[rule.id]])
        for rule in rules
        if rule.id in held and rule.id not in general
    ]
    return Findings(sorted(found, key=lambda each: (SEVERITIES.index(each.severity), -(each.share_pct or 0), each.id)))


def fill(text: str, facts: dict[str, Any], *, to_paste: bool) -> str:
    """Put facts into the places of a text, ``{{name}}``.

    In what is there to be pasted, only a value of plain letters is put: a cluster file may hold anything. Any other
    becomes ``<name>``, for the reader to fill in.
    """

    def value(match: re.Match[str]) -> str:
        fact = facts.get(match[1])
        said = str(fact) if to_paste and isinstance(fact, int) else _said(fact)
        return f"<{match[1]}>" if said is None or (to_paste and not _PLAIN.fullmatch(said)) else said

    return _PLACE.sub(value, text)


def filled(fix: Fix, facts: dict[str, Any]) -> Fix:
    """Put facts into the texts of a fix."""
    return replace(
        fix,
        text=fill(fix.text, facts, to_paste=False),
        note=fix.note and fill(fix.note, facts, to_paste=False),
        patch=fix.patch and fill(fix.patch, facts, to_paste=True),
        verify=fill(fix.verify, facts, to_paste=True),
    )


def ordered(fixes: Iterable[Fix], facts: dict[str, Any]) -> list[Fix]:
    """Return the fixes that may apply: first those for what was recognised, the closest before; then alternatives."""
    ranked = [(place, replace(fix, recognised=place[0] == 0)) for fix in fixes if (place := _place(fix, facts))]
    return [fix for _, fix in sorted(ranked, key=lambda pair: pair[0])]


def _place(fix: Fix, facts: dict[str, Any]) -> tuple[int, int] | None:
    """Return where a fix stands: how much of it is not known here, and how close it is; None if it is for another."""
    unknown = closeness = 0
    for (key, names), weight in zip(_FITS.items(), (1, 2, 4), strict=True):
        wanted = getattr(fix, key).split()
        here = {facts[name] for name in names if facts.get(name)}
        if wanted == [ANY]:
            continue
        if not here:
            unknown += 1
        elif here.isdisjoint(wanted):
            return None
        else:
            closeness += weight
    return unknown, -closeness


def _expression(rule: Rule) -> pl.Expr:
    return pl.sql_expr(rule.condition).cast(pl.Boolean).fill_null(value=False)


def _finding(rule: Rule, rows: list[dict[str, Any]]) -> Finding:
    facts = rows[0]
    evidence = {name: facts[name] for name in rule.evidence if facts.get(name) not in (None, [])}
    others = [row["service"] or row["controller_name"] for row in rows[1:]]
    if any(others):
        evidence["also"] = [name for name in others if name]
    body = load_body(rule)
    return Finding(
        id=rule.id,
        severity=rule.severity,
        title=rule.title,
        because=fill(rule.because, facts, to_paste=False),
        share_pct=facts.get(rule.share) if rule.share else None,
        evidence=evidence,
        fixes=[filled(fix, facts) for fix in ordered(body.fixes, facts)],
    )


def _said(value: Any) -> str | None:
    """Write a fact as a sentence has it."""
    if value is None or value == []:
        return None
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(value[:_SHOWN]) + (f" and {len(value) - _SHOWN} more" if len(value) > _SHOWN else "")
    return str(value)


def _error(rule: Rule, key: str, expected: str) -> RuleError:
    hint = "logscan explain --facts lists the facts"
    return RuleError(f"{rule.file}: expected under `{key}` {expected}", hint)
