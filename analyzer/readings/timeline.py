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

    Who is a visitor among addresses that no range tells is known when all is read. What inference moved in or out of
    the class is spread over the time from the first request of an address to its last, as the class's traffic is.
    """
    is_client = class_ == "client"
    considered_ = buckets["considered"].cast(pl.Float64)
    moved = labelled.filter((pl.col("range_class") == class_) & (pl.col("visitor") != is_client))
    moved = moved.select(considered(), "first_time", "last_time").filter(pl.col("considered") > 0).drop_nulls()
    share = pl.repeat(0.0, buckets.height, eager=True)
    if moved.height and buckets.height:
        first, last = (
            buckets["time"].search_sorted(moved[name].dt.truncate(f"{width}s"), side="left")
            for name in ("first_time", "last_time")
        )
        before = pl.concat([pl.Series([0.0]), considered_.cum_sum()])
        density = moved["considered"] / (before.gather(last + 1) - before.gather(first))
        # What begins at a bucket and what ends before it, so that a running sum is what holds there.
        change = pl.concat([
            pl.DataFrame({"at": first, "by": density}),
            pl.DataFrame({"at": last + 1, "by": -density}),
        ])  # fmt: skip
        steps = change.group_by("at").agg(pl.sum("by")).sort("at")
        running = pl.DataFrame({"at": range(buckets.height)}, schema={"at": steps.schema["at"]})
        share = running.join(steps, on="at", how="left", maintain_order="left")["by"].fill_null(0).cum_sum().clip(0, 1)
    return buckets.select("time").with_columns(preserved=considered_ * ((1 - share) if is_client else share))


def wider(width: int) -> int:
    """The next width of buckets, in seconds, that whole buckets of `width` fill."""
    return next((each for each in _WIDTHS if each > width and each % width == 0), 2 * width)
