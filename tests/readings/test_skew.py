"""Skew: what is counted, over what, and how even it is."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from analyzer.addresses.cluster import Cluster, Node
from analyzer.readings.skew import By, skew

Rows = Callable[..., pl.DataFrame]

NAMES = ["a.log", "b.log", "c.log"]


def sources(*rows: tuple[str | None, str | None, int]) -> pl.DataFrame:
    """Make a sources table of (node, pod, considered requests)."""
    return pl.DataFrame(
        {
            "source": pl.Series(range(len(rows)), dtype=pl.UInt32),
            "node": pl.Series([row[0] for row in rows], dtype=pl.String),
            "pod": pl.Series([row[1] for row in rows], dtype=pl.String),
            "namespace": pl.Series(["ingress-nginx"] * len(rows), dtype=pl.String),
            "requests": pl.Series([row[2] + 1 for row in rows], dtype=pl.UInt64),
            "considered": pl.Series([row[2] for row in rows], dtype=pl.UInt64),
            "bytes": pl.Series([100] * len(rows), dtype=pl.UInt64),
        }
    )


def cluster(*names: str, cordoned: str = "cordoned") -> Cluster:
    """Make a cluster of schedulable nodes and one that is not."""
    nodes = [Node(name, (), (), schedulable=True, zone=None) for name in names]
    return Cluster("cluster.json", nodes=(*nodes, Node(cordoned, (), (), schedulable=False, zone=None)))


def test_requests_of_one_node_add_up_over_its_pods(labelled: Rows) -> None:
    """Two pods on one node are one group with two pods."""
    table = sources(("n1", "p1", 30), ("n1", "p2", 30), ("n2", "p3", 40))
    reading = skew(table, labelled(), by=None, names=NAMES, cluster=None)
    assert (reading.by, reading.basis, reading.verdict) == ("node", "serving", "even")
    assert [(each.name, each.requests, each.share_pct, each.pods) for each in reading.groups] == [
        ("n1", 60, 60.0, 2),
        ("n2", 40, 40.0, 1),
    ]
    assert reading.max_over_mean == 1.2


def test_measures_of_a_known_spread(labelled: Rows) -> None:
    """Of 1, 2 and 6: population cv 0.7201, maximum twice the mean, Gini 10/27."""
    reading = skew(
        sources(("n1", None, 1), ("n2", None, 6), ("n3", None, 2)), labelled(), by=None, names=NAMES, cluster=None
    )
    assert reading.cv == pytest.approx(0.7201, abs=1e-4)
    assert reading.max_over_mean == 2.0
    assert reading.gini == pytest.approx(10 / 27, abs=1e-4)
    assert reading.verdict == "uneven"
    assert reading.groups[0].pods is None


def test_equal_groups_are_even(labelled: Rows) -> None:
    """Nothing differs, so every measure of difference is nothing."""
    reading = skew(sources(("n1", None, 5), ("n2", None, 5)), labelled(), by=None, names=NAMES, cluster=None)
    assert (reading.cv, reading.max_over_mean, reading.gini, reading.verdict) == (0.0, 1.0, 0.0, "even")


def test_idle_nodes_are_named_but_not_part_of_the_mean(labelled: Rows) -> None:
    """A schedulable node without a log is idle; a cordoned one is not expected to serve."""
    reading = skew(
        sources(("n1", "p1", 5), ("n2", "p2", 5)), labelled(), by=None, names=NAMES, cluster=cluster("n1", "n2", "n3")
    )
    assert reading.idle == ["n3"]
    assert reading.verdict == "even"


def test_a_pod_that_gets_nothing_is_idle_and_uneven(labelled: Rows) -> None:
    """A log without a request belongs to a pod that waits: that is skew."""
    reading = skew(sources((None, "p1", 9), (None, "p2", 0)), labelled(), by=None, names=NAMES, cluster=None)
    assert (reading.by, reading.idle, reading.verdict) == ("pod", ["p2"], "uneven")


def test_sources_are_compared_where_nothing_else_is_known(labelled: Rows) -> None:
    """Without node or pod the files themselves are the groups."""
    reading = skew(sources((None, None, 5), (None, None, 1)), labelled(), by=None, names=NAMES, cluster=None)
    assert (reading.by, [each.name for each in reading.groups]) == ("source", ["a.log", "b.log"])


def test_entry_nodes_are_compared_where_one_pod_was_read(labelled: Rows) -> None:
    """Masqueraded requests name the node they came in through, even in a single pod's log."""
    table = labelled(
        {"address": "10.244.1.0", "requests": 70, "health_probes": 10, "class": "node", "node": "n1"},
        {"address": "10.0.0.11", "requests": 20, "class": "node", "node": "n1"},
        {"address": "10.244.2.0", "requests": 20, "class": "node", "node": "n2"},
        {"address": "10.0.0.99", "requests": 3, "class": "node"},
        {"address": "10.244.1.7", "requests": 9, "class": "private", "node": "n1", "in_cluster": True},
    )
    asked: list[By | None] = [None, "node"]
    for by in asked:
        reading = skew(sources(("n1", "p1", 122)), table, by=by, names=NAMES, cluster=cluster("n1", "n2", "n3"))
        assert (reading.by, reading.basis, reading.verdict) == ("node", "entry", "uneven")
        assert [(each.name, each.requests, each.share_pct) for each in reading.groups] == [
            ("n1", 80, 80.0),
            ("n2", 20, 20.0),
        ]
        assert reading.idle == ["n3"]
        assert reading.unattributed == 3


