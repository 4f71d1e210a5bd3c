"""Preservation: the formula, its exclusions, and the lists."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from analyzer.addresses.classify import Classifier, declared
from analyzer.addresses.ranges import to_number
from analyzer.readings.preservation import Preservation, preservation
from analyzer.readings.proxies import infer

Rows = Callable[..., pl.DataFrame]

CLIENT = {"address": "198.51.100.7", "requests": 20, "health_probes": 2, "unparsed_requests": 3}
NODE = {"address": "10.0.0.10", "requests": 60, "class": "node", "kind": "node", "rule": "--node 10.0.0.0/24"}
POD = {"address": "10.244.1.9", "requests": 9, "unparsed_requests": 1, "class": "private", "kind": "pod",
       "in_cluster": True}  # fmt: skip
NOBODY = {"requests": 7, "health_probes": 1, "class": "unknown", "kind": "not-an-address"}
PROBER = {"address": "35.191.0.1", "requests": 50, "unparsed_requests": 4, "class": "lb", "kind": "cloud-lb",
          "health_probe": True}  # fmt: skip


def check_sums(reading: Preservation) -> None:
    """Recompute every sum that the report promises."""
    excluded = reading.excluded
    left_out = excluded.health_probe + excluded.unparsed_request + excluded.in_cluster + excluded.unknown
    classes = reading.classes.values()
    assert reading.requests == reading.considered + left_out
    assert reading.requests == sum(each.requests for each in classes)
    assert reading.considered == sum(each.considered for each in classes)
    assert reading.considered == sum(each.considered for each in reading.kinds)
    assert reading.preserved == reading.classes["client"].considered


def test_every_request_is_left_out_once_for_its_first_reason(labelled: Rows) -> None:
    """Probes go first, then unreadable requests, pods, and rows without an address; the rest is considered."""
    reading = preservation(labelled(CLIENT, NODE, POD, NOBODY, PROBER), top=20)
    assert reading.excluded.health_probe == 2 + 1 + 50
    assert reading.excluded.unparsed_request == 3 + 1
    assert reading.excluded.in_cluster == 8
    assert reading.excluded.unknown == 6
    assert (reading.requests, reading.considered, reading.preserved) == (146, 75, 15)
    assert reading.preserved_pct == 20.0
    check_sums(reading)


def test_class_pct_is_the_share_of_all_requests(labelled: Rows) -> None:
    """The five classes hold every request and add up to 100 %, whatever was left out."""
    classes = preservation(labelled(CLIENT, NODE, POD, NOBODY, PROBER), top=20).classes
    assert list(classes) == ["client", "node", "lb", "private", "unknown"]
    assert (classes["lb"].requests, classes["lb"].considered, classes["lb"].addresses) == (50, 0, 1)
    assert (classes["unknown"].requests, classes["unknown"].addresses) == (7, 0)
    assert sum(each.pct or 0 for each in classes.values()) == pytest.approx(100, abs=0.001)


@pytest.mark.parametrize(
    ("clients", "nodes", "verdict"),
    [(99, 1, "preserved"), (9899, 101, "partly"), (50, 50, "partly"), (49, 51, "not-preserved"), (0, 0, "unknown")],
)
def test_verdict_follows_the_percentage(labelled: Rows, clients: int, nodes: int, verdict: str) -> None:
    """From 99 % it is preserved, from 50 % partly, below not; without a considered request nobody knows."""
    reading = preservation(labelled({**CLIENT, "requests": clients + 5}, {**NODE, "requests": nodes}), top=20)
    assert reading.verdict == verdict


def test_one_lost_request_in_millions_is_not_all(labelled: Rows) -> None:
    """100 means all, and 0 none: rounding never hides the last request."""
    many = 10**9
    almost = preservation(labelled({**CLIENT, "requests": many}, {**NODE, "requests": 1}), top=20)
    hardly = preservation(labelled({**CLIENT, "requests": 6}, {**NODE, "requests": many}), top=20)
    assert almost.preserved_pct is not None
    assert 99.99 < almost.preserved_pct < 100
    assert hardly.preserved_pct is not None
    assert 0 < hardly.preserved_pct < 0.001


def test_no_requests_make_no_numbers(labelled: Rows) -> None:
    """An empty log has no percentage, as nothing is not 0 %."""
    reading = preservation(labelled(), top=20)
    assert (reading.requests, reading.considered, reading.preserved_pct, reading.verdict) == (0, 0, None, "unknown")
    assert [each.pct for each in reading.classes.values()] == [None] * 5
    assert reading.kinds == []
    assert reading.addresses == []


def test_addresses_are_the_busiest_and_ties_stand_by_address(labelled: Rows) -> None:
    """The list is the same on every run, whatever the order of the table."""
    rows = [{"address": f"198.51.100.{last}", "requests": 5} for last in range(9, 0, -1)]
    reading = preservation(labelled(*rows, NODE), top=3)
    assert [row.address for row in reading.addresses] == ["10.0.0.10", "198.51.100.1", "198.51.100.2"]
    assert reading.addresses[0].rule == "--node 10.0.0.0/24"


def test_requests_without_an_address_take_no_place_of_a_list(labelled: Rows) -> None:
    """However many requests have no address, as many addresses are listed as were asked for."""
    reading = preservation(labelled({**NOBODY, "requests": 1000}, CLIENT, NODE), top=1)
    assert len(reading.addresses) == 1


def test_top_0_lists_every_address(labelled: Rows) -> None:
    """`--top 0` is all; a row without an address is none."""
    assert len(preservation(labelled(CLIENT, NODE, POD, NOBODY, PROBER), top=0).addresses) == 4


def test_fan_in_is_estimated_and_absent_where_nothing_was_logged(labelled: Rows) -> None:
    """Nine of 64 bits are about ten people; no bit is no knowledge, not nobody."""
    reading = preservation(labelled({**NODE, "user_agents": 0b1_1111_1111}), top=20)
    assert reading.addresses[0].user_agents == 10
    assert reading.addresses[0].forwarded_clients is None


def test_kinds_name_examples_and_rules_but_no_visitor(labelled: Rows) -> None:
    """Each kind shows its busiest addresses with the rules that decided; public clients stay unnamed."""
    gateways: list[dict[str, object]] = [
        {"address": f"10.244.{each}.1", "requests": each, "class": "node", "kind": "cni-gateway",
         "rule": f"podCIDR of worker-{each}"} for each in range(1, 8)
    ]  # fmt: skip
    kinds = preservation(labelled(CLIENT, *gateways), top=20).kinds
    assert [(row.class_, row.kind, row.considered, row.addresses) for row in kinds] == [
        ("node", "cni-gateway", 28, 7),
        ("client", "public", 15, 1),
    ]
    assert kinds[0].examples == [f"10.244.{each}.1" for each in (7, 6, 5, 4, 3)]
    assert kinds[0].rules == [f"podCIDR of worker-{each}" for each in (7, 6, 5, 4, 3)]
    assert kinds[1].examples == []


def test_what_is_labelled_and_inferred_is_accepted(labelled: Rows) -> None:
    """What `Classifier.label` and `infer` append is what the reading reads."""
    table = labelled({"address": "10.0.0.10", "requests": 3}, {"address": "8.8.8.8", "requests": 1}, {"requests": 2})
    own = ("class", "kind", "rule", "node", "in_cluster", "health_probe", "confidence", "evidence", "visitor")
    table = table.drop(own).with_columns(signs=pl.lit(0, pl.UInt64), crawlers=pl.lit(0, pl.UInt64))
    reading = preservation(infer(Classifier(declared(node=["10.0.0.0/24"])).label(table)), top=20)
    assert reading.preserved_pct == 25.0
    assert reading.excluded.unknown == 2
    assert reading.addresses[0].address == "10.0.0.10"
    assert to_number(reading.addresses[1].address) == to_number("8.8.8.8")
