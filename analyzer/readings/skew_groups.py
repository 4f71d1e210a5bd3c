"""The ways to group requests that a log allows: by node, zone, pod or source, where they were answered or came in.

*Serving* counts what the controller of a node or pod answered, known where the sources name their node or pod. *Entry*
counts by the node a request came in through, known where that node put its own address in place of the visitor's: the
second shows how the load balancer spreads even when only one pod's log is at hand. An address that inference took for
a node's has no node's name: it stands for itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import polars as pl

from analyzer.addresses.ranges import format_addresses
from analyzer.readings.shares import considered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.addresses.cluster import Cluster
    from analyzer.tables.loads import Loads

By = Literal["node", "zone", "pod", "source"]

_SUMS = {
    "requests": pl.col("considered").sum(),
    "bytes": pl.col("bytes").sum(),
    "upstream_ms": pl.when(pl.col("upstream_requests").sum() > 0).then(pl.col("upstream_ms").sum()),
}
_NO_GROUPS = pl.DataFrame(
    schema={
        "name": pl.String,
        "requests": pl.Int64,
        "bytes": pl.Int64,
        "upstream_ms": pl.Int64,
        "pods": pl.UInt32,
        "by_node": pl.Float64,
        "by_pod": pl.Float64,
    }
)
_NO_CELLS = pl.DataFrame(schema={"group": pl.String, "time": pl.Datetime("ms", "UTC"), "requests": pl.Int64})


@dataclass(frozen=True, slots=True)
class Grouped:
    """One way to group requests.

    `groups` has the columns ``name``, ``requests``, ``bytes``, ``upstream_ms`` (null where not known), ``pods``, and
    ``by_node`` and ``by_pod``, the shares that the placement makes (null where it is not known); `cells` has ``group``,
    ``time`` and ``requests``, in buckets of `bucket_seconds`. `total` are all requests that could belong to a group.
    """

    by: str
    basis: str
    groups: pl.DataFrame
    cells: pl.DataFrame
    bucket_seconds: int
    total: int

    @property
    def height(self) -> int:
        """How many groups there are."""
        return self.groups.height


def groupings(
    streams: pl.DataFrame,
    loads: Loads,
    entries: Loads,
    labelled: pl.DataFrame,
    cluster: Cluster | None,
) -> list[Grouped]:
    """Group requests in every way, also in those that give no group.

    Parameters
    ----------
    streams
        ``source`` (its number), ``node``, ``pod``, ``namespace`` and ``name`` (of its log) of each stream.
    loads, entries
        The tables of loads by stream and by address.
    labelled
        The address table with the columns that `Classifier.label` appends.
    cluster
        Says in which zone a node is.
    """
    zones = {node.name: node.zone for node in cluster.nodes if node.zone} if cluster is not None else {}
    zone = pl.col("node").replace_strict(zones, default=None, return_dtype=pl.String).alias("zone")
    streams = streams.with_columns(zone)
    entered = _entered(labelled).with_columns(zone)
    total = int(labelled.select(considered().sum()).item())
    entry = [
        _entry(by, entered.with_columns(name=key), entries, total)
        for by, key in (("node", pl.coalesce("node", "text")), ("zone", pl.col("zone")))
    ]
    return [*_serving(streams, loads), *entry]


def _serving(streams: pl.DataFrame, loads: Loads) -> Iterator[Grouped]:
    timed = streams.join(loads.rows, on="source", how="left")
    total = int(timed["considered"].sum())
    share = _placement(streams)
    for by, key in (("node", "node"), ("pod", "pod"), ("source", "name"), ("zone", "zone")):
        if streams[key].null_count() == streams.height:
            yield Grouped(by, "serving", _NO_GROUPS, _NO_CELLS, loads.bucket_seconds, total)
            continue
        known = timed.filter(pl.col(key).is_not_null())
        pod = pl.struct("namespace", "pod").filter(pl.col("pod").is_not_null())
        groups = known.group_by(name=key).agg(**_SUMS, pods=pod.n_unique())
        groups = _sorted(_with_shares(groups, share, streams, key))
        yield Grouped(by, "serving", groups, _cells(known, key), loads.bucket_seconds, total)


def _placement(streams: pl.DataFrame) -> pl.DataFrame | None:
    """The share of each pod, where every pod's node is known, if nodes get the same (``by_node``) or pods do."""
    pods = streams.filter(pl.col("pod").is_not_null()).select("namespace", "pod", "node").unique()
    if pods.is_empty() or pods["node"].null_count():
        return None
    by_node = 1 / (pl.col("node").n_unique() * pl.len().over("node"))
    return pods.select("namespace", "pod", by_node=by_node, by_pod=1 / pl.len())


def _with_shares(groups: pl.DataFrame, share: pl.DataFrame | None, streams: pl.DataFrame, key: str) -> pl.DataFrame:
    """Append the shares that the placement makes of groups; null where a pod is in several groups, or in none."""
    absent = groups.with_columns(by_node=pl.lit(None, pl.Float64), by_pod=pl.lit(None, pl.Float64))
    if share is None:
        return absent
    pods = streams.filter(pl.col(key).is_not_null()).select("namespace", "pod", name=key).unique()
    shared = pods.join(share, on=["namespace", "pod"], nulls_equal=True)
    if shared.height != pods.height or shared.height != share.height:
        return absent
    return groups.join(shared.group_by("name").agg(pl.col("by_node", "by_pod").sum()), on="name", how="left")


def _entered(labelled: pl.DataFrame) -> pl.DataFrame:
    entered = labelled.filter(pl.col("class") == "node").with_columns(considered()).filter(pl.col("considered") > 0)
    return entered.select("address", "node", "considered", text=format_addresses(entered["address"]))


def _entry(by: str, entered: pl.DataFrame, entries: Loads, total: int) -> Grouped:
    known = entered.filter(pl.col("name").is_not_null())
    if known.is_empty():
        return Grouped(by, "entry", _NO_GROUPS, _NO_CELLS, entries.bucket_seconds, total)
    timed = known.select("address", "name").join(entries.rows, on="address")
    costs = timed.group_by("name").agg(**_SUMS).drop("requests")
    groups = known.group_by("name").agg(requests=pl.col("considered").sum()).join(costs, on="name", how="left")
    unknown = [pl.lit(None, pl.Float64).alias(name) for name in ("by_node", "by_pod")]
    groups = groups.with_columns(*unknown, pods=pl.lit(0, pl.UInt32))
    return Grouped(by, "entry", _sorted(groups), _cells(timed, "name"), entries.bucket_seconds, total)


def _cells(timed: pl.DataFrame, key: str) -> pl.DataFrame:
    cells = timed.filter(pl.col(key).is_not_null() & pl.col("time").is_not_null())
    return cells.group_by("time", group=key).agg(requests=pl.col("considered").sum())


def _sorted(groups: pl.DataFrame) -> pl.DataFrame:
    """The busiest first; without bytes where the format logs none."""
    groups = groups.with_columns(pl.when(pl.col("bytes").sum() > 0).then("bytes").alias("bytes"))
    return groups.sort("requests", "name", descending=[True, False])
