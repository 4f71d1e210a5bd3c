"""The fold: frames of rows go in, in order; tables that add up come out.

=========  ==========================  ===============================================================================
table      key                         holds
=========  ==========================  ===============================================================================
addresses  address                     requests, health_probes, unparsed_requests, errors (status >= 500), bytes,
                                       first_time, last_time, user_agents and forwarded (fan-in bitmaps),
                                       signs, crawlers
chains     see analyzer.tables.chains  requests, lost, claimed
timeline   time, class                 requests, considered
sources    source                      considered
loads      source, time                considered, bytes, upstream_requests, upstream_ms (analyzer.tables.loads)
entries    address, time               the same, of addresses that may be a node's
limits     key, limit, address         most, fewest: see analyzer.tables.limited
pooled     key, zone, address, second  count, late: requests that limits over all controllers are asked about
clients    address                     as addresses, of visitors behind proxies where the log tells them
=========  ==========================  ===============================================================================

Every column is summed, or-ed, or a minimum or maximum, so that tables of parts of a log make the table of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from analyzer.addresses.networks import CLASSES
from analyzer.parsing.schema import TIME
from analyzer.tables.address_table import COUNT, new_address_table
from analyzer.tables.chain_table import new_chain_table
from analyzer.tables.chains import Chains, chain_outputs
from analyzer.tables.clients import new_clients, with_clients
from analyzer.tables.columns import has_exact_times, name_signals, narrow_outputs
from analyzer.tables.limited import LimitTable, limit_outputs
from analyzer.tables.loads import READ, Loads, new_load_table
from analyzer.tables.timeline import TimelineTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.addresses.ranges import RangeTable
    from analyzer.parsing.formats import Layout
    from analyzer.parsing.schema import Output
    from analyzer.tables.labels import Labels
    from analyzer.tables.limited import Asked
    from analyzer.tables.limits import Limit
    from analyzer.tables.pooled import Pooled

_SOURCES = {"source": pl.UInt32(), "considered": COUNT}
#: Labels (`analyzer.tables.timeline`) of rows that are considered, and of those whose address may be a node's.
CONSIDERED = [2 * number for number in range(len(CLASSES))]
ENTRANCES = [2 * CLASSES.index(name) for name in ("node", "private")]
#: Rows that wait until their addresses are labelled: many small files would cost more by the frame than by the row.
_ROWS = 100_000
#: Frames that wait, because a small one may keep the memory of a large one.
_FRAMES = 128


@dataclass
class Tables:
    """All that a report is read off."""

    addresses: pl.DataFrame
    timeline: pl.DataFrame
    bucket_seconds: int
    sources: pl.DataFrame
    limits: pl.DataFrame
    limit_totals: dict[str, int]
    pooled: Pooled
    clients: pl.DataFrame
    chains: Chains
    loads: Loads
    entries: Loads
    signals: dict[str, int] = field(default_factory=dict)


def fold_outputs(layout: Layout, *, durations: bool = False) -> list[Output]:
    """What to ask a scanner for, so that a fold can add its rows; `durations` where its limits need them."""
    durations = durations or has_exact_times(layout)
    return [*narrow_outputs(layout), *chain_outputs(layout), *limit_outputs(layout, durations=durations)]


class Folds(NamedTuple):
    """What folds are made with, so that the tables of all of them add up: see `Fold`."""

    labels: Labels
    limits: Sequence[Limit] = ()
    allowed: RangeTable | None = None

    @property
    def durations(self) -> bool:
        """Whether it matters how long a request lasted, or when it began."""
        return any(not limit.stands_alone for limit in self.limits)

    def new(self) -> Fold:
        """A fold."""
        return Fold(*self)


class Fold:
    """Adds up the tables of a run.

    Parameters
    ----------
    labels
        Says by ranges what addresses are.
    limits
        The rate limits to try.
    allowed
        Addresses that no limit is for.
    """

    def __init__(self, labels: Labels, limits: Sequence[Limit] = (), allowed: RangeTable | None = None) -> None:
        self._addresses = new_address_table()
        self._timeline = TimelineTable(labels)
        self._chains = new_chain_table(labels)
        self._visitors = new_clients(labels)
        self._loads = new_load_table("source", CONSIDERED)
        self._entries = new_load_table("number", ENTRANCES)
        self._labelled = 0  # addresses
        self._sources: dict[int, int] = {}
        self._waiting: list[tuple[int, pl.DataFrame]] = []
        self._rows_waiting = 0
        self._limits = LimitTable(limits, self._addresses, allowed)

    def prepare(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Say what each row tells by itself; on any thread."""
        return with_clients(rows, self._visitors)

    def add(self, source: int, rows: pl.DataFrame, *, exact_times: bool) -> None:
        """Rows of one source (its number), which come in the order of its log."""
        rows = self.prepare(rows)
        marks = self._addresses.add(rows)
        known = rows["time"] if "time" in rows.columns else pl.lit(None, TIME).alias("time")
        marked = marks.with_columns(known)
        self._chains.add(rows.with_columns(marks["outcome"]))
        self._limits.add(source, rows, marks, exact_times=exact_times)
        cost = [rows[name] if name in rows.columns else pl.lit(None, dtype).alias(name) for name, dtype in READ.items()]
        self._waiting.append((source, marked.with_columns(cost)))
        self._rows_waiting += rows.height
        if self._rows_waiting >= _ROWS or len(self._waiting) >= _FRAMES:
            self._count()

    def _count(self) -> None:
        """Count the rows that wait."""
        if not self._waiting:
            return
        self._timeline.label(self._addresses.since(self._labelled))
        self._labelled = len(self._addresses)
        parts = []
        for source, rows in self._waiting:
            considered, labels = self._timeline.add(rows)
            self._sources[source] = self._sources.get(source, 0) + considered
            parts.append(rows.with_columns(labels.alias("label"), source=pl.lit(source, pl.UInt32())))
        rows = pl.concat(parts)
        self._loads.add(rows, rows["label"])
        self._entries.add(rows, rows["label"])
        self._waiting, self._rows_waiting = [], 0

    def put_limits_off(self) -> None:
        """Take down what rate limits would be asked, because the requests before are not known here."""
        self._limits.put_off()

    def asked(self) -> dict[int, list[Asked]]:
        """What limits were not asked about, by source; before `tables`."""
        return self._limits.asked()

    def close_source(self, source: int) -> None:
        """No more rows will come from this source."""
        self._limits.close(source)

    def tables(self) -> Tables:
        """The tables of all rows; nothing can be added any more."""
        self._count()
        self._limits.close_all()
        addresses, clients = self._addresses.finish(), self._limits.clients()
        return Tables(
            addresses=addresses,
            timeline=self._timeline.rows(),
            bucket_seconds=self._timeline.bucket_seconds,
            sources=pl.DataFrame(list(self._sources.items()), schema=_SOURCES, orient="row"),
            limits=self._limits.take(addresses["address"], clients["address"]),
            limit_totals=self._limits.totals(),
            pooled=self._limits.pooled(addresses["address"], clients["address"]),
            clients=clients,
            chains=self._chains.table(),
            loads=self._loads.table(),
            entries=self._entries.table(addresses["address"]),
            signals=name_signals(self._addresses.tags()),
        )
