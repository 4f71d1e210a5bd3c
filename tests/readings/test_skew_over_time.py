"""Shares of groups over time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from analyzer.readings.skew_groups import Grouped
from analyzer.readings.skew_over_time import MAX_GROUPS, MAX_TIMES, over_time

START = datetime(2026, 11, 21, tzinfo=UTC)


def grouped(cells: list[tuple[str, int, int]], bucket_seconds: int = 10) -> Grouped:
    """Return a grouping of cells, each a group, the seconds from the start, and its requests."""
    schema = {"group": pl.String, "seconds": pl.Int64, "requests": pl.UInt64}
    frame = pl.DataFrame(cells, schema, orient="row")
    time = pl.lit(START).cast(pl.Datetime("ms", "UTC")) + pl.duration(seconds="seconds")
    timed = frame.select("group", "requests", time=time)
    groups = (
        frame.group_by(name="group").agg(pl.col("requests").sum()).sort("requests", "name", descending=[True, False])
    )
    total = int(frame["requests"].sum())
    return Grouped("node", "serving", groups, timed, bucket_seconds, total)


def test_a_node_that_is_drained_falls_to_nothing() -> None:
    """Every group has a share at every time, also where it had no request."""
    points = over_time(grouped([("a", 0, 3), ("b", 0, 1), ("a", 10, 4)]))
    assert [(point.time - START, point.name, point.requests, point.share_pct) for point in points] == [
        (timedelta(), "a", 3, 75.0),
        (timedelta(), "b", 1, 25.0),
        (timedelta(seconds=10), "a", 4, 100.0),
        (timedelta(seconds=10), "b", 0, 0.0),
    ]


@pytest.mark.parametrize("bucket_seconds", [10, 60, 86_400])
def test_a_long_log_has_few_points(bucket_seconds: int) -> None:
    """However long a log is, its points are few, and no request is lost in wider buckets."""
    cells = [(name, at * bucket_seconds, 1) for at in range(5000) for name in ("a", "b")]
    points = over_time(grouped(cells, bucket_seconds))
    times = sorted({point.time for point in points})
    assert 2 <= len(times) <= MAX_TIMES
    assert sum(point.requests for point in points) == 10_000
    assert {point.share_pct for point in points} == {50.0}


def test_the_busiest_groups_have_shares_of_all() -> None:
    """Groups beyond the busiest have no points, but count."""
    cells = [(f"n{number}", at, 10 - number) for number in range(10) for at in (0, 10)]
    points = over_time(grouped(cells))
    assert len(points) == 2 * MAX_GROUPS
    assert points[0].name == "n0"
    assert points[0].share_pct == pytest.approx(100 * 10 / 55, abs=1e-4)


@pytest.mark.parametrize("cells", [[], [("a", 0, 1), ("a", 10, 1)], [("a", 0, 1), ("b", 0, 1)]])
def test_one_group_or_one_time_is_no_course(cells: list[tuple[str, int, int]]) -> None:
    """Where nothing can change, nothing is drawn."""
    assert over_time(grouped(cells)) == []
