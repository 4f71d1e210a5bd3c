"""Geo: for how many requests a country can be read off the logged address.

A lookup on a node's or a load balancer's address finds that machine's country, or none: only visitors' own addresses
count as locatable. Without a database the reading says what any database could find at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from analyzer.charts import Bars
from analyzer.readings.reading import Reading, frame_of
from analyzer.readings.shares import considered, percent

if TYPE_CHECKING:
    from analyzer.addresses.geo import GeoDatabase

READY_PCT = 95.0
PARTLY_PCT = 50.0


@dataclass(frozen=True, slots=True)
class Country:
    """Requests located in one country; `code` is ISO 3166-1 alpha-2, `pct` the share of considered requests."""

    code: str
    requests: int
    pct: float | None


@dataclass(frozen=True, slots=True)
class AutonomousSystem:
    """Requests from one network; `pct` is the share of considered requests."""

    asn: int
    name: str | None
    requests: int
    pct: float | None


@dataclass(frozen=True, slots=True)
class Geo(Reading):
    """What a geo lookup on the remote address is worth; percentages are of considered requests."""

    verdict: str
    locatable_pct: float | None
    locatable_if_recovered_pct: float | None
    database: list[dict[str, object]] | None
    countries: list[Country]
    asns: list[AutonomousSystem]

    @property
    def frame(self) -> pl.DataFrame:
        """The countries, a row each."""
        return frame_of(self.countries, Country)

    def plot(self) -> Bars:
        """Shares of the countries."""
        return Bars(title="Countries", frame=self.frame, name="code", value="pct", unit="% of requests")


def geo(labelled: pl.DataFrame, database: GeoDatabase | None, *, recoverable: int | None = None, top: int) -> Geo:
    """Read geo readiness off a labelled address table.

    Parameters
    ----------
    labelled
        The address table with the columns that `Classifier.label` appends.
    database
        Where to look visitors up. Without one, every visitor's address counts as locatable.
    recoverable
        Considered requests whose client stands in the log beside the remote address; None where none could.
    top
        How many countries and networks to list, the busiest first; 0 lists all.
    """
    visits = labelled.select("address", "class", considered())
    total = int(visits["considered"].sum())
    visitors = visits.filter((pl.col("class") == "client") & (pl.col("considered") > 0))
    countries: list[Country] = []
    asns: list[AutonomousSystem] = []
    if database is None:
        locatable = int(visitors["considered"].sum())
    else:
        located = visitors.hstack(database.lookup(visitors["address"]))
        locatable = int(located.filter(pl.col("country").is_not_null())["considered"].sum())
        countries = [
            Country(code, requests, percent(requests, total))
            for code, requests in _busiest(located, "country", top).select("country", "considered").iter_rows()
        ]
        asns = [
            AutonomousSystem(asn, name, requests, percent(requests, total))
            for asn, requests, name in _busiest(located, "asn", top, pl.first("as_name")).iter_rows()
        ]
    locatable_pct = percent(locatable, total)
    return Geo(
        verdict=_verdict(locatable_pct),
        locatable_pct=locatable_pct,
        locatable_if_recovered_pct=None if recoverable is None else percent(locatable + recoverable, total),
        database=None if database is None else database.describe(),
        countries=countries,
        asns=asns,
    )


def _busiest(located: pl.DataFrame, key: str, top: int, *more: pl.Expr) -> pl.DataFrame:
    counted = located.filter(pl.col(key).is_not_null()).group_by(key).agg(pl.sum("considered"), *more)
    counted = counted.sort("considered", key, descending=[True, False])
    return counted.head(top) if top else counted


def _verdict(locatable_pct: float | None) -> str:
    if locatable_pct is None:
        return "unknown"
    if locatable_pct >= READY_PCT:
        return "ready"
    return "partly" if locatable_pct >= PARTLY_PCT else "not-ready"
