"""When a node, pod or source had no traffic while the others had: drained, rolled out, or failing a health check.

Where nobody had traffic, nothing was missed and nothing is said. A stretch counts where so few requests came that a
group with its usual share would never have so few by chance, even where requests come in clusters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import polars as pl

from analyzer.tables.loads import BUCKET_SECONDS

if TYPE_CHECKING:
    from datetime import datetime

Kind = Literal["away", "began", "ended"]

#: A group is quiet in a bucket where it gets less than this part of its usual share.
QUIET = 0.1
#: How much less likely than 1 a stretch must be by chance, as a natural logarithm: one in a million.
EVIDENCE = math.log(1e6)
#: The median of chi-square with one degree of freedom.
_MEDIAN = 0.4549
#: Cells of groups and buckets that are looked at; with more of them, buckets are made wider.
_CELLS = 200_000


@dataclass(frozen=True, slots=True)
class Interruption:
    """A stretch without traffic, as exact as the buckets that it was counted in.

    `kind` is ``away`` where traffic came back, ``began`` where there was none before `end`, ``ended`` where there was
    none after `start`. `missing` are the requests that its usual share would have brought.
    """

    name: str
    kind: Kind
    start: datetime
    end: datetime
    seconds: int
    missing: int


class Presence(NamedTuple):
    """What is known of groups over time.

    `interruptions` in the order of their starts; `there` has a row for each group and bucket, with its ``requests``
    and whether it was ``present``.
    """

    interruptions: list[Interruption]
    there: pl.DataFrame


def presence(cells: pl.DataFrame, bucket_seconds: int) -> Presence:
    """Find stretches without traffic.

    Parameters
    ----------
    cells
        Columns ``group`` (String), ``time`` (Datetime) and ``requests``; a bucket without a request may be left out.
    bucket_seconds
        The width of its buckets.
    """
    cells, bucket_seconds = _wider(cells.filter(pl.col("requests") > 0), bucket_seconds)
    groups = cells.group_by("group").agg(usual=pl.col("requests").sum() / cells["requests"].sum())
    buckets = cells.group_by("time").agg(whole=pl.col("requests").sum()).sort("time").with_row_index("place")
    there = (
        groups.join(buckets, how="cross")
        .join(cells, on=["group", "time"], how="left")
        .with_columns(pl.col("requests").fill_null(0), expected=pl.col("usual") * pl.col("whole"))
        .sort("group", "place")
        .with_columns(quiet=pl.col("requests") < QUIET * pl.col("expected"))
        .with_columns(run=pl.col("quiet").rle_id().over("group"))
    )
    clustered = _clustered(there)
    got, expected = pl.col("requests").sum(), pl.col("expected").sum()
    # Chernoff's bound on so few where so many were expected.
    evidence = (expected - got + pl.when(got > 0).then(got * (got / expected).log()).otherwise(0.0)) / clustered
    runs = (
        there.filter("quiet")
        .group_by("group", "run")
        .agg(
            evidence=evidence,
            missing=(expected - got).round().cast(pl.UInt64),
            start=pl.col("time").first(),
            end=pl.col("time").last() + pl.duration(seconds=bucket_seconds),
            first=pl.col("place").first() == 0,
            last=pl.col("place").last() == buckets.height - 1,
        )
        .filter(pl.col("evidence") > EVIDENCE + math.log(max(there.height, 1)))
    )
    kind = pl.when("first").then(pl.lit("began")).when("last").then(pl.lit("ended")).otherwise(pl.lit("away"))
    found = [
        Interruption(name, kind, start, end, round((end - start).total_seconds()), missing)
        for name, kind, start, end, missing in runs.sort("start", "group")
        .select("group", kind, "start", "end", "missing")
        .iter_rows()
    ]
    absent = runs.select("group", "run", present=pl.lit(value=False))
    there = there.join(absent, on=["group", "run"], how="left").with_columns(pl.col("present").fill_null(value=True))
    return Presence(found, there.select("group", "time", "requests", "present"))


def _clustered(there: pl.DataFrame) -> float:
    """How many times wider than chance neighbouring buckets differ; the median does not see a stretch begin or end."""
    a, b = pl.col("requests").cast(pl.Float64), pl.col("requests").shift(-1).cast(pl.Float64)
    of_a, of_b = pl.col("whole"), pl.col("whole").shift(-1)
    squared = (a * of_b - b * of_a) ** 2 / (of_a * of_b * (a + b)) / (1 - pl.col("usual"))
    same = (pl.col("group") == pl.col("group").shift(-1)) & (a + b > 0) & (pl.col("usual") < 1)
    median = there.select(squared.filter(same).median()).item()
    return max(1.0, (median or 0.0) / _MEDIAN)


def _wider(cells: pl.DataFrame, bucket_seconds: int) -> tuple[pl.DataFrame, int]:
    """Make buckets wider until there are few enough cells."""
    groups = cells["group"].n_unique()
    for seconds in BUCKET_SECONDS[BUCKET_SECONDS.index(bucket_seconds) :]:
        wider = cells.group_by("group", pl.col("time").dt.truncate(f"{seconds}s")).agg(pl.col("requests").sum())
        if wider["time"].n_unique() * groups <= _CELLS:
            break
    return wider, seconds
