"""What a collector wrapped round a line: ``rules/envelopes/*.toml``, each with lines and what stands inside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from analyzer.errors import RuleError
from analyzer.parsing.formats import layouts_of
from analyzer.rules import load_rule, load_toml, rule_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from analyzer.parsing.formats import Layout

Join = Literal["cri", "newline"]


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope as its file describes it.

    `join` says how a record that was split over several lines is known: by CRI's tag ``P``, or by a message that does
    not end with a newline.
    """

    name: str
    title: str
    source: str
    layout: Layout
    join: Join | None
    path: Path

    @property
    def samples(self) -> list[dict[str, Any]]:
        """Enveloped lines and what stands inside them."""
        found: list[dict[str, Any]] = load_toml(self.path).get("sample", [])
        return found


def load_envelopes(extra: Sequence[Path] = ()) -> list[Envelope]:
    """All known envelopes, the shipped ones first.

    Raises
    ------
    RuleError
        Names the file, the key and the reason.
    """
    return [_load(path) for path in rule_files("envelopes", extra)]


def _load(path: Path) -> Envelope:
    rule = load_rule(path, ("name", "title", "source"))
    join = rule.get("join")
    if join not in {None, "cri", "newline"}:
        raise RuleError(f"{path}: expected `cri` or `newline` under `join`, got {join!r}")
    layouts = layouts_of(rule, "layout", path)
    if len(layouts) != 1:
        raise RuleError(f"{path}: expected one string under `layout`, got {len(layouts)}")
    return Envelope(rule["name"], rule["title"], rule["source"], layouts[0], join, path)
