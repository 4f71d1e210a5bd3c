"""The smallest limit that spares visitors: of each ladder of limits the strictest rung that few of them meet.

A visitor is a key that is not shared. One that meets a rung meets all that are stricter, so that for each visitor the
laxest rung that he meets is all there is to know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from analyzer.readings.shares import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.tables import Limit

HARMED_PCT = 0.1
"""A limit is fit when it touches fewer visitors than this."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The smallest limit that fewer than `harmed_pct` percent of the visitors would ever meet.

    It is so whenever within its second a request came, and the smallest that was tried of which that holds. The largest
    that was tried and touches too many for certain is `above_rps`, None where every one might do: no limit up to that
    is enough. It is what one replica enforces. `replicas` of them let a visitor have `cluster_rps` where they are dealt
    the requests evenly; where a visitor's requests are dealt as all are, he meets the limit of the busiest replica at
    `cluster_rps_with_skew`. None where it is not known which replica served what.
    """

    controller: str
    limit_rps: int
    burst: int | None = None
    harmed_pct: float = HARMED_PCT
    visitors_rejected_pct: float | None = None
    replicas: int | None = None
    cluster_rps: int | None = None
    cluster_rps_with_skew: float | None = None
    above_rps: int | None = None


@dataclass(frozen=True, slots=True)
class SuggestedLimit:
    """The same for another limit that was asked for, `asked`: its numbers as they should be, `limit`.

    `above` is the largest that was tried and touches too many. Over all replicas a visitor may have `cluster_factor`
    times its numbers where he is dealt to them evenly, and `cluster_factor_with_skew` times where as all are: 1 where
    all replicas count together.
    """

    controller: str
    asked: str
    limit: str
    above: str | None
    harmed_pct: float
    visitors_rejected_pct: float | None
    cluster_factor: int | None = None
    cluster_factor_with_skew: float | None = None


@dataclass(frozen=True, slots=True)
class Replicas:
    """How many pods served, and the share of the busiest, 0 to 1."""

    number: int
    busiest: float


def replicas_of(origins: pl.DataFrame) -> Replicas | None:
    """Read the replicas off the table of streams (``namespace``, ``pod``, ``considered``); None without pods."""
    pods = origins.filter(pl.col("considered") > 0).group_by("namespace", "pod").agg(pl.sum("considered"))
    if pods.is_empty() or pods["pod"].null_count():
        return None
    counts: list[int] = pods["considered"].to_list()
    return Replicas(len(counts), max(counts) / sum(counts))


def suggested(
    keys: pl.DataFrame,
    rejections: pl.DataFrame,
    limits: Sequence[Limit],
    replicas: Replicas | None,
    harmed_pct: float,
) -> list[Suggestion | SuggestedLimit]:
    """Find for each ladder the smallest limit that fewer than `harmed_pct` percent of the visitors meet, if any.

    Parameters
    ----------
    keys
        ``address``, ``considered`` (requests) and ``shared`` of each key.
    rejections
        `analyzer.tables.limit_req.LIMITS`, of one kind of key.
    limits
        What ``limit`` is an index into.
    replicas
        The pods that served.
    harmed_pct
        The share of visitors that a limit may touch.
    """
    visitors = keys.select(((pl.col("considered") > 0) & ~pl.col("shared")).sum()).item()
    found: list[Suggestion | SuggestedLimit] = []
    if not visitors:
        return found
    touched = _touched(keys, rejections, limits)
    for name in dict.fromkeys(limit.ladder for limit in limits if limit.ladder):
        rungs = sorted((limit for limit in limits if limit.ladder == name), key=lambda limit: limit.rung)
        may, does = (
            [sum(count for rung, count in last.items() if rung >= limit.rung) for limit in rungs]
            for last in touched.get(name, ({}, {}))
        )
        fit, least = (
            next((place for place, met in enumerate(meet) if 100 * met < harmed_pct * visitors), len(rungs))
            for meet in (may, does)
        )
        if fit == len(rungs):
            continue
        limit, above = rungs[fit], rungs[least - 1] if least else None
        met = percent(may[fit], visitors)
        known = Replicas(1, 1.0) if replicas and limit.pooled else replicas
        if limit.rps is not None:
            found.append(
                Suggestion(
                    controller=limit.controller,
                    limit_rps=limit.rps,
                    burst=limit.burst,
                    harmed_pct=harmed_pct,
                    visitors_rejected_pct=met,
                    replicas=known.number if known else None,
                    cluster_rps=limit.rps * known.number if known else None,
                    cluster_rps_with_skew=round(limit.rps / known.busiest, 1) if known else None,
                    above_rps=above.rps if above else None,
                )
            )
            continue
        found.append(
            SuggestedLimit(
                controller=limit.controller,
                asked=next(each.name for each in rungs if each.shown),
                limit=limit.name,
                above=above.name if above else None,
                harmed_pct=harmed_pct,
                visitors_rejected_pct=met,
                cluster_factor=known.number if known else None,
                cluster_factor_with_skew=round(1 / known.busiest, 2) if known else None,
            )
        )
    return found


def _touched(
    keys: pl.DataFrame, found: pl.DataFrame, limits: Sequence[Limit]
) -> dict[str, tuple[dict[int, int], dict[int, int]]]:
    """How many visitors each rung of a ladder is the laxest of that may reject them, and that does for certain."""
    stand = [(place, limit.ladder, limit.rung) for place, limit in enumerate(limits) if limit.ladder]
    schema = {"limit": pl.UInt16(), "ladder": pl.String(), "rung": pl.Int64()}
    known = keys.filter((pl.col("considered") == 0) | pl.col("shared")).select("address")
    bounds = [pl.col("rung").filter(pl.col(name) > 0).max().fill_null(0).alias(name) for name in ("most", "fewest")]
    last = (
        found.filter(pl.col("address").is_not_null())
        .join(known, on="address", how="anti")
        .join(pl.DataFrame(stand, schema=schema, orient="row"), on="limit")
        .group_by("ladder", "address")
        .agg(bounds)
        .group_by("ladder", may=pl.max_horizontal("most", "fewest"), does=pl.min_horizontal("most", "fewest"))
        .len()
    )
    touched: dict[str, tuple[dict[int, int], dict[int, int]]] = {}
    for ladder, may, does, count in last.iter_rows():
        for rungs, rung in zip(touched.setdefault(ladder, ({}, {})), (may, does), strict=True):
            rungs[rung] = rungs.get(rung, 0) + count
    return touched
