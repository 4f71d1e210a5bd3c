"""The table of chains: who handed requests on to the server, in as many rows as there are proxies, not visitors.

Whether a logged address was forged depends on whom to trust, and that is known only when all is read. Kept is therefore
which addresses stand between the connection and the logged address, for these are proxies, or else somebody forges.
Of what stands left of the logged address no more is kept than that a visitor is there.

=====================  ==========================================================================================
column                 what it holds
=====================  ==========================================================================================
remote                 the logged address where no header was its source, unless it is a visitor and no other is found
peer                   who sent the request, where the logged address is another: whom the PROXY header names, else
                       the connection's own address
hop1                   the rightmost entry, where it stands right of the logged address
hop2                   of the other entries there the rightmost that is no proxy by ranges, else the rightmost
``*_class``            their classes by ranges; ``remote_class`` also where the address is not kept, but not where a
                       header was its source and no other visitor is found
position               which entry from the right the logged address is, `ENTRIES` + 1 for a leftmost one further away;
                       0 where it is none or the connection's own; 1 where the server took it from elsewhere and the
                       format logs no chain
length                 entries of the chain, at most `ENTRIES`; null where the format logs no chain
passed                 the next entry to the left is an address, and the server did not take it
found                  a visitor other than the logged address is there: the peer, or an entry that has nothing
                       unreadable right of it
requests               how many
lost                   requests with another visitor found that count for the preserved percentage
claimed                where the logged address may be forged: a fan-in bitmap of what was logged
chain, single          there too, an example: the least chain of at most `SAMPLE` characters, and the least address that
                       was all of a chain
=====================  ==========================================================================================

The table stays small: with more than `ROWS` rows it forgets which visitor is meant (detail 1), then which proxy
(detail 2), and keeps their classes. How much it forgets hangs on all rows together and not on how they came in, so that
tables of parts make the table of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from analyzer.addresses.forwarded import BROADCAST, ENTRIES, PROXIES, take_apart
from analyzer.parsing.schema import Kind, Output
from analyzer.tables.address_table import COUNT
from analyzer.tables.columns import Outcome

if TYPE_CHECKING:
    from analyzer.parsing.formats import Layout
    from analyzer.tables.timeline import Labels

ROWS = 20_000
"""Rows that the table may have before it forgets."""
SAMPLE = 200
"""Characters that a chain may have which is kept as an example."""

_WAITING = 250_000
"""Rows that are taken apart at once: the more, the fewer of them are different."""
_FRAMES = 128
"""Frames of them that wait at most, because a small one may keep the memory of a large one."""
_ADDRESS = pl.UInt128()
_LOW = pl.lit((1 << 64) - 1, _ADDRESS)
_HIGH = pl.lit(1 << 64, _ADDRESS)
_BITS = pl.Series([1 << bit for bit in range(64)], dtype=COUNT)
_FAR = 3
"""At detail 2 no position is told from those further away than this."""

#: name -> (access-log column, kind)
_WANTED = {
    "peer": ("realip_remote_addr", Kind.ADDRESS),
    "proxied": ("proxy_protocol_addr", Kind.ADDRESS),
    "single": ("x_forwarded_for", Kind.ADDRESS),
    "chain": ("x_forwarded_for", Kind.CHAIN),
}
_DISTINCT: dict[str, pl.DataType] = {
    "address": _ADDRESS,
    "peer": _ADDRESS,
    "proxied": _ADDRESS,
    "single": _ADDRESS,
    "chain": pl.String(),
    "chained": pl.Boolean(),
}
_HOPS = ("remote", "peer", "hop1", "hop2")
_CLASSES = tuple(f"{hop}_class" for hop in _HOPS)
KEY = (*_HOPS, *_CLASSES, "position", "length", "passed", "found")
_DTYPES: dict[str, pl.DataType] = {
    **dict.fromkeys(_HOPS, _ADDRESS),
    "position": pl.UInt8(),
    "length": pl.UInt8(),
    "passed": pl.Boolean(),
    "found": pl.Boolean(),
    **dict.fromkeys(("requests", "lost", "claimed"), COUNT),
    "chain": pl.String(),
    "single": _ADDRESS,
}


@dataclass(frozen=True, slots=True)
class Chains:
    """The table, see above.

    `logged` are those of ``x_forwarded_for``, ``realip_remote_addr`` and ``proxy_protocol_addr`` that at least some
    lines could have; `detail` is how much was forgotten, 0 to 2.
    """

    rows: pl.DataFrame
    logged: frozenset[str]
    detail: int


def chain_outputs(layout: Layout) -> list[Output]:
    """What to ask a scanner for; nothing where the format logs no more than the remote address."""
    carried = layout.columns
    return [Output(name, kind, carried[column]) for name, (column, kind) in _WANTED.items() if column in carried]


class ChainTable:
    """Adds up rows.

    Parameters
    ----------
    labels
        Says by ranges what addresses are; the same for all tables that are to be merged.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        class_ = labels.label(pl.DataFrame(schema={"address": _ADDRESS})).schema["class"]
        schema = {**dict.fromkeys(_CLASSES, class_), **_DTYPES}
        self._parts = [pl.DataFrame(schema={name: schema[name] for name in (*KEY, *list(_DTYPES)[-5:])})]
        self._logged: frozenset[str] = frozenset()
        self._waiting: list[pl.DataFrame] = []
        self._detail = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Add a frame with ``address``, ``outcome``, and what `chain_outputs` asks for of its format."""
        logged = {_WANTED[name][0] for name in _WANTED if name in rows.columns}
        if not logged:
            return
        self._logged |= logged
        chained = pl.lit("x_forwarded_for" in logged).alias("chained")
        absent = [pl.lit(None, dtype).alias(name) for name, dtype in _DISTINCT.items() if name not in rows.columns]
        self._waiting.append(rows.with_columns(absent).with_columns(chained).select("outcome", *_DISTINCT))
        if len(self._waiting) >= _FRAMES or sum(frame.height for frame in self._waiting) >= _WAITING:
            self._count()

    def table(self) -> Chains:
        """The table of all rows so far."""
        self._count()
        self._merge()
        return Chains(self._parts[0], self._logged, self._detail)

    def _count(self) -> None:
        if not self._waiting:
            return
        rows = _narrow(pl.concat(self._waiting))
        self._waiting = []
        self._parts.append(_forget(self._rows_of(self._distinct(rows)), self._detail))
        if sum(part.height for part in self._parts) > 2 * ROWS:
            self._merge()

    def _merge(self) -> None:
        """Make one part of all, and forget where it would be too long."""
        rows, self._detail = narrowed(pl.concat(self._parts), self._detail)
        self._parts = [rows]

    def _distinct(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Count rows that say the same of addresses."""
        counts = {"requests": pl.len().cast(COUNT), "considered": pl.col("considered").sum().cast(COUNT)}
        same = pl.col("peer").is_null() | pl.col("peer").eq_missing(pl.col("remote"))
        plain = pl.col("single").is_null() & pl.col("chain").is_null() & same
        # Most rows of most logs say of no other address: they make one row.
        alone = (
            rows.filter(plain).group_by("chained").agg(own=pl.lit(value=False), rewritten=pl.lit(value=False), **counts)
        )
        others = rows.filter(~plain)
        if others["peer"].null_count() < others.height:
            # Of what a proxy says of its client nothing is kept but that it did: any address will do.
            proxies = self._label(others["peer"]).filter(pl.col("class").is_in(PROXIES))["address"]
            said = (pl.col("single") == pl.col("remote")) & ~pl.col("own") & pl.col("peer").is_in(proxies.implode())
            anyone = pl.when(said).then(pl.lit(0, _ADDRESS))
            others = others.with_columns(anyone.otherwise(name).alias(name) for name in ("remote", "single"))
        chained = others.group_by(pl.exclude(*counts)).agg(**counts)
        absent = [
            pl.lit(None, dtype).alias(name) for name, dtype in chained.schema.items() if name not in alone.columns
        ]
        return pl.concat([chained, alone.with_columns(absent).select(chained.columns)])

    def _rows_of(self, found: pl.DataFrame) -> pl.DataFrame:
        """Make rows of the table of distinct requests."""
        other = pl.when(pl.col("peer").ne_missing(pl.col("remote"))).then("peer")
        found = found.with_columns(other.alias("peer")).with_row_index("row")
        entries, found = _take_apart(found)
        labels = self._label(pl.concat([found["remote"], found["peer"], entries["address"]]))
        classes = labels.select("address", "class")
        entries = entries.join(classes, on="address", how="left", maintain_order="left")
        for hop in ("remote", "peer"):
            of_hop = classes.select(pl.col("address").alias(hop), pl.col("class").alias(f"{hop}_class"))
            found = found.join(of_hop, on=hop, how="left", maintain_order="left")
        found = _measure(found, entries)

        skipped = labels.filter("skipped")["address"].implode()
        considered = pl.when(pl.col("found") & ~pl.col("remote").is_in(skipped)).then("considered").otherwise(0)
        itself = pl.col("position") == 0
        kept = itself & (pl.col("found") | (pl.col("remote_class") != "client"))
        doubtful = ~itself & ((pl.col("position") > 1) | (pl.col("peer_class") == "client").fill_null(value=True))
        return found.select(
            pl.when(kept).then("remote").alias("remote"),
            *_HOPS[1:],
            pl.when(itself | pl.col("found")).then("remote_class").alias("remote_class"),
            *_CLASSES[1:],
            "position",
            pl.when("chained").then("length").alias("length"),
            "passed",
            "found",
            "requests",
            lost=considered.cast(COUNT),
            claimed=pl.when(doubtful).then(_fan_in(pl.col("remote"))).otherwise(0),
            chain=pl.when(doubtful & (pl.col("chain").str.len_chars() <= SAMPLE)).then("chain"),
            single=pl.when(doubtful).then("single"),
        )

    def _label(self, addresses: pl.Series) -> pl.DataFrame:
        distinct = addresses.drop_nulls().unique().alias("address").to_frame()
        labels = self._labels.label(distinct)
        return labels.select("address", "class", skipped=pl.col("health_probe") | pl.col("in_cluster"))


