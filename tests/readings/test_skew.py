"""Skew: what is counted, over what, and how even it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from analyzer.addresses.cluster import Cluster, Node
from analyzer.addresses.ranges import to_number
from analyzer.readings import skew as module
from analyzer.readings.skew import By, Skew, skew
from analyzer.tables.loads import SUMS, Loads

Rows = Callable[..., pl.DataFrame]

NAMES = ["a.log", "b.log", "c.log", "d.log"]
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
Source = tuple[str | None, str | None, int]


def streams(*rows: Source) -> pl.DataFrame:
    """Make streams of (node, pod, requests)."""
    return pl.DataFrame(
        {
            "source": pl.Series(range(len(rows)), dtype=pl.UInt32),
            "node": pl.Series([row[0] for row in rows], dtype=pl.String),
            "pod": pl.Series([row[1] for row in rows], dtype=pl.String),
            "namespace": pl.Series(["ingress-nginx"] * len(rows), dtype=pl.String),
            "name": pl.Series(NAMES[: len(rows)], dtype=pl.String),
        }
    )


def loads_of(key: str, dtype: type[pl.DataType], rows: list[tuple[object, ...]]) -> Loads:
    """Make a table of loads."""
    return Loads(pl.DataFrame(rows, schema={key: dtype, **SUMS}, orient="row"), 10)


def read(*rows: Source, cells: pl.DataFrame | None = None, **options: Any) -> Skew:
    """Read skew off streams of (node, pod, requests), 100 bytes and 20 ms each, without times.

    `cells` are the requests of the streams by time, in their place.
    """
    options = {"by": None, "cluster": None} | options
    made = [(number, None, count, 100 * count, count, 20 * count) for number, (*_, count) in enumerate(rows) if count]
    loads = loads_of("source", pl.UInt32, made)
    if cells is not None:
        loads = Loads(cells, 10)
    entries = options.pop("entries", loads_of("address", pl.UInt128, []))
    return skew(streams(*rows), loads, entries, options.pop("labelled"), **options)


def cluster(*names: str, cordoned: str = "cordoned") -> Cluster:
    """Make a cluster of schedulable nodes and one that is not."""
    nodes = [Node(name, (), (), schedulable=True, zone=None) for name in names]
    return Cluster("cluster.json", nodes=(*nodes, Node(cordoned, (), (), schedulable=False, zone=None)))


def test_requests_of_one_node_add_up_over_its_pods(labelled: Rows) -> None:
    """Two pods on one node are one group with two pods, and what they cost adds up as well."""
    reading = read(("n1", "p1", 3000), ("n1", "p2", 3000), ("n2", "p3", 5500), labelled=labelled())
    assert (reading.by, reading.basis, reading.verdict, reading.fits) == ("node", "serving", "even", "even")
    first, second = reading.groups
    assert (first.name, first.requests, first.pods, second.name, second.pods) == ("n1", 6000, 2, "n2", 1)
    assert (first.bytes, first.upstream_seconds) == (600_000, 120.0)
    assert first.share_pct == first.bytes_pct == first.upstream_pct == pytest.approx(100 * 60 / 115, abs=1e-3)
    assert reading.max_over_mean == pytest.approx(60 / 57.5, abs=1e-4)


def test_every_measure_has_its_spread(labelled: Rows) -> None:
    """Even in requests is not even in bytes or in time: each is measured, and its busiest named."""
    cells = pl.DataFrame(
        [(0, NOON, 5000, 900, 10, 5000), (1, NOON, 5000, 100, 10, 15_000)],
        schema={"source": pl.UInt32, **SUMS},
        orient="row",
    )
    reading = read(("n1", None, 5000), ("n2", None, 5000), cells=cells, labelled=labelled())
    measured = {each.measure: (each.busiest, each.max_over_mean) for each in reading.spreads}
    assert measured == {"requests": ("n1", 1.0), "bytes": ("n1", 1.8), "upstream_time": ("n2", 1.5)}


def test_what_is_not_logged_is_not_known(labelled: Rows) -> None:
    """A format without bytes and upstream times has none, which is not 0."""
    cells = pl.DataFrame([(0, NOON, 5, 0, 0, 0)], schema={"source": pl.UInt32, **SUMS}, orient="row")
    (group,) = read(("n1", "p1", 5), cells=cells, labelled=labelled()).groups
    assert (group.bytes, group.bytes_pct, group.upstream_seconds, group.upstream_pct) == (None, None, None, None)


def test_the_busiest_is_named(labelled: Rows) -> None:
    """Where no placement explains it, the reason says who has how much."""
    reading = read(("n1", None, 1000), ("n2", None, 6000), ("n3", None, 2000), labelled=labelled())
    assert (reading.verdict, reading.fits, reading.max_over_mean) == ("uneven", None, 2.0)
    assert reading.reason == "n2 has 2.0 times an even share"
    assert reading.groups[0].pods is None


def test_the_one_with_little_is_named(labelled: Rows) -> None:
    """A node far below the others is a skew as well."""
    reading = read(("n1", None, 10_000), ("n2", None, 10_000), ("n3", None, 6000), labelled=labelled())
    assert (reading.verdict, reading.reason) == ("uneven", "n3 has 0.69 of an even share")


def test_one_node_with_everything_is_a_leader(labelled: Rows) -> None:
    """One node that has nearly all announces the address alone, or the others are unhealthy."""
    reading = read(("n1", None, 9990), ("n2", None, 10), labelled=labelled())
    assert reading.verdict == "uneven"
    assert reading.reason.startswith("n1 has nearly all requests: one node announces the address")


def test_equal_groups_are_even(labelled: Rows) -> None:
    """Nothing differs, so every measure of difference is nothing."""
    reading = read(("n1", None, 5000), ("n2", None, 5000), labelled=labelled())
    assert (reading.cv, reading.max_over_mean, reading.gini, reading.verdict) == (0.0, 1.0, 0.0, "even")
    assert reading.reason == "differences are no more than noise"


def test_of_very_many_groups_some_are_listed(labelled: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers are those of all groups, and it is told how many are left out."""
    rows: list[Source] = [(None, None, 400), (None, None, 0), (None, None, 200), (None, None, 0)]
    whole = read(*rows, labelled=labelled())
    monkeypatch.setattr(module, "LISTED", 1)
    cut = read(*rows, labelled=labelled())
    assert (len(whole.groups), whole.unlisted, len(whole.idle), whole.idle_unlisted) == (4, 0, 2, 0)
    assert (cut.groups, cut.unlisted) == (whole.groups[:1], 3)
    assert (cut.idle, cut.idle_unlisted, list(cut.idle_because)) == (whole.idle[:1], 1, whole.idle[:1])
    assert (cut.gini, cut.verdict) == (whole.gini, whole.verdict)


