"""The files of ``asns/``: autonomous systems whose addresses are not those of people at home or at work.

A file is TOML: ``name`` (a title), ``class`` (``cdn`` or ``hosting``), ``source`` (a URL), ``date``, and ``asns``, a
text with a number and the holder's name on each line. A later file, so a user's own, beats an earlier one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.errors import RuleError
from analyzer.rules import load_rule, rule_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CLASSES = ("cdn", "hosting")


def load_asns(extra: Sequence[Path] = ()) -> dict[int, str]:
    """Read all files: the number of an autonomous system to its class.

    Raises
    ------
    RuleError
        Where a file cannot be used.
    """
    classes: dict[int, str] = {}
    for path in rule_files("asns", extra):
        rule = load_rule(path, ("name", "class", "source", "asns"))
        if rule["class"] not in CLASSES:
            raise RuleError(f"{path}: expected `class` to be {' or '.join(CLASSES)}, got {rule['class']!r}")
        for line in filter(str.strip, rule["asns"].splitlines()):
            number, _, _ = line.strip().partition(" ")
            if not (number.isascii() and number.isdigit() and 0 < int(number) < 1 << 32):
                raise RuleError(f"{path}: expected a line such as `13335 Cloudflare`, got {line.strip()!r}")
            classes[int(number)] = rule["class"]
    return classes
