"""Bounds of limits together and of buckets that all share: whenever within their seconds requests came, they hold."""

from __future__ import annotations

import os
from unittest.mock import patch

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.parsing.schema import TIME
from analyzer.readings.limit_bounds import proven_bounds
from analyzer.tables.address_table import NO_ADDRESS
from analyzer.tables.limits import connections_limit, envoy_limit, rpm_limit, rps_limit, together
from analyzer.tables.replay import LogReplay

NOON = 1_795_262_400_000  # 21 November 2026, 12:00 UTC, in milliseconds
ALONE = [rps_limit(1, 2), rps_limit(3, 1), rpm_limit(10, 1), rpm_limit(100, 1)]
LIMITS = [
    *ALONE,
    together([ALONE[0], ALONE[2]]),
    together([ALONE[1], ALONE[2]]),
    together([ALONE[1], ALONE[3]]),
    envoy_limit("second", 4, shared=True),
    envoy_limit("minute", 6, shared=True),
]
#: Requests: milliseconds after noon, number of the address, zone.
Requests = list[tuple[int, int, int]]


def rejections(requests: Requests, *, exact_times: bool, cut: int = 0) -> pl.DataFrame:
    """What limits reject of a log, by address, that is saved and continued at a line."""
    rows = [
        (NOON + (time if exact_times else time // 1000 * 1000), number, zone, 0, 0.0) for time, number, zone in requests
    ]
    schema = {"time": pl.Int64, "number": pl.UInt32, "zone": pl.UInt32, "outcome": pl.UInt8, "request_time": pl.Float64}
    frame = pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("time").cast(TIME))
    first, second = (LogReplay(LIMITS, exact_times=exact_times) for _ in range(2))
    first.add(frame[:cut])
    found = [first.take()]
    second.restore(first.state())
    second.add(frame[cut:])
    found.append(second.finish())
    known = pl.when(pl.col("number") != NO_ADDRESS).then("number").cast(pl.UInt128)
    return pl.concat(found).select("limit", "most", "fewest", address=known)


def sums(found: pl.DataFrame, place: int) -> int:
    """What a limit rejects, by address."""
    return int(found.filter(pl.col("limit") == place, pl.col("address").is_not_null())["most"].sum())


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 7, 200, 499, 500, 998, 999, 1000, 1001, 2500, 60_000]),
            st.integers(1, 2),
            st.integers(0, 1),
            st.integers(1, 6),
        ),
        max_size=30,
    ),
    st.integers(0, 40),
    st.sampled_from(["portable", "native"]),
)
def test_the_truth_lies_within_the_bounds(steps: list[tuple[int, int, int, int]], cut: int, kind: str) -> None:
    """Of limits together, and of a bucket of all clients, what is truly rejected lies between the bounds."""
    now, requests = 0, []
    for step, number, zone, count in steps:
        now += step
        requests += [(now, number, zone)] * count
    with patch.dict(os.environ, {"LOGSCAN_SCANNER": kind}):
        exact, whole = (rejections(requests, exact_times=exact, cut=cut) for exact in (True, False))
    bounds = proven_bounds(whole, LIMITS)
    assert set(bounds) == set(range(len(ALONE), len(LIMITS)))
    for place, (low, high) in bounds.items():
        assert low <= sums(exact, place) <= high
        if LIMITS[place].policy.shared:
            assert proven_bounds(exact, LIMITS)[place] == (sums(exact, place),) * 2


def test_what_has_no_bounds() -> None:
    """Connections, a limit whose parts were not tried alone, and a bucket that nginx cannot count have none."""
    limits = [ALONE[0], together([ALONE[0], connections_limit(2)]), together([ALONE[0], rpm_limit(7)])]
    limits += [envoy_limit("minute", 10, shared=True), envoy_limit("second", 2, shared=False)]
    schema = {"limit": pl.UInt16, "address": pl.UInt128, "most": pl.UInt64, "fewest": pl.UInt64}
    assert proven_bounds(pl.DataFrame(schema=schema), limits) == {}
