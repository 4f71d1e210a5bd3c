"""Bounds of what limits reject that are more than one bucket for each key, where times are whole seconds.

- A bucket that all share is one `limit_req` whose key everybody has: its bounds are told without an address.
- Several `limit_req` on one Ingress: a request that one of them refuses is charged to none. What passes all of them is
  what a single one could let through as well, and alone it lets through as much as can be, so that together they reject
  no less than any of them alone. What one of them refuses it refuses of a part of the requests, of which it refuses no
  more than of all of them, so that together they reject no more than all of them alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from analyzer.tables.limits import Policy, Type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.tables import Limit


def proven_bounds(rejections: pl.DataFrame, limits: Sequence[Limit]) -> dict[int, tuple[int, int]]:
    """The fewest and the most that each of such limits rejects, by its place.

    Parameters
    ----------
    rejections
        `analyzer.tables.limit_req.LIMITS`, of one kind of key.
    limits
        What ``limit`` is an index into.
    """
    alone = {limit.policy: place for place, limit in enumerate(limits) if limit.shown and limit.stands_alone}
    wanted = {place: [place] for place, limit in enumerate(limits) if limit.policy.shared and limit.twin is not None}
    for place, limit in enumerate(limits):
        parts = [alone.get(Policy(Type.NGINX, (part,))) for part in limit.policy.parts]
        known = [part for part in parts if part is not None]
        if limit.is_combined and not limit.policy.connections and len(known) == len(parts):
            wanted[place] = known
    found = {}
    orders = pl.col("most", "fewest").sum()
    low, high = pl.min_horizontal("most", "fewest"), pl.max_horizontal("most", "fewest")
    for place, places in wanted.items():
        told = pl.col("address").is_null() if limits[place].policy.shared else pl.col("address").is_not_null()
        of_limit = rejections.filter(pl.col("limit").is_in(places), told).group_by("limit", "address").agg(orders)
        of_key = of_limit.group_by("address").agg(low=low.max(), high=high.sum())
        found[place] = (int(of_key["low"].sum()), int(of_key["high"].sum()))
    return found
