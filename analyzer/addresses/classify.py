"""Address to class, kind and rule, by ranges alone.

The steps are the contract's: what the command line declares, the cluster file, published ranges, special-purpose
registries, and a visitor for whatever is left. All of them are laid over one another once, so that labelling costs one
lookup an address however many rules there are. Who stands behind an address by the look of its traffic is no matter of
ranges and not decided here.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from analyzer.addresses.cluster import Cluster
from analyzer.addresses.ranges import NetworkRule, RangeTable, network_ranges, parse_addresses
from analyzer.errors import RuleError, UsageError
from analyzer.rules import load_toml, rule_files, rules_dir

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CLASSES = ("client", "node", "lb", "private", "unknown")
Class = pl.Enum(CLASSES)
KINDS = {
    "client": ("public", "declared"),
    "node": ("node", "cni-gateway"),
    "lb": ("cluster-lb", "cloud-lb", "cdn", "trusted-proxy"),
    "private": ("rfc1918", "cgnat", "ula", "link-local", "loopback", "pod", "service", "special"),
}
"""The kinds that a rule may give; inference and addresses that are none have theirs besides."""

_PUBLIC = ("client", "public", "public address")
_NO_ADDRESS = ("unknown", "not-an-address", "not an address")
_INVALID = ("unknown", "invalid", "not a valid address")
_LABELS: dict[str, pl.DataType | type[pl.DataType]] = {
    "class": Class,
    "kind": pl.String,
    "rule": pl.String,
    "node": pl.String,
    "in_cluster": pl.Boolean,
    "health_probe": pl.Boolean,
}


class Classifier:
    """What every address is, given what was declared and what the cluster file says.

    Parameters
    ----------
    declared
        Rules of the command line, see `declared`.
    cluster
        Rules of the cluster file, see `Cluster.networks`.
    extra_rules
        Folders of ``--rules``; on a range that a shipped file names too, theirs count.
    """

    def __init__(
        self,
        declared: Sequence[NetworkRule] = (),
        cluster: Sequence[NetworkRule] = (),
        extra_rules: Sequence[Path] = (),
    ) -> None:
        published, registries = _shipped(extra_rules)
        rules: list[NetworkRule] = []
        steps: list[RangeTable] = []
        for step in (declared, cluster, published, registries):
            steps.append(RangeTable.build((rule.first, rule.last, len(rules) + at) for at, rule in enumerate(step)))
            rules += step
        self._table = RangeTable.overlay(steps)
        rows = [(r.class_, r.kind, r.rule, r.node, r.in_cluster, r.health_probe) for r in rules]
        rows += [(*_PUBLIC, None, False, False), (*_NO_ADDRESS, None, False, False)]
        self._labels = pl.DataFrame(rows, schema=_LABELS, orient="row")

    def label(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Add what each row's address is.

        Parameters
        ----------
        frame
            Has a column ``address`` (UInt128), null where there is none.

        Returns
        -------
        polars.DataFrame
            The frame with ``class`` (Enum), ``kind``, ``rule`` and ``node`` (String), ``in_cluster`` and
            ``health_probe`` (Boolean).
        """
        address = frame["address"]
        public = self._labels.height - 2
        row = self._table.lookup(address).fill_null(public)
        if address.null_count():
            row = row.set(address.is_null(), public + 1)
        return frame.with_columns(self._labels[row].get_columns())


def classify(  # noqa: PLR0913 - the options of the command line
    addresses: pl.Series,
    *,
    cluster: Cluster | str | Path | None = None,
    node: Iterable[str] = (),
    lb: Iterable[str] = (),
    client: Iterable[str] = (),
    private: Iterable[str] = (),
) -> pl.DataFrame:
    """Say what each address is.

    Parameters
    ----------
    addresses
        Addresses as text (String, Categorical) or as numbers (UInt128, IPv4 as ``::ffff:a.b.c.d``).
    cluster
        A `Cluster`, or the path of a cluster file.
    node, lb, client, private
        CIDRs that are so whatever any rule says.

    Returns
    -------
    polars.DataFrame
        ``class`` (Enum), ``kind`` and ``rule`` (String), a row for each of `addresses`. What is no address is
        ``unknown``: kind ``invalid`` where it is made of an address's characters, else ``not-an-address``.

    Raises
    ------
    UsageError
        Where a CIDR is none, or `addresses` holds neither text nor UInt128.
    ClusterError
        Where the cluster file cannot be read.
    """
    if isinstance(cluster, str | Path):
        cluster = Cluster.load(cluster)
    rules = declared(node=node, lb=lb, client=client, private=private)
    classifier = Classifier(rules, cluster.networks() if cluster else ())
    if addresses.dtype == pl.UInt128:
        return classifier.label(addresses.alias("address").to_frame()).select("class", "kind", "rule")
    if addresses.dtype not in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        raise UsageError(f"classify: expected addresses as String or UInt128, got {addresses.dtype}")
    text = addresses.cast(pl.String)
    labels = classifier.label(parse_addresses(text).alias("address").to_frame())
    invalid = text.str.contains("^[0-9a-fA-F:.]+$") & labels["address"].is_null()
    return labels.select(
        pl.when(invalid).then(pl.lit(value, dtype=_LABELS[name])).otherwise(name).alias(name)
        for name, value in zip(("class", "kind", "rule"), _INVALID, strict=True)
    )


