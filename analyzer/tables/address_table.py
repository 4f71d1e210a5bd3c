"""The table of addresses: one row for each, and what its requests add up to.

`new_address_table` gives the one in C where it was built; the portable one does the same with Polars' group_by.
"""

from __future__ import annotations

from array import array
from typing import Protocol

import polars as pl

from analyzer.arrow import frame_of
from analyzer.native import compiled, random_seed
from analyzer.parsing.scanner import use_native
from analyzer.parsing.schema import TIME
from analyzer.tables.columns import AGENT_SIGNS, PROBES, REQUEST_SIGNS, Sign, complete

_NATIVE = compiled("analyzer.tables._address_table")

COUNT: pl.DataType = pl.UInt64()

#: What is read of each row, as far as the log's format carries it, see `analyzer.tables.columns.narrow_outputs`.
ROWS = (
    "address",
    "time",
    "status",
    "bytes",
    "user_agents",
    "forwarded",
    "agent",
    "request",
    "readable",
    "untried",
    "unnamed",
)

#: The number of a row without an address.
NO_ADDRESS = 2**32 - 1

#: What is said of each row: the number of its address, and what the request was (`analyzer.tables.columns.Outcome`).
MARKS: dict[str, pl.DataType] = {"number": pl.UInt32(), "outcome": pl.UInt8()}

#: The table. `errors` counts status 500 and above; `user_agents` and `forwarded` are fan-in bitmaps; `signs` says what
#: was sent at least once (`analyzer.tables.columns.Sign`), `crawlers` how many requests have a crawler's user agent.
ADDRESSES: dict[str, pl.DataType] = {
    "address": pl.UInt128(),
    "requests": COUNT,
    "health_probes": COUNT,
    "unparsed_requests": COUNT,
    "errors": COUNT,
    "bytes": COUNT,
    "first_time": TIME,
    "last_time": TIME,
    "user_agents": COUNT,
    "forwarded": COUNT,
    "signs": COUNT,
    "crawlers": COUNT,
}

#: Rows that the portable table sums up at once: each time costs a pass over all that it has.
_ROWS = 100_000


class AddressTable(Protocol):
    """Sums over rows by address. Addresses are numbered in the order of first sight."""

    def __len__(self) -> int:
        """How many addresses there are."""

    def add(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Add a frame with those of `ROWS` that its format carries; say of each row what `MARKS` has."""

    def since(self, number: int) -> pl.Series:
        """The addresses from this number on."""

    def tags(self) -> dict[int, int]:
        """How many rows had each value of ``request`` but 0, see `analyzer.tables.columns.name_signals`."""

    def finish(self) -> pl.DataFrame:
        """The table, see `ADDRESSES`, in the order of the numbers; a last row holds the requests without an address.

        Nothing can be added any more: of very many addresses there is no room for two tables.
        """


def new_address_table() -> AddressTable:
    """An empty table."""
    return NativeAddressTable() if _NATIVE is not None and use_native() else PortableAddressTable()


class NativeAddressTable:
    """address_table.c behind the contract of `AddressTable`."""

    def __init__(self) -> None:
        self._table = _NATIVE.AddressTable(random_seed(), AGENT_SIGNS, REQUEST_SIGNS, int(PROBES), int(Sign.CRAWLER))

    def __len__(self) -> int:
        """How many addresses there are."""
        return len(self._table)

    def add(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Add a frame; say what its rows are."""
        names = [name for name in ROWS if name in rows.columns]
        carried = rows.select(names)
        if not names:  # a frame must have a column to have rows
            names, carried = ["status"], rows.select(pl.repeat(None, pl.len(), dtype=pl.UInt16))
        present = sum(1 << ROWS.index(name) for name in names)
        return frame_of(self._table.add(carried.__arrow_c_stream__(), present))

    def since(self, number: int) -> pl.Series:
        """The addresses from this number on."""
        return frame_of(self._table.since(number))["address"]

    def tags(self) -> dict[int, int]:
        """How many rows had each tag."""
        counts = array("Q")
        counts.frombytes(self._table.tags())
        return {tag: count for tag, count in enumerate(counts) if count}

    def finish(self) -> pl.DataFrame:
        """The table."""
        return frame_of(self._table.finish())


def sums_of(rows: pl.DataFrame, *key: str) -> pl.DataFrame:
    """Sums over rows that are `complete`, see `ADDRESSES`."""
    return rows.group_by(*key, maintain_order=True).agg(
        requests=pl.len().cast(COUNT),
        health_probes=(pl.col("outcome") == 1).sum().cast(COUNT),
        unparsed_requests=(pl.col("outcome") == 2).sum().cast(COUNT),
        errors=(pl.col("status") >= 500).sum().cast(COUNT),
        bytes=pl.col("bytes").sum(),
        first_time=pl.col("time").min(),
        last_time=pl.col("time").max(),
        user_agents=pl.col("user_agents").bitwise_or(),
        forwarded=pl.col("forwarded").bitwise_or(),
        signs=pl.col("sign").bitwise_or(),
        crawlers=((pl.col("sign") & int(Sign.CRAWLER)) > 0).sum().cast(COUNT),
    )


class PortableAddressTable:
    """The same with group_by."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._tags: dict[int, int] = {}
        self._parts = [pl.DataFrame(schema=ADDRESSES)]
        self._waiting = 0

    def __len__(self) -> int:
        """How many addresses there are."""
        return len(self._numbers)

    def add(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Add a frame; say what its rows are."""
        rows = complete(rows)
        numbers = self._numbers
        found = [
            NO_ADDRESS if address is None else numbers.setdefault(address, len(numbers))
            for address in rows["address"].to_list()
        ]
        for tag, count in rows.filter(pl.col("request") > 0)["request"].value_counts().iter_rows():
            self._tags[tag] = self._tags.get(tag, 0) + count
        grouped = sums_of(rows, "address")
        self._parts.append(grouped)
        self._waiting += grouped.height
        if self._waiting > _ROWS:
            self._merge()
        return rows.select(pl.Series("number", found, dtype=MARKS["number"]), "outcome")

    def _merge(self) -> None:
        """Make one part of all."""
        summed = (
            pl.concat(self._parts)
            .group_by("address", maintain_order=True)
            .agg(
                pl.col("requests", "health_probes", "unparsed_requests", "errors", "bytes").sum(),
                pl.col("first_time").min(),
                pl.col("last_time").max(),
                pl.col("user_agents", "forwarded", "signs").bitwise_or(),
                pl.col("crawlers").sum(),
            )
        )
        self._parts, self._waiting = [summed], 0

    def since(self, number: int) -> pl.Series:
        """The addresses from this number on."""
        return pl.Series("address", list(self._numbers)[number:], dtype=ADDRESSES["address"])

    def tags(self) -> dict[int, int]:
        """How many rows had each tag."""
        return self._tags

    def finish(self) -> pl.DataFrame:
        """The table."""
        self._merge()
        known = pl.col("address").is_not_null()
        return pl.concat([self._parts[0].filter(known), self._parts[0].filter(~known)])
