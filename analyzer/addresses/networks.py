"""The files of ``networks/``: published ranges, special-purpose registries, and the ranges that products default to.

A file is TOML: ``name`` (a title), ``source`` (a URL), ``date`` and ``[[range]]`` tables with a ``name``, ``cidrs``
(one text of CIDRs apart by blanks, which loads ten times as fast as an array, or an array), and, where they differ from
the file's own, ``class``, ``kind`` and ``health_probe``. ``registry = true`` makes them count after what the traffic
shows. ``hint = true`` marks defaults that anybody may have changed: they decide nothing, and are told beside the rule
that does.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analyzer.addresses.ranges import NetworkRule, network_ranges
from analyzer.errors import RuleError
from analyzer.rules import load_rule, rule_files, rules_dir

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CLASSES = ("client", "node", "lb", "private", "unknown")
KINDS = {
    "client": ("public", "declared"),
    "node": ("node", "cni-gateway"),
    "lb": ("cluster-lb", "cloud-lb", "cdn", "trusted-proxy"),
    "private": ("rfc1918", "cgnat", "ula", "link-local", "loopback", "pod", "service", "special"),
}
"""The kinds that a rule may give; inference and addresses that are none have theirs besides."""

PUBLISHED, REGISTRY, HINT = "published", "registry", "hint"


@dataclass(frozen=True, slots=True)
class NetworkFile:
    """One file of ``networks/``.

    Parameters
    ----------
    path
        The file.
    where
        The file as rules show it: ``networks/gcp.toml`` of a shipped one, else its path.
    title, source, date
        What it is about, where it was published, and when it was read there.
    role
        ``published``, ``registry`` or ``hint``.
    shipped
        It comes with logscan.
    replaces
        Stands in place of a file of the same name that was read before.
    rules
        Its ranges in the order of the file.
    """

    path: Path
    where: str
    title: str
    source: str
    date: dt.date
    role: str
    shipped: bool
    replaces: bool
    rules: tuple[NetworkRule, ...]

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    def range_name(self, rule: NetworkRule) -> str:
        """Return what the file calls the range that made `rule`."""
        return rule.rule.removeprefix(f"{self.where}: ")


def load_networks(extra: Sequence[Path] = ()) -> list[NetworkFile]:
    """Read all network files, those of a user first: of equal ranges the first counts, and a user's own is to count.

    A user's file replaces the one of the same name that was read before, which is how published ranges are updated:
    what was taken from the new list must not live on in the old one.

    Raises
    ------
    RuleError
        Where a file cannot be used; names the file, the range and what was expected.
    """
    own = rules_dir()
    files: dict[str, tuple[Path, bool]] = {}
    for path in rule_files("networks", extra):
        files[path.stem] = path, path.stem in files
    users_first = sorted(files.values(), key=lambda file: file[0].is_relative_to(own))
    return [_load(path, own, replaces=replaces) for path, replaces in users_first]


def _load(path: Path, own: Path, *, replaces: bool) -> NetworkFile:
    shipped = path.is_relative_to(own)
    where = path.relative_to(own).as_posix() if shipped else str(path)
    table = load_rule(path, ())
    is_registry, is_hint = (_field(table, key, bool, where, default=False) for key in (REGISTRY, HINT))
    if is_registry and is_hint:
        raise RuleError(f"{where}: expected `registry` or `hint`, got both")
    return NetworkFile(
        path=path,
        where=where,
        title=_field(table, "name", str, where),
        source=_field(table, "source", str, where),
        date=_field(table, "date", dt.date, where),
        role=REGISTRY if is_registry else HINT if is_hint else PUBLISHED,
        shipped=shipped,
        replaces=replaces,
        rules=tuple(rule for entry in _field(table, "range", list, where) for rule in _rules(entry, table, where)),
    )


def check_kind(class_: str, kind: str, where: str) -> None:
    """Raise `RuleError` where the contract knows no such class, or no such kind of it."""
    if kind not in KINDS.get(class_, ()):
        known = ", ".join(f"{name} {'|'.join(kinds)}" for name, kinds in KINDS.items())
        raise RuleError(f"{where}: expected a class and a kind of it, got {class_} {kind}", f"there are: {known}")


def _rules(entry: Any, table: dict[str, Any], where: str) -> list[NetworkRule]:
    """Read one range, which may have its own class and kind in place of the file's."""
    rule = f"{where}: {_field(entry, 'name', str, where)}"
    class_ = _field({**table, **entry}, "class", str, rule)
    kind = _field({**table, **entry}, "kind", str, rule)
    check_kind(class_, kind, rule)
    probe = _field(entry, "health_probe", bool, rule, default=False)
    cidrs = entry.get("cidrs")
    cidrs = cidrs.split() if isinstance(cidrs, str) else _field(entry, "cidrs", list, rule)
    rules = []
    for cidr in cidrs:
        try:
            ranges = network_ranges(str(cidr))
        except ValueError as error:
            raise RuleError(f"{rule}: {error}") from error
        rules += [NetworkRule(*pair, class_, kind, rule, health_probe=probe) for pair in ranges]
    return rules


def _field(table: Any, key: str, type_: type, where: str, *, default: Any = None) -> Any:
    value = table.get(key, default) if isinstance(table, dict) else None
    # A time is a date to `isinstance`, and not to be subtracted from one.
    if not isinstance(value, type_) or isinstance(value, dt.datetime):
        got = "nothing" if value is None else repr(value)
        raise RuleError(f"{where}: expected `{key}` of type {type_.__name__}, got {got}")
    return value