def test_too_few_requests_tell_nothing(labelled: Rows) -> None:
    """Of a handful of requests nothing is said, neither of even counts nor of uneven ones."""
    for counts in ((5, 5), (3, 7)):
        reading = read(("n1", None, counts[0]), ("n2", None, counts[1]), labelled=labelled())
        assert (reading.verdict, reading.fits) == ("unknown", None)
        assert reading.reason.startswith("too few requests")


def test_few_clients_are_no_skew(labelled: Rows) -> None:
    """What a skew of many visitors' requests would be, is chance where ten visitors sent them all."""
    rows = (("n1", None, 5300), ("n2", None, 4700))
    few = [{"address": f"198.51.100.{n}", "requests": 1000} for n in range(10)]
    many = [{"address": f"198.51.{n // 250}.{n % 250}", "requests": 2} for n in range(5000)]
    assert read(*rows, labelled=labelled(*many)).verdict == "even"
    assert read(*rows, labelled=labelled(*few)).verdict == "unknown"
    rows = (("n1", None, 6500), ("n2", None, 3500))
    assert read(*rows, labelled=labelled(*many)).verdict == "uneven"
    assert read(*rows, labelled=labelled(*few)).reason.startswith("too few connections or clients")


@pytest.mark.parametrize(("by", "fits", "verdict"), [("pod", "by_node", "uneven"), ("node", "even", "even")])
def test_local_spreads_over_nodes(labelled: Rows, by: By, fits: str, verdict: str) -> None:
    """Under Local, two pods on one node share what the one on the other has alone; each share stands beside it."""
    rows = (("n1", "p1", 2510), ("n1", "p2", 2490), ("n2", "p3", 5000))
    reading = read(*rows, by=by, labelled=labelled())
    assert (reading.fits, reading.verdict) == (fits, verdict)
    if by == "pod":
        shares = [(each.name, each.even_pct, each.by_node_pct, each.by_pod_pct) for each in reading.groups]
        assert shares == [
            ("p3", 33.3333, 50.0, 33.3333),
            ("p1", 33.3333, 25.0, 33.3333),
            ("p2", 33.3333, 25.0, 33.3333),
        ]
        assert reading.reason == "as the pods are placed: every node gets the same, and shares it among its pods"


@pytest.mark.parametrize(("by", "fits", "verdict"), [("pod", "even", "even"), ("node", "by_pod", "uneven")])
def test_cluster_spreads_over_pods(labelled: Rows, by: By, fits: str, verdict: str) -> None:
    """Under Cluster every pod gets the same, so that the node with two of them has twice as much."""
    rows = (("n1", "p1", 3310), ("n1", "p2", 3340), ("n2", "p3", 3350))
    reading = read(*rows, by=by, labelled=labelled())
    assert (reading.fits, reading.verdict) == (fits, verdict)


