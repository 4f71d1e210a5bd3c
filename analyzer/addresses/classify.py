"""Address to class, kind and rule, by ranges alone.

The steps are the contract's: what the command line declares, the cluster file, published ranges, special-purpose
registries, and a visitor for whatever is left. All of them are laid over one another once, so that labelling costs one
lookup an address however many rules there are. Who stands behind an address by the look of its traffic is no matter of
ranges and not decided here: a label's step tells whether that may decide otherwise.

Ranges that products default to (``hint = true`` in a network file) decide nothing, for many a network has them by
chance. They are named beside a rule of the registries, with ``ambiguous`` where there are several.
"""

from __future__ import annotations

import hashlib
from itertools import count, pairwise
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from analyzer.addresses.networks import CLASSES, HINT, KINDS, PUBLISHED, REGISTRY, load_networks
from analyzer.addresses.ranges import NetworkRule, RangeTable, address_numbers, network_ranges
from analyzer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analyzer.addresses.cluster import Cluster
    from analyzer.addresses.networks import NetworkFile

__all__ = ["CLASSES", "KINDS", "STEPS", "Class", "Classifier", "Match", "Part", "classify", "declared"]

Class = pl.Enum(CLASSES)
STEPS = ("command-line", "cluster", PUBLISHED, REGISTRY, "none")
"""Who decided; what the traffic of an address shows goes before the last two."""

_PUBLIC = ("client", "public", "public address")
_NO_ADDRESS = ("unknown", "not-an-address", "not an address")
_INVALID = ("unknown", "invalid", "not a valid address")
_LABELS: dict[str, pl.DataType | type[pl.DataType]] = {
    "class": Class,
    "kind": pl.Categorical,
    "rule": pl.Categorical,
    "node": pl.Categorical,
    "in_cluster": pl.Boolean,
    "health_probe": pl.Boolean,
    "step": pl.Enum(STEPS),
}


class Match(NamedTuple):
    """A rule that has an address, and the step that it belongs to: one of `STEPS`, or ``hint``."""

    step: str
    rule: NetworkRule


class Part(NamedTuple):
    """Addresses side by side, first to last, of one answer."""

    first: int
    last: int
    class_: str
    kind: str
    rule: str
    step: str


