"""What counts requests into the table of chains, see `analyzer.tables.chains`.

`new_chain_table` gives the one in C where it was built; the portable one does the same with Polars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

import polars as pl

from analyzer.addresses.forwarded import BROADCAST, ENTRIES, PROXIES, take_apart
from analyzer.arrow import frame_of
from analyzer.native import compiled, random_seed
from analyzer.parsing.scanner import use_native
from analyzer.tables import chains
from analyzer.tables.address_table import COUNT
from analyzer.tables.chains import CLASSES, DTYPES, HOPS, KEY, SAID, SAMPLE, WANTED, Chains, forget, narrowed
from analyzer.tables.columns import Outcome
from analyzer.tables.labels import for_chains

if TYPE_CHECKING:
    from analyzer.tables.labels import Labels

_NATIVE = compiled("analyzer.tables._chains")

_WAITING = 250_000
"""Rows that the portable table takes apart at once: the more, the fewer of them are different."""
_FRAMES = 128
"""Frames of them that wait at most, because a small one may keep the memory of a large one."""
_ADDRESS = pl.UInt128()
_LOW = pl.lit((1 << 64) - 1, _ADDRESS)
_HIGH = pl.lit(1 << 64, _ADDRESS)
_BITS = pl.Series([1 << bit for bit in range(64)], dtype=COUNT)
_READ = (*SAID, "outcome")


class ChainTable(Protocol):
    """Adds up rows."""

    def add(self, rows: pl.DataFrame) -> None:
        """Add a frame with ``address``, ``outcome``, and what `chains.chain_outputs` asks for of its format."""

    def table(self) -> Chains:
        """The table of all rows so far."""


def new_chain_table(labels: Labels) -> ChainTable:
    """An empty table; `labels` must be the same for all tables that are to be merged."""
    return (NativeChainTable if _NATIVE is not None and use_native() else PortableChainTable)(labels)


class _Parts:
    """Parts of the table, and what of its columns some lines could have."""

    def __init__(self, labels: Labels) -> None:
        class_ = labels.label(pl.DataFrame(schema={"address": _ADDRESS})).schema["class"]
        schema = {**dict.fromkeys(CLASSES, class_), **DTYPES}
        self.class_ = cast("pl.Enum", class_)
        self.detail = 0
        self.logged: frozenset[str] = frozenset()
        self._frames = [pl.DataFrame(schema={name: schema[name] for name in (*KEY, *list(DTYPES)[-5:])})]

    def log(self, rows: pl.DataFrame) -> frozenset[str]:
        """What these rows log that tells of chains."""
        logged = frozenset(WANTED[name][0] for name in WANTED if name in rows.columns)
        self.logged |= logged
        return logged

    def add(self, part: pl.DataFrame) -> None:
        """Add a part of at least the detail that is told."""
        self._frames.append(part)
        if sum(frame.height for frame in self._frames) > 2 * chains.ROWS:
            self._merge()

    def table(self) -> Chains:
        """The table of all parts."""
        self._merge()
        return Chains(self._frames[0], self.logged, self.detail)

    def _merge(self) -> None:
        """Make one part of all, and forget where it would be too long."""
        rows, self.detail = narrowed(pl.concat(self._frames), self.detail)
        self._frames = [rows]


class NativeChainTable:
    """chains.c behind the contract of `ChainTable`."""

    def __init__(self, labels: Labels) -> None:
        self._parts = _Parts(labels)
        self._chains = _NATIVE.Chains(for_chains(labels), random_seed())

    def add(self, rows: pl.DataFrame) -> None:
        """Add a frame."""
        if not self._parts.log(rows):
            return
        names = [name for name in _READ if name in rows.columns]
        present = sum(1 << place for place, name in enumerate(_READ) if name in names)
        self._chains.add(rows.select(names).__arrow_c_stream__(), present, self._parts.detail)
        if len(self._chains) > chains.ROWS:
            self._take()

    def table(self) -> Chains:
        """The table."""
        self._take()
        return self._parts.table()

    def _take(self) -> None:
        class_ = self._parts.class_
        rows = frame_of(self._chains.take())
        named = [class_.categories.gather(rows[name]).cast(class_).alias(name) for name in CLASSES]
        self._parts.add(rows.with_columns(*named, pl.col("passed", "found") == 1))


class PortableChainTable:
    """The same with Polars."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._parts = _Parts(labels)
        self._waiting: list[pl.DataFrame] = []

    def add(self, rows: pl.DataFrame) -> None:
        """Add a frame."""
        logged = self._parts.log(rows)
        if not logged:
            return
        chained = pl.lit("x_forwarded_for" in logged).alias("chained")
        absent = [pl.lit(None, dtype).alias(name) for name, dtype in SAID.items() if name not in rows.columns]
        self._waiting.append(rows.with_columns(absent).select(*_READ, chained))
        if len(self._waiting) >= _FRAMES or sum(frame.height for frame in self._waiting) >= _WAITING:
            self._count()

    def table(self) -> Chains:
        """The table."""
        self._count()
        return self._parts.table()

    def _count(self) -> None:
        if not self._waiting:
            return
        rows = _narrow(pl.concat(self._waiting))
        self._waiting = []
        self._parts.add(forget(self._rows_of(self._distinct(rows)), self._parts.detail))

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
            *HOPS[1:],
            pl.when(itself | pl.col("found")).then("remote_class").alias("remote_class"),
            *CLASSES[1:],
            "position",
            pl.when("chained").then("length").alias("length"),
            "passed",
            "found",
            "requests",
            lost=considered.cast(COUNT),
            claimed=pl.when(doubtful & pl.col("remote").is_not_null()).then(_fan_in(pl.col("remote"))).otherwise(0),
            chain=pl.when(doubtful & (pl.col("chain").str.len_chars() <= SAMPLE)).then("chain"),
            single=pl.when(doubtful).then("single"),
        )

    def _label(self, addresses: pl.Series) -> pl.DataFrame:
        distinct = addresses.drop_nulls().unique().alias("address").to_frame()
        labels = self._labels.label(distinct)
        return labels.select("address", "class", skipped=pl.col("health_probe") | pl.col("in_cluster"))


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
