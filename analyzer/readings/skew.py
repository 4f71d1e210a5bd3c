"""Skew: how evenly the requests fall on nodes, zones, pods or sources, and why they do not.

What can be counted stands in `analyzer.readings.skew_groups`, when a difference is more than noise in
`analyzer.readings.evenness`, who was away for a while in `analyzer.readings.interruptions`. Health probes and
unreadable requests are left out of all.

Three shares are set beside the measured one. ``even``: every group gets the same. ``by_node``: a load balancer spreads
over nodes and each node over its pods, as under externalTrafficPolicy Local. ``by_pod``: every pod gets the same, as
under Cluster. A fourth, ``present``, is even among those that were there at the time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from analyzer.charts import Bars, Lines
from analyzer.readings.evenness import Fit, dispersion, fit, spread
from analyzer.readings.interruptions import presence
from analyzer.readings.reading import Reading, frame_of
from analyzer.readings.shares import considered, percent
from analyzer.readings.skew_groups import By, Grouped, groupings
from analyzer.readings.skew_over_time import GroupPoint, over_time
from analyzer.readings.skew_verdict import judge

if TYPE_CHECKING:
    from analyzer.addresses.cluster import Cluster
    from analyzer.readings.interruptions import Interruption
    from analyzer.tables.loads import Loads

__all__ = ["By", "Group", "Grouping", "Skew", "Spread", "skew"]

#: Parts of a log in which some group was away are left out where at least this part of the requests remains.
_REMAINS = 0.25
#: Groups that a report lists, and idle ones: a bucket may have a hundred thousand objects.
LISTED = 1000


@dataclass(frozen=True, slots=True)
class Group:
    """One node, zone, pod or source.

    Shares are of all groups. `pods` is None where no pod is known, `bytes` and `upstream_seconds` where the format logs
    none. `even_pct`, `by_node_pct` and `by_pod_pct` are the shares that were to be expected, see the module; the last
    two are None where the placement of the pods is not known.
    """

    name: str
    requests: int
    share_pct: float | None
    pods: int | None
    bytes: int | None = None
    bytes_pct: float | None = None
    upstream_seconds: float | None = None
    upstream_pct: float | None = None
    even_pct: float | None = None
    by_node_pct: float | None = None
    by_pod_pct: float | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """How far the groups are from one another in requests, bytes or upstream time; `busiest` has most of it."""

    measure: str
    busiest: str
    cv: float
    max_over_mean: float
    gini: float


@dataclass(frozen=True, slots=True)
class Noise:
    """The test of requests against even shares, see `analyzer.readings.evenness`."""

    chi_square: float
    degrees: int
    dispersion: float
    p_value: float
    effect_size: float
    detects: bool


@dataclass(frozen=True, slots=True)
class Grouping(Reading):
    """How requests spread over `groups`, busiest first.

    `basis` is ``serving`` or ``entry``. `unattributed` are the requests that belong to no group. `cv` (population
    standard deviation over mean), `max_over_mean` and `gini` are those of requests, None below two groups; `spreads`
    has them of every measure. `idle` names groups without a request and, where a cluster file is given, schedulable
    nodes that do not occur, `idle_because` why; only the former are part of the numbers. `fits` is the first of
    ``even``, ``by_pod``, ``by_node`` and ``present`` that explains the requests, None where none does. `reason` says
    the verdict in words. `interruptions` are those with most requests missing, in the order of their starts, out of
    `interrupted`. Of very many groups (objects of a bucket) the busiest are listed, and so are the first that are idle;
    `unlisted` and `idle_unlisted` say how many more there are.
    """

    by: str | None
    basis: str | None
    groups: list[Group]
    unattributed: int
    cv: float | None
    max_over_mean: float | None
    gini: float | None
    idle: list[str]
    verdict: str
    reason: str = ""
    idle_because: dict[str, str] = field(default_factory=dict)
    fits: str | None = None
    noise: Noise | None = None
    spreads: list[Spread] = field(default_factory=list)
    interruptions: list[Interruption] = field(default_factory=list)
    interrupted: int = 0
    unlisted: int = 0
    idle_unlisted: int = 0

    @property
    def frame(self) -> pl.DataFrame:
        """The groups, a row each."""
        return frame_of(self.groups, Group)

    def plot(self) -> Bars:
        """Shares of the groups."""
        title = f"Requests by {self.by or 'group'}"
        return Bars(title=title, frame=self.frame, name="name", value="share_pct", unit="% of requests")


@dataclass(frozen=True, slots=True)
class Skew(Grouping):
    """The grouping that was asked for or says most, and in `also` the others with two groups at least.

    `over_time` has the shares of its busiest groups over time.
    """

    also: list[Grouping] = field(default_factory=list)
    over_time: list[GroupPoint] = field(default_factory=list)

    def plot_over_time(self) -> Lines:
        """Shares of the busiest groups over time."""
        return Lines(
            title=f"Requests by {self.by} over time",
            frame=frame_of(self.over_time, GroupPoint),
            x="time",
            y="share_pct",
            unit="% of requests",
            top=100.0,
            by="name",
        )


def skew(  # noqa: PLR0913 - tables, and what a user asks for
    streams: pl.DataFrame,
    loads: Loads,
    entries: Loads,
    labelled: pl.DataFrame,
    *,
    by: By | None,
    cluster: Cluster | None,
    top: int = 20,
) -> Skew:
    """Read skew off the table of loads, or off the node addresses where the sources tell too little.

    Parameters
    ----------
    streams
        One row per stream: ``source`` (its number), ``node``, ``pod``, ``namespace`` and ``name`` (of its log).
    loads, entries
        The tables of loads by stream and by address.
    labelled
        The address table with the columns that `Classifier.label` appends.
    by
        What to group by. None takes nodes, else pods, else (where no source names either) sources, else the nodes
        that requests entered through: the first of these with two groups.
    cluster
        Names the nodes that could serve, and their zones.
    top
        How many interruptions to list; 0 is all.
    """
    every = groupings(streams, loads, entries, labelled, cluster)
    unnamed = streams["node"].null_count() + streams["pod"].null_count() == 2 * streams.height
    chosen = _choose(every, by, unnamed=unnamed)
    if chosen is None:
        served = int(loads.rows["considered"].sum())
        reason = "the sources name no node or pod"
        return Skew(None, None, [], served, None, None, None, [], "unknown", reason)
    clients = _clients(labelled)
    read = [
        _read(each, clients if each.basis == "serving" else 1.0, cluster, top)
        for each in every
        if each is chosen or (each.height > 1 and (unnamed or each.by != "source"))
    ]
    first = next(each for each in read if (each.by, each.basis) == (chosen.by, chosen.basis))
    fields = {name: getattr(first, name) for name in Grouping.__dataclass_fields__}
    return Skew(**fields, also=[each for each in read if each is not first], over_time=over_time(chosen))


def _choose(every: list[Grouped], by: By | None, *, unnamed: bool) -> Grouped | None:
    order = [("node", "serving"), ("pod", "serving"), ("source", "serving"), ("node", "entry")]
    if by is not None:
        order = [(by, basis) for basis in ("serving", "entry")]
    elif not unnamed:
        order.remove(("source", "serving"))
    ranked = [each for wanted in order for each in every if (each.by, each.basis) == wanted]
    # One group is no comparison, yet its name is worth showing; a lone source's name is not, the report opens with it.
    one = (each for each in ranked if each.height == 1 and each.by != "source")
    asked = ranked[0] if by is not None else None
    return next((each for each in ranked if each.height > 1), None) or next(one, asked)


def _clients(labelled: pl.DataFrame) -> float:
    """The bound that visitors' addresses set to the dispersion: all requests of each go to one group."""
    visits = labelled.select("class", requests=considered().cast(pl.Float64))
    of_clients = (pl.col("requests") ** 2).filter(pl.col("class") == "client").sum()
    others = pl.col("requests").filter(pl.col("class") != "client").sum()
    bound = visits.select((of_clients + others) / pl.col("requests").sum()).item()
    return max(1.0, bound) if bound and bound == bound else 1.0  # noqa: PLR0124 - not of nothing