#: What `classify` returns.
_SAID: dict[str, pl.DataType | type[pl.DataType]] = {"class": Class, "kind": pl.String, "rule": pl.String}


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
        files = load_networks(extra_rules)
        published, registries, hints = (
            [rule for file in files if file.role == role for rule in file.rules] for role in (PUBLISHED, REGISTRY, HINT)
        )
        self._matching = [*zip(STEPS, (declared, cluster, published, registries), strict=False), (HINT, hints)]
        hinted = _hinted(registries, [file for file in files if file.role == HINT])
        steps = (declared, cluster, published, [*hinted, *registries])
        number = count()
        self._table = RangeTable.build(*([(r.first, r.last, next(number)) for r in step] for step in steps))
        rows = [
            (r.class_, r.kind, r.rule, r.node, r.in_cluster, r.health_probe, name)
            for name, step in zip(STEPS, steps, strict=False)
            for r in step
        ]
        rows += [(*said, None, False, False, STEPS[-1]) for said in (_PUBLIC, _NO_ADDRESS)]
        columns = zip(_LABELS.items(), zip(*rows, strict=True), strict=True)
        self._labels = pl.DataFrame([pl.Series(name, values, dtype=type_) for (name, type_), values in columns])

    def label(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Add what each row's address is.

        Parameters
        ----------
        frame
            Has a column ``address`` (UInt128), null where there is none.

        Returns
        -------
        polars.DataFrame
            The frame with ``class`` (Enum), ``kind``, ``rule`` and ``node`` (Categorical: ten million addresses have
            them), ``in_cluster`` and ``health_probe`` (Boolean), ``step`` (Enum of `STEPS`).
        """
        address = frame["address"]
        public = self._labels.height - 2
        row = self._table.lookup(address).fill_null(public)
        if address.null_count():
            row = row.set(address.is_null(), public + 1)
        return frame.with_columns(self._labels[row].get_columns())

    @property
    def starts(self) -> pl.Series:
        """The addresses (UInt128, ascending) at which the answer changes."""
        return self._table.starts

    def fingerprint(self) -> str:
        """What tells whether any address may be something else than to another classifier."""
        told = hashlib.sha256(self._labels.write_csv().encode())
        told.update(self._table.starts.to_frame().write_csv().encode())
        told.update(self._table.lookup(self._table.starts).to_frame().write_csv().encode())
        return told.hexdigest()

    def matching(self, first: int, last: int) -> list[Match]:
        """Return every rule that has an address from `first` to `last`, in the order in which they count."""
        found = []
        for step, rules in self._matching:
            having = [rule for rule in rules if rule.first <= last and first <= rule.last]
            found += [Match(step, rule) for rule in sorted(having, key=lambda rule: rule.last - rule.first)]
        return found

    def parts(self, first: int, last: int) -> list[Part]:
        """Return what the addresses from `first` to `last` are, in order, neighbours of one answer together."""
        starts = self._table.starts
        bounds = pl.Series([first, last], dtype=pl.UInt128)
        begin, end = starts.search_sorted(bounds, side="right")
        inside = starts[begin:end].to_list()
        begins = [first, *inside]
        labels = self.label(pl.DataFrame({"address": pl.Series(begins, dtype=pl.UInt128)}))
        found: list[Part] = []
        ends = [*(start - 1 for start in inside), last]
        said = labels.select("class", "kind", "rule", "step").iter_rows()
        for low, high, answer in zip(begins, ends, said, strict=True):
            if found and found[-1][2:] == answer:
                found[-1] = found[-1]._replace(last=high)
            else:
                found.append(Part(low, high, *answer))
        return found


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

    Examples
    --------
    >>> import analyzer as logscan
    >>> import polars as pl
    >>> addresses = pl.Series(["8.8.8.8", "10.0.10.11", "-"])
    >>> logscan.classify(addresses, node=["10.0.10.0/24"])["class"].to_list()
    ['client', 'node', 'unknown']
    """
    if isinstance(cluster, str | Path):
        from analyzer.addresses.cluster import Cluster  # noqa: PLC0415 - many modules, read only with a cluster file

        cluster = Cluster.load(cluster)
    rules = declared(node=node, lb=lb, client=client, private=private)
    classifier = Classifier(rules, cluster.networks() if cluster else ())
    labels = classifier.label(address_numbers(addresses, "classify").alias("address").to_frame())
    if addresses.dtype == pl.UInt128:
        return labels.select("class", pl.col("kind", "rule").cast(pl.String))
    text = addresses.cast(pl.String)
    invalid = text.str.contains("^[0-9a-fA-F:.]+$") & labels["address"].is_null()
    return labels.select(
        pl.when(invalid).then(pl.lit(value, dtype=type_)).otherwise(pl.col(name).cast(type_)).alias(name)
        for (name, type_), value in zip(_SAID.items(), _INVALID, strict=True)
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
        for cidr in [cidrs] if isinstance(cidrs, str) else cidrs:
            try:
                ranges = network_ranges(cidr)
            except ValueError as error:
                raise UsageError(f"{option}: {error}") from error
            rule = f"{option} {cidr}"
            rules += [NetworkRule(*pair, class_, kind or _registry_kind(*pair), rule) for pair in ranges]
    return rules


def _registry_kind(first: int, last: int) -> str:
    registries = (rule for file in load_networks() if file.role == REGISTRY for rule in file.rules)
    holding = [rule for rule in registries if rule.first <= first and last <= rule.last]
    return min(holding, key=lambda rule: rule.last - rule.first).kind if holding else "special"


def _hinted(registries: Sequence[NetworkRule], files: Sequence[NetworkFile]) -> list[NetworkRule]:
    """Return the registries' answers where products default to a range, with what these are in the rule's text.

    Each rule is of addresses that the same defaults and the same entry have, so that it is never larger than that.
    """
    waiting: list[tuple[int, int, str | None, NetworkRule]] = [
        *((rule.first, rule.last, file.range_name(rule), rule) for file in files for rule in file.rules),
        *((rule.first, rule.last, None, rule) for rule in registries),
    ]
    waiting.sort(key=itemgetter(0))
    waiting.reverse()
    bounds = sorted({bound for first, last, _, _ in waiting for bound in (first, last + 1)})
    having: list[tuple[int, int, str | None, NetworkRule]] = []
    found = []
    for first, end in pairwise(bounds):
        having = [each for each in having if each[1] >= first]
        while waiting and waiting[-1][0] == first:
            having.append(waiting.pop())
        if all(name is None for _, _, name, _ in having):
            continue
        having.sort(key=lambda each: each[1] - each[0])
        *names, last_name = dict.fromkeys(name for _, _, name, _ in having if name is not None)
        entry = next((rule for _, _, name, rule in having if name is None), None)
        class_, kind, said = (entry.class_, entry.kind, entry.rule) if entry else _PUBLIC
        may_be = f"ambiguous: {', '.join(names)} or {last_name}" if names else f"maybe {last_name}"
        found.append(NetworkRule(first, end - 1, class_, kind, f"{said}, {may_be}"))
    return found