def test_zones_are_those_of_their_nodes(labelled: Rows) -> None:
    """A zone has what its nodes have, and is expected to have more the more nodes it has."""
    nodes = [Node(f"n{n}", (), (), schedulable=True, zone="a" if n < 3 else "b") for n in (1, 2, 3)]
    rows = (("n1", "p1", 4000), ("n2", "p2", 4000), ("n3", "p3", 4000))
    reading = read(*rows, by="zone", labelled=labelled(), cluster=Cluster("cluster.json", nodes=tuple(nodes)))
    assert [(each.name, each.requests, each.pods, each.by_node_pct) for each in reading.groups] == [
        ("a", 8000, 2, 66.6667),
        ("b", 4000, 1, 33.3333),
    ]
    assert (reading.verdict, reading.fits) == ("uneven", "by_pod")
    assert [(each.by, each.verdict) for each in reading.also] == [("node", "even"), ("pod", "even")]


def test_a_node_that_was_away_is_named_and_is_no_skew(labelled: Rows) -> None:
    """Even while all were there, and one had no traffic for five minutes: that is said with its start and length."""
    rows = [
        (source, NOON + timedelta(seconds=10 * slot), 60 if source < 2 and 60 <= slot < 120 else 40, 1, 1, 1)
        for slot in range(180)
        for source in range(3)
        if source != 2 or not 60 <= slot < 120
    ]
    cells = pl.DataFrame(rows, schema={"source": pl.UInt32, **SUMS}, orient="row")
    sums = cells.group_by("source").agg(pl.col("considered").sum()).sort("source")["considered"].to_list()
    reading = read(*((f"n{n}", None, count) for n, count in enumerate(sums)), cells=cells, labelled=labelled())
    assert (reading.verdict, reading.fits) == ("even", "present")
    (stretch,) = reading.interruptions
    assert (stretch.name, stretch.kind, stretch.seconds) == ("n2", "away", 600)
    assert stretch.start == NOON + timedelta(seconds=600)
    assert reading.interrupted == 1


def test_idle_nodes_are_named_but_not_part_of_the_mean(labelled: Rows) -> None:
    """A schedulable node without a log is idle; a cordoned one is not expected to serve."""
    reading = read(("n1", "p1", 5000), ("n2", "p2", 5000), labelled=labelled(), cluster=cluster("n1", "n2", "n3"))
    assert (reading.idle, reading.idle_because) == (["n3"], {"n3": "no log of it was read"})
    assert reading.verdict == "even"


def test_a_pod_that_gets_nothing_is_idle_and_uneven(labelled: Rows) -> None:
    """A log without a request belongs to a pod that waits: that is skew."""
    reading = read((None, "p1", 900), (None, "p2", 0), labelled=labelled())
    assert (reading.by, reading.idle, reading.verdict) == ("pod", ["p2"], "uneven")
    assert reading.idle_because == {"p2": "its log holds no request"}


def test_sources_are_compared_where_nothing_else_is_known(labelled: Rows) -> None:
    """Without node or pod the files themselves are the groups."""
    reading = read((None, None, 5), (None, None, 1), labelled=labelled())
    assert (reading.by, [each.name for each in reading.groups]) == ("source", ["a.log", "b.log"])


def test_entry_nodes_are_compared_where_one_pod_was_read(labelled: Rows) -> None:
    """Masqueraded requests name the node they came in through, even in a single pod's log.

    An address that no file knows as a node's stands for itself.
    """
    table = labelled(
        {"address": "10.244.1.0", "requests": 7000, "health_probes": 1000, "class": "node", "node": "n1"},
        {"address": "10.0.0.11", "requests": 2000, "class": "node", "node": "n1"},
        {"address": "10.244.2.0", "requests": 2000, "class": "node", "node": "n2"},
        {"address": "10.0.0.99", "requests": 300, "class": "node"},
        {"address": "198.51.100.7", "requests": 40},
        {"address": "10.244.1.7", "requests": 9, "class": "private", "node": "n1", "in_cluster": True},
    )
    entries = loads_of("address", pl.UInt128, [(to_number("10.244.2.0"), NOON, 2000, 5, 1, 3000)])
    asked: list[By | None] = [None, "node"]
    for by in asked:
        reading = read(("n1", "p1", 12_200), labelled=table, by=by, entries=entries, cluster=cluster("n1", "n2", "n3"))
        assert (reading.by, reading.basis, reading.verdict) == ("node", "entry", "uneven")
        assert [(each.name, each.requests, each.upstream_seconds) for each in reading.groups] == [
            ("n1", 8000, None),
            ("n2", 2000, 3.0),
            ("10.0.0.99", 300, None),
        ]
        assert reading.idle == ["n3"]
        assert reading.unattributed == 40


