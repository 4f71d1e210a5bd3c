"""Limits tried on the requests of a log: in the order in which they began, in any pieces, saved and continued."""

from __future__ import annotations

import os
from dataclasses import replace
from random import Random  # noqa: TC003 - hypothesis reads the annotation
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.parsing.schema import TIME
from analyzer.tables.address_table import NO_ADDRESS
from analyzer.tables.limits import (
    Limit,
    connections_limit,
    envoy_limit,
    ingress_limits,
    kong_limits,
    kong_sliding_limits,
    ladder_around,
    limit_grid,
    rpm_limit,
    rps_limit,
    rps_rungs,
)
from analyzer.tables.replay import LogReplay, Replay

NOON = 1_795_262_400_000  # 21 November 2026, 12:00 UTC, in milliseconds
#: Kong's, in each log by itself: windows with and without rejected requests.
KONG = [
    replace(limit, pooled=False)
    for limit in (*kong_limits([("second", 2), ("minute", 5)])[::2], *kong_sliding_limits([(60, 4)])[:2])
]
LIMITS = [
    rps_limit(1),
    *ingress_limits([5], [30], [2])[-4:],
    *KONG,
    envoy_limit("second", 2, shared=False),
    envoy_limit("second", 5, shared=True),
]
#: Requests: milliseconds after noon at which each ended, number of the address, zone, seconds that it took.
Requests = list[tuple[int, int, int, float]]


def frame(requests: Requests) -> pl.DataFrame:
    """Requests as the fold hands them over."""
    rows = [(NOON + time, number, zone, 0, took) for time, number, zone, took in requests]
    schema = {"time": pl.Int64, "number": pl.UInt32, "zone": pl.UInt32, "outcome": pl.UInt8, "request_time": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("time").cast(TIME))


def rejections(found: list[pl.DataFrame]) -> dict[tuple[int, int], tuple[int, int]]:
    """Rejections by limit and number: all of a moment at once, and spread."""
    summed = pl.concat(found).group_by("limit", "number").agg(pl.col("most", "fewest").sum())
    return {
        (limit, number): (at_once, spread)
        for limit, number, at_once, spread in summed.iter_rows()
        if at_once + spread and number != NO_ADDRESS
    }


def run(limits: list[Limit], requests: Requests, *, exact_times: bool) -> dict[tuple[int, int], tuple[int, int]]:
    """Try limits on a log in one piece."""
    log = LogReplay(limits, exact_times=exact_times)
    log.add(frame(requests))
    return rejections([log.finish()])


@st.composite
def logs(draw: st.DrawFn) -> tuple[Requests, bool]:
    """A log as it may come: bursts, pauses, long requests, disorder, an older log behind a newer one."""
    exact = draw(st.booleans())
    steps = st.sampled_from(
        [0, 0, 1, 3, 250, 1000, 1000, 2000, 30_000, 61_000, 400_000, -1, -1500, -59_000, -3_600_000]
    )
    requests, now = [], 0
    for step, number, zone, took, count in draw(
        st.lists(
            st.tuples(
                steps,
                st.sampled_from([1, 2, NO_ADDRESS - 1]),
                st.sampled_from([0, 0, 7, 2**32 - 1]),
                st.sampled_from([0.0, 0.001, 0.523, 1.9, 59.0, 300.0]),
                st.integers(1, 9),
            ),
            max_size=20,
        )
    ):
        now += step
        requests += [(now if exact else now // 1000 * 1000, number, zone, took)] * count
    return requests, exact


@settings(max_examples=150, deadline=None)
@given(logs(), st.lists(st.integers(0, 100), max_size=4), st.randoms(use_true_random=False))
def test_a_log_that_is_saved_and_continued(log: tuple[Requests, bool], cuts: list[int], random: Random) -> None:
    """However a log is cut, saved and continued, natively or not, every limit rejects what it rejects in one run."""
    requests, exact = log
    with patch.dict(os.environ, {"LOGSCAN_SCANNER": "portable"}):
        expected = run(LIMITS, requests, exact_times=exact)
    found, state = [], None
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(requests)], strict=True):
        with patch.dict(os.environ, {"LOGSCAN_SCANNER": random.choice(["portable", "native"])}):
            replay = LogReplay(LIMITS, exact_times=exact)
            if state is not None:
                replay.restore(state)
            replay.add(frame(requests[start:stop]))
            found.append(replay.take())
            state = replay.state()
    with patch.dict(os.environ, {"LOGSCAN_SCANNER": "native"}):
        last = LogReplay(LIMITS, exact_times=exact)
    assert state is not None
    last.restore(state)
    assert rejections([*found, last.finish()]) == expected
    assert run(LIMITS, requests, exact_times=exact) == expected


