"""The named log formats: ``rules/formats/*.toml``, each with lines that it must read and what they must give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analyzer.errors import FormatError, RuleError
from analyzer.parsing.log_format import LineFormat, compile_format
from analyzer.rules import load_toml, rule_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class NamedFormat:
    """A format as its file describes it."""

    name: str
    title: str
    aliases: tuple[str, ...]
    line_format: LineFormat
    samples: tuple[dict[str, Any], ...]
    path: Path


def load_formats(extra: Sequence[Path] = ()) -> list[NamedFormat]:
    """All named formats, the shipped ones first.

    Raises
    ------
    RuleError
        Names the file, the key and the reason.
    """
    return [_load(path) for path in rule_files("formats", extra)]


def _load(path: Path) -> NamedFormat:
    rule = load_toml(path)
    for key in ("name", "title", "log_format", "source"):
        if not isinstance(rule.get(key), str):
            raise RuleError(f"{path}: expected a string under `{key}`, got {rule.get(key)!r}")
    try:
        line_format = compile_format(rule["log_format"], rule["name"])
    except FormatError as error:
        raise RuleError(f"{path}: key `log_format`: {error}") from None
    return NamedFormat(
        rule["name"], rule["title"], tuple(rule.get("aliases", ())), line_format, tuple(rule.get("sample", ())), path
    )


def choose_format(wanted: str, known: Sequence[NamedFormat]) -> LineFormat:
    """The format meant by ``--log-format``: the name of a known one, or a log_format string.

    Raises
    ------
    FormatError
        For a name that is not known and for a string that cannot be compiled.
    """
    for format_ in known:
        if wanted in (format_.name, *format_.aliases):
            return format_.line_format
    if "$" not in wanted:
        raise FormatError(
            f"--log-format: expected a known name or a log_format string with variables, got {wanted!r}",
            hint=f"known names: {', '.join(sorted(format_.name for format_ in known))}",
        )
    return compile_format(wanted)