def _read(each: Grouped, clients: float, cluster: Cluster | None, top: int) -> Grouping:
    attributed = int(each.groups["requests"].sum())
    interruptions: list[Interruption] = []
    tests: dict[str, Fit] = {}
    if each.height > 1:
        interruptions, there = presence(each.cells, each.bucket_seconds)
        tests = _tests(each, there, clients) if attributed else {}
    fits = next((name for name, tested in tests.items() if tested.fits), None)
    verdict, reason = judge(each, tests, fits)
    cv, max_over_mean, gini = spread(each.groups["requests"].to_list())
    idle = _idle(each, cluster)
    longest = sorted(interruptions, key=lambda stretch: -stretch.missing)[: top or None]
    return Grouping(
        by=each.by,
        basis=each.basis,
        groups=_groups(each.groups),
        unattributed=each.total - attributed,
        cv=cv,
        max_over_mean=max_over_mean,
        gini=gini,
        idle=sorted(idle)[:LISTED],
        verdict=verdict,
        reason=reason,
        idle_because=dict(sorted(idle.items())[:LISTED]),
        fits=fits if verdict != "unknown" else None,
        noise=_noise(tests.get("even")),
        spreads=_spreads(each.groups),
        interruptions=sorted(longest, key=lambda stretch: (stretch.start, stretch.name)),
        interrupted=len(interruptions),
        unlisted=max(0, each.height - LISTED),
        idle_unlisted=max(0, len(idle) - LISTED),
    )


