"""The fold: frames of rows go in, in order; tables that add up come out.

=========  ==========================  ===============================================================================
table      key                         holds
=========  ==========================  ===============================================================================
addresses  address                     requests, health_probes, unparsed_requests, errors (status >= 500), bytes,
                                       first_time, last_time, user_agents and forwarded (fan-in bitmaps)
timeline   time, class                 requests, considered
sources    source                      considered
limits     limit, address              rejected_low, rejected_high
=========  ==========================  ===============================================================================

Every column is summed, or-ed, or a minimum or maximum, so that tables of parts of a log make the table of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from analyzer.parsing.schema import TIME
from analyzer.tables.address_table import COUNT, ROWS, new_address_table
from analyzer.tables.columns import REQUEST_SIGNALS, Outcome, complete, count_signals
from analyzer.tables.limit_req import REJECTIONS, Limit, Simulator, new_simulator
from analyzer.tables.timeline import Labels, TimelineTable

if TYPE_CHECKING:
    from collections.abc import Sequence

_SOURCES = {"source": pl.UInt32(), "considered": COUNT}
#: Rows that are counted at once: many small files would cost more by the frame than by the row.
_ROWS = 100_000


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
        self._grid = grid
        self._addresses = new_address_table()
        self._timeline = TimelineTable(labels)
        self._sources: dict[int, int] = {}
        self._waiting: list[tuple[int, pl.DataFrame]] = []
        self._simulators: dict[int, Simulator] = {}
        self._limits: list[pl.DataFrame] = [pl.DataFrame(schema=REJECTIONS)]
        self._limit_requests = 0
        self._signals = dict.fromkeys(REQUEST_SIGNALS, 0)

    def add(self, source: int, rows: pl.DataFrame, *, exact_times: bool) -> None:
        """Rows of one source (its number), which come in the order of its log."""
        rows = complete(rows)
        for name, count in count_signals(rows).items():
            self._signals[name] += count
        self._simulate(source, rows, exact_times=exact_times)
        self._waiting.append((source, rows.select(*ROWS)))
        if sum(frame.height for _, frame in self._waiting) >= _ROWS:
            self._count()

    def _count(self) -> None:
        """Count the rows that wait."""
        if not self._waiting:
            return
        rows = pl.concat([frame for _, frame in self._waiting])
        known = len(self._addresses)
        self._addresses.add(rows)
        self._timeline.add(rows, new=self._addresses.since(known))
        left_out = self._timeline.left_out.implode()
        counted = (
            (pl.col("outcome") == Outcome.CONSIDERED.value)
            & pl.col("address").is_not_null()
            & ~pl.col("address").is_in(left_out)
        )
        for source, frame in self._waiting:
            considered = frame.select(counted.sum()).item()
            self._sources[source] = self._sources.get(source, 0) + considered
        self._waiting = []

    def close_source(self, source: int) -> None:
        """No more rows will come from this source."""
        simulator = self._simulators.pop(source, None)
        if simulator is not None:
            self._limits.append(simulator.finish())

    def tables(self) -> Tables:
        """The tables of all rows so far."""
        self._count()
        for source in list(self._simulators):
            self.close_source(source)
        return Tables(
            addresses=self._addresses.rows(),
            timeline=self._timeline.rows(),
            bucket_seconds=self._timeline.bucket_seconds,
            sources=pl.DataFrame(list(self._sources.items()), schema=_SOURCES, orient="row"),
            limits=pl.concat(self._limits)
            .group_by("limit", "address")
            .agg(pl.col("rejected_low", "rejected_high").sum()),
            limit_requests=self._limit_requests,
            signals=self._signals,
        )

    def _simulate(self, source: int, rows: pl.DataFrame, *, exact_times: bool) -> None:
        """Replay the limits. A request that nginx could not read never came as far as a limit."""
        unread = pl.col("outcome") == Outcome.UNPARSED_REQUEST.value
        arrivals = rows.select("address", "time", *(["request_time"] if exact_times else []), arrived=~unread)
        arrivals = arrivals.filter("arrived").drop_nulls()
        if exact_times:  # logged is the end of a request, limited is its beginning
            # A request that took longer than the limits remember must not look like another log.
            took = (pl.col("request_time") * 1000).cast(pl.Int64).clip(0, 60_000)
            arrivals = arrivals.with_columns(time=(pl.col("time").to_physical() - took).cast(TIME))
        self._limit_requests += arrivals.height
        if source not in self._simulators:
            self._simulators[source] = new_simulator(self._grid, whole_seconds=not exact_times)
        self._simulators[source].add(arrivals)
