"""How the shares of nodes, pods or sources change over time: when a node was drained, or a rollout moved the pods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from analyzer.readings.shares import percent
from analyzer.readings.timeline import wider

if TYPE_CHECKING:
    from datetime import datetime

    from analyzer.readings.skew_groups import Grouped

MAX_GROUPS = 6
"""The busiest groups: more lines nobody can tell apart."""
MAX_TIMES = 120


@dataclass(frozen=True, slots=True)
class GroupPoint:
    """Requests of one group from `time` on; `share_pct` is of all groups, None where no group had a request."""

    time: datetime
    name: str
    requests: int
    share_pct: float | None


def over_time(each: Grouped) -> list[GroupPoint]:
    """Read the shares of the busiest groups off the cells of a grouping, at `MAX_TIMES` times or fewer.

    Returns
    -------
    list of GroupPoint
        By time, the busiest group first; a point for each group at each time. Empty where there is one time or group.
    """
    if each.height < 2:
        return []
    cells, width = each.cells, each.bucket_seconds
    while cells["time"].n_unique() > MAX_TIMES:
        width = wider(width)
        cells = each.cells.with_columns(pl.col("time").dt.truncate(f"{width}s"))
    names = each.groups["name"].head(MAX_GROUPS)
    times = cells.group_by("time").agg(total=pl.col("requests").sum()).sort("time")
    if times.height < 2:
        return []
    counted = cells.group_by("time", name="group").agg(pl.col("requests").sum())
    grid = times.join(names.to_frame("name"), how="cross", maintain_order="left_right")
    points = grid.join(counted, on=["time", "name"], how="left", maintain_order="left")
    rows = points.select("time", "name", pl.col("requests").fill_null(0), "total").iter_rows()
    return [GroupPoint(time, name, requests, percent(requests, total)) for time, name, requests, total in rows]
