"""Stretches without traffic: drained, rolled out or unhealthy, told from chance."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from analyzer.readings.interruptions import Presence, presence
from analyzer.tables.loads import BUCKET_SECONDS

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def found(counts: np.ndarray, width: int = 10) -> Presence:
    """Read counts by bucket and group."""
    slots, groups = counts.shape
    return presence(
        pl.DataFrame(
            {
                "group": [f"n{group}" for group in range(groups)] * slots,
                "time": pl.Series(
                    [NOON + timedelta(seconds=width * slot) for slot in range(slots) for _ in range(groups)],
                    dtype=pl.Datetime("ms", "UTC"),
                ),
                "requests": pl.Series(counts.ravel(), dtype=pl.UInt64),
            }
        ),
        width,
    )


def traffic(groups: int, slots: int = 180, mean: float = 40, seed: int = 1) -> np.ndarray:
    """Even traffic."""
    return np.random.default_rng(seed).poisson(mean, size=(slots, groups))


def told(read: Presence) -> list[tuple[str, str, int, int]]:
    """Name, kind, seconds since noon, length."""
    return [
        (each.name, each.kind, round((each.start - NOON).total_seconds()), each.seconds) for each in read.interruptions
    ]


def test_a_node_that_loses_traffic_and_comes_back() -> None:
    """A drained node is named with when and for how long, and with what it would have had."""
    counts = traffic(3)
    counts[60:90, 1] = 0
    read = found(counts)
    assert told(read) == [("n1", "away", 600, 300)]
    assert 500 < read.interruptions[0].missing < 1500
    assert read.there.filter(~pl.col("present"))["group"].unique().to_list() == ["n1"]
    assert read.there.filter(~pl.col("present")).height == 30


def test_a_rollout_is_pods_that_end_and_pods_that_begin() -> None:
    """Pods that take over from others have no traffic before, and those none after."""
    counts = traffic(4)
    counts[90:, :2] = 0
    counts[:90, 2:] = 0
    assert told(found(counts)) == [
        ("n2", "began", 0, 900),
        ("n3", "began", 0, 900),
        ("n0", "ended", 900, 900),
        ("n1", "ended", 900, 900),
    ]


def test_a_trickle_is_no_traffic() -> None:
    """A node that fails its health check may still finish what it began."""
    counts = traffic(3)
    counts[60:90, 1] = 1
    assert told(found(counts)) == [("n1", "away", 600, 300)]


@pytest.mark.parametrize(("each", "is_told"), [(38, False), (39, True)])
def test_a_stretch_is_told_from_one_in_a_million(each: int, *, is_told: bool) -> None:
    """For 200 cells, that n requests all stay away by chance, exp(-n), is less than 1e-6 from n = 19.1 on."""
    counts = np.full((100, 2), each)
    counts[50, 1] = 0
    expected = each * 99 / 199  # the usual share of the group that was away, of the bucket that it missed
    assert (expected > math.log(1e6 * 200)) is is_told
    assert bool(told(found(counts))) is is_told


def test_a_silence_of_all_is_nobodys() -> None:
    """Where nobody had traffic nobody lost any."""
    counts = traffic(3)
    counts[60:90] = 0
    assert told(found(counts)) == []


def test_an_idle_group_has_no_interruption() -> None:
    """Who never had traffic lost none."""
    counts = traffic(3)
    counts[:, 2] = 0
    assert told(found(counts)) == []


def test_chance_interrupts_nobody() -> None:
    """Sparse traffic, and traffic in bursts, have empty buckets that mean nothing."""
    for seed in range(60):
        generator = np.random.default_rng(seed)
        sparse = generator.poisson(0.7, size=(300, 4))
        bursts = generator.poisson(0.3, size=(300, 4)) * generator.integers(1, 60, size=(300, 4))
        assert told(found(sparse)) == []
        assert told(found(bursts)) == []


def test_many_groups_get_wider_buckets() -> None:
    """A long log of many pods is looked at in buckets wide enough, and what is long is still found."""
    counts = traffic(40, slots=8640, mean=2)
    counts[3600:5400, 7] = 0
    read = found(counts)
    assert [(name, kind) for name, kind, *_ in told(read)] == [("n7", "away")]
    assert read.interruptions[0].seconds in {18_000 - 600, 18_000, 18_000 - 300}
    assert read.there.height <= 200_000


def test_no_times_no_stretches() -> None:
    """Without times nothing is said."""
    read = found(np.zeros((0, 2)), width=BUCKET_SECONDS[0])
    assert (read.interruptions, read.there.height) == ([], 0)
