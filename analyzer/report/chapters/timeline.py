"""How the share changes over time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from analyzer.report.document import NUMBERS, Cell, Figure, Fold, Section, Share, table
from analyzer.report.text import number, percentage

if TYPE_CHECKING:
    from datetime import datetime

    from analyzer.readings.timeline import Timeline

POINTS = 180
"""Most points that are drawn: as many as a telephone is wide in pixels, by two."""
ROWS = 24
"""Most rows of the table."""


def timeline(reading: Timeline) -> Section | None:
    """Write the chapter."""
    plot = reading.plot()
    points = plot.frame.filter(pl.col("time").is_not_null() & (pl.col("considered") > 0)).sort("time")
    if points.height < 2:
        return None
    drawn = merged(points, POINTS)
    shares = drawn["preserved_pct"].to_list()
    lowest, highest, first, last = (
        f"{percentage(value)} %" for value in (min(shares), max(shares), shares[0], shares[-1])
    )
    summary = (
        f"Preserved share from {moment(drawn['time'][0])} to {moment(drawn['time'][-1])}: "
        f"{first} at first, {last} at last, lowest {lowest}, highest {highest}"
    )
    rows: list[list[Cell]] = [
        [moment(time), Share(pct), number(preserved), number(considered)]
        for time, pct, preserved, considered in merged(points, ROWS)
        .select("time", "preserved_pct", "preserved", "considered")
        .iter_rows()
    ]
    numbers = table(
        "Preserved requests over time",
        ("From (UTC)", "Preserved %", "Preserved", "Considered"),
        rows,
        numeric=NUMBERS,
    )
    return Section(
        "timeline",
        "Preservation over time",
        [Figure(replace(plot, frame=drawn), summary), Fold("The numbers", [numbers])],
    )


def merged(points: pl.DataFrame, most: int) -> pl.DataFrame:
    """Put neighbouring points together until there are at most so many."""
    each = -(-points.height // most)
    place = (pl.int_range(pl.len()) // each).alias("place")
    sums = points.group_by(place, maintain_order=True).agg(
        pl.first("time"), pl.sum("requests", "considered", "preserved")
    )
    return sums.with_columns(preserved_pct=100 * pl.col("preserved") / pl.col("considered"))


def moment(time: datetime) -> str:
    """Write a time to the minute."""
    return f"{time:%Y-%m-%d %H:%M}"
