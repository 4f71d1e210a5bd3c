"""The fold: frames of rows go in, in order; tables that add up come out.

=========  ==========================  ===============================================================================
table      key                         holds
=========  ==========================  ===============================================================================
addresses  address                     requests, health_probes, unparsed_requests, errors (status >= 500), bytes,
                                       first_time, last_time, user_agents and forwarded (fan-in bitmaps)
timeline   time, class, address        requests, considered; by address where it may turn out to be a proxy, else null
sources    source                      requests, considered, bytes
limits     limit, address              rejected_low, rejected_high
=========  ==========================  ===============================================================================

Every column is summed, or-ed, or a minimum or maximum, so that tables of parts of a log make the table of the whole.
What a class is, ranges say now; what only the whole log can tell is for the readings (hence addresses in the timeline).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import polars as pl

from analyzer.parsing.schema import TIME
from analyzer.tables.columns import REQUEST_SIGNALS, complete, count_signals
from analyzer.tables.limit_req import REJECTIONS, Limit, Simulator, new_simulator

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Rows that are grouped at once: group_by on few rows costs more a row.
_ROWS = 1_000_000
#: An address gets rows of its own in the timeline from this share of the rows that are grouped at once.
_PROMINENT = 1 / 1000
#: Buckets that a timeline holds before they are made coarser.
_BUCKETS = 20_000
_BUCKET_SECONDS = (60, 300, 900, 3600, 21_600, 86_400, 604_800, 31_536_000)

_COUNT = pl.UInt64()
_ADDRESSES = {
    "address": pl.UInt128(),
    "requests": _COUNT,
    "health_probes": _COUNT,
    "unparsed_requests": _COUNT,
    "errors": _COUNT,
    "bytes": _COUNT,
    "first_time": TIME,
    "last_time": TIME,
    "user_agents": _COUNT,
    "forwarded": _COUNT,
}
_SOURCES = {"source": pl.UInt32(), "requests": _COUNT, "considered": _COUNT, "bytes": _COUNT}
_SUMS = ("requests", "health_probes", "unparsed_requests", "errors", "bytes")


class Labels(Protocol):
    """Says by ranges what addresses are (`analyzer.addresses.classify.Classifier`)."""

    def label(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Append ``class``, ``in_cluster`` and ``health_probe`` to a frame with a column ``address``."""


@dataclass
class Tables:
    """All that a report is read off."""

    addresses: pl.DataFrame
    timeline: pl.DataFrame
    bucket_seconds: int
    sources: pl.DataFrame
    limits: pl.DataFrame
    limit_requests: int
    signals: dict[str, int] = field(default_factory=dict)


