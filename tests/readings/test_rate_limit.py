"""Rate-limit readiness: shared keys, simulations, and the suggested limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from analyzer.addresses.ranges import to_number
from analyzer.readings.rate_limit import RateLimit, rate_limit
from analyzer.readings.suggested_limits import Replicas, replicas_of
from analyzer.tables.limit_req import LIMITS
from analyzer.tables.limits import (
    Limit,
    connections_limit,
    envoy_limit,
    kong_limits,
    ladder_around,
    rpm_limit,
    rps_limit,
    together,
)

Rows = Callable[..., pl.DataFrame]


def rps(limit: int) -> Limit:
    """Make an ingress-nginx limit with the default burst."""
    return rps_limit(limit)


GRID = [rps(5), rps(20), rps(1)]


def limits(*rows: tuple[int, str, int, int], key: int = 0) -> pl.DataFrame:
    """Make a limits table of (limit, address, most, fewest)."""
    numbered = [(key, limit, to_number(address), *counts) for limit, address, *counts in rows]
    return pl.DataFrame(numbered, schema=LIMITS, orient="row")


def reading(table: pl.DataFrame, found: pl.DataFrame, requests: int, grid: list[Limit], **more: Any) -> RateLimit:
    """Read the section, of so many simulated requests."""
    totals = {"requests": requests, "client_requests": requests if "clients" in more else 0}
    return rate_limit(table, found, totals, grid, **more)


def visitors(count: int) -> list[dict[str, object]]:
    """Make visitors with one request each."""
    return [{"address": f"198.51.{each // 256}.{each % 256}", "requests": 1} for each in range(count)]


def test_who_is_a_shared_key(labelled: Rows) -> None:
    """Nodes and load balancers are shared, and whoever has ten user agents; a probe's address is no key."""
    table = labelled(
        {"address": "198.51.100.1", "requests": 50, "user_agents": 0b1111_1111},
        {"address": "198.51.100.2", "requests": 10, "user_agents": 0b1_1111_1111},
        {"address": "10.0.0.10", "requests": 20, "class": "node"},
        {"address": "10.0.0.20", "requests": 10, "class": "lb"},
        {"address": "10.0.0.30", "requests": 10, "class": "private"},
        {"address": "35.191.0.1", "requests": 99, "class": "lb", "health_probe": True},
        {"requests": 99, "class": "unknown"},
    )
    read = reading(table, limits(), 298, GRID)
    assert (read.keys, read.shared_keys, read.shared_key_pct, read.verdict) == (5, 3, 40.0, "partly")


@pytest.mark.parametrize(("nodes", "verdict"), [(4, "ready"), (5, "partly"), (49, "partly"), (50, "not-ready")])
def test_verdict_follows_the_shared_share(labelled: Rows, nodes: int, verdict: str) -> None:
    """Below 5 % on shared keys a limit is safe to use, from 50 % it is not."""
    table = labelled(
        {"address": "198.51.100.1", "requests": 100 - nodes},
        {"address": "10.0.0.10", "requests": nodes, "class": "node"},
    )
    assert reading(table, limits(), 100, GRID).verdict == verdict


@pytest.mark.parametrize(("requests", "verdict"), [(4, "ready"), (6, "unknown")])
def test_private_addresses_may_be_shared(labelled: Rows, requests: int, verdict: str) -> None:
    """What nothing explains may be one visitor or many, which leaves open whether a limit is safe."""
    table = labelled(
        {"address": "198.51.100.1", "requests": 100 - requests},
        {"address": "10.0.0.10", "requests": requests, "class": "private"},
    )
    assert reading(table, limits(), 100, GRID).verdict == verdict
    person = table.with_columns(visitor=pl.lit(value=True))
    assert reading(person, limits(), 100, GRID).verdict == "ready"


def test_a_simulation_sums_its_rejections(labelled: Rows) -> None:
    """Each limit of the grid has a row, in the grid's order, with bounds and the share on shared keys."""
    table = labelled(*visitors(4), {"address": "10.0.0.10", "requests": 96, "class": "node"})
    rejected = limits(
        (0, "10.0.0.10", 30, 50),
        (0, "198.51.0.1", 2, 0),
        (2, "10.0.0.10", 80, 90),
        (0, "198.51.0.2", 0, 1),
    )
    first, second, third = reading(table, rejected, 200, GRID).simulations
    assert (first.controller, first.limit, first.burst, first.requests) == ("ingress-nginx", "limit-rps: 5", 25, 200)
    assert (first.rejected, first.rejected_low, first.rejected_high) == (41, 30, 53)
    assert (first.rejected_pct, first.rejected_on_shared_keys_pct) == (20.5, 96.3855)
    assert (second.rejected, second.rejected_pct, second.rejected_on_shared_keys_pct) == (0, 0.0, None)
    assert third.rejected == 85


