"""The timeline and its widening buckets."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl

from analyzer.addresses.classify import Class
from analyzer.readings.timeline import MAX_POINTS, timeline

Rows = Callable[..., pl.DataFrame]

START = datetime(2026, 11, 21, tzinfo=UTC)
Schema = dict[str, pl.DataType | type[pl.DataType]]


def table(*rows: tuple[datetime, str, int, int]) -> pl.DataFrame:
    """Make a timeline table of (start of bucket, class, requests, considered)."""
    schema: Schema = {"time": pl.Datetime("ms", "UTC"), "class": Class, "requests": pl.UInt64, "considered": pl.UInt64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_a_point_sums_its_classes(labelled: Rows) -> None:
    """A bucket's percentage is that of its client requests; buckets come in order of time."""
    minute = timedelta(minutes=1)
    reading = timeline(
        table(
            (START + minute, "unknown", 4, 0),
            (START, "client", 5, 3),
            (START, "node", 9, 9),
        ),
        60,
        labelled(),
    )
    assert [(point.time, point.requests, point.considered, point.preserved_pct) for point in reading.points] == [
        (START, 14, 12, 25.0),
        (START + minute, 4, 0, None),
    ]
    assert reading.bucket_seconds == 60


def test_a_week_of_minutes_is_widened_and_loses_nothing(labelled: Rows) -> None:
    """10,080 minutes become 672 quarters of an hour with the same requests."""
    rows = [(START + timedelta(minutes=minute), "client", 2, 1) for minute in range(10_080)]
    reading = timeline(table(*rows), 60, labelled())
    assert reading.bucket_seconds == 900
    assert len(reading.points) == 672
    assert reading.points[0].time == START
    assert sum(point.requests for point in reading.points) == 20_160


def test_years_still_fit(labelled: Rows) -> None:
    """Ten years of days fit, in buckets of whole days."""
    rows = [(START + timedelta(days=day), "client", 1, 1) for day in range(3653)]
    reading = timeline(table(*rows), 86_400, labelled())
    assert len(reading.points) <= MAX_POINTS
    assert reading.bucket_seconds % 86_400 == 0


def test_one_wrong_clock_does_not_blur_the_rest(labelled: Rows) -> None:
    """A line from 1970 is one point more, not a reason for wider buckets."""
    rows = [(START + timedelta(minutes=minute), "client", 1, 1) for minute in range(100)]
    reading = timeline(table((datetime(1970, 1, 1, tzinfo=UTC), "client", 1, 1), *rows), 60, labelled())
    assert reading.bucket_seconds == 60
    assert len(reading.points) == 101


def test_an_empty_log_has_no_points(labelled: Rows) -> None:
    """No request, no point."""
    assert timeline(table(), 60, labelled()).points == []


def test_what_was_inferred_shows_at_its_time(labelled: Rows) -> None:
    """Edges that nobody published stop when the proxy in front is taken away, and from then on all is preserved."""
    rows = [(START + timedelta(minutes=minute), "client", 100, 100) for minute in range(10)]
    last, end = START + timedelta(minutes=4, seconds=59), START + timedelta(minutes=9)
    edges = [
        {"address": f"198.51.100.{n}", "class": "lb", "kind": "inferred", "range_class": "client", "requests": 200,
         "first_time": START, "last_time": last} for n in (1, 2)
    ]  # fmt: skip
    visitors = [{"address": f"192.0.2.{n}", "requests": 200, "first_time": START, "last_time": end} for n in (1, 2, 3)]
    reading = timeline(table(*rows), 60, labelled(*edges, *visitors))
    preserved = [point.preserved for point in reading.points]
    assert preserved[5:] == [100] * 5
    assert all(18 <= each <= 21 for each in preserved[:5]), preserved


def test_private_visitors_are_preserved_while_they_are_there(labelled: Rows) -> None:
    """A private address that looks like one person adds its requests between its first and its last."""
    rows = [(START + timedelta(minutes=minute), "private", 10, 10) for minute in range(4)]
    person = {
        "address": "10.8.0.7", "class": "private", "visitor": True, "requests": 4,
        "first_time": START + timedelta(minutes=1), "last_time": START + timedelta(minutes=2, seconds=30),
    }  # fmt: skip
    times = {"first_time": START, "last_time": START + timedelta(minutes=3)}
    others = [{"address": f"10.9.0.{n}", "class": "private", "requests": 18, **times} for n in (1, 2)]
    reading = timeline(table(*rows), 60, labelled(person, *others))
    assert [point.preserved for point in reading.points] == [0, 2, 2, 0]


def test_who_comes_all_the_time_is_there_from_the_first_minute(labelled: Rows) -> None:
    """Visitors with few requests each are as many at the beginning and the end of the log as within it."""
    rng = random.Random(7)
    counts = [0] * 30
    addresses = []
    for number in range(900):
        seconds = sorted(rng.uniform(0, 1800) for _ in range(rng.randrange(1, 8)))
        for second in seconds:
            counts[int(second / 60)] += 1
        addresses.append({
            "address": f"10.8.{number // 256}.{number % 256}", "class": "private", "requests": len(seconds),
            "first_time": START + timedelta(seconds=seconds[0]), "last_time": START + timedelta(seconds=seconds[-1]),
        })  # fmt: skip
    rows = [(START + timedelta(minutes=minute), "private", count, count) for minute, count in enumerate(counts)]
    halves = [{**address, "visitor": number % 2 == 0} for number, address in enumerate(addresses)]
    points = timeline(table(*rows), 60, labelled(*halves)).points
    assert all(38 < (point.preserved_pct or 0) < 62 for point in points), [point.preserved_pct for point in points]
    everybody = [{**address, "visitor": True} for address in addresses]
    assert {point.preserved_pct for point in timeline(table(*rows), 60, labelled(*everybody)).points} == {100.0}
