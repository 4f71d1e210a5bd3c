"""Who stands behind an address that no range decides: nodes, load balancers and CDN edges, or people.

Read off the address table alone. Each address gets a score, the sum of named terms in units of log-odds (natural
logarithm); its confidence is ``1 / (1 + exp(-score))``. `PRIVATE` and `PUBLIC` hold the terms with weight and reason.
The weights are judgements made in the open, rounded after a logistic regression over simulated topologies
(tests/topologies.py), not measurements of anybody's network. They speak of three things:

the address itself
    How many user agents stand on it, against what as many requests of everybody would show; what it sends that only an
    entry point passes on.
its like
    The other private addresses, or its /24 (IPv6: /64): whether they look like proxies; near-equal shares; whether they
    come and go together.
the log
    How much of it these addresses carry. Where most visitors keep their address, a crowd on one address is an office or
    a carrier's NAT rather than a CDN edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

from analyzer.addresses.classify import Class
from analyzer.addresses.ranges import MAPPED, format_addresses
from analyzer.readings.bitmap import BITS, SATURATED
from analyzer.readings.proxy_evidence import OUTSIDE, evidence
from analyzer.tables.columns import PROBES, Sign

CONFIDENT = 0.9
"""Confidence from which an address is re-labelled; below it stays what its range says."""
SUSPECTED = 0.4
"""Confidence from which a report names the address."""
NOT_A_PROXY = 0.1
"""Confidence up to which a private address with the user agents of one person is a visitor's own."""
PERSON_BITS = 6
"""Most bits of user agents that one person sets: some devices, updated while the log ran."""


class Term(NamedTuple):
    """A piece of evidence: its weight, how far it holds (1 is wholly, null not known), and how a report says it."""

    name: str
    weight: float
    holds: pl.Expr
    reason: str


_SHARED, _CROWD = pl.col("shared"), pl.col("crowd")
_SIGNS = pl.col("signs")
_OUTSIDE = (_SIGNS & int(OUTSIDE)) > 0
_FAN_IN = pl.col("fan_in").clip(-1.5, 1.5)
_AGENTS = "{agents} user agents on one address"
_FEW = (pl.col("expected") > 8) & _CROWD
_FEWER = ((pl.col("agents") / pl.col("expected")).log() + 0.4).clip(-2, 0)
_UNREAD = (pl.col("visits") == 0) & (pl.col("unparsed_requests") > 0)
_EVEN = pl.col("even").clip(-1.5, 4)
_QUIET = pl.col("log_quiet")
_CRAWLED = pl.col("of_crawlers") / pl.col("of_visits")
_CRAWLS_DUE = pl.col("log_crawled") * pl.col("of_visits")
_SOME_CRAWLERS = (pl.col("of_crawlers") >= 2) & (0.1 * pl.col("log_crawled") < _CRAWLED) & (_CRAWLED < 0.7)
_NO_CRAWLERS = pl.col("of_crawlers") < 0.05 * _CRAWLS_DUE
_MISSED_CRAWLS = pl.when(_SHARED & _NO_CRAWLERS).then((_CRAWLS_DUE / 8).clip(0, 5)).otherwise(0.0)
_CARRIES = pl.when(_SHARED).then(2 * pl.col("carried") - 1).otherwise(0.0)
_PEERS_OUTSIDE = ~_OUTSIDE & _CROWD & (pl.col("outside_peers") > 0)
_ENDS_IN_0 = pl.col("v4") & (pl.col("last_byte") == 0)
_ENDS_IN_1 = pl.col("v4") & (pl.col("last_byte") == 1) & (pl.col("kind") != "loopback")
_NO_HEADER = (pl.col("log_forwarded") >= 10) & (pl.col("forwarded_bits") <= 1) & (pl.col("visits") >= 12)