def test_suggested_is_the_smallest_that_spares_visitors(labelled: Rows) -> None:
    """One of 1,001 visitors may meet the limit, one of 1,000 is too many; shared keys are no visitors."""
    node = {"address": "10.0.0.10", "requests": 9, "class": "node"}
    rejected = limits((2, "198.51.0.1", 0, 1), (2, "10.0.0.10", 8, 8), (0, "10.0.0.10", 8, 8))
    spared = reading(labelled(*visitors(1001), node), rejected, 1010, GRID)
    harmed = reading(labelled(*visitors(1000), node), rejected, 1009, GRID)
    assert spared.suggested.limit_rps == 1
    assert harmed.suggested.limit_rps == 5


def test_rungs_between_the_grid_are_suggested(labelled: Rows) -> None:
    """Limits that are only looked up are suggested like others, and stand in no list."""
    rungs = [rps(5), rps(10), rps(100), *(replace(rps(n), shown=False) for n in (6, 7, 8, 30))]
    # Two visitors meet 5 and, last, 7; another meets 30 last: by it alone 0.05 % are touched.
    rejected = limits(
        (0, "198.51.0.1", 9, 9), (4, "198.51.0.1", 1, 1), (0, "198.51.0.2", 9, 0), (4, "198.51.0.2", 1, 1),
        (0, "198.51.0.3", 9, 9), (1, "198.51.0.3", 7, 7), (6, "198.51.0.3", 2, 2),
    )  # fmt: skip
    read = reading(labelled(*visitors(2000)), rejected, 2000, rungs)
    assert [each.limit for each in read.simulations] == ["limit-rps: 5", "limit-rps: 10", "limit-rps: 100"]
    assert {key.limit for key in read.most_rejected} == {"limit-rps: 5", "limit-rps: 10"}
    assert read.suggested is not None
    assert (read.suggested.limit_rps, read.suggested.above_rps, read.suggested.visitors_rejected_pct) == (8, 7, 0.05)
    assert read.suggested.burst == 40
    sparing = reading(labelled(*visitors(2000)), rejected, 2000, rungs, harmed_pct=0.01).suggested
    assert sparing is not None
    assert (sparing.limit_rps, sparing.above_rps, sparing.visitors_rejected_pct) == (100, 30, 0.0)


def test_whole_seconds_leave_open_how_small_a_limit_may_be(labelled: Rows) -> None:
    """What may touch too many is not suggested; too strict for certain is only what does whatever the order."""
    rungs = [rps(5), *(replace(rps(n), shown=False) for n in (6, 7, 8))]
    rejected = limits((0, "198.51.0.1", 9, 4), (1, "198.51.0.1", 2, 1), (2, "198.51.0.1", 1, 0))
    found = reading(labelled(*visitors(100)), rejected, 100, rungs).suggested
    assert found is not None
    assert (found.limit_rps, found.above_rps, found.visitors_rejected_pct) == (8, 6, 0.0)


def test_other_limits_are_suggested_too(labelled: Rows) -> None:
    """Of a limit that was asked for the smallest numbers are told that spare visitors, per replica and over all."""
    ladder = ladder_around(kong_limits([("minute", 100)])[0])
    rejected = limits(
        (ladder.index(next(each for each in ladder if each.name == "minute: 50 (local)")), "198.51.0.1", 1, 1)
    )
    known = Replicas(3, 0.5)
    (found,) = reading(labelled(*visitors(9)), rejected, 9, ladder, replicas=known).suggested_limits
    assert found.controller == "kong"
    assert (found.asked, found.limit, found.above) == tuple(f"minute: {most} (local)" for most in (100, 60, 50))
    assert (found.visitors_rejected_pct, found.cluster_factor, found.cluster_factor_with_skew) == (0.0, 3, 2.0)
    (strict,) = reading(labelled(*visitors(9)), limits(), 9, ladder).suggested_limits
    assert (strict.limit, strict.above, strict.cluster_factor) == ("minute: 10 (local)", None, None)


