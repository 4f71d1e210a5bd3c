"""The table of addresses: one row for each, and what its requests add up to.

`new_address_table` gives the one in C where it was built; the portable one does the same with Polars' group_by.
"""

from __future__ import annotations

from typing import Protocol

import polars as pl

from analyzer.arrow import frame_of
from analyzer.native import compiled, random_seed
from analyzer.parsing.scanner import use_native
from analyzer.parsing.schema import TIME

_NATIVE = compiled("analyzer.tables._address_table")

COUNT: pl.DataType = pl.UInt64()

#: What is read of each row; `outcome` says what the request was (`analyzer.tables.columns.Outcome`).
ROWS = ("address", "time", "status", "bytes", "user_agents", "forwarded", "outcome")

#: The table. `errors` counts status 500 and above; `user_agents` and `forwarded` are fan-in bitmaps.
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
}


class AddressTable(Protocol):
    """Sums over rows by address."""

    def __len__(self) -> int:
        """How many addresses there are."""

    def add(self, rows: pl.DataFrame) -> None:
        """Add a frame of `ROWS`."""

    def since(self, row: int) -> pl.Series:
        """The addresses that came in from this row on; rows are numbered in the order of first sight."""

    def rows(self) -> pl.DataFrame:
        """The table, see `ADDRESSES`; a row without address holds the requests that had none."""


def new_address_table() -> AddressTable:
    """An empty table."""
    return NativeAddressTable() if _NATIVE is not None and use_native() else PortableAddressTable()


class NativeAddressTable:
    """address_table.c behind the contract of `AddressTable`."""

    def __init__(self) -> None:
        self._table = _NATIVE.AddressTable(random_seed())

    def __len__(self) -> int:
        """How many addresses there are."""
        return len(self._table)

    def add(self, rows: pl.DataFrame) -> None:
        """Add a frame of `ROWS`."""
        self._table.add(rows.select(*ROWS).__arrow_c_stream__())

    def since(self, row: int) -> pl.Series:
        """The addresses that came in from this row on."""
        return frame_of(self._table.since(row))["address"]

    def rows(self) -> pl.DataFrame:
        """The table."""
        return frame_of(self._table.rows())


class PortableAddressTable:
    """The same with group_by."""

    def __init__(self) -> None:
        self._rows = pl.DataFrame(schema=ADDRESSES)

    def __len__(self) -> int:
        """How many addresses there are."""
        return self._rows.height - self._rows["address"].null_count()

    def add(self, rows: pl.DataFrame) -> None:
        """Add a frame of `ROWS`."""
        grouped = rows.group_by("address", maintain_order=True).agg(
            requests=pl.len().cast(COUNT),
            health_probes=(pl.col("outcome") == 1).sum().cast(COUNT),
            unparsed_requests=(pl.col("outcome") == 2).sum().cast(COUNT),
            errors=(pl.col("status") >= 500).sum().cast(COUNT),
            bytes=pl.col("bytes").sum(),
            first_time=pl.col("time").min(),
            last_time=pl.col("time").max(),
            user_agents=pl.col("user_agents").bitwise_or(),
            forwarded=pl.col("forwarded").bitwise_or(),
        )
        self._rows = (
            pl.concat([self._rows, grouped])
            .group_by("address", maintain_order=True)
            .agg(
                pl.col("requests", "health_probes", "unparsed_requests", "errors", "bytes").sum(),
                pl.col("first_time").min(),
                pl.col("last_time").max(),
                pl.col("user_agents", "forwarded").bitwise_or(),
            )
        )

    def since(self, row: int) -> pl.Series:
        """The addresses that came in from this row on."""
        return self._rows["address"].drop_nulls()[row:]

    def rows(self) -> pl.DataFrame:
        """The table."""
        known = pl.col("address").is_not_null()
        return pl.concat([self._rows.filter(known), self._rows.filter(~known)])
