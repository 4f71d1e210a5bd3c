"""Rate-limit readiness: shared keys, simulations, and the suggested limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from analyzer.addresses.ranges import to_number
from analyzer.readings.rate_limit import RateLimit, rate_limit
from analyzer.tables.limited import LIMITS
from analyzer.tables.limits import Limit, rps_limit

Rows = Callable[..., pl.DataFrame]


def rps(limit: int) -> Limit:
    """Make an ingress-nginx limit with the default burst."""
    return rps_limit(limit)


GRID = [rps(5), rps(20), rps(1)]


def limits(*rows: tuple[int, str, int, int], key: int = 0) -> pl.DataFrame:
    """Make a limits table of (limit, address, at_once, spread)."""
    numbered = [(key, limit, to_number(address), *counts) for limit, address, *counts in rows]
    return pl.DataFrame(numbered, schema=LIMITS, orient="row")


def reading(table: pl.DataFrame, found: pl.DataFrame, requests: int, grid: list[Limit], **more: Any) -> RateLimit:
    """Read the section, of so many simulated requests."""
    return rate_limit(table, found, {"requests": requests}, grid, **more)


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


def test_nothing_is_suggested_where_most_share_a_key(labelled: Rows) -> None:
    """No number is right for a limit that counts everybody as one."""
    table = labelled(*visitors(5), {"address": "10.0.0.10", "requests": 5, "class": "node"})
    assert reading(table, limits(), 10, GRID).suggested is None


def test_an_empty_log_is_unknown(labelled: Rows) -> None:
    """Without requests there are no keys and no percentages."""
    read = reading(labelled(), limits(), 0, GRID)
    assert (read.verdict, read.keys, read.shared_key_pct) == ("unknown", 0, None)
    assert [each.rejected_pct for each in read.simulations] == [None, None, None]
