"""Which address each visitor has, as the server would log it once it trusts the proxies in front of it.

What is known of it: a chain, a PROXY header's address or the peer's, see `analyzer.addresses.forwarded`; proxies are
told by ranges. `new_clients` gives the finder in C where it was built; the portable one does the same with Polars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import polars as pl

from analyzer.addresses.forwarded import Trusted, address_texts, effective_client
from analyzer.arrow import frame_of
from analyzer.native import compiled
from analyzer.parsing.scanner import use_native
from analyzer.tables.chains import SAID, WANTED
from analyzer.tables.labels import for_chains

if TYPE_CHECKING:
    from analyzer.tables.labels import Labels

#: The visitor's own address, in rows that say it already.
CLIENT = "client"

_NATIVE = compiled("analyzer.tables._chains")


class Clients(Protocol):
    """Finds visitors."""

    def find(self, rows: pl.DataFrame) -> pl.Series:
        """The address of each row's visitor, of a frame with ``address`` and those of `SAID` that its format logs."""


def with_clients(rows: pl.DataFrame, clients: Clients) -> pl.DataFrame:
    """Add `CLIENT` to rows that do not say it yet, where their format tells of somebody behind the logged address."""
    if CLIENT in rows.columns or not any(name in rows.columns for name in WANTED):
        return rows
    return rows.with_columns(clients.find(rows).alias(CLIENT))


def new_clients(labels: Labels) -> Clients:
    """Find visitors behind what `labels` says to be proxies."""
    return (NativeClients if _NATIVE is not None and use_native() else PortableClients)(labels)


class NativeClients:
    """chains.c behind the contract of `Clients`."""

    def __init__(self, labels: Labels) -> None:
        self._clients = _NATIVE.Clients(for_chains(labels))

    def find(self, rows: pl.DataFrame) -> pl.Series:
        """The visitors."""
        names = [name for name in SAID if name in rows.columns]
        present = sum(1 << place for place, name in enumerate(SAID) if name in names)
        return frame_of(self._clients.find(rows.select(names).__arrow_c_stream__(), present))["address"]


class PortableClients:
    """The same with Polars."""

    def __init__(self, labels: Labels) -> None:
        self._trusted = Trusted.proxies(labels.label)

    def find(self, rows: pl.DataFrame) -> pl.Series:
        """The visitors."""
        absent = [pl.lit(None, dtype).alias(name) for name, dtype in SAID.items() if name not in rows.columns]
        hops = rows.with_columns(absent).select(*SAID)
        # A chain of the logged address alone tells of nobody else.
        other = (pl.col("single") != pl.col("address")).fill_null(pl.col("single").is_not_null())
        told = hops.filter(other | pl.any_horizontal(pl.col("peer", "proxied", "chain").is_not_null())).unique()
        if told.is_empty():
            return hops["address"]
        texts = pl.coalesce("chain", address_texts(told["single"]))
        found = effective_client(told.select("address", "peer", "proxied", texts.alias("chain")), self._trusted)
        told = told.with_columns(found["client_address"].alias("client"))
        joined = hops.join(told, on=list(SAID), how="left", nulls_equal=True, maintain_order="left")
        return joined.select(pl.coalesce("client", "address").alias("address")).to_series()
