"""Preservation: for how many requests is the logged remote address the visitor's own, and what stands in otherwise.

``preserved_pct = 100 * preserved / considered``. Whether a preserved address can be trusted is another reading; what
to do about a lost one is a finding.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from analyzer.addresses.classify import CLASSES
from analyzer.addresses.ranges import format_addresses
from analyzer.charts import Bars
from analyzer.readings.bitmap import linear_count
from analyzer.readings.proxies import Suspicion, suspicions
from analyzer.readings.reading import Reading, frame_of
from analyzer.readings.shares import considered, excluded, percent

PRESERVED_PCT = 99.0
"""From here the headline says preserved: a handful of internal callers does not spoil a sound setup."""
PARTLY_PCT = 50.0
"""From here it says partly preserved: most visitors keep their address, as with one of two listeners mended."""

_EXAMPLES = 5
_PRESERVED = pl.col("considered").filter("visitor").sum().alias("preserved")


@dataclass(frozen=True, slots=True)
class Excluded:
    """Requests left out of `considered`; each counts once, for the first of these reasons that holds."""

    health_probe: int
    unparsed_request: int
    in_cluster: int
    unknown: int


@dataclass(frozen=True, slots=True)
class ClassCount:
    """All requests of one class; `pct` is the share of all requests, so that the five classes add up to 100.

    `preserved` are those considered whose address is the visitor's own: all of the class client, and of the class
    private those of addresses that look like one person.
    """

    requests: int
    considered: int
    preserved: int
    addresses: int
    pct: float | None


@dataclass(frozen=True, slots=True)
class KindRow:
    """Considered requests of one kind; `pct` is their share of all considered requests, `preserved` as of a class.

    `addresses` counts the addresses with a considered request; `examples` and `rules` are those of the busiest, none
    for public clients, whose addresses are nobody's business.
    """

    class_: str
    kind: str
    considered: int
    preserved: int
    pct: float | None
    addresses: int
    examples: list[str]
    rules: list[str]


@dataclass(frozen=True, slots=True)
class AddressRow:
    """One remote address with all its requests; fan-in is estimated, None where the log names no one."""

    address: str
    class_: str
    kind: str
    rule: str
    requests: int
    user_agents: int | None
    forwarded_clients: int | None


@dataclass(frozen=True, slots=True)
class Preservation(Reading):
    """The numbers of the headline.

    ``requests = considered + sum(excluded)``, ``considered = sum(classes.*.considered) = sum(kinds.*.considered)`` and
    ``preserved = sum(classes.*.preserved)``. `recoverable_pct` is the share of considered requests whose client is not
    the logged address but can be found in the chain that the log holds, None where it holds none. `suspicions` are
    addresses that may be proxies, and were left what their range says.
    """

    requests: int
    considered: int
    preserved: int
    preserved_pct: float | None
    recoverable_pct: float | None
    verdict: str
    excluded: Excluded
    classes: dict[str, ClassCount]
    kinds: list[KindRow]
    addresses: list[AddressRow]
    suspicions: list[Suspicion]

    @property
    def frame(self) -> pl.DataFrame:
        """The kinds, a row each."""
        return frame_of(self.kinds, KindRow)

    def plot(self) -> Bars:
        """Kinds of remote addresses."""
        return Bars(
            title="Remote addresses", frame=self.frame, name="kind", value="pct", unit="% of requests", by="class"
        )


def preservation(labelled: pl.DataFrame, *, recoverable: int | None = None, top: int) -> Preservation:
    """Read preservation off a labelled address table.

    Parameters
    ----------
    labelled
        The address table with the columns that `analyzer.readings.proxies.infer` appends.
    recoverable
        Considered requests whose client stands in the log beside the remote address; None where none could.
    top
        How many addresses to list, the busiest first, ties by address; 0 lists all.

    Returns
    -------
    Preservation
        `preserved_pct` is None when no request could be considered.
    """
    frame = labelled.with_columns(considered())
    sums = frame.select(pl.sum("requests", "considered"), *excluded()).row(0, named=True)
    requests, total = sums.pop("requests"), sums.pop("considered")
    classes = _classes(frame, requests)
    preserved = sum(each.preserved for each in classes.values())
    preserved_pct = percent(preserved, total)
    return Preservation(
        requests=requests,
        considered=total,
        preserved=preserved,
        preserved_pct=preserved_pct,
        recoverable_pct=None if recoverable is None else percent(recoverable, total),
        verdict=_verdict(preserved_pct),
        excluded=Excluded(**sums),
        classes=classes,
        kinds=_kinds(frame, total),
        addresses=_addresses(frame, top),
        suspicions=suspicions(labelled, top=top),
    )


def _verdict(preserved_pct: float | None) -> str:
    if preserved_pct is None:
        return "unknown"
    if preserved_pct >= PRESERVED_PCT:
        return "preserved"
    return "partly" if preserved_pct >= PARTLY_PCT else "not-preserved"


def _classes(frame: pl.DataFrame, requests: int) -> dict[str, ClassCount]:
    counted = frame.group_by("class").agg(pl.sum("requests", "considered"), _PRESERVED, pl.count("address"))
    by_class = {name: counts for name, *counts in counted.iter_rows()}
    classes = {}
    for name in CLASSES:
        of_class, visits, own, addresses = by_class.get(name, (0, 0, 0, 0))
        classes[name] = ClassCount(of_class, visits, own, addresses, percent(of_class, requests))
    return classes


def _kinds(frame: pl.DataFrame, total: int) -> list[KindRow]:
    # Lazy: a filter copies every column it is given.
    visited = frame.lazy().filter(pl.col("considered") > 0)
    counted = visited.group_by("class", "kind").agg(pl.sum("considered"), _PRESERVED, pl.len()).collect()
    others = visited.filter(pl.col("kind") != "public")
    named = others.select("class", "kind", "considered", "address", "rule").collect()
    busiest = named.group_by("class", "kind").agg(
        pl.col("address", "rule").top_k_by(["considered", "address"], _EXAMPLES)
    )
    samples = {
        (class_, kind): (format_addresses(pl.Series(addresses, dtype=pl.UInt128)).to_list(), list(dict.fromkeys(rules)))
        for class_, kind, addresses, rules in busiest.iter_rows()
    }
    nothing: tuple[list[str], list[str]] = ([], [])
    return [
        KindRow(class_, kind, count, own, percent(count, total), addresses, *samples.get((class_, kind), nothing))
        for class_, kind, count, own, addresses in counted.sort(
            "considered", "class", "kind", descending=[True, False, False]
        ).iter_rows()
    ]


def _addresses(frame: pl.DataFrame, top: int) -> list[AddressRow]:
    shown = pl.col("address").is_not_null()
    if 0 < top < frame.height:
        # Cheaper than sorting millions of rows by two keys: cut at the smallest count that is still shown (one row
        # more, as one has no address), and of the addresses with that count take the least.
        least = frame["requests"].top_k(top + 1).min()
        ties = frame["address"].filter(frame["requests"] == least).drop_nulls().bottom_k(top)
        shown &= (pl.col("requests") > least) | pl.col("address").is_in(ties.implode())
    columns = ("address", "class", "kind", "rule", "requests", "user_agents", "forwarded")
    rows = frame.lazy().filter(shown).select(columns).collect()
    rows = rows.sort("requests", "address", descending=[True, False])
    rows = rows.head(top) if top else rows
    texts = format_addresses(rows["address"])
    said = rows.drop("address")
    return [
        AddressRow(text, class_, kind, rule, requests, linear_count(agents) or None, linear_count(forwarded) or None)
        for text, (class_, kind, rule, requests, agents, forwarded) in zip(texts, said.iter_rows(), strict=True)
    ]