def test_what_counts_over_all_replicas_lets_through_once(labelled: Rows) -> None:
    """A limit over all pods is not one per replica; the report says what each counts over."""
    ladder = [limit for asked in kong_limits([("minute", 100)]) for limit in ladder_around(asked)]
    read = reading(labelled(*visitors(9)), limits(), 9, ladder, replicas=Replicas(3, 0.5))
    assert [each.counting for each in read.simulations] == ["each-log", "all-logs"]
    assert [(each.cluster_factor, each.cluster_factor_with_skew) for each in read.suggested_limits] == [(3, 2), (1, 1)]


def test_only_visitors_can_be_harmed(labelled: Rows) -> None:
    """A rejected health prober, or a request without an address, speaks against no limit."""
    prober = {"address": "203.0.113.1", "requests": 9, "health_probes": 9}
    rejected = limits((2, "203.0.113.1", 9, 9))
    table = labelled(*visitors(3), prober, {"requests": 9, "class": "unknown"})
    assert reading(table, rejected, 21, GRID).suggested.limit_rps == 1


def test_nothing_is_suggested_where_no_limit_fits(labelled: Rows) -> None:
    """A grid that hurts visitors throughout has no answer, nor has an empty grid or an empty log."""
    rejected = limits(*[(each, "198.51.0.1", 0, 1) for each in range(3)])
    assert reading(labelled(*visitors(2)), rejected, 2, GRID).suggested is None
    assert reading(labelled(*visitors(2)), limits(), 2, []).suggested is None
    assert reading(labelled(), limits(), 0, GRID).suggested is None


def test_nothing_is_suggested_where_nothing_was_tried(labelled: Rows) -> None:
    """A log without times has visitors, of which none met a limit: that speaks for no limit."""
    assert reading(labelled(*visitors(9)), limits(), 0, GRID).suggested is None


def test_nothing_is_suggested_where_most_share_a_key(labelled: Rows) -> None:
    """No number is right for a limit that counts everybody as one."""
    table = labelled(*visitors(5), {"address": "10.0.0.10", "requests": 5, "class": "node"})
    assert reading(table, limits(), 10, GRID).suggested is None


def test_an_empty_log_is_unknown(labelled: Rows) -> None:
    """Without requests there are no keys and no percentages."""
    read = reading(labelled(), limits(), 0, GRID)
    assert (read.verdict, read.keys, read.shared_key_pct) == ("unknown", 0, None)
    assert [each.rejected_pct for each in read.simulations] == [None, None, None]


def test_the_share_of_visitors_is_an_option(labelled: Rows) -> None:
    """With 10 % allowed to be touched, a limit that one of eleven visitors meets is fit."""
    rejected = limits((2, "198.51.0.1", 0, 1))
    read = reading(labelled(*visitors(11)), rejected, 11, GRID, harmed_pct=10.0)
    assert read.suggested is not None
    assert (read.suggested.limit_rps, read.suggested.burst, read.suggested.harmed_pct) == (1, 5, 10.0)
    assert read.suggested.visitors_rejected_pct == 9.0909
    assert reading(labelled(*visitors(11)), rejected, 11, GRID, harmed_pct=9.0).suggested.limit_rps == 5  # type: ignore[union-attr]


def test_replicas(labelled: Rows) -> None:
    """A suggestion is per replica; evenly dealt a visitor may have more, and less where one replica gets most."""
    pods = [("a", "x", 60), ("a", "y", 20), ("b", "x", 20), ("b", "z", 0), ("a", "x", 20)]
    origins = pl.DataFrame(pods, schema=["namespace", "pod", "considered"], orient="row")
    known = replicas_of(origins)
    assert known == Replicas(3, pytest.approx(2 / 3))
    suggested = reading(labelled(*visitors(3)), limits(), 3, GRID, replicas=known).suggested
    assert suggested is not None
    assert (suggested.replicas, suggested.cluster_rps, suggested.cluster_rps_with_skew) == (3, 3, 1.5)
    assert replicas_of(origins.with_columns(pod=pl.lit(None, pl.String))) is None
    assert replicas_of(origins.clear()) is None