def _tests(each: Grouped, there: pl.DataFrame, clients: float) -> dict[str, Fit]:
    """Test the requests against each of the shares that are known, in the order of `Grouping.fits`."""
    everyone = there.filter(pl.col("present").all().over("time"))
    # A node that left and came back is no noise.
    remain, all_ = (int(part["requests"].sum()) for part in (everyone, there))
    steady = everyone if remain > _REMAINS * all_ else there
    cells = steady.select("group", "requests", case=0, slot=pl.col("time").to_physical())
    noise = dispersion(cells, pl.DataFrame({"case": [0], "dispersion": [clients]}))
    shares = each.groups.with_columns(even=1 / pl.len())
    if everyone.height < there.height:
        at_the_time = pl.col("requests").sum().over("time") * pl.col("present") / pl.col("present").sum().over("time")
        present = there.with_columns(present=at_the_time).group_by(name="group").agg(pl.col("present").sum())
        shares = shares.join(present, on="name", how="left")
    tests: dict[str, Fit] = {}
    for name in ("even", "by_pod", "by_node", "present"):
        if name in shares.columns and not shares[name].null_count():
            counts = shares.select("requests", case=0, expected=pl.col(name) / pl.col(name).sum())
            tests[name] = fit(counts, noise)[0]
    return tests


def _noise(even: Fit | None) -> Noise | None:
    if even is None:
        return None
    return Noise(
        chi_square=round(even.chi_square, 2),
        degrees=even.degrees,
        dispersion=round(even.dispersion, 2),
        p_value=float(f"{even.p_value:.3g}"),
        effect_size=round(even.effect_size, 4),
        detects=even.detects,
    )


def _groups(groups: pl.DataFrame) -> list[Group]:
    requests, sent, waited = (int(groups[name].sum()) for name in ("requests", "bytes", "upstream_ms"))
    return [
        Group(
            name=row["name"],
            requests=row["requests"],
            share_pct=percent(row["requests"], requests),
            pods=row["pods"] or None,
            bytes=row["bytes"],
            bytes_pct=None if row["bytes"] is None else percent(row["bytes"], sent),
            upstream_seconds=None if row["upstream_ms"] is None else row["upstream_ms"] / 1000,
            upstream_pct=None if row["upstream_ms"] is None else percent(row["upstream_ms"], waited),
            even_pct=round(100 / groups.height, 4),
            by_node_pct=None if row["by_node"] is None else round(100 * row["by_node"], 4),
            by_pod_pct=None if row["by_pod"] is None else round(100 * row["by_pod"], 4),
        )
        for row in groups.head(LISTED).iter_rows(named=True)
    ]


def _spreads(groups: pl.DataFrame) -> list[Spread]:
    found: list[Spread] = []
    if groups.height < 2:
        return found
    for measure, column in (("requests", "requests"), ("bytes", "bytes"), ("upstream_time", "upstream_ms")):
        known = groups.filter(pl.col(column).is_not_null())
        cv, max_over_mean, gini = spread(known[column].to_list())
        if cv is not None and max_over_mean is not None and gini is not None and known.height == groups.height:
            busiest = known.sort(column, "name", descending=[True, False])["name"][0]
            found.append(Spread(measure, busiest, cv, max_over_mean, gini))
    return found


def _idle(each: Grouped, cluster: Cluster | None) -> dict[str, str]:
    """Name those without a request, and say why they have none as far as that is known."""
    idle = dict.fromkeys(each.groups.filter(pl.col("requests") == 0)["name"], "its log holds no request")
    if each.by == "node" and cluster is not None:
        seen = set(each.groups["name"])
        serving = {pod.node for controller in cluster.controllers for pod in controller.pods}
        for name in cluster.node_names(schedulable_only=True):
            if name in seen:
                continue
            if each.basis == "entry":
                idle[name] = "no request came in through it"
            elif serving and name not in serving:
                idle[name] = "no controller pod"
            else:
                idle[name] = "no log of it was read"
    return idle
