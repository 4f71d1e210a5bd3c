"""The table of rate limits: what each would have rejected, under the logged address and under the visitor's own.

The second is known where the log holds a chain, a PROXY address or the peer's: who stands behind the proxies, as the
server would log it once it trusts them; rows say it (`analyzer.tables.clients`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from analyzer.parsing.schema import TIME, Kind, Output
from analyzer.tables.address_table import NO_ADDRESS, new_address_table
from analyzer.tables.clients import CLIENT
from analyzer.tables.columns import tells_begin
from analyzer.tables.limit_req import LIMITS
from analyzer.tables.pooled import Pooled, PooledTable
from analyzer.tables.replay import Replay
from analyzer.tables.zones import zone_outputs, zones

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analyzer.addresses.ranges import RangeTable
    from analyzer.parsing.formats import Layout
    from analyzer.tables.address_table import AddressTable
    from analyzer.tables.limits import Limit

#: What a limit is counted under, by the number in the column ``key``; under the last stand, in place of limits, the
#: rejections of `REFUSED` that the log itself tells of.
KEYS = ("remote_addr", "client", "logged")
#: What is counted besides: requests that met the limits, those of them that the log has out of order, rows whose times
#: are whole seconds, and those of them of which it is known how long they lasted; requests that the allowlist spares;
#: and requests that were refused without an upstream, by status, and by nginx's own word.
TOTALS = (
    "requests",
    "disordered",
    "whole_seconds",
    "lasting",
    "allowed",
    "client_requests",
    "client_allowed",
    "status_429",
    "status_503",
    "limit_req_logged",
    "limit_req_rejected",
    "limit_conn_logged",
    "limit_conn_rejected",
)
#: What the log tells of rejections: totals that are also counted by address.
REFUSED = ("status_429", "status_503", "limit_req_rejected", "limit_conn_rejected")

#: Seconds that a request is taken to have lasted at most where its end is told by its beginning.
_LONGEST = 1e9
_SAID = ("limit_req", "limit_conn")
#: Frames of rejections by address that are added up at once.
_FRAMES = 64
_REFUSED: dict[str, pl.DataType] = {"limit": pl.UInt16(), "number": pl.UInt32(), "most": pl.UInt64()}


def limit_outputs(layout: Layout, *, durations: bool) -> list[Output]:
    """What to ask a scanner for; with `durations` also how long requests lasted, and how long since the time logged."""
    carried = layout.columns
    wanted = zone_outputs(layout)
    for name in _SAID:
        if f"{name}_status" in carried:
            patterns = (b"REJECTED\0", b"PASSED\0", b"DELAYED\0")
            wanted.append(Output(f"{name}_status", Kind.TAG, carried[f"{name}_status"], patterns))
    if durations and "request_time" in carried:
        name = "since_begin" if tells_begin(layout) else "request_time"
        wanted.append(Output(name, Kind.SECONDS, carried["request_time"]))
    return wanted


class Asked(NamedTuple):
    """Requests of one source that limits were not asked about yet, in order: addresses are numbers of those given."""

    key: str
    addresses: pl.Series
    exact_times: bool
    rows: list[pl.DataFrame]


class _Later:
    """In place of a `Replay`: takes down what it would be asked, because what came before is not known here."""

    def __init__(self) -> None:
        self.asked: dict[int, tuple[bool, list[pl.DataFrame]]] = {}

    def add(self, source: int, rows: pl.DataFrame, *, exact_times: bool) -> None:
        told = [name for name in ("time", "number", "zone", "outcome", "request_time") if name in rows.columns]
        self.asked.setdefault(source, (exact_times, []))[1].append(rows.select(told))


class _Counted:
    """Limits counted under the addresses of one table."""

    def __init__(self, limits: Sequence[Limit], addresses: AddressTable, allowed: RangeTable | None) -> None:
        self.replay = Replay(limits)
        self.pooled = PooledTable(limits)
        self.later: _Later | None = None
        self.addresses = addresses
        self.spared = 0
        self._allowed = allowed
        self._known = pl.Series(dtype=pl.Boolean)  # whether the allowlist has an address, by number

    def add(self, source: int, rows: pl.DataFrame, *, exact_times: bool) -> None:
        if self._allowed is not None:
            found = self._allowed.lookup(self.addresses.since(self._known.len()))
            self._known = pl.concat([self._known, found.is_not_null()])
            spared = self._known.gather(rows["number"].set(rows["number"] >= self._known.len(), None))
            limited = ~spared.fill_null(value=False)
            before, rows = rows.height, rows.filter(limited)
            self.spared += before - rows.height
        self.pooled.add(rows, exact_times=exact_times)
        (self.later or self.replay).add(source, rows, exact_times=exact_times)


class LimitTable:
    """Tries limits on rows.

    Parameters
    ----------
    limits
        What to try.
    addresses
        The table of addresses, which numbers them.
    allowed
        The allowlist: addresses that no limit is for.
    """

    def __init__(self, limits: Sequence[Limit], addresses: AddressTable, allowed: RangeTable | None) -> None:
        self._logged = _Counted(limits, addresses, allowed)
        self._clients = _Counted(limits, new_address_table(), allowed)
        self._totals = dict.fromkeys(TOTALS, 0)
        self._refused: list[pl.DataFrame] = []
        self._pools = any(limit.pooled for limit in limits)

    def add(self, source: int, rows: pl.DataFrame, marks: pl.DataFrame, *, exact_times: bool) -> None:
        """Rows of one source in the order of its log, and what the table of addresses said of them."""
        asked = [*_times(rows, exact_times=exact_times), zones(rows)]
        self._logged.add(source, marks.with_columns(asked), exact_times=exact_times)
        if CLIENT in rows.columns:
            told = rows.with_columns(rows[CLIENT].alias("address"))
            self._clients.add(source, self._clients.addresses.add(told).with_columns(asked), exact_times=exact_times)
        if not exact_times:
            self._totals["whole_seconds"] += rows.height
            self._totals["lasting"] += rows.height if "request_time" in rows.columns else 0
        self._count_refused(rows, marks["number"])

    def _count_refused(self, rows: pl.DataFrame, numbers: pl.Series) -> None:
        """Requests that were refused before an upstream was tried, in all and by address."""
        refused, said = {}, []
        if "status" in rows.columns:
            untried = pl.col("untried") > 0 if "untried" in rows.columns else pl.lit(value=True)
            refused = {f"status_{status}": (pl.col("status") == status) & untried for status in (429, 503)}
        for name in _SAID:
            if f"{name}_status" in rows.columns:
                said.append((pl.col(f"{name}_status") > 0).sum().alias(f"{name}_logged"))
                refused[f"{name}_rejected"] = pl.col(f"{name}_status") == 1
        if not refused or rows.is_empty():
            return
        counts = rows.select(*said, *(each.sum().alias(name) for name, each in refused.items())).row(0, named=True)
        for name, count in counts.items():
            self._totals[name] += count or 0
        numbered = rows.with_columns(numbers)
        for name in REFUSED:
            if counts.get(name):
                found = numbered.filter(refused[name]).group_by("number").agg(most=pl.len().cast(pl.UInt64))
                place = pl.lit(REFUSED.index(name), pl.UInt16()).alias("limit")
                self._refused.append(found.select(place, "number", "most"))
        if len(self._refused) >= _FRAMES:
            self._refused = [_summed(self._refused)]

    def put_off(self) -> None:
        """From now on take down what limits would be asked; see `asked`."""
        for _, each in self._named():
            each.later = _Later()

    def asked(self) -> dict[int, list[Asked]]:
        """What was taken down, by source."""
        found: dict[int, list[Asked]] = {}
        for key, each in self._named():
            addresses = each.addresses.since(0)
            for source, (exact_times, rows) in each.later.asked.items() if each.later else ():
                found.setdefault(source, []).append(Asked(key, addresses, exact_times, rows))
        return found

    def ask(self, source: int, asked: Asked) -> None:
        """Ask limits about what was taken down, as if it came now; only for a table of one source."""
        each = dict(self._named())[asked.key]
        numbers = each.addresses.add(asked.addresses.alias("address").to_frame())["number"]
        for rows in asked.rows:
            number = numbers.gather(rows["number"].set(rows["number"] == NO_ADDRESS, None)).fill_null(NO_ADDRESS)
            each.replay.add(source, rows.with_columns(number.alias("number")), exact_times=asked.exact_times)

    def close(self, source: int) -> None:
        """No more rows will come from this source."""
        for each in (self._logged, self._clients):
            each.replay.close(source)

    def close_all(self) -> None:
        """No more rows will come."""
        for each in (self._logged, self._clients):
            each.replay.close_all()

    def take(self, addresses: pl.Series, clients: pl.Series) -> pl.DataFrame:
        """The rejections since the last time, see `limit_req.LIMITS`; given are the addresses of both tables."""
        parts = []
        for key, (counted, named) in enumerate(((self._logged, addresses), (self._clients, clients))):
            found = counted.replay.take()
            if found.is_empty():
                continue
            key_column = pl.lit(key, pl.UInt8()).alias("key")
            address = _named(named, found)
            parts.append(found.select(key_column, "limit", address, "most", "fewest"))
        if self._refused:
            refused, self._refused = _summed(self._refused), []
            address = _named(addresses, refused)
            logged = pl.lit(KEYS.index("logged"), pl.UInt8()).alias("key")
            parts.append(refused.select(logged, "limit", address, "most", pl.col("most").alias("fewest")))
        return pl.concat(parts) if parts else pl.DataFrame(schema=LIMITS)

    def pooled(self, addresses: pl.Series, clients: pl.Series) -> Pooled:
        """What was counted since the last time for limits over all controllers (`pooled.POOLED`); given: see `take`."""
        if not self._pools:
            return Pooled([])
        both = ((self._logged, addresses), (self._clients, clients))
        each = (counted.pooled.take(key, named) for key, (counted, named) in enumerate(both))
        return Pooled([part for pooled in each for part in pooled.parts])

    def number(self, rows: pl.DataFrame) -> pl.DataFrame:
        """What the table of addresses says of rows, for a table that nobody else adds to."""
        return self._logged.addresses.add(rows)

    def named(self) -> tuple[pl.Series, pl.Series]:
        """The addresses of both tables by number, while there may come more rows."""
        return self._logged.addresses.since(0), self._clients.addresses.since(0)

    def state(self, source: int) -> dict[str, pl.DataFrame]:
        """What a source leaves behind for its next rows, in frames by name."""
        left: dict[str, pl.DataFrame] = {}
        for name, each in self._named():
            left[f"{name} addresses"] = each.addresses.since(0).alias("address").to_frame()
            if each.replay.has(source):
                parts = each.replay.log(source, exact_times=False).state()
                left |= {f"{name} {part}": frame for part, frame in parts.items()}
        return left

    def restore(self, source: int, state: Mapping[str, pl.DataFrame], *, exact_times: bool) -> None:
        """Go on, while still empty, where a source was; only for a table of one source, whose addresses it numbers."""
        for name, each in self._named():
            each.addresses.add(state[f"{name} addresses"])
            parts = {
                part.removeprefix(f"{name} "): frame for part, frame in state.items() if part.startswith(f"{name} ")
            }
            if len(parts) > 1:
                each.replay.log(source, exact_times=exact_times).restore(parts)

    def _named(self) -> tuple[tuple[str, _Counted], ...]:
        return (KEYS[0], self._logged), (KEYS[1], self._clients)

    def totals(self) -> dict[str, int]:
        """Counts over all rows, see `TOTALS`."""
        return self._totals | {
            "requests": self._logged.replay.requests,
            "disordered": self._logged.replay.disordered,
            "allowed": self._logged.spared,
            "client_requests": self._clients.replay.requests,
            "client_allowed": self._clients.spared,
        }

    def clients(self) -> pl.DataFrame:
        """The visitors' own addresses, as the table of addresses has the logged ones; no rows where none are told.

        Nothing can be added any more.
        """
        return self._clients.addresses.finish()


def _times(rows: pl.DataFrame, *, exact_times: bool) -> list[pl.Series | pl.Expr]:
    """When each request ended, in whole seconds where nothing else is known, and how long it lasted where that is."""
    if "time" not in rows.columns:
        return [pl.lit(None, TIME).alias("time")]
    time, lasted = rows["time"], [rows[name] for name in ("request_time",) if name in rows.columns]
    if "since_begin" in rows.columns:
        lasted = [rows["since_begin"].fill_null(0.0).fill_nan(0.0).clip(0.0, _LONGEST).alias("request_time")]
        time += (lasted[0] * 1000).round().cast(pl.Duration("ms"))
    elif not exact_times:
        time = (time.to_physical() // 1000 * 1000).cast(TIME)
    return [time, *lasted]


def _named(addresses: pl.Series, found: pl.DataFrame) -> pl.Series:
    """The address of each row, null for `NO_ADDRESS`."""
    return addresses.alias("address").gather(found["number"].set(found["number"] == NO_ADDRESS, None))


def _summed(refused: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Rejections that the log tells of, a row for each kind and address."""
    return pl.concat(refused).group_by("limit", "number").agg(pl.col("most").sum())