LADDERS = [
    *limit_grid(),
    *rps_rungs(),
    *(
        rung
        for limit in (
            rpm_limit(30),
            connections_limit(2),
            *KONG,
            envoy_limit("second", 2, shared=False),
        )
        for rung in ladder_around(limit)[::2]
    ),
]


@settings(max_examples=100, deadline=None)
@given(logs(), st.sampled_from(["portable", "native"]))
def test_a_ladder_tells_the_laxest_rung_that_rejects(log: tuple[Requests, bool], kind: str) -> None:
    """Rungs that are only looked up name the laxest that an address meets; it meets all that are stricter as well."""
    requests, exact = log
    with patch.dict(os.environ, {"LOGSCAN_SCANNER": kind}):
        found = run(LADDERS, requests, exact_times=exact)
        every = run([replace(limit, shown=True) for limit in LADDERS], requests, exact_times=exact)
    for ladder in {limit.ladder for limit in LADDERS}:
        rungs = {place: limit.rung for place, limit in enumerate(LADDERS) if limit.ladder == ladder}
        for number in {number for _, number in every}:
            expected = {rung for place, rung in rungs.items() if (place, number) in every}
            assert expected == {rung for rung in rungs.values() if expected and rung <= max(expected)}
            for bound in (0, 1):
                known = {rung for place, rung in rungs.items() if every.get((place, number), (0, 0))[bound]}
                told = {rung for place, rung in rungs.items() if found.get((place, number), (0, 0))[bound]}
                assert max(told, default=0) == max(known, default=0)