def narrowed(rows: pl.DataFrame, detail: int) -> tuple[pl.DataFrame, int]:
    """Add up rows, and forget of them what makes them too many; return them and how much was forgotten."""
    while (rows := _forget(rows, detail)).height > ROWS and detail < 2:
        detail += 1
    return rows, detail


def _narrow(rows: pl.DataFrame) -> pl.DataFrame:
    """Keep what counts.

    ``own``: the logged address is that of the connection, or of its PROXY header; ``rewritten``: it must be
    from elsewhere.
    """
    own = (pl.col("peer") == pl.col("address")) | (pl.col("proxied") == pl.col("address"))
    # nginx takes this one for no address.
    single = pl.when(pl.col("single") != pl.lit(BROADCAST, _ADDRESS)).then("single")
    # One character is no address; most often it is the `-` for none.
    several = single.is_null() & (pl.col("chain").str.len_bytes() > 1)
    return rows.select(
        pl.col("address").alias("remote"),
        pl.coalesce("proxied", "peer").alias("peer"),
        single.alias("single"),
        pl.when(several).then("chain").alias("chain"),
        "chained",
        own=own.fill_null(value=False),
        rewritten=pl.col("peer").is_not_null() & ~own.fill_null(value=False),
        considered=pl.col("outcome") == Outcome.CONSIDERED.value,
    )


