"""Rate limits: whether a limit keyed by the remote address would hit one who sends too much, or everybody at once.

A key is an address, as in the controllers. It is *shared* when it is known to stand for many: a node, a load balancer,
or an address with `SHARED_AGENTS` user agents behind it. The simulation itself happened during the fold, in the order
of each source; here its sums are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from analyzer.charts import Lines
from analyzer.readings.bitmap import at_least
from analyzer.readings.reading import Reading, frame_of
from analyzer.readings.shares import considered, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.tables import Limit

SHARED_AGENTS = 10
"""More user agents than the devices of one household."""
READY_PCT = 5.0
PARTLY_PCT = 50.0
HARMED_PCT = 0.1
"""A limit is fit when it touches fewer visitors than this."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What one limit would have done to `requests` arrivals.

    Timestamps with whole seconds leave open how the arrivals of a second were spread: `rejected_low` and
    `rejected_high` are the bounds, `rejected` lies halfway. Exact timestamps make the three equal.
    `rejected_on_shared_keys_pct` is the share of the rejections, None when there are none.
    """

    controller: str
    limit: str
    burst: int
    requests: int
    rejected: int
    rejected_pct: float | None
    rejected_on_shared_keys_pct: float | None
    rejected_low: int
    rejected_high: int


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The smallest simulated limit that fewer than `HARMED_PCT` of the visitors would ever meet."""

    controller: str
    limit_rps: int


@dataclass(frozen=True, slots=True)
class RateLimit(Reading):
    """Keys with a considered request; `shared_key_pct` is the share of considered requests on shared ones."""

    verdict: str
    keys: int
    shared_keys: int
    shared_key_pct: float | None
    simulations: list[Simulation]
    suggested: Suggestion | None

    @property
    def frame(self) -> pl.DataFrame:
        """The simulated limits, a row each."""
        return frame_of(self.simulations, Simulation)

    def plot(self) -> Lines:
        """What each limit would reject, with its bounds."""
        bound = [
            (100 * pl.col(name) / pl.col("requests")).fill_nan(None).alias(f"{name}_pct")
            for name in ("rejected_low", "rejected_high")
        ]
        return Lines(
            title="What each limit would reject",
            frame=self.frame.with_columns(bound),
            x="limit",
            y="rejected_pct",
            unit="% of requests",
            by="controller",
            low="rejected_low_pct",
            high="rejected_high_pct",
        )


def rate_limit(labelled: pl.DataFrame, limits: pl.DataFrame, limit_requests: int, grid: Sequence[Limit]) -> RateLimit:
    """Read rate-limit readiness off the address table and the simulated limits.

    Parameters
    ----------
    labelled
        The address table with the columns that `Classifier.label` appends.
    limits
        One row per limit and address that it would have rejected.
    limit_requests
        How many arrivals were simulated.
    grid
        The simulated limits; the column ``limit`` of `limits` is an index into it.
    """
    shared = pl.col("class").is_in(["node", "lb"]) | at_least(pl.col("user_agents"), SHARED_AGENTS)
    keys = labelled.select("address", considered(), shared=shared)
    is_key = pl.col("considered") > 0
    sums = keys.select(
        pl.sum("considered"),
        keys=is_key.sum(),
        shared_keys=(is_key & pl.col("shared")).sum(),
        on_shared=pl.col("considered").filter("shared").sum(),
    ).row(0, named=True)
    shared_key_pct = percent(sums["on_shared"], sums["considered"])
    rejections = _rejections(keys.filter(~is_key | pl.col("shared")), limits)
    return RateLimit(
        verdict=_verdict(shared_key_pct),
        keys=sums["keys"],
        shared_keys=sums["shared_keys"],
        shared_key_pct=shared_key_pct,
        simulations=[
            _simulation(limit, rejections.get(index, _NOTHING), limit_requests) for index, limit in enumerate(grid)
        ],
        suggested=_suggested(grid, rejections, sums["keys"] - sums["shared_keys"], shared_key_pct),
    )


@dataclass(frozen=True, slots=True)
class _Rejections:
    """Both bounds, both bounds together on shared keys, and how many visitors met the limit."""

    rejected_low: int = 0
    rejected_high: int = 0
    on_shared: int = 0
    visitors: int = 0


_NOTHING = _Rejections()


def _rejections(known: pl.DataFrame, limits: pl.DataFrame) -> dict[int, _Rejections]:
    """Sum the rejections of each limit, apart where the key is shared, and count the visitors that met one.

    `known` holds the few addresses that are shared or had no considered request; any other is a visitor's, so that the
    many visitors need not be matched.
    """
    visitor = pl.col("shared").is_null() & pl.col("address").is_not_null() & (pl.col("rejected_high") > 0)
    sums = (
        limits.join(known.select("address", "shared"), on="address", how="left")
        .group_by("limit")
        .agg(
            pl.sum("rejected_low", "rejected_high"),
            on_shared=(pl.col("rejected_low") + pl.col("rejected_high")).filter(pl.col("shared")).sum(),
            visitors=visitor.sum(),
        )
    )
    return {row.pop("limit"): _Rejections(**row) for row in sums.iter_rows(named=True)}


def _simulation(limit: Limit, sums: _Rejections, requests: int) -> Simulation:
    both = sums.rejected_low + sums.rejected_high
    rejected = both // 2
    return Simulation(
        controller=limit.controller,
        limit=limit.name,
        burst=limit.burst,
        requests=requests,
        rejected=rejected,
        rejected_pct=percent(rejected, requests),
        rejected_on_shared_keys_pct=percent(sums.on_shared, both),
        rejected_low=sums.rejected_low,
        rejected_high=sums.rejected_high,
    )


def _suggested(
    grid: Sequence[Limit], rejections: dict[int, _Rejections], visitors: int, shared_key_pct: float | None
) -> Suggestion | None:
    # Where most requests share a key, no number is right: the visitors' addresses must come back first.
    if not visitors or shared_key_pct is None or shared_key_pct >= PARTLY_PCT:
        return None
    fit = [
        limit
        for index, limit in enumerate(grid)
        if 100 * rejections.get(index, _NOTHING).visitors < HARMED_PCT * visitors
    ]
    if not fit:
        return None
    smallest = min(fit, key=lambda limit: (limit.rate, limit.burst))
    return Suggestion(smallest.controller, smallest.rps)


def _verdict(shared_key_pct: float | None) -> str:
    if shared_key_pct is None:
        return "unknown"
    if shared_key_pct < READY_PCT:
        return "ready"
    return "partly" if shared_key_pct < PARTLY_PCT else "not-ready"