def test_one_group_is_no_comparison(labelled: Rows) -> None:
    """A single node is named, and nothing is said about evenness."""
    reading = skew(sources(("n1", "p1", 9)), labelled(), by=None, names=NAMES, cluster=None)
    assert [each.name for each in reading.groups] == ["n1"]
    assert (reading.cv, reading.max_over_mean, reading.gini, reading.verdict) == (None, None, None, "unknown")


def test_rotated_logs_of_one_pod_are_not_compared(labelled: Rows) -> None:
    """Two files of the same pod are two times, not two servers."""
    reading = skew(sources(("n1", "p1", 9), ("n1", "p1", 1)), labelled(), by=None, names=NAMES, cluster=None)
    assert (reading.by, reading.verdict) == ("node", "unknown")


@pytest.mark.parametrize("rows", [[], [(None, None, 9)]])
def test_nothing_known_is_said(labelled: Rows, rows: list[tuple[None, None, int]]) -> None:
    """A lone source without a node has nothing to compare; neither has no source."""
    reading = skew(sources(*rows), labelled(), by=None, names=NAMES[: len(rows)], cluster=None)
    assert (reading.by, reading.basis, reading.groups, reading.verdict) == (None, None, [], "unknown")


def test_the_asked_grouping_is_used(labelled: Rows) -> None:
    """`--by pod` groups by pod where nodes are known too, and requests of no pod are counted apart."""
    table = sources(("n1", "p1", 5), ("n2", "p2", 5), ("n2", None, 4))
    reading = skew(table, labelled(), by="pod", names=NAMES, cluster=cluster("n9"))
    assert [each.name for each in reading.groups] == ["p1", "p2"]
    assert reading.unattributed == 4
    assert reading.idle == []
    assert skew(table, labelled(), by="source", names=NAMES, cluster=None).by == "source"


def test_asked_grouping_without_an_answer_keeps_its_name(labelled: Rows) -> None:
    """`--by pod` over sources that name no pod answers for pods, with none."""
    reading = skew(sources(("n1", None, 5), ("n2", None, 5)), labelled(), by="pod", names=NAMES, cluster=None)
    assert (reading.by, reading.groups, reading.verdict) == ("pod", [], "unknown")


def test_no_request_at_all_is_unknown(labelled: Rows) -> None:
    """Two nodes that served nothing are neither even nor uneven."""
    reading = skew(sources(("n1", None, 0), ("n2", None, 0)), labelled(), by=None, names=NAMES, cluster=None)
    assert reading.verdict == "unknown"
    assert reading.groups[0].share_pct is None