def test_who_is_rejected_most(labelled: Rows) -> None:
    """The keys that a limit rejects most are named with what stands behind them."""
    table = labelled(*visitors(9), {"address": "10.0.0.10", "requests": 96, "class": "node", "user_agents": 0b1111})
    rejected = limits((0, "10.0.0.10", 30, 50), *[(0, f"198.51.0.{n}", n, n) for n in range(9)])
    read = reading(table, rejected, 105, GRID)
    assert [(key.address, key.rejected_low, key.rejected_high) for key in read.most_rejected][:2] == [
        ("10.0.0.10", 30, 50), ("198.51.0.8", 8, 8)
    ]  # fmt: skip
    assert (len(read.most_rejected), read.most_rejected[0].class_, read.most_rejected[0].user_agents) == (5, "node", 4)
    assert (read.simulations[0].rejected_keys, read.simulations[0].visitors_rejected_pct) == (9, 88.8889)


def test_both_keys(labelled: Rows) -> None:
    """Behind one proxy stand many visitors: what rejects them all as one key spares them under their own addresses."""
    proxy = labelled({"address": "10.0.0.10", "requests": 100, "class": "node"})
    read = reading(proxy, limits((2, "10.0.0.10", 90, 90)), 100, GRID, clients=labelled(*visitors(50)))
    assert (read.verdict, read.keys, read.suggested) == ("not-ready", 1, None)
    assert read.by_client is not None
    assert (read.by_client.keys, read.by_client.shared_keys, read.by_client.simulations[2].rejected) == (50, 0, 0)
    assert read.by_client.suggested is not None
    met = rate_limit(
        proxy, limits((2, "198.51.0.1", 7, 7), key=1), {"client_requests": 70}, GRID, clients=labelled(*visitors(50))
    )
    assert met.by_client is not None
    assert (met.by_client.simulations[2].rejected_pct, met.simulations[2].rejected) == (10.0, 0)
    assert reading(proxy, limits(), 1, GRID, clients=labelled()).by_client is None


def test_proxies_that_are_inferred_are_named(labelled: Rows) -> None:
    """A public proxy that no range tells is counted for its visitors: it is named, the busiest first."""
    table = labelled(
        {"address": "203.0.113.1", "requests": 50, "class": "lb", "range_class": "client"},
        {"address": "203.0.113.2", "requests": 90, "class": "node", "range_class": "client"},
        {"address": "203.0.113.3", "requests": 99, "class": "lb", "range_class": "client"},
        {"address": "10.0.0.10", "requests": 100, "class": "lb"},
        *visitors(3),
    )
    behind = [{"address": f"203.0.113.{n}", "requests": 50} for n in (1, 2)]
    read = reading(table, limits(), 340, GRID, clients=labelled({"address": "10.0.0.10"}, *behind, *visitors(5)))
    assert read.by_client is not None
    assert read.by_client.inferred_proxies == ["203.0.113.2", "203.0.113.1"]


@pytest.mark.parametrize(
    ("totals", "signals", "told_by", "rejected"),
    [
        ({}, {}, None, None),
        ({"status_503": 9}, {}, None, None),
        ({"status_429": 9}, {}, "status", 9),
        ({"status_429": 9}, {"limiting_requests": 3, "limiting_connections": 4}, "error_log", 7),
        (
            {"limit_req_logged": 9, "limit_req_rejected": 2, "status_429": 9},
            {"limiting_requests": 3},
            "limit_req_status",
            2,
        ),
        ({"limit_conn_logged": 9}, {}, "limit_req_status", 0),
    ],
)
def test_rejections_that_the_log_tells_of(
    labelled: Rows, totals: dict[str, int], signals: dict[str, int], told_by: str | None, rejected: int | None
) -> None:
    """The best word there is on rejections is taken, and the limit that comes nearest is named."""
    found = limits((0, "198.51.0.1", 6, 8), (2, "198.51.0.1", 90, 90))
    logged = rate_limit(labelled(*visitors(3)), found, totals, GRID, signals=signals).logged
    assert logged is not None
    assert (logged.told_by, logged.rejected) == (told_by, rejected)
    assert logged.nearest == ("limit-rps: 5" if rejected else None)


