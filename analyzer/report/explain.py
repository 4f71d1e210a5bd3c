"""What ``logscan explain`` says, as data; its field names are the keys of ``logscan.explain/1``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analyzer.findings.model import Fix

SCHEMA = "logscan.explain/1"


@dataclass(frozen=True, slots=True)
class FindingExplained:
    """A rule, all of it; `explanation` and `fixes` are empty where findings are only listed."""

    id: str
    severity: str
    title: str
    because: str
    condition: str
    evidence: list[str]
    supersedes: list[str]
    file: str
    explanation: str
    fixes: list[Fix]


@dataclass(frozen=True, slots=True)
class FactExplained:
    """A fact that conditions are written over."""

    name: str
    dtype: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Explanations:
    """All that was asked for."""

    schema: str = field(default=SCHEMA, init=False)
    version: str
    is_list: bool
    findings: list[FindingExplained] = field(default_factory=list)
    facts: list[FactExplained] = field(default_factory=list)
