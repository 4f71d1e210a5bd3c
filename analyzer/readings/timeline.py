"""Timeline: preservation over time, so that the moment of a change can be seen.

The table's buckets are widened until a report holds at most `MAX_POINTS` of them. A bucket without a request has no
point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from analyzer.readings.shares import percent

if TYPE_CHECKING:
    from datetime import datetime

MAX_POINTS = 1440
_DAY = 86_400
_WIDTHS = (60, 300, 900, 3600, 21_600, _DAY)


@dataclass(frozen=True, slots=True)
class Point:
    """Requests of one bucket; `time` is its start, `preserved_pct` is None when none could be considered."""

    time: datetime
    requests: int
    considered: int
    preserved: int
    preserved_pct: float | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """Points in order of time."""

    bucket_seconds: int
    points: list[Point]


def timeline(table: pl.DataFrame, bucket_seconds: int) -> Timeline:
    """Read the timeline off its table.

    Parameters
    ----------
    table
        Requests by start of bucket, class and, for some, address.
    bucket_seconds
        Width of the table's buckets, in seconds.
    """
    preserved = pl.col("considered").filter(pl.col("class") == "client").sum().alias("preserved")
    counted = table.group_by("time").agg(pl.sum("requests", "considered"), preserved)
    width, widest = bucket_seconds, counted.filter(pl.col("time").is_not_null())
    # Counted, not reckoned from first and last: one line with a wrong clock must not blur all the others.
    while widest.height > MAX_POINTS:
        width = _wider(width)
        start = pl.col("time").dt.truncate(f"{width}s")
        widest = widest.group_by(start).agg(pl.sum("requests", "considered", "preserved"))
    return Timeline(
        bucket_seconds=width,
        points=[
            Point(time, requests, considered, preserved, percent(preserved, considered))
            for time, requests, considered, preserved in widest.sort("time").iter_rows()
        ],
    )


def _wider(width: int) -> int:
    return next((wider for wider in _WIDTHS if wider > width and wider % width == 0), 2 * width)
