"""Where rule files lie and how one is read: those of the folders in `FOLDERS` and whatever ``--rules`` adds.

What a file of each folder means is known to the package that uses it; this module only finds files and parses TOML.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analyzer.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDERS = ("formats", "envelopes", "networks", "asns", "findings")

#: Samples stand at the end of a rule file. A run needs none of them, and parsing them would double its start-up.
_SAMPLES = "\n[[sample]]"


def rules_dir() -> Path:
    """Return the folder of the shipped rules.

    A wheel carries it inside the package as ``_rules``; a checkout has it beside the package as ``rules``.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "_rules", package.parent / "rules"):
        if folder.is_dir():
            return folder
    raise RuleError(f"{package}: expected the shipped rules in _rules or ../rules, got neither", "reinstall logscan")


def rule_files(
    kind: Literal["formats", "envelopes", "networks", "asns", "findings"], extra: Sequence[Path] = ()
) -> list[Path]:
    """Return the rule files of one kind: the shipped ones, then those of each folder in `extra`, each by name.

    Raises
    ------
    RuleError
        When a folder of `extra` is none, or has no folder of rules in it.
    """
    for folder in extra:
        if not any((folder / name).is_dir() for name in FOLDERS):
            found = "a folder without any of them" if folder.is_dir() else "no such folder"
            raise RuleError(f"{folder}: expected a folder that holds {', '.join(FOLDERS)}, got {found}")
    return [file for folder in (rules_dir(), *extra) for file in sorted((folder / kind).glob("*.toml"))]


def load_rule(path: Path, required: Sequence[str]) -> dict[str, Any]:
    """Read a rule file up to its samples.

    Raises
    ------
    RuleError
        Where the file is not TOML, or one of the keys `required` is no string.
    """
    rule = parse_toml(path, rule_text(path).partition(_SAMPLES)[0])
    for key in required:
        if not isinstance(rule.get(key), str):
            raise RuleError(f"{path}: expected a string under `{key}`, got {rule.get(key)!r}")
    return rule


def load_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; `RuleError` names the file and what is wrong with it."""
    return parse_toml(path, rule_text(path))


def rule_text(path: Path) -> str:
    """Read a rule file as text; `RuleError` says why it cannot be."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise RuleError(f"{path}: expected a readable rule file, got: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise RuleError(f"{path}: expected TOML in UTF-8, got: {error}") from error


def parse_toml(path: Path, text: str) -> dict[str, Any]:
    """Parse the text of a rule file, or a part of it; `RuleError` names the file and what is wrong with it."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RuleError(f"{path}: expected TOML in UTF-8, got: {error}") from error