def test_rejections_that_the_log_tells_of_by_class(labelled: Rows) -> None:
    """Whose addresses were rejected stands beside whose the nearest limit would reject."""
    table = labelled(*visitors(3), {"address": "10.0.0.10", "requests": 50, "class": "node"})
    found = pl.concat(
        [
            limits((0, "10.0.0.10", 20, 12), (0, "198.51.0.1", 2, 2), (2, "10.0.0.10", 90, 90)),
            limits((0, "198.51.0.1", 99, 99), key=1),
            # By status 429 and 503, by limit_req and limit_conn.
            limits((0, "10.0.0.10", 9, 9), (1, "198.51.0.2", 7, 7), (2, "10.0.0.10", 14, 14), key=2),
            limits((3, "198.51.0.1", 1, 1), key=2),
        ]
    )
    said = {"limit_req_logged": 60, "limit_req_rejected": 14, "limit_conn_rejected": 1, "status_429": 9}
    read = rate_limit(table, found, said, GRID).logged
    assert read is not None
    assert (read.rejected, read.nearest) == (15, "limit-rps: 5")
    assert [(each.class_, each.rejected, each.simulated_low, each.simulated_high) for each in read.classes] == [
        ("client", 1, 2, 2), ("node", 14, 12, 20)
    ]  # fmt: skip
    by_error_log = rate_limit(table, found, {}, GRID, signals={"limiting_requests": 16}).logged
    assert by_error_log is not None
    assert [(each.class_, each.rejected) for each in by_error_log.classes] == [("client", 7), ("node", 9)]


@pytest.mark.parametrize(("whole_seconds", "said"), [(0, ["exact"] * 2), (1, ["bounds", "estimate"])])
def test_how_sure_a_simulation_is(labelled: Rows, whole_seconds: int, said: list[str]) -> None:
    """With whole seconds in any log one limit-rps has bounds and others are estimated; without all is exact."""
    totals = {"requests": 3, "whole_seconds": whole_seconds}
    read = rate_limit(labelled(*visitors(3)), limits(), totals, [rps(5), connections_limit(3)])
    assert [each.certainty for each in read.simulations] == said


@pytest.mark.parametrize("lasting", [False, True])
def test_how_sure_windows_and_buckets_are(labelled: Rows, lasting: bool) -> None:  # noqa: FBT001
    """Kong's windows are certain unless requests began before their second; buckets where nginx can count so."""
    tried = [
        *kong_limits([("second", 5), ("minute", 9)]),
        envoy_limit("second", 5, shared=False),
        envoy_limit("minute", 5, shared=False),
        envoy_limit("second", 5, shared=True),
    ]
    totals = {"requests": 3, "whole_seconds": 3, "lasting": 3 * lasting}
    read = rate_limit(labelled(*visitors(3)), limits(), totals, tried)
    of_windows = "estimate" if lasting else "bounds"
    assert [each.certainty for each in read.simulations] == [of_windows] * 3 + ["bounds", "estimate", "bounds"]


def test_limits_together_have_bounds(labelled: Rows) -> None:
    """Together they reject no less than each alone and no more than all; halfway stands what two orders give."""
    alone = [rps(5), rpm_limit(60)]
    found = limits((0, "198.51.0.1", 9, 5), (0, "198.51.0.2", 3, 3), (1, "198.51.0.1", 7, 6), (2, "198.51.0.1", 12, 8))
    read = rate_limit(labelled(*visitors(3)), found, {"requests": 30, "whole_seconds": 30}, [*alone, together(alone)])
    both = read.simulations[-1]
    assert (both.rejected_low, both.rejected, both.rejected_high) == (9, 10, 19)
    assert both.certainty == "bounds"
    exact = rate_limit(labelled(*visitors(3)), found, {"requests": 30}, [*alone, together(alone)]).simulations[-1]
    assert (exact.rejected_low, exact.rejected_high, exact.certainty) == (8, 12, "exact")


def test_long_requests_make_bounds_an_estimate(labelled: Rows) -> None:
    """A request is logged when it ends: where they last long, its second is not the one in which it met the limit."""
    for lasted, said in ((None, "bounds"), (100.0, "bounds"), (100.1, "estimate")):
        read = rate_limit(labelled(*visitors(3)), limits(), {"whole_seconds": 1}, [rps(5)], lasted_ms=lasted)
        assert read.simulations[0].certainty == said


def test_disorder_and_allowlist_are_told(labelled: Rows) -> None:
    """How many requests were out of order or spared stands in the reading."""
    totals = {"requests": 200, "disordered": 3, "allowed": 7}
    read = rate_limit(labelled(*visitors(3)), limits(), totals, GRID)
    assert (read.out_of_order_pct, read.allowed) == (1.5, 7)
