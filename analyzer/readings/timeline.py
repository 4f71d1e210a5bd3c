"""Timeline: preservation over time, so that the moment of a change can be seen.

The table's buckets are widened until a report holds at most `MAX_POINTS` of them. A bucket without a request has no
point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from analyzer.charts import Lines
from analyzer.readings.reading import Reading, frame_of
from analyzer.readings.shares import considered, percent

if TYPE_CHECKING:
    from datetime import datetime

MAX_POINTS = 1440
_DAY = 86_400
_WITH_VISITORS = ("client", "private")
"""Classes by ranges in which a visitor may be found."""
_WIDTHS = (60, 300, 900, 3600, 21_600, _DAY)


@dataclass(frozen=True, slots=True)
class Point:
    """Requests of one bucket; `time` is its start, `preserved_pct` is None when none could be considered.

    `preserved` is an estimate where addresses were inferred to be proxies, or visitors.
    """

    time: datetime
    requests: int
    considered: int
    preserved: int
    preserved_pct: float | None


@dataclass(frozen=True, slots=True)
class Timeline(Reading):
    """Points in order of time."""

    bucket_seconds: int
    points: list[Point]

    @property
    def frame(self) -> pl.DataFrame:
        """The points, a row each."""
        return frame_of(self.points, Point)

    def plot(self) -> Lines:
        """How much is preserved at each time."""
        return Lines(
            title="Preserved over time",
            frame=self.frame,
            x="time",
            y="preserved_pct",
            unit="% of requests",
            top=100.0,
            volume="considered",
        )


def timeline(table: pl.DataFrame, bucket_seconds: int, labelled: pl.DataFrame) -> Timeline:
    """Read the timeline off its table.

    Parameters
    ----------
    table
        Requests by start of bucket and class by ranges.
    bucket_seconds
        Width of the table's buckets, in seconds.
    labelled
        The address table with the columns that `analyzer.readings.proxies.infer` appends, and ``range_class``.
    """
    width, counted = bucket_seconds, table
    # Counted, not reckoned from first and last: one line with a wrong clock must not blur all the others.
    while counted["time"].drop_nulls().n_unique() > MAX_POINTS:
        width = wider(width)
        start = pl.col("time").dt.truncate(f"{width}s")
        counted = counted.group_by(start, "class").agg(pl.sum("requests", "considered"))
    counted = counted.filter(pl.col("time").is_not_null()).sort("time")
    own = [_preserved(counted.filter(pl.col("class") == class_), width, labelled, class_) for class_ in _WITH_VISITORS]
    points = counted.group_by("time", maintain_order=True).agg(pl.sum("requests", "considered"))
    preserved = pl.concat(own).group_by("time").agg(pl.sum("preserved").round().cast(pl.UInt64))
    points = points.join(preserved, on="time", how="left", maintain_order="left").with_columns(
        preserved=pl.min_horizontal(pl.col("preserved").fill_null(0), "considered")
    )
    return Timeline(
        bucket_seconds=width,
        points=[
            Point(time, requests, considered, preserved, percent(preserved, considered))
            for time, requests, considered, preserved in points.iter_rows()
        ],
    )


def _preserved(buckets: pl.DataFrame, width: int, labelled: pl.DataFrame, class_: str) -> pl.DataFrame:
    """Requests of visitors in the buckets of one class by ranges: ``time``, ``preserved`` (Float64).

    Who is a visitor among addresses that no range tells is known when all is read. Their requests, or those of the
    others where these are fewer addresses, are put where they most likely were.
    """
    considered_ = buckets["considered"].cast(pl.Float64)
    visitor, addresses = pl.col("visitor"), labelled.lazy()
    # Counted by a mask: of ten million addresses a filtered copy takes 200 MB.
    counts = (pl.col("range_class") == class_) & (considered() > 0) & pl.col("first_time").is_not_null()
    counted = addresses.select((counts & visitor).sum(), others=(counts & ~visitor).sum())
    visitors, others = counted.collect(engine="streaming").row(0)
    fewer = addresses.filter(counts & (visitor if visitors < others else ~visitor))
    fewer = fewer.select(considered(), "first_time", "last_time")
    spread = _spread(fewer.collect(engine="streaming"), buckets["time"], considered_, width)
    return buckets.select("time").with_columns(preserved=spread if visitors < others else considered_ - spread)


def _spread(addresses: pl.DataFrame, times: pl.Series, traffic: pl.Series, width: int) -> pl.Series:
    """The requests of some addresses in each bucket, at most its `traffic`.

    The first and the last of an address are where they were; what it sent between them is spread as the traffic is.
    """
    if addresses.is_empty() or traffic.is_empty():
        return pl.zeros(traffic.len(), pl.Float64, eager=True)
    bounds = [addresses["first_time"], addresses["last_time"]]
    starts = [time.dt.truncate(f"{width}s") for time in bounds]
    first, last = (times.search_sorted(start, side="left") for start in starts)
    parts = [
        traffic.gather(at) * (time - start).dt.total_milliseconds() / (1000 * width)
        for at, time, start in zip((first, last), bounds, starts, strict=True)
    ]
    before = pl.concat([pl.Series([0.0]), traffic.cum_sum()])
    rows = pl.DataFrame({
        "first": first,
        "last": last,
        "requests": addresses["considered"].cast(pl.Float64),
        "early": parts[0],  # of the first bucket before the first request
        "late": traffic.gather(last) - parts[1],
        "within": (before.gather(last) + parts[1]) - (before.gather(first) + parts[0]),
    })  # fmt: skip
    spread = pl.col("within") > 0
    end = pl.min_horizontal(pl.col("requests") / 2, 1.0)
    density = pl.when(spread).then((pl.col("requests") - 2 * end) / pl.col("within")).otherwise(0.0)
    at_first = pl.when(spread).then(end - density * pl.col("early")).otherwise("requests")
    at_last = pl.when(spread).then(end - density * pl.col("late")).otherwise(0.0)
    none = pl.lit(0.0)
    # What begins and what ends at a bucket, so that a running sum is what holds there; and what is of one bucket alone.
    changes = pl.concat([
        rows.select(at="first", by=density, own=at_first),
        rows.select(at="last", by=none, own=at_last),
        rows.select(at=pl.col("last") + 1, by=-density, own=none),
    ])  # fmt: skip
    sums = changes.group_by("at").agg(pl.sum("by", "own"))
    steps = pl.DataFrame({"at": range(traffic.len())}, schema={"at": sums.schema["at"]})
    steps = steps.join(sums, on="at", how="left", maintain_order="left").fill_null(0.0)
    return pl.select(
        pl.max_horizontal(0.0, pl.min_horizontal(steps["by"].cum_sum() * traffic + steps["own"], traffic))
    ).to_series()


def wider(width: int) -> int:
    """The next width of buckets, in seconds, that whole buckets of `width` fill."""
    return next((each for each in _WIDTHS if each > width and each % width == 0), 2 * width)