class Fold:
    """Adds up the tables of a run.

    Parameters
    ----------
    labels
        Says by ranges what addresses are.
    grid
        The rate limits to replay.
    """

    def __init__(self, labels: Labels, grid: Sequence[Limit]) -> None:
        self._labels = labels
        self._grid = grid
        self._waiting: list[pl.DataFrame] = []
        self._addresses: list[pl.DataFrame] = [pl.DataFrame(schema=_ADDRESSES)]
        self._timeline: list[pl.DataFrame] = []
        self._bucket = 0
        self._sources: dict[int, list[int]] = {}
        self._simulators: dict[int, Simulator] = {}
        self._limits: list[pl.DataFrame] = [pl.DataFrame(schema=REJECTIONS)]
        self._limit_requests = 0
        self._signals = dict.fromkeys(REQUEST_SIGNALS, 0)

    def add(self, source: int, rows: pl.DataFrame, *, exact_times: bool) -> None:
        """Rows of one source (its number), which come in the order of its log."""
        rows = complete(rows)
        considered = int((~(rows["health_probe"] | rows["unparsed_request"]) & rows["address"].is_not_null()).sum())
        sums = self._sources.setdefault(source, [0, 0, 0])
        for column, value in enumerate((rows.height, considered, int(rows["bytes"].sum() or 0))):
            sums[column] += value
        for name, count in count_signals(rows).items():
            self._signals[name] += count
        self._simulate(source, rows, exact_times=exact_times)
        self._waiting.append(rows.drop("request_time", strict=False))
        if sum(frame.height for frame in self._waiting) >= _ROWS:
            self._group()

    def close_source(self, source: int) -> None:
        """No more rows will come from this source."""
        simulator = self._simulators.pop(source, None)
        if simulator is not None:
            self._limits.append(simulator.finish())

    def tables(self) -> Tables:
        """The tables of all rows so far."""
        self._group()
        for source in list(self._simulators):
            self.close_source(source)
        timeline = pl.concat(self._timeline) if self._timeline else self._bucketed(_empty_timeline())
        return Tables(
            addresses=self._merge_addresses(),
            timeline=timeline.group_by("time", "class", "address").agg(pl.col("requests", "considered").sum()),
            bucket_seconds=_BUCKET_SECONDS[self._bucket],
            sources=pl.DataFrame(
                [(source, *sums) for source, sums in self._sources.items()], schema=_SOURCES, orient="row"
            ),
            limits=pl.concat(self._limits)
            .group_by("limit", "address")
            .agg(pl.col("rejected_low", "rejected_high").sum()),
            limit_requests=self._limit_requests,
            signals=self._signals,
        )

    def _simulate(self, source: int, rows: pl.DataFrame, *, exact_times: bool) -> None:
        """Replay the limits. A request that nginx could not read never came as far as a limit."""
        arrivals = rows.filter(~pl.col("unparsed_request")) if rows["unparsed_request"].any() else rows
        arrivals = arrivals.select("address", "time", *(["request_time"] if exact_times else [])).drop_nulls()
        if exact_times:  # logged is the end of a request, limited is its beginning
            took = (pl.col("request_time") * 1000).cast(pl.Int64)
            arrivals = arrivals.with_columns(time=(pl.col("time").to_physical() - took).cast(TIME))
        self._limit_requests += arrivals.height
        if source not in self._simulators:
            self._simulators[source] = new_simulator(self._grid, whole_seconds=not exact_times)
        self._simulators[source].add(arrivals)

    def _group(self) -> None:
        if not self._waiting:
            return
        rows = pl.concat(self._waiting, rechunk=True)
        self._waiting = []
        addresses = _group_addresses(rows)
        self._group_timeline(rows, addresses)
        self._addresses.append(addresses)
        # The merged table stands first; merge again when the parts have grown as large as it is.
        if sum(part.height for part in self._addresses[1:]) > max(self._addresses[0].height, 2 * _ROWS):
            self._addresses = [self._merge_addresses()]

    def _merge_addresses(self) -> pl.DataFrame:
        if sum(part.height > 0 for part in self._addresses) == 1:
            return max(self._addresses, key=lambda part: part.height)
        return (
            pl.concat(self._addresses)
            .lazy()
            .group_by("address")
            .agg(
                pl.col(_SUMS).sum(),
                pl.col("first_time").min(),
                pl.col("last_time").max(),
                pl.col("user_agents", "forwarded").bitwise_or(),
            )
            .collect(engine="streaming")
            .select(*_ADDRESSES)
        )

    def _group_timeline(self, rows: pl.DataFrame, addresses: pl.DataFrame) -> None:
        """Count by time and range class, and by address for those that may turn out to be a proxy.

        Most rows are plain visitors: they are counted as what is left of all rows when the notable ones are taken away.
        """
        prominent = pl.col("requests") >= rows.height * _PROMINENT
        notable = (
            self._labels.label(addresses.select("address", "requests"))
            .filter((pl.col("class") != "client") | pl.col("health_probe") | pl.col("in_cluster") | prominent)
            .select(
                "address",
                "class",
                skipped=pl.col("health_probe") | pl.col("in_cluster") | pl.col("address").is_null(),
                own=pl.when(prominent).then("address"),
            )
        )
        seconds = _BUCKET_SECONDS[self._bucket]
        seen = ~(pl.col("health_probe") | pl.col("unparsed_request"))
        timed = rows.select("address", pl.col("time").dt.truncate(f"{seconds}s"), seen=seen)
        counts = {"requests": pl.len().cast(pl.Int64), "considered": pl.col("seen").sum().cast(pl.Int64)}
        found = (
            timed.filter(pl.col("address").is_in(notable["address"].implode(), nulls_equal=True))
            .group_by("time", "address")
            .agg(**counts)
            .join(notable, on="address", how="left", nulls_equal=True)
            .select("time", "class", "own", "skipped", "requests", "considered")
        )
        visitors = (
            pl.concat([timed.group_by("time").agg(**counts), found.select("time", -pl.col("requests", "considered"))])
            .group_by("time")
            .sum()
            .filter(pl.col("requests") > 0)
            .select("time", pl.lit("client").cast(found["class"].dtype).alias("class"), own=None, skipped=False, requests="requests", considered="considered")
        )
        counted = pl.concat([found, visitors.cast(dict(found.schema))]).select(
            "time",
            "class",
            pl.col("requests").cast(_COUNT),
            address="own",
            considered=pl.when("skipped").then(0).otherwise("considered").cast(_COUNT),
        )
        self._timeline.append(self._bucketed(counted))
        while sum(part.height for part in self._timeline) > _BUCKETS:
            merged = pl.concat(self._timeline).group_by("time", "class", "address")
            self._timeline = [merged.agg(pl.col("requests", "considered").sum())]
            if self._timeline[0].height <= _BUCKETS // 2 or self._bucket == len(_BUCKET_SECONDS) - 1:
                break
            self._bucket += 1
            self._timeline = [self._bucketed(self._timeline[0])]

    def _bucketed(self, timeline: pl.DataFrame) -> pl.DataFrame:
        seconds = _BUCKET_SECONDS[self._bucket]
        return timeline.with_columns(pl.col("time").dt.truncate(f"{seconds}s"))


def _empty_timeline() -> pl.DataFrame:
    schema = {"time": TIME, "class": pl.String, "address": pl.UInt128, "requests": _COUNT, "considered": _COUNT}
    return pl.DataFrame(schema=schema)


def _group_addresses(rows: pl.DataFrame) -> pl.DataFrame:
    return (
        rows.lazy()
        .group_by("address")
        .agg(
            requests=pl.len().cast(_COUNT),
            health_probes=pl.col("health_probe").sum().cast(_COUNT),
            unparsed_requests=pl.col("unparsed_request").sum().cast(_COUNT),
            errors=(pl.col("status") >= 500).sum().cast(_COUNT),
            bytes=pl.col("bytes").sum(),
            first_time=pl.col("time").min(),
            last_time=pl.col("time").max(),
            user_agents=pl.col("user_agents").bitwise_or(),
            forwarded=pl.col("forwarded").bitwise_or(),
        )
        .collect(engine="streaming")
    )