def declared(
    *,
    node: Iterable[str] = (),
    lb: Iterable[str] = (),
    client: Iterable[str] = (),
    private: Iterable[str] = (),
) -> list[NetworkRule]:
    """Return the rules of ``--node``, ``--lb``, ``--client`` and ``--private``; `UsageError` names a CIDR that is none.

    A private range is of the kind of the registry entry that holds all of it, ``special`` where none does.
    """
    rules = []
    for option, class_, kind, cidrs in (
        ("--node", "node", "node", node),
        ("--lb", "lb", "cluster-lb", lb),
        ("--client", "client", "declared", client),
        ("--private", "private", None, private),
    ):
        for cidr in cidrs:
            try:
                ranges = network_ranges(cidr)
            except ValueError as error:
                raise UsageError(f"{option}: {error}") from error
            rule = f"{option} {cidr}"
            rules += [NetworkRule(*pair, class_, kind or _registry_kind(*pair), rule) for pair in ranges]
    return rules


def _registry_kind(first: int, last: int) -> str:
    holding = [rule for rule in _shipped()[1] if rule.first <= first and last <= rule.last]
    return min(holding, key=lambda rule: rule.last - rule.first).kind if holding else "special"


def _shipped(extra: Sequence[Path] = ()) -> tuple[list[NetworkRule], list[NetworkRule]]:
    """Return the rules of all network files: of published ranges, and of special-purpose registries."""
    files = rule_files("networks", extra)
    own = rules_dir()
    published: list[NetworkRule] = []
    registries: list[NetworkRule] = []
    # Of equal ranges the first counts, and a user's own file is to count.
    for file in sorted(files, key=lambda file: file.is_relative_to(own)):
        title = file.relative_to(own).as_posix() if file.is_relative_to(own) else str(file)
        table = load_toml(file)
        step = registries if _field(table, "registry", bool, title, default=False) else published
        step += _network_rules(table, title)
    return published, registries


def _network_rules(table: dict[str, Any], title: str) -> list[NetworkRule]:
    """Read one file of ``networks/``; a range may have its own class and kind in place of the file's."""
    rules = []
    for key, type_ in (("name", str), ("source", str), ("date", dt.date)):
        _field(table, key, type_, title)
    for entry in _field(table, "range", list, title):
        rule = f"{title}: {_field(entry, 'name', str, title)}"
        class_ = _field({**table, **entry}, "class", str, rule)
        kind = _field({**table, **entry}, "kind", str, rule)
        if kind not in KINDS.get(class_, ()):
            known = ", ".join(f"{name} {'|'.join(kinds)}" for name, kinds in KINDS.items())
            raise RuleError(f"{rule}: expected a class and a kind of it, got {class_} {kind}", f"there are: {known}")
        probe = _field(entry, "health_probe", bool, rule, default=False)
        for cidr in _field(entry, "cidrs", list, rule):
            try:
                ranges = network_ranges(str(cidr))
            except ValueError as error:
                raise RuleError(f"{rule}: {error}") from error
            rules += [NetworkRule(*pair, class_, kind, rule, health_probe=probe) for pair in ranges]
    return rules


def _field(table: Any, key: str, type_: type, where: str, *, default: Any = None) -> Any:
    value = table.get(key, default) if isinstance(table, dict) else None
    if not isinstance(value, type_):
        got = "nothing" if value is None else repr(value)
        raise RuleError(f"{where}: expected `{key}` of type {type_.__name__}, got {got}")
    return value