def _take_apart(found: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the entries of all chains in order, and `found` with what is known of each chain."""
    parts = take_apart(found["chain"])
    found = found.with_columns(parts.length.alias("length"), parts.more.alias("more"), parts.leftmost.alias("leftmost"))
    single = pl.col("single").is_not_null()
    found = found.with_columns(length=pl.when(single).then(1).otherwise("length").cast(pl.UInt8))
    alone = found.filter(single).select("row", pl.lit(1, pl.UInt8).alias("position"), address="single")
    entries = pl.concat([parts.entries, alone]).sort("row", maintain_order=True)
    return entries, found.with_columns(start=pl.col("length").cast(pl.Int64).cum_sum() - pl.col("length"))


def _measure(found: pl.DataFrame, entries: pl.DataFrame) -> pl.DataFrame:
    """Add `position`, `hop1`, `hop2`, `passed` and `found`."""
    address, class_, position = pl.col("address"), pl.col("class"), pl.col("position")
    requests = found.select("row", "remote", "own")
    joined = entries.join(requests, on="row", how="left", maintain_order="left")
    is_remote = (address == pl.col("remote")).fill_null(value=False)
    trusted = class_.is_in(PROXIES).fill_null(value=False)
    firsts = joined.select(
        "row",
        at=pl.when(is_remote & ~pl.col("own")).then(position),
        wall=pl.when(address.is_null()).then(position),
        visitor=pl.when((class_ == "client") & ~is_remote).then(position),
        stranger=pl.when(~trusted & (position > 1)).then(position),
    )
    firsts = firsts.group_by("row").agg(pl.all().min())
    found = found.join(firsts, on="row", how="left", maintain_order="left")
    far = (pl.col("leftmost") == pl.col("remote")) & pl.col("more") & ~pl.col("own")
    unsaid = ~pl.col("chained") & pl.col("rewritten")
    at = pl.coalesce("at", pl.when(far).then(ENTRIES + 1), pl.when(unsaid).then(1), pl.lit(0)).cast(pl.Int64)
    open_to = pl.coalesce(pl.col("visitor") < pl.col("wall"), pl.col("visitor").is_not_null())
    found = found.with_columns(
        position=at.cast(pl.UInt8),
        found=open_to | (pl.col("peer_class") == "client").fill_null(value=False),
    )
    position = pl.col("position").cast(pl.Int64)
    nearest = pl.when(position > 1).then(1)
    second = pl.when(position > 2).then(pl.coalesce(pl.when(pl.col("stranger") < position).then("stranger"), 2))
    following = pl.when(position < pl.col("length")).then(position + 1)
    for hop, place in (("hop1", nearest), ("hop2", second), ("next", following)):
        there = found.select((pl.col("start") + place - 1).cast(pl.UInt32)).to_series()
        found = found.with_columns(
            joined["address"].gather(there).alias(hop), joined["class"].gather(there).alias(f"{hop}_class")
        )
    return found.with_columns(passed=pl.col("next").is_not_null())


def _fan_in(address: pl.Expr) -> pl.Expr:
    """One bit of 64 by a hash of the address, the same in every version of every program."""
    mixed = (address & _LOW).cast(COUNT) ^ (address // _HIGH).cast(COUNT)
    return pl.lit(_BITS).gather((mixed * 0x9E37_79B9_7F4A_7C15 // (1 << 58)).cast(pl.UInt32))


def _forget(rows: pl.DataFrame, detail: int) -> pl.DataFrame:
    """Add up rows that are the same at this detail."""
    if detail == 1:
        rows = rows.with_columns(pl.when(pl.col(f"{hop}_class").is_in(PROXIES)).then(hop).alias(hop) for hop in _HOPS)
    elif detail == 2:
        stranger = (pl.col("position") > 2) & ~pl.col("hop2_class").is_in(PROXIES).fill_null(value=False)
        rows = rows.with_columns(
            *(pl.lit(None, _ADDRESS).alias(hop) for hop in _HOPS),
            hop1_class=pl.when(stranger).then("hop2_class").otherwise("hop1_class"),
            hop2_class=pl.when(stranger).then("hop2_class").otherwise("hop1_class"),
            position=pl.min_horizontal("position", pl.lit(_FAR, pl.UInt8)),
        )
    return rows.group_by(KEY).agg(
        pl.col("requests", "lost").sum(), pl.col("claimed").bitwise_or(), pl.col("chain", "single").min()
    )
