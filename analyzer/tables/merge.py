"""Tables as frames that add up: of parts of a log, of many logs, of increments, of workers.

`frames_of` takes `Tables` apart into frames, one for each table, in which nothing stands beside the rows; `add_up` sums
rows of the same key, whatever further columns belong to the key; `tables_of` makes `Tables` of frames again. Sums of
sums are the same in any order and grouping, and so are widths of buckets: a whole has at least those of its parts.

A new table is one entry of `_SUMMED`, or a pair of functions in `_OWN` where it is more than rows by a key.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import polars as pl

from analyzer.tables import loads
from analyzer.tables.address_table import COUNT
from analyzer.tables.chains import KEY, Chains, narrowed
from analyzer.tables.columns import name_signals
from analyzer.tables.fold import Tables
from analyzer.tables.limited import TOTALS
from analyzer.tables.loads import Loads
from analyzer.tables.pooled import Pooled
from analyzer.tables.timeline import BUCKET_SECONDS, MOST, bucket

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Frames = Mapping[str, pl.DataFrame]

#: Where rows come from that are kept apart: the stream (its number), and the hour of the request.
PLACE = ("stream", "hour")

#: The keys of tables whose other columns are sums, but for those named below.
_SUMMED = {
    "addresses": ("address",),
    "chains": KEY,
    "timeline": ("time", "class", "bucket_seconds"),
    "loads": ("source", "time", "bucket_seconds"),
    "entries": ("address", "time", "bucket_seconds"),
    "sources": ("source",),
    "limits": ("key", "limit", "address"),
    "pooled": ("key", "zone", "address", "second"),
    "clients": ("address",),
    "totals": ("name",),
}
_LOADS = frozenset({"loads", "entries"})
_LEAST, _MOST_OF = frozenset({"first_time", "chain", "single"}), frozenset({"last_time"})
_BITS = frozenset({"user_agents", "forwarded", "signs", "claimed"})

#: Names of what is counted for a whole table; of some only whether there is any.
LIMIT, _SIGNAL, _LOGGED, _DETAIL = "limit ", "signal ", "logged ", "detail "


def frames_of(tables: Tables) -> dict[str, pl.DataFrame]:
    """Take tables apart."""
    totals = {LIMIT + name: count for name, count in tables.limit_totals.items()}
    totals |= names_of_totals(tables.signals, tables.chains.logged)
    totals[f"{_DETAIL}{tables.chains.detail}"] = 1
    return {
        "addresses": tables.addresses,
        "chains": tables.chains.rows,
        "timeline": tables.timeline.with_columns(bucket_seconds=pl.lit(tables.bucket_seconds, pl.UInt32)),
        "loads": tables.loads.rows.with_columns(bucket_seconds=pl.lit(tables.loads.bucket_seconds, pl.UInt32)),
        "entries": tables.entries.rows.with_columns(bucket_seconds=pl.lit(tables.entries.bucket_seconds, pl.UInt32)),
        "sources": tables.sources,
        "limits": tables.limits,
        "pooled": tables.pooled.whole(),
        "clients": tables.clients,
        "totals": pl.DataFrame(
            {"name": list(totals), "count": list(totals.values())}, schema={"name": pl.String(), "count": COUNT}
        ).filter(pl.col("count") > 0),
    }


def names_of_totals(signals: Mapping[str, int] = MappingProxyType({}), logged: Iterable[str] = ()) -> dict[str, int]:
    """Signals and what was logged, as they stand among the totals."""
    return {_SIGNAL + name: count for name, count in signals.items()} | {_LOGGED + name: 1 for name in logged}


def add_up(name: str, parts: Sequence[pl.DataFrame], more_key: Iterable[str] = ()) -> pl.DataFrame:
    """Make one frame of several of the same table, with a row for each key; `more_key` are columns of it as well."""
    rows = pl.concat(parts)
    key = [*more_key, *_SUMMED[name]]
    others = [_aggregated(column) for column in rows.columns if column not in key]
    return rows.lazy().group_by(key).agg(others).collect()  # the eager group_by takes four times as long


def widened(name: str, rows: pl.DataFrame, more_key: Iterable[str] = ()) -> pl.DataFrame:
    """Give rows of loads the width that they would have as a table of their own; other tables stay as they are.

    A whole that has these rows among others has at least that width, so its table is the same.
    """
    if name not in _LOADS or rows.is_empty():
        return rows
    seconds = _loads(rows.drop(PLACE, strict=False)).bucket_seconds
    width = pl.lit(seconds, rows.schema["bucket_seconds"]).alias("bucket_seconds")
    return add_up(name, [rows.with_columns(loads.bucket(seconds), width)], more_key)


def tables_of(frames: Frames) -> Tables:
    """Make tables of frames whose rows may be in parts."""
    whole = {name: add_up(name, [frame.drop(PLACE, strict=False)]) for name, frame in frames.items()}
    timeline, width = _widened(whole["timeline"])
    totals: dict[str, int] = dict(whole["totals"].iter_rows())
    detail = max(map(int, _named(_DETAIL, totals)), default=0)
    chains, detail = narrowed(whole["chains"], detail)
    return Tables(
        addresses=whole["addresses"],
        timeline=timeline,
        bucket_seconds=width,
        sources=whole["sources"],
        limits=whole["limits"],
        limit_totals={name: totals.get(LIMIT + name, 0) for name in TOTALS},
        pooled=Pooled.of(whole["pooled"]),
        clients=whole["clients"],
        chains=Chains(chains, frozenset(_named(_LOGGED, totals)), detail),
        loads=_loads(whole["loads"]),
        entries=_loads(whole["entries"]),
        signals={name: totals.get(_SIGNAL + name, 0) for name in name_signals({})},
    )


def _named(kind: str, totals: Iterable[str]) -> list[str]:
    return [name.removeprefix(kind) for name in totals if name.startswith(kind)]


def _aggregated(column: str) -> pl.Expr:
    if column in _LEAST:
        return pl.col(column).min()
    if column in _MOST_OF:
        return pl.col(column).max()
    return pl.col(column).bitwise_or() if column in _BITS else pl.col(column).sum()


def _loads(rows: pl.DataFrame) -> Loads:
    widest = int(rows["bucket_seconds"].max() or loads.BUCKET_SECONDS[0])  # type: ignore[arg-type]
    return loads.add_up([Loads(rows.drop("bucket_seconds"), widest)])


def _widened(rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Bring buckets to one width, the smallest that none of the parts exceeds and that leaves few enough rows."""
    widest = int(rows["bucket_seconds"].max() or BUCKET_SECONDS[0])  # type: ignore[arg-type]
    rows = rows.drop("bucket_seconds")
    key = [column for column in _SUMMED["timeline"] if column in rows.columns]
    for seconds in BUCKET_SECONDS[BUCKET_SECONDS.index(widest) :]:
        rows = rows.lazy().with_columns(bucket(seconds)).group_by(key).agg(pl.exclude(key).sum()).collect()
        if rows.height <= MOST:
            break
    return rows, seconds