PRIVATE = (
    Term("prior", -2.0, pl.lit(1.0), "private"),
    Term("fan-in", 2.6, _FAN_IN, _AGENTS),
    Term("pool", 1.0, pl.col("pool").clip(-3, 3), "the other private addresses look alike"),
    Term("subnet", 0.4, pl.col("neighbours").clip(-3, 3), "its subnet looks alike"),
    Term("outside", 4.0, _OUTSIDE & (pl.col("agents") > 1.5), "crawlers or scanners of the Internet come over it"),
    Term("outside-peers", 3.0, _PEERS_OUTSIDE, "crawlers or scanners come over its like"),
    Term("probe", 6.0, (_SIGNS & int(PROBES)) > 0, "sends health probes"),
    Term("unread", 5.0, _UNREAD, "only unreadable requests, which carry the peer's address"),
    Term("gateway-0", 4.0, _ENDS_IN_0, "ends in .0, as an overlay's gateway does"),
    Term("gateway-1", 0.5, _ENDS_IN_1, "ends in .1, as a bridge does"),
    Term("equal-shares", 1.0, _EVEN, "a share near those of its like"),
    Term("forwarded", 1.0, pl.col("forwarded_bits") >= 6, "X-Forwarded-For names many behind it"),
    Term("few-browsers", 2.0, pl.when(_FEW).then(_FEWER).otherwise(0.0), "fewer browsers than visitors have"),
    Term("quiet", -1.0, _CROWD & _QUIET, "no crawler and no scanner in the whole log"),
    Term("loopback", 6.0, pl.col("kind") == "loopback", "a loopback address: a sidecar, or another hop in the pod"),
)
PUBLIC = (
    Term("prior", -4.0, pl.lit(1.0), "public"),
    Term("fan-in", 1.0, _FAN_IN, _AGENTS),
    Term("subnet", 1.0, pl.col("neighbours").clip(-3, 3), "its subnet looks alike"),
    Term("dense", 0.7, pl.col("dense"), "many addresses of one subnet"),
    Term("group", 1.0, pl.col("grouped") & _CROWD, "with three or more such addresses in its subnet"),
    Term("carries", 1.5, _CARRIES, "its like carry most of the log"),
    Term("carries-all", 2.5, _SHARED & (pl.col("carried") > 0.9), "hardly anybody comes by himself"),
    Term("crawled", 5.0, _SHARED & _SOME_CRAWLERS, "crawlers come over it among others"),
    Term("not-crawled", -1.0, _MISSED_CRAWLS, "no crawler comes over it"),
    Term("crawler", -4.0, _CRAWLED >= 0.7, "is a crawler"),
    Term("equal-shares", 1.0, pl.when("grouped").then(0.0).otherwise(_EVEN), "a share near those of its like"),
    Term("forwarded", 1.0, (pl.col("forwarded_bits") >= 6) & ~_OUTSIDE, "X-Forwarded-For names many behind it"),
    Term("not-forwarded", -1.0, _CROWD & _NO_HEADER, "names nobody in X-Forwarded-For"),
    Term("few-browsers", 2.0, pl.when(_FEW).then(_FEWER).otherwise(0.0), "fewer browsers than visitors have"),
    Term("stops", 3.0, pl.col("grouped") & pl.col("stops"), "comes and goes with its like while the log goes on"),
    Term("quiet", -1.5, _SHARED & _QUIET, "no crawler and no scanner in the whole log"),
)
PEERS = Term("peers", 1.4, pl.lit(0.0), "most of its like are proxies beyond doubt")
"""Added when all others are weighed: the log-odds, 0 to 2, of its like (private, or of its subnet) that are."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """An address that may be a proxy and was left what its range says."""

    address: str
    requests: int
    confidence: float
    evidence: str


ROLES = ("node", "gateway", "load-balancer", "edge", "sidecar")
"""What an inferred address is, finer than its class: a guess that a cluster file would decide."""
_BALANCERS_MOST = 8
"""Private addresses that a load balancer has at the most: R3 of the diagnosis."""


def infer(labelled: pl.DataFrame, *, nodes_known: bool = False) -> pl.DataFrame:
    """Re-label the addresses that stand for others.

    Only what no rule decides is inferred: addresses that a special-purpose registry has, or no range at all.

    Parameters
    ----------
    labelled
        The address table with the columns that `Classifier.label` appends.
    nodes_known
        A cluster file named all nodes: whatever else stands for others is no node.

    Returns
    -------
    polars.DataFrame
        The frame, rows in their order, with ``class``, ``kind`` (``inferred``) and ``rule`` replaced where the
        confidence reaches `CONFIDENT`, and four columns more:

        - ``confidence`` (Float32) that the address is a proxy, null where nothing was weighed;
        - ``evidence`` (Categorical), the terms that speak for it, the heaviest first; null below `SUSPECTED`;
        - ``role`` (Enum of `ROLES`) where a class was inferred;
        - ``visitor`` (Boolean): the logged address is the visitor's own, by its class, or because a private address
          shows the user agents of one person.
    """
    weighed = _weigh(evidence(labelled))
    private_person = (
        ~pl.col("public")
        & (pl.col("kind") != "loopback")
        & (pl.col("visits") > 0)
        & (pl.col("user_agents").bitwise_count_ones() <= PERSON_BITS)
        & (pl.col("confidence") <= NOT_A_PROXY)
        & ((pl.col("fan_in") <= -0.3) | (pl.col("pool") <= -1))  # shown, not just unknown
    )
    suspects = _described(_with_roles(weighed.filter(pl.col("confidence") >= SUSPECTED), nodes_known=nodes_known))
    found = suspects.filter(pl.col("confidence") >= CONFIDENT)
    labels = found.select(
        pl.col("inferred_class").cast(Class).alias("class"),
        pl.lit("inferred").cast(pl.Categorical).alias("kind"),
        pl.col("inferred_rule").cast(pl.Categorical).alias("rule"),
    )
    own = labelled.select("class", "kind", "rule")
    places = pl.int_range(own.height, dtype=pl.UInt32, eager=True)
    relabelled = pl.concat([own, labels])[_placed(places, found["row"], first=own.height)]
    # Narrow types: ten million addresses have these columns too.
    said = suspects.select(
        "row",
        # Of its own: categories of all frames stay for as long as one of them does, and of a log that is watched for
        # days each look has other ones.
        pl.col("evidence").cast(pl.Categorical(pl.Categories.random())),
        role=pl.when(pl.col("confidence") >= CONFIDENT).then(pl.col("role").cast(pl.Enum(ROLES))),
    )
    added = weighed.select("row", pl.col("confidence").cast(pl.Float32), person=private_person)
    added = added.join(said, on="row", how="left", maintain_order="left")
    added = pl.concat([added.clear(1), added])  # the first row is that of an address which nothing was weighed for
    added = added[_placed(pl.zeros(own.height, pl.UInt32, eager=True), weighed["row"], first=1)]
    visitor = (relabelled["class"] == "client") | added["person"].fill_null(value=False)
    return labelled.with_columns(
        *relabelled.get_columns(), *added.drop("row", "person").get_columns(), visitor.alias("visitor")
    )


def _placed(places: pl.Series, rows: pl.Series, *, first: int) -> pl.Series:
    """Return places to gather from, those of `rows` replaced by `first` and the numbers after it."""
    return places.scatter(rows, pl.int_range(first, first + len(rows), dtype=pl.UInt32, eager=True))


def suspicions(inferred: pl.DataFrame, *, top: int) -> list[Suspicion]:
    """List the addresses that may be proxies and were left what their range says, the busiest first.

    Parameters
    ----------
    inferred
        What `infer` returned.
    top
        How many to list; 0 lists all.
    """
    rows = inferred.filter((pl.col("confidence") >= SUSPECTED) & (pl.col("kind") != "inferred"))
    rows = rows.sort("requests", "address", descending=[True, False])
    rows = rows.head(top) if top else rows
    columns = rows.select("requests", "confidence", "evidence").iter_rows()
    return [
        Suspicion(address, requests, round(confidence, 2), reasons)
        for address, (requests, confidence, reasons) in zip(format_addresses(rows["address"]), columns, strict=True)
    ]


def _weigh(frame: pl.DataFrame) -> pl.DataFrame:
    """Add the confidence of each address, and under its name each term with its weight."""
    parts = []
    for terms, like, rows in (
        (PRIVATE, "public", frame.filter(~pl.col("public"))),
        (PUBLIC, "subnet", frame.filter("public")),
    ):
        added = rows.select(
            (term.holds.cast(pl.Float64).fill_null(0) * term.weight).alias(f"+{term.name}") for term in terms
        )
        weighed = rows.with_columns(added.get_columns(), score=added.sum_horizontal())
        sure = (_confidence() >= CONFIDENT).cast(pl.Int32)
        others = (sure.sum().over(like) - sure, (1 - sure).sum().over(like) - (1 - sure))
        peers = (((others[0] + 0.3) / (others[1] + 0.3)).log().clip(0, 2) * PEERS.weight).alias(f"+{PEERS.name}")
        parts.append(weighed.with_columns(peers).with_columns(score=pl.col("score") + pl.col(f"+{PEERS.name}")))
    return pl.concat(parts, how="diagonal").with_columns(confidence=_confidence())


def _confidence() -> pl.Expr:
    return 1 / (1 + (-pl.col("score")).exp())


def _with_roles(frame: pl.DataFrame, *, nodes_known: bool) -> pl.DataFrame:
    """Say what kind of proxy each is: a guess where only a cluster file could tell nodes from load balancers."""
    private = ~pl.col("public")
    sure = pl.col("confidence") >= CONFIDENT
    ula_gateway = (pl.col("kind") == "ula") & (pl.col("address") % 2**64 <= 1)
    gateway = private & ((pl.col("v4") & (pl.col("last_byte") <= 1)) | ula_gateway)
    # Pods behind svclb or kube-proxy, by the cluster CIDRs that k3s, RKE2, flannel, kind and kubeadm come with.
    pods = pl.any_horizontal(pl.col("address").is_between(*_cidr(first)) for first in (0x0AF4, 0x0A2A))
    prober = pl.col("signs")
    node_probe, lb_probe = (prober & int(Sign.KUBE_PROBE)) > 0, (prober & int(PROBES & ~Sign.KUBE_PROBE)) > 0
    peers = (private & sure).sum()
    subnets = pl.col("subnet").filter(private & sure).n_unique()
    masquerades = (private & sure & (gateway | pods | node_probe)).any()
    few = (peers == 1) | ((peers <= _BALANCERS_MOST) & (subnets > 1))
    balancer = lb_probe | (private & sure & lb_probe).any() | (few & ~masquerades) | nodes_known
    lone_public = pl.col("public") & ~pl.col("grouped")
    role = (
        pl.when(pl.col("kind") == "loopback").then(pl.lit("sidecar"))
        .when(private & node_probe & (not nodes_known)).then(pl.lit("node"))
        .when(gateway & ~lb_probe & (not nodes_known)).then(pl.lit("gateway"))
        .when(private & balancer).then(pl.lit("load-balancer"))
        .when(private).then(pl.lit("node"))
        .when(lone_public & (pl.col("forwarded_bits") >= 6)).then(pl.lit("load-balancer"))
        .when(lone_public & (lone_public.sum() > 1) & (not nodes_known)).then(pl.lit("node"))
        .when(lone_public).then(pl.lit("load-balancer"))
        .otherwise(pl.lit("edge"))
    )  # fmt: skip
    is_node = pl.col("role").is_in(["node", "gateway"])
    return frame.with_columns(role=role).with_columns(
        inferred_class=pl.when(is_node).then(pl.lit("node")).otherwise(pl.lit("lb"))
    )


def _cidr(first: int) -> tuple[pl.Expr, pl.Expr]:
    """Bounds of an IPv4 /16."""
    start = MAPPED | first << 16
    return pl.lit(start, pl.UInt128), pl.lit(start | 0xFFFF, pl.UInt128)


def _described(frame: pl.DataFrame) -> pl.DataFrame:
    """Put the terms into words; a loop over the few addresses that a report may name."""
    reasons = {f"+{term.name}": term.reason for term in (*PUBLIC, *PRIVATE, PEERS) if term.name != "prior"}
    names = [name for name in reasons if name in frame.columns]
    evidence_texts, rules = [], []
    for row in frame.select("agents", "user_agents", *names).iter_rows(named=True):
        count = row["user_agents"].bit_count()
        agents = f"at least {SATURATED}" if count == BITS else f"{row['agents']:.0f}"
        held = sorted((name for name in names if (row[name] or 0) > 0.05), key=lambda name: -row[name])
        said = {name: reasons[name].format(agents=agents) for name in held}
        evidence_texts.append(", ".join(f"{text} (+{row[name]:.1f})" for name, text in said.items()))
        first = said.pop("+fan-in", None) if row["agents"] > 1.5 else None
        best = [first] if first else []
        rules.append("inferred: " + ", ".join(best + list(said.values())[: 2 - len(best)]))
    return frame.with_columns(
        evidence=pl.Series(evidence_texts, dtype=pl.String), inferred_rule=pl.Series(rules, dtype=pl.String)
    )
