"""The named log formats: ``rules/formats/*.toml``, each with lines that it must read and what they must give."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from analyzer.errors import FormatError, RuleError
from analyzer.parsing.json_format import JsonFormat, compile_json
from analyzer.parsing.log_format import LineFormat, compile_format
from analyzer.rules import load_rule, load_toml, rule_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Layout = LineFormat | JsonFormat

#: The key of strings that only lines may have which fit nothing else.
_LAST = "last_resort"

#: What the keys of `$msec` are called.
_MSEC = ("/msec", "/time_msec")


@dataclass(frozen=True, slots=True)
class NamedFormat:
    """A format as its file describes it; `layouts` are its variants, all of the same name.

    `last` are such that are too loose to tell a source by: lines of one that is told already, which fit nothing else.
    """

    name: str
    title: str
    source: str
    aliases: tuple[str, ...]
    layouts: tuple[Layout, ...]
    last: tuple[Layout, ...]
    path: Path

    @property
    def samples(self) -> list[dict[str, Any]]:
        """Lines of this format and what they parse to."""
        found: list[dict[str, Any]] = load_toml(self.path).get("sample", [])
        return found


def load_formats(extra: Sequence[Path] = ()) -> list[NamedFormat]:
    """All named formats, the shipped ones first.

    Raises
    ------
    RuleError
        Names the file, the key and the reason.
    """
    return [_load(path) for path in rule_files("formats", extra)]


def _load(path: Path) -> NamedFormat:
    rule = load_rule(path, ("name", "title", "source"))
    aliases = rule.get("aliases", [])
    if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
        raise RuleError(f"{path}: expected a list of names under `aliases`, got {aliases!r}")
    last = layouts_of({"name": rule["name"], _LAST: rule[_LAST]}, _LAST, path) if _LAST in rule else ()
    layouts = layouts_of(rule, "log_format", path)
    return NamedFormat(rule["name"], rule["title"], rule["source"], tuple(aliases), layouts, last, path)


def _by_time(fields: dict[str, Any], required: list[Any]) -> list[tuple[dict[str, Any], list[Any]]]:
    """The fields of lines apart by what their time is, and what they require: an exact one is better than any."""
    pointers, begun = fields.get("time_any"), fields.get("time_begun")
    others = {name: pointer for name, pointer in fields.items() if name not in {"time_any", "time_begun"}}
    read = [(fields, required)]
    if pointers and begun:
        read = [
            (others | {"time_begun": begun}, [*required, "time_begun"]),
            (others | {"time_any": pointers}, required),
        ]
    if isinstance(pointers, list) and (named := [each for each in pointers if each in _MSEC]):
        read.insert(0, (others | {"msec": named}, [*required, "msec"]))
    return read


def layouts_of(rule: dict[str, Any], key: str, path: Path) -> tuple[Layout, ...]:
    """Compile what a rule file says of a line: one or several strings under `key`, or the table `json`.

    Raises
    ------
    RuleError
        Names the file, the key and the reason.
    """
    if isinstance(rule.get("json"), dict) and key not in rule:
        about = rule["json"]
        fields, required = about.get("fields"), about.get("required", [])
        if not isinstance(fields, dict) or not isinstance(required, list):
            raise RuleError(f"{path}: expected a table `json.fields` and a list `json.required`")
        try:
            return tuple(compile_json(rule["name"], *each) for each in _by_time(fields, required))
        except FormatError as error:
            raise RuleError(f"{path}: table `json`: {error}") from None
    texts = rule.get(key)
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise RuleError(f"{path}: expected a string under `{key}` or a table `json`, got {rule.get(key)!r}")
    try:
        return tuple(compile_format(text, rule["name"]) for text in texts)
    except FormatError as error:
        raise RuleError(f"{path}: key `{key}`: {error}") from None


def choose_format(wanted: str, known: Sequence[NamedFormat]) -> tuple[Layout, ...]:
    """The format meant by ``--log-format``: the name of a known one, or a log_format string.

    Raises
    ------
    FormatError
        For a name that is not known and for a string that cannot be compiled.
    """
    for format_ in known:
        if wanted in (format_.name, *format_.aliases):
            return format_.layouts
    if "$" not in wanted:
        raise FormatError(
            f"--log-format: expected a known name or a log_format string with variables, got {wanted!r}",
            hint=_similar(wanted, [name for format_ in known for name in (format_.name, *format_.aliases)]),
        )
    return (compile_format(wanted),)


def _similar(wanted: str, names: list[str]) -> str:
    close = get_close_matches(wanted.lower(), names)
    return f"did you mean {' or '.join(close)}?" if close else "`logscan formats` lists the known names"
