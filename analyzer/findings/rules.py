"""Loading of ``rules/findings/*.toml``, and what is wrong with a file that cannot be used.

A run needs the condition of every rule, but explanation and fixes of those alone that hold. So the head of a file, up
to its ``explanation``, is parsed by itself: fifty heads cost two milliseconds, fifty files thirty.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from analyzer.errors import RuleError, UsageError
from analyzer.findings.model import ANY, SEVERITIES, Body, Fix, Rule
from analyzer.rules import parse_toml, rule_files, rule_text, rules_dir

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_BODY, _SAMPLES = "\nexplanation", "\n[[sample]]"
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_HEAD_KEYS = frozenset({"id", "severity", "title", "condition", "because", "evidence", "share", "supersedes"})
_BODY_KEYS = frozenset({"explanation", "verify", "fix"})
_FIX_KEYS = frozenset({"platform", "controller", "load_balancer", "text", "note", "patch", "verify", "source"})
_VERIFY = "logscan analyze LOG --cluster cluster.json --since TIME_OF_THE_CHANGE"
_HINT = "logscan explain --facts lists the facts, and CONTRIBUTING.md the keys"


def load_findings(extra: Sequence[Path] = ()) -> list[Rule]:
    """Load the heads of all rules; a rule of `extra` replaces the shipped one of its id.

    Raises
    ------
    RuleError
        For a rule of `extra` that cannot be used, whichever part of it. The shipped ones are held right by tests.
    """
    shipped = rules_dir() / "findings"
    found: dict[str, Rule] = {}
    for file in rule_files("findings", extra):
        rule = load_rule(file, is_shipped=file.parent == shipped)
        if not rule.is_shipped:
            load_body(rule)
        found[rule.id] = rule
    return list(found.values())


def load_rule(file: Path, *, is_shipped: bool = False) -> Rule:
    """Read the head of a rule file.

    Raises
    ------
    RuleError
        Names the file, the key and what is wrong with it.
    """
    table = parse_toml(file, rule_text(file).partition(_BODY)[0])
    _no_others(file, table, _HEAD_KEYS, "before `explanation`, ")
    rule = Rule(
        id=_text(file, table, "id"),
        severity=_text(file, table, "severity"),
        title=_text(file, table, "title"),
        condition=_text(file, table, "condition"),
        because=_text(file, table, "because"),
        file=file,
        evidence=_texts(file, table, "evidence"),
        share=_text(file, table, "share") if "share" in table else None,
        supersedes=_texts(file, table, "supersedes"),
        is_shipped=is_shipped,
    )
    if not _ID.fullmatch(rule.id) or rule.id in SEVERITIES:
        raise _error(file, "id", "lower-case words with hyphens between, none a severity", rule.id)
    if rule.severity not in SEVERITIES:
        raise _error(file, "severity", " or ".join(SEVERITIES), rule.severity)
    return rule


def load_body(rule: Rule) -> Body:
    """Read explanation and fixes of a rule.

    Raises
    ------
    RuleError
        Names the file, the key and what is wrong with it.
    """
    file = rule.file
    _, begin, rest = rule_text(file).partition(_BODY)
    table = parse_toml(file, begin + rest.partition(_SAMPLES)[0])
    _no_others(file, table, _BODY_KEYS, "from `explanation` on, ")
    explanation = _text(file, table, "explanation")
    verify = _text(file, table, "verify") if "verify" in table else f"{_VERIFY} --fail-on {rule.id}"
    listed = table.get("fix", [])
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise _error(file, "fix", "tables, each begun by [[fix]]", listed)
    return Body(explanation, tuple(_fix(file, number, each, verify) for number, each in enumerate(listed, 1)))


def chosen(rules: Iterable[Rule], wanted: str, option: str) -> Rule:
    """Return the rule of an id.

    Raises
    ------
    UsageError
        Where there is none; the message names ids that are near.
    """
    import difflib  # noqa: PLC0415 - only where somebody mistyped

    known = {rule.id: rule for rule in rules}
    if wanted in known:
        return known[wanted]
    near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "logscan explain lists them"
    raise UsageError(f"{option}: expected the id of a finding, got {wanted!r}", hint)


def _fix(file: Path, number: int, table: Mapping[str, Any], verify: str) -> Fix:
    where = f" of [[fix]] {number}"
    _no_others(file, table, _FIX_KEYS, f"in [[fix]] {number}, ")
    return Fix(
        platform=_names(file, table, "platform", where),
        controller=_names(file, table, "controller", where),
        load_balancer=_names(file, table, "load_balancer", where),
        text=_text(file, table, "text", where),
        note=_text(file, table, "note", where) if "note" in table else None,
        patch=_text(file, table, "patch", where).rstrip() if "patch" in table else None,
        verify=_text(file, table, "verify", where) if "verify" in table else verify,
        source=_text(file, table, "source", where),
    )


def _names(file: Path, table: Mapping[str, Any], key: str, where: str) -> str:
    value = table.get(key, ANY)
    listed = value if isinstance(value, list) else [value]
    if not listed or not all(isinstance(name, str) and name and " " not in name for name in listed):
        raise _error(file, key, "a name or a list of names", value, where)
    return " ".join(listed)


def _text(file: Path, table: Mapping[str, Any], key: str, where: str = "") -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value.strip():
        raise _error(file, key, "a text", value, where)
    return value.strip()


def _texts(file: Path, table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise _error(file, key, "a list of texts", value)
    return tuple(value)


def _no_others(file: Path, table: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise RuleError(f"{file}: expected {where}one of {', '.join(sorted(known))}, got `{key}`", _HINT)


def _error(file: Path, key: str, expected: str, got: object, where: str = "") -> RuleError:
    said = "nothing" if got is None else repr(got)
    return RuleError(f"{file}: expected {expected} under `{key}`{where}, got {said}", _HINT)