def test_entry_and_serving_are_both_told(labelled: Rows) -> None:
    """Where nodes serve evenly and requests enter by one of them, both stand in the report."""
    table = labelled(
        {"address": "10.0.0.1", "requests": 9000, "class": "node", "node": "n1"},
        {"address": "10.0.0.2", "requests": 1000, "class": "node", "node": "n2"},
    )
    reading = read(("n1", "p1", 5000), ("n2", "p2", 5000), labelled=table)
    assert (reading.basis, reading.verdict) == ("serving", "even")
    assert [(each.by, each.basis, each.verdict) for each in reading.also] == [
        ("pod", "serving", "even"),
        ("node", "entry", "uneven"),
    ]


def test_requests_of_nobody_known_may_even_it_out(labelled: Rows) -> None:
    """A replaced pod whose node nobody knows may have been the one with little: then the verdict is unknown."""
    rolled = [("n1", "p1", 4330), ("n2", "p2", 2300)]
    assert read(*rolled, labelled=labelled()).verdict == "uneven"
    reading = read(*rolled, (None, "p9", 2440), by="node", labelled=labelled())
    assert (reading.verdict, reading.fits, reading.unattributed) == ("unknown", None, 2440)
    assert reading.reason == "2,440 requests belong to no node that is known: with them it may be even"


@pytest.mark.parametrize(("rest", "verdict"), [(100, "uneven"), (1200, "unknown")])
def test_requests_of_nobody_known_that_are_too_few(labelled: Rows, rest: int, verdict: str) -> None:
    """Uneven stays what no share of the others can make even: one with too much, or too many with too little."""
    rows = [("n1", "p1", 4330), ("n2", "p2", 2300), ("n3", "p3", 4330)]
    assert read(*rows, (None, "p9", rest), by="node", labelled=labelled()).verdict == verdict
    leader = [("n1", "p1", 9000), ("n2", "p2", 1000), (None, "p9", rest)]
    assert read(*leader, by="node", labelled=labelled()).verdict == "uneven"


def test_one_group_is_no_comparison(labelled: Rows) -> None:
    """A single node is named, and nothing is said about evenness."""
    reading = read(("n1", "p1", 9), labelled=labelled())
    assert [each.name for each in reading.groups] == ["n1"]
    assert (reading.cv, reading.max_over_mean, reading.gini, reading.verdict) == (None, None, None, "unknown")
    assert reading.reason == "one node is known"


def test_rotated_logs_of_one_pod_are_not_compared(labelled: Rows) -> None:
    """Two files of the same pod are two times, not two servers."""
    reading = read(("n1", "p1", 9), ("n1", "p1", 1), labelled=labelled())
    assert (reading.by, reading.verdict, reading.also) == ("node", "unknown", [])


@pytest.mark.parametrize("rows", [[], [(None, None, 9)]])
def test_nothing_known_is_said(labelled: Rows, rows: list[Source]) -> None:
    """A lone source without a node has nothing to compare; neither has no source."""
    reading = read(*rows, labelled=labelled())
    assert (reading.by, reading.basis, reading.groups, reading.verdict) == (None, None, [], "unknown")
    assert reading.unattributed == sum(row[2] for row in rows)


def test_the_asked_grouping_is_used(labelled: Rows) -> None:
    """`--by pod` groups by pod where nodes are known too, and requests of no pod are counted apart."""
    rows = (("n1", "p1", 5), ("n2", "p2", 5), ("n2", None, 4))
    reading = read(*rows, by="pod", labelled=labelled(), cluster=cluster("n9"))
    assert [each.name for each in reading.groups] == ["p1", "p2"]
    assert reading.unattributed == 4
    assert reading.idle == []
    assert read(*rows, by="source", labelled=labelled()).by == "source"


def test_asked_grouping_without_an_answer_keeps_its_name(labelled: Rows) -> None:
    """`--by pod` over sources that name no pod answers for pods, with none."""
    reading = read(("n1", None, 5), ("n2", None, 5), by="pod", labelled=labelled())
    assert (reading.by, reading.groups, reading.verdict) == ("pod", [], "unknown")


def test_no_request_at_all_is_unknown(labelled: Rows) -> None:
    """Two nodes that served nothing are neither even nor uneven."""
    reading = read(("n1", None, 0), ("n2", None, 0), labelled=labelled())
    assert (reading.verdict, reading.reason) == ("unknown", "no request to judge")
    assert reading.groups[0].share_pct is None
