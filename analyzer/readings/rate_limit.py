"""Rate limits: whether a limit keyed by the remote address would hit one who sends too much, or everybody at once.

A key is an address, as in the controllers. It is *shared* when it is known to stand for many: a node, a load balancer,
or an address with `SHARED_AGENTS` user agents behind it. The simulation itself happened during the fold, in the order
of each source; here its sums are read. Where the log tells who stands behind the proxies, all is read a second time
under the visitors' own addresses, as the controllers would count once the address is preserved.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import polars as pl

from analyzer.addresses.ranges import to_text
from analyzer.charts import Lines
from analyzer.readings.bitmap import at_least, linear_count
from analyzer.readings.limit_bounds import proven_bounds
from analyzer.readings.logged_limits import Logged, logged
from analyzer.readings.reading import Reading, frame_of
from analyzer.readings.shares import considered, percent
from analyzer.readings.suggested_limits import HARMED_PCT, Replicas, SuggestedLimit, Suggestion, suggested
from analyzer.tables.limits import Type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analyzer.tables import Limit

SHARED_AGENTS = 10
"""More user agents than the devices of one household."""
READY_PCT = 5.0
PARTLY_PCT = 50.0
DISORDER_PCT = 1.0
"""With more requests out of order than this, what is simulated is no longer to be relied on."""
BRIEF_MS = 100.0
"""Where requests last longer on average, many began in another second than the one that they are logged in."""
INFERRED_PROXIES = 20
"""How many proxies are named that were told too late."""
MOST_REJECTED = 5
"""How many of the keys that a limit rejects most are named."""


@dataclass(frozen=True, slots=True)
class RejectedKey:
    """A key that a limit rejects: how many user agents stand behind it, and between what its rejections lie."""

    controller: str
    limit: str
    address: str
    class_: str
    user_agents: int
    requests: int
    rejected_low: int
    rejected_high: int


@dataclass(frozen=True, slots=True)
class Simulation:
    """What one limit would have done to `requests` arrivals.

    Timestamps with whole seconds leave open when in its second a request came: the truth lies about `rejected_low` to
    `rejected_high`. `certainty` says how sure that is: ``exact`` with timestamps to the millisecond, all three are
    equal; ``bounds`` where they hold for all times within their seconds that the requests may have come: for
    ``limit-rps`` and ``limit-rpm``, alone and together, for Envoy's bucket where it fills by whole thousandths, and for
    Kong's windows, which begin with a second, where it is not logged how long requests lasted; ``estimate`` for other
    limits, of which two orders are tried, all of a second at once and evenly spread, and for all where requests last
    longer than `BRIEF_MS` on average: they are logged when they end, and meet a limit when they begin. `rejected` is
    halfway, of limits together and of a bucket that all share halfway between the two orders; who is rejected of the
    latter is an estimate.
    `rejected_on_shared_keys_pct` is the share of the rejections, None when there are none. `rejected_keys` may meet a
    rejection, and so may `visitors_rejected_pct` of the keys that are not shared. `counting` says what the limit counts
    over: ``each-log`` by itself, a controller pod's, or ``all-logs``, as Kong's pods do that share a database.
    """

    controller: str
    limit: str
    burst: int | None
    requests: int
    rejected: int
    rejected_pct: float | None
    rejected_on_shared_keys_pct: float | None
    rejected_low: int
    rejected_high: int
    rejected_keys: int = 0
    visitors_rejected_pct: float | None = None
    certainty: str = "exact"
    counting: str = "each-log"


@dataclass(frozen=True, slots=True)
class ByClient:
    """The same under the visitors' own addresses, as they are behind the proxies.

    Proxies are those that are known while the log is read. `inferred_proxies`, the busiest first, were told only when
    all was read: here they stand for their visitors. A run that is told of them (``--lb``) tries the limits rightly.
    """

    keys: int
    shared_keys: int
    shared_key_pct: float | None
    simulations: list[Simulation]
    suggested: Suggestion | None
    most_rejected: list[RejectedKey] = field(default_factory=list)
    suggested_limits: list[SuggestedLimit] = field(default_factory=list)
    inferred_proxies: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RateLimit(Reading):
    """Keys with a considered request; `shared_key_pct` is the share of considered requests on shared ones.

    `most_rejected` are the first `MOST_REJECTED` keys of each limit. `by_client` is None where the log does not tell
    who stands behind the proxies. `allowed` requests come from the allowlist. `out_of_order_pct` of the others stand in
    the log behind a later one: more than a little of it makes the simulations reject too much.
    """

    verdict: str
    keys: int
    shared_keys: int
    shared_key_pct: float | None
    simulations: list[Simulation]
    suggested: Suggestion | None
    most_rejected: list[RejectedKey] = field(default_factory=list)
    by_client: ByClient | None = None
    logged: Logged | None = None
    allowed: int = 0
    out_of_order_pct: float | None = None
    suggested_limits: list[SuggestedLimit] = field(default_factory=list)

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


def rate_limit(  # noqa: PLR0913 - what the fold counted, and what it was asked
    labelled: pl.DataFrame,
    rejections: pl.DataFrame,
    totals: Mapping[str, int],
    limits: Sequence[Limit],
    *,
    clients: pl.DataFrame | None = None,
    signals: Mapping[str, int] | None = None,
    replicas: Replicas | None = None,
    harmed_pct: float = HARMED_PCT,
    lasted_ms: float | None = None,
) -> RateLimit:
    """Read rate-limit readiness off the address table and the simulated limits.

    Parameters
    ----------
    labelled
        The address table with the columns that `Classifier.label` appends.
    rejections
        `analyzer.tables.limit_req.LIMITS`.
    totals
        `analyzer.tables.limited.TOTALS`.
    limits
        The simulated limits; the column ``limit`` of `rejections` is an index into it.
    clients
        The visitors' own addresses, as `labelled`; None or no rows where the log does not tell them.
    signals
        What the error log told.
    replicas
        The pods that served.
    harmed_pct
        The share of visitors that a limit may touch to be suggested.
    lasted_ms
        How long upstreams took for a request on average, where that is known.
    """
    ask = _Asked(
        limits,
        replicas,
        harmed_pct,
        whole_seconds=totals.get("whole_seconds", 0) > 0,
        lasting=totals.get("lasting", 0) > 0,
        brief=lasted_ms is None or lasted_ms <= BRIEF_MS,
    )
    found = ask.read(labelled, rejections.filter(pl.col("key") == 0), totals.get("requests", 0))
    behind = None
    if clients is not None and clients["address"].count():
        asked = rejections.filter(pl.col("key") == 1)
        behind = ask.read(clients, asked, totals.get("client_requests", 0))
        behind = replace(behind, inferred_proxies=_inferred_proxies(labelled, clients))
    met = totals.get("requests", 0)
    return RateLimit(
        verdict=_verdict(found.shared_key_pct, labelled),
        keys=found.keys,
        shared_keys=found.shared_keys,
        shared_key_pct=found.shared_key_pct,
        simulations=found.simulations,
        suggested=found.suggested,
        most_rejected=found.most_rejected,
        by_client=behind,
        logged=logged(labelled, rejections, totals, limits, signals or {}),
        allowed=totals.get("allowed", 0),
        out_of_order_pct=percent(totals.get("disordered", 0), met),
        suggested_limits=found.suggested_limits,
    )


def _inferred_proxies(labelled: pl.DataFrame, clients: pl.DataFrame) -> list[str]:
    proxies = labelled.filter(pl.col("class").is_in(["node", "lb"]), pl.col("range_class") == "client")
    found = proxies.join(clients.select("address"), on="address", how="semi").sort(
        "requests", "address", descending=True
    )
    return [to_text(address) for address in found["address"].head(INFERRED_PROXIES)]


@dataclass(frozen=True, slots=True)
class _Asked:
    limits: Sequence[Limit]
    replicas: Replicas | None
    harmed_pct: float
    whole_seconds: bool
    lasting: bool
    brief: bool

    def read(self, labelled: pl.DataFrame, rejections: pl.DataFrame, requests: int) -> ByClient:
        shared = pl.col("class").is_in(["node", "lb"]) | at_least(pl.col("user_agents"), SHARED_AGENTS)
        keys = labelled.select("address", "class", "user_agents", "requests", considered(), shared=shared)
        is_key = pl.col("considered") > 0
        sums = keys.select(
            pl.sum("considered"),
            keys=is_key.sum(),
            shared_keys=(is_key & pl.col("shared")).sum(),
            on_shared=pl.col("considered").filter("shared").sum(),
        ).row(0, named=True)
        shared_key_pct = percent(sums["on_shared"], sums["considered"])
        visitors = sums["keys"] - sums["shared_keys"]
        shown = [place for place, limit in enumerate(self.limits) if limit.shown]
        found = _rejections(keys, rejections.filter(pl.col("limit").is_in(shown), pl.col("address").is_not_null()))
        proven = proven_bounds(rejections, self.limits) if self.whole_seconds and self.brief else {}
        named = {key["address"] for each in found.values() for key in each.most}
        chosen = keys.filter(pl.col("address").is_in(pl.Series(list(named), dtype=pl.UInt128).implode()))
        about = {row["address"]: row for row in chosen.iter_rows(named=True)}
        simulations = [
            _simulation(
                limit,
                found.get(place, _NOTHING),
                requests,
                visitors,
                certainty=self._certainty(limit),
                proven=proven.get(place),
            )
            for place, limit in enumerate(self.limits)
            if limit.shown
        ]
        # Where most requests share a key, no number is right: the visitors' addresses must come back first.
        # Where none met a limit, because the log holds no times, none was tried.
        fit: list[Suggestion | SuggestedLimit] = []
        if requests and shared_key_pct is not None and shared_key_pct < PARTLY_PCT:
            fit = suggested(keys, rejections, self.limits, self.replicas, self.harmed_pct)
        return ByClient(
            keys=sums["keys"],
            shared_keys=sums["shared_keys"],
            shared_key_pct=shared_key_pct,
            simulations=simulations,
            suggested=next((each for each in fit if isinstance(each, Suggestion)), None),
            most_rejected=[
                _rejected(self.limits[place], key, about) for place in sorted(found) for key in found[place].most
            ],
            suggested_limits=[each for each in fit if isinstance(each, SuggestedLimit)],
        )

    def _certainty(self, limit: Limit) -> str:
        if not self.whole_seconds:
            return "exact"
        windows = limit.policy.type in {Type.FIXED, Type.SLIDING} and not self.lasting
        of_each = limit.twin is not None and not limit.policy.shared
        return "bounds" if self.brief and (windows or of_each) else "estimate"


@dataclass(frozen=True, slots=True)
class _Rejections:
    """Both bounds, both bounds together on shared keys, how many keys and visitors met the limit, and who most."""

    rejected_low: int = 0
    rejected_high: int = 0
    on_shared: int = 0
    rejected_keys: int = 0
    visitors: int = 0
    most: Sequence[Mapping[str, int]] = ()


_NOTHING = _Rejections()


def _rejections(keys: pl.DataFrame, found: pl.DataFrame) -> dict[int, _Rejections]:
    """Sum the rejections of each limit, apart where the key is shared, and count the visitors that met one."""
    if found.is_empty():
        return {}
    orders = pl.col("most", "fewest")
    sums = found.group_by("limit", "address").agg(orders.sum())
    sums = sums.select(
        "limit", "address", rejected_low=pl.min_horizontal(orders), rejected_high=pl.max_horizontal(orders)
    )
    # Who is not among these few is a visitor, so that the many visitors need not be matched.
    known = keys.filter((pl.col("considered") == 0) | pl.col("shared")).select("address", "shared")
    visitor = pl.col("shared").is_null() & pl.col("address").is_not_null()
    met = pl.col("rejected_high") > 0
    most = pl.struct("address", "rejected_low", "rejected_high")
    by_limit = (
        sums.join(known, on="address", how="left")
        .group_by("limit")
        .agg(
            pl.sum("rejected_low", "rejected_high"),
            on_shared=(pl.col("rejected_low") + pl.col("rejected_high")).filter(pl.col("shared")).sum(),
            rejected_keys=met.sum(),
            visitors=(visitor & met).sum(),
            most=most.sort_by("rejected_high", "address", descending=[True, False]).head(MOST_REJECTED),
        )
    )
    return {row.pop("limit"): _Rejections(**row) for row in by_limit.iter_rows(named=True)}


def _rejected(limit: Limit, key: Mapping[str, int], about: Mapping[int, Mapping[str, int]]) -> RejectedKey:
    known = about[key["address"]]
    return RejectedKey(
        limit.controller,
        limit.name,
        to_text(key["address"]),
        str(known["class"]),
        linear_count(known["user_agents"]),
        known["requests"],
        key["rejected_low"],
        key["rejected_high"],
    )


def _simulation(  # noqa: PLR0913 - what is known of a limit
    limit: Limit,
    sums: _Rejections,
    requests: int,
    visitors: int,
    *,
    certainty: str,
    proven: tuple[int, int] | None,
) -> Simulation:
    both = sums.rejected_low + sums.rejected_high
    low, high = proven or (sums.rejected_low, sums.rejected_high)
    rejected = min(max(both // 2, low), high)
    return Simulation(
        controller=limit.controller,
        limit=limit.name,
        burst=limit.burst,
        requests=requests,
        rejected=rejected,
        rejected_pct=percent(rejected, requests),
        rejected_on_shared_keys_pct=percent(sums.on_shared, both),
        rejected_low=low,
        rejected_high=min(high, requests),
        rejected_keys=sums.rejected_keys,
        visitors_rejected_pct=percent(sums.visitors, visitors),
        certainty="bounds" if proven else certainty,
        counting="all-logs" if limit.pooled else "each-log",
    )


def _verdict(shared_key_pct: float | None, labelled: pl.DataFrame) -> str:
    """Say whether limits can work; private addresses that nothing explains may be of one visitor or of many."""
    if shared_key_pct is None:
        return "unknown"
    if shared_key_pct < READY_PCT:
        counts = labelled.select("class", "visitor", considered())
        unexplained = counts.filter(pl.col("class") == "private", ~pl.col("visitor"))
        share = percent(int(unexplained["considered"].sum()), int(counts["considered"].sum()))
        return "ready" if share is not None and share < READY_PCT else "unknown"
    return "partly" if shared_key_pct < PARTLY_PCT else "not-ready"