@pytest.mark.parametrize("kind", ["portable", "native"])
@pytest.mark.parametrize("exact", [True, False])
def test_a_ladder_is_one_row(kind: str, exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    """Of an address that meets most rungs of all ladders each leaves one row, or one for each bound."""
    monkeypatch.setenv("LOGSCAN_SCANNER", kind)
    log = LogReplay(LADDERS, exact_times=exact)
    log.add(frame([(0, 1, 0, 0.5)] * 2000))
    rows = log.finish()["limit"].to_list()
    hidden = [LADDERS[place].ladder for place in rows if not LADDERS[place].shown]
    assert len(set(hidden)) == 8
    assert max(map(hidden.count, hidden)) <= (1 if exact else 2)


def test_ladders_of_limits() -> None:
    """Around a limit stand limits of the same windows; of them the one asked for is shown."""
    around = ladder_around(kong_limits([("second", 5), ("minute", 100)])[2])
    assert [limit.name for limit in around if limit.shown] == ["second: 5, minute: 100 (redis)"]
    assert (around[0].name, around[-1].name) == ("second: 1, minute: 10 (redis)", "second: 50, minute: 1000 (redis)")
    assert around[-1].policy.parts == ((1, 50), (60, 1000))
    assert ladder_around(rpm_limit(30, 2))[0].policy == rpm_limit(3, 2).policy
    assert ladder_around(connections_limit(20))[0].policy.connections == 2
    assert len(ladder_around(envoy_limit("second", 5, shared=True))) == 1


def test_limited_is_when_a_request_begins() -> None:
    """Requests that end together and began one after the other pass; those that began together do not, however long."""
    apart: Requests = [(40_000, 1, 0, float(n)) for n in range(40, 0, -1)]
    assert run([rps_limit(1)], apart, exact_times=True) == {}
    together: Requests = [(n * 1000, 1, 0, float(n)) for n in range(40)]
    assert run([rps_limit(1)], together, exact_times=True) == {(0, 1): (34, 34)}
    lost_in_decimals: Requests = [(523, 1, 0, 0.523), (1019, 1, 0, 1.019), (2001, 1, 0, 1.001)]
    assert run([envoy_limit("second", 1, shared=False)], lost_in_decimals, exact_times=True) == {(0, 1): (1, 1)}


def test_a_request_lasts_a_minute_at_most() -> None:
    """What took longer is taken to have begun a minute before it ended: a log need not be held back for hours."""
    long: Requests = [(100_000 + n * 30_000, 1, 0, 1e9) for n in range(3)]
    assert run([connections_limit(1)], long, exact_times=True) == {(0, 1): (1, 1)}
    assert run([connections_limit(2)], long, exact_times=True) == {}


def test_whole_seconds_give_two_orders() -> None:
    """All of a second at its beginning is the most a bucket sees at once, evenly spread the least."""
    requests: Requests = [(second * 1000, 1, 0, 0.0) for second in range(3) for _ in range(4)]
    assert run([envoy_limit("second", 2, shared=True)], requests, exact_times=False) == {(0, 1): (6, 5)}


def test_twins() -> None:
    """A bucket for each client decides as a limit_req does that fills as fast, where nginx can count so."""
    twin = envoy_limit("minute", 30, shared=False).twin
    assert twin is not None
    assert twin.policy.parts == ((500, 29),)
    assert rps_limit(5).twin == rps_limit(5)
    for limit in (envoy_limit("minute", 10, shared=False), connections_limit(5)):
        assert limit.twin is None
    assert envoy_limit("second", 10_000_000, shared=False).twin is None


BOUNDED = [
    *(envoy_limit("second", most, shared=False) for most in (1, 2, 5)),
    envoy_limit("minute", 6, shared=False),
    kong_limits([("second", 2)])[0],
    *KONG,
    *kong_sliding_limits([(2, 3), (60, 9)])[:2],
]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 7, 200, 499, 500, 998, 999, 1000, 1001, 2500, 60_000]), st.integers(1, 6)),
        max_size=30,
    ),
    st.sampled_from(["portable", "native"]),
)
def test_the_truth_lies_within_the_bounds(steps: list[tuple[int, int]], kind: str) -> None:
    """Of requests that take no time as many are rejected as is said of them in whole seconds, whenever they came."""
    now, times = 0, []
    for step, count in steps:
        now += step
        times += [now] * count
    with patch.dict(os.environ, {"LOGSCAN_SCANNER": kind}):
        exact = run(BOUNDED, [(time, 1, 0, 0.0) for time in times], exact_times=True)
        whole = run(BOUNDED, [(time // 1000 * 1000, 1, 0, 0.0) for time in times], exact_times=False)
    for place, limit in enumerate(BOUNDED):
        most, fewest = whole.get((place, 1), (0, 0))
        true = exact.get((place, 1), (0, 0))[0]
        assert fewest <= true <= most
        assert limit.twin is not None or fewest == most


def test_a_shared_bucket_is_one_for_all() -> None:
    """A route's bucket is emptied by everybody; who came too late is named."""
    requests: Requests = [(n, n % 3, 0, 0.0) for n in range(9)]
    assert run([envoy_limit("hour", 7, shared=True)], requests, exact_times=True) == {(0, 1): (1, 1), (0, 2): (1, 1)}
    assert run([envoy_limit("hour", 7, shared=False)], requests, exact_times=True) == {}


@pytest.mark.parametrize("exact_times", [True, False])
@pytest.mark.parametrize("limits", [[rps_limit(5)], [envoy_limit("second", 5, shared=False)]])
def test_an_older_log_behind_a_newer_one_begins_anew(limits: list[Limit], exact_times: bool) -> None:  # noqa: FBT001
    """Where time goes back by hours nothing is known of any address, and the disorder is told."""
    burst: Requests = [(0, 1, 0, 0.0)] * 30
    log = LogReplay(limits, exact_times=exact_times)
    log.add(frame(burst))
    arrived, disordered = log.add(frame([(-7_200_000, 1, 0, 0.0)] * 30))
    alone = run(limits, burst, exact_times=exact_times)[0, 1]
    assert rejections([log.finish()]) == {(0, 1): (2 * alone[0], 2 * alone[1])}
    assert (arrived, disordered) == (30, 1)


def test_a_log_in_reverse_is_told() -> None:
    """Nearly every request of a log that runs backwards counts as out of order."""
    for exact_times in (True, False):
        log = LogReplay([connections_limit(1)], exact_times=exact_times)
        assert log.add(frame([(-n * 1000, 1, 0, 0.0) for n in range(1000)]))[1] > 900


def test_logs_are_apart() -> None:
    """Each log counts for itself, and what is taken is not given again."""
    replay = Replay([rps_limit(1)])
    for _ in range(2):
        for source in (4, 9):
            replay.add(source, frame([(0, 1, 0, 0.0)] * 10), exact_times=False)
    replay.close(4)
    assert rejections([replay.take()]) == {(0, 1): (14, 14)}
    assert replay.take().is_empty()
    replay.close_all()
    assert rejections([replay.take()]) == {(0, 1): (14, 14)}
    assert (replay.requests, replay.disordered) == (40, 0)
