"""Skew: how evenly the requests fall on nodes, pods or sources.

Two things can be counted. *Serving*: what the controller of a node or pod answered, known where the sources name
their node or pod. *Entry*: the node a request came in through, known where that node put its own address in place of
the visitor's. The second shows how the load balancer spreads even when only one pod's log is at hand. Health probes
and unreadable requests are left out of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import polars as pl

from analyzer.charts import Bars
from analyzer.readings.reading import Reading, frame_of
from analyzer.readings.shares import considered, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.addresses.cluster import Cluster

By = Literal["node", "pod", "source"]

UNEVEN = 1.2
"""The busiest group carries this many times the mean before the verdict is uneven."""


@dataclass(frozen=True, slots=True)
class Group:
    """One node, pod or source; `share_pct` is of all groups, `pods` is None where no pod is known."""

    name: str
    requests: int
    share_pct: float | None
    pods: int | None


@dataclass(frozen=True, slots=True)
class Skew(Reading):
    """How requests spread over `groups`, busiest first.

    `basis` is ``serving`` or ``entry`` (see the module). `unattributed` are the requests that belong to no group.
    `cv` (population standard deviation over mean), `max_over_mean` and `gini` are None below two groups. `idle` names
    groups without a request and, where a cluster file is given, schedulable nodes that do not occur; only the former
    are part of the numbers.
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

    @property
    def frame(self) -> pl.DataFrame:
        """The groups, a row each."""
        return frame_of(self.groups, Group)

    def plot(self) -> Bars:
        """Shares of the groups."""
        title = f"Requests by {self.by or 'group'}"
        return Bars(title=title, frame=self.frame, name="name", value="share_pct", unit="% of requests")


def skew(
    sources: pl.DataFrame, labelled: pl.DataFrame, *, by: By | None, names: Sequence[str], cluster: Cluster | None
) -> Skew:
    """Read skew off the sources table, or off the node addresses where the sources tell too little.

    Parameters
    ----------
    sources
        One row per source.
    labelled
        The address table with the columns that `Classifier.label` appends.
    by
        What to group by. None takes nodes, else pods, else (where no source names either) sources, else the nodes
        that requests entered through: the first of these with two groups.
    names
        Names of the sources, by their number in `sources`.
    cluster
        Names the nodes that could serve.
    """
    chosen, basis, counted, total = _choose(sources, labelled, by, names)
    named = counted.filter(pl.col("name").is_not_null()).sort("requests", "name", descending=[True, False])
    attributed = int(named["requests"].sum())
    groups = [
        Group(name, requests, percent(requests, attributed), pods or None) for name, requests, pods in named.iter_rows()
    ]
    counts = [group.requests for group in groups]
    idle = [group.name for group in groups if group.requests == 0]
    if chosen == "node" and cluster is not None:
        seen = {group.name for group in groups}
        idle += [name for name in cluster.node_names(schedulable_only=True) if name not in seen]
    cv, max_over_mean, gini = _spread(counts)
    return Skew(
        by=chosen,
        basis=basis,
        groups=groups,
        unattributed=total - attributed,
        cv=cv,
        max_over_mean=max_over_mean,
        gini=gini,
        idle=sorted(idle),
        verdict=_verdict(max_over_mean),
    )


def _verdict(max_over_mean: float | None) -> str:
    if max_over_mean is None:
        return "unknown"
    return "uneven" if max_over_mean > UNEVEN else "even"


def _choose(
    sources: pl.DataFrame, labelled: pl.DataFrame, by: By | None, names: Sequence[str]
) -> tuple[str | None, str | None, pl.DataFrame, int]:
    served = int(sources["considered"].sum())
    entered = int(labelled.select(considered().sum()).item())
    unnamed = sources["node"].null_count() + sources["pod"].null_count() == 2 * sources.height
    sources = sources.with_columns(name=pl.Series(names, dtype=pl.String).gather(sources["source"]))
    candidates = []
    if by in (None, "node"):
        candidates.append(("node", "serving", _serving(sources, "node"), served))
    if by in (None, "pod"):
        candidates.append(("pod", "serving", _serving(sources, "pod"), served))
    if by == "source" or (by is None and unnamed):
        candidates.append(("source", "serving", _serving(sources, "name"), served))
    if by in (None, "node"):
        candidates.append(("node", "entry", _entry(labelled), entered))
    for candidate in candidates:
        if candidate[2]["name"].drop_nulls().len() > 1:
            return candidate
    # One group is no comparison, yet its name is worth showing; a lone source's name is not, the report opens with it.
    for candidate in candidates:
        if candidate[2]["name"].drop_nulls().len() == 1 and candidate[0] != "source":
            return candidate
    return candidates[0] if by else (None, None, candidates[0][2].clear(), served)


def _serving(sources: pl.DataFrame, key: str) -> pl.DataFrame:
    # Two namespaces may each have a pod of the same name.
    pod = pl.struct("namespace", "pod").filter(pl.col("pod").is_not_null())
    requests = pl.sum("considered").alias("requests")
    return sources.group_by(pl.col(key).alias("name")).agg(requests, pod.n_unique().alias("pods"))


def _entry(labelled: pl.DataFrame) -> pl.DataFrame:
    entered = labelled.filter(pl.col("class") == "node").with_columns(considered()).filter(pl.col("considered") > 0)
    return entered.group_by(pl.col("node").alias("name")).agg(
        pl.sum("considered").alias("requests"), pl.lit(0, dtype=pl.UInt32).alias("pods")
    )


def _spread(counts: list[int]) -> tuple[float | None, float | None, float | None]:
    """Return cv, max over mean and Gini coefficient of counts that stand from the largest to the smallest."""
    total, size = sum(counts), len(counts)
    if size < 2 or total == 0:
        return None, None, None
    mean = total / size
    deviation = (sum((count - mean) ** 2 for count in counts) / size) ** 0.5
    ranked = sum(rank * count for rank, count in enumerate(reversed(counts), 1))
    gini = 2 * ranked / (size * total) - (size + 1) / size
    return round(deviation / mean, 4), round(counts[0] / mean, 4), round(gini, 4)
