"""Geo: for how many requests a country can be read off the logged address, and what a rule by country would do.

A lookup on a node's or a load balancer's address finds that machine's country, or none: only visitors' own addresses
count as locatable. Without a database the reading says what any database could find at most, and what it needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from analyzer.addresses.asns import CLASSES as ASN_CLASSES
from analyzer.charts import Bars
from analyzer.readings.geo_rules import NEEDS, GeoRules, RuleHit, simulate
from analyzer.readings.reading import Reading, frame_of
from analyzer.readings.shares import considered, percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.addresses.geo import GeoDatabase

READY_PCT = 95.0
PARTLY_PCT = 50.0

_NAMES = 3
_ASN_CLASS = {"asn": pl.UInt32(), "asn_class": pl.Enum(ASN_CLASSES)}
_PLACES = {"country": pl.String(), "continent": pl.String(), "as_name": pl.String(), **_ASN_CLASS}


@dataclass(frozen=True, slots=True)
class Country:
    """Requests located in one country; `code` is ISO 3166-1 alpha-2, `pct` the share of considered requests."""

    code: str
    requests: int
    pct: float | None


@dataclass(frozen=True, slots=True)
class Continent:
    """Requests located on one continent; `code` is one of AF, AN, AS, EU, NA, OC, SA."""

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
class AsnClass:
    """Requests with a visitor's address out of networks that are no visitors' (``cdn``, ``hosting``; `rules/asns/`).

    A CDN's address stands for people elsewhere; a program in a data centre is where the data centre is. `names` are the
    busiest networks.
    """

    class_: str
    requests: int
    addresses: int
    pct: float | None
    names: list[str]


@dataclass(frozen=True, slots=True)
class Geo(Reading):
    """What a geo lookup on the remote address is worth; percentages are of considered requests.

    `locatable_if_recovered_pct` takes it that recovered clients are found as often as the visitors that are logged.
    `judged_by_other_pct` is the share of requests that a rule would judge by the address of another machine, and
    `judged_by` whose: ``node``, ``lb``, ``cdn`` or ``private``. `needs` says what is missing for the rest.
    """

    verdict: str
    locatable_pct: float | None
    locatable_if_recovered_pct: float | None
    database: list[dict[str, object]] | None
    countries: list[Country]
    asns: list[AutonomousSystem]
    continents: list[Continent] = field(default_factory=list)
    judged_by_other_pct: float | None = None
    judged_by: dict[str, int] = field(default_factory=dict)
    asn_classes: list[AsnClass] = field(default_factory=list)
    rules: list[RuleHit] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)

    @property
    def frame(self) -> pl.DataFrame:
        """The countries, a row each."""
        return frame_of(self.countries, Country)

    def plot(self) -> Bars:
        """Shares of the countries."""
        return Bars(title="Countries", frame=self.frame, name="code", value="pct", unit="% of requests")


def geo(  # noqa: PLR0913 - tables, and what a user asks for
    labelled: pl.DataFrame,
    database: GeoDatabase | None,
    *,
    asn_classes: Mapping[int, str],
    rules: GeoRules = GeoRules(),  # noqa: B008 - cannot change
    recoverable: int | None = None,
    top: int,
) -> Geo:
    """Read geo readiness off a labelled address table.

    Parameters
    ----------
    labelled
        The address table with the columns that `Classifier.label` and `analyzer.readings.proxies.infer` append.
    database
        Where to look addresses up. Without countries in it, every visitor's address counts as locatable.
    asn_classes
        The class of each autonomous system that is no visitors', see `analyzer.addresses.asns`.
    rules
        Rules to try.
    recoverable
        Considered requests whose client stands in the log beside the remote address; None where none could.
    top
        How many countries and networks to list, the busiest first; 0 lists all.
    """
    knows = () if database is None else database.knows
    judged = _judged(labelled, database, asn_classes)
    total = int(judged["considered"].sum())
    visitors = judged.filter(pl.col("class") == "client")
    of_visitors = int(visitors["considered"].sum())
    found = visitors.filter(pl.col("country").is_not_null()) if "country" in knows else visitors
    locatable = int(found["considered"].sum())
    back = None
    if recoverable is not None:
        back = percent(locatable + round(recoverable * (locatable / of_visitors if of_visitors else 1.0)), total)
    others = judged.filter(~pl.col("visitor")).group_by("judge").agg(pl.col("considered").sum()).sort("judge")
    locatable_pct = percent(locatable, total)
    return Geo(
        verdict=_verdict(locatable_pct),
        locatable_pct=locatable_pct,
        locatable_if_recovered_pct=back,
        database=None if database is None else _described(database, labelled),
        countries=[
            Country(code, requests, percent(requests, total))
            for code, requests in _busiest(visitors, "country", top).iter_rows()
        ],
        asns=[
            AutonomousSystem(asn, name, requests, percent(requests, total))
            for asn, requests, name in _busiest(visitors, "asn", top, pl.first("as_name")).iter_rows()
        ],
        continents=[
            Continent(code, requests, percent(requests, total))
            for code, requests in _busiest(visitors, "continent", 0).iter_rows()
        ],
        judged_by_other_pct=percent(int(others["considered"].sum()), total),
        judged_by=dict(others.iter_rows()),
        asn_classes=_asn_classes(visitors, total),
        rules=simulate(judged, rules, total),
        needs=[text for name, text in NEEDS.items() if name not in knows],
    )


def _judged(labelled: pl.DataFrame, database: GeoDatabase | None, asn_classes: Mapping[int, str]) -> pl.DataFrame:
    """The considered addresses with their places, and by whose address (``judge``) their requests would be judged."""
    judged = labelled.select("address", "class", "kind", "visitor", considered()).filter(pl.col("considered") > 0)
    if database is None:
        judged = judged.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in _PLACES.items())
    else:
        judged = judged.hstack(database.lookup(judged["address"]))
        known = pl.DataFrame({"asn": list(asn_classes), "asn_class": list(asn_classes.values())}, schema=_ASN_CLASS)
        judged = judged.join(known, on="asn", how="left", maintain_order="left")
    is_cdn = (pl.col("kind") == "cdn") | (pl.col("asn_class") == "cdn").fill_null(value=False)
    judge = pl.when(is_cdn).then(pl.lit("cdn")).otherwise(pl.col("class").cast(pl.String))
    return judged.with_columns(pl.col("visitor") & ~is_cdn, judge=judge)


def _asn_classes(visitors: pl.DataFrame, total: int) -> list[AsnClass]:
    classes = []
    for class_ in ASN_CLASSES:
        of_class = visitors.filter(pl.col("asn_class") == class_)
        if of_class.height:
            requests = int(of_class["considered"].sum())
            names = [
                name or f"AS{asn}"
                for asn, _, name in _busiest(of_class, "asn", _NAMES, pl.first("as_name")).iter_rows()
            ]
            classes.append(AsnClass(class_, requests, of_class.height, percent(requests, total), names))
    return classes


def _described(database: GeoDatabase, labelled: pl.DataFrame) -> list[dict[str, object]]:
    """Say which databases were used, and how many days each is older than the last request."""
    last = labelled["last_time"].max()
    described = []
    for file in database.describe():
        built = datetime.fromisoformat(str(file["built"]))
        described.append({**file, "age_days": (last - built).days if isinstance(last, datetime) else None})
    return described


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
