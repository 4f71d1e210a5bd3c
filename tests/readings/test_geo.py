"""Geo readiness with and without a database."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import polars as pl
import pytest

from analyzer.addresses.ranges import to_number
from analyzer.readings.geo import geo

if TYPE_CHECKING:
    from analyzer.addresses.geo import GeoDatabase

Rows = Callable[..., pl.DataFrame]

PLACES = {
    "198.51.100.1": ("DE", "EU", 3320, "Telekom"),
    "198.51.100.2": ("FR", "EU", 3215, None),
    "198.51.100.3": ("DE", "EU", None, None),
    "10.0.0.10": ("ZZ", "XX", 1, "nobody"),
}


class Places:
    """A database of a few addresses; it knows nothing of classes."""

    def lookup(self, addresses: pl.Series) -> pl.DataFrame:
        """Locate addresses."""
        places = {to_number(text): place for text, place in PLACES.items()}
        rows = [places.get(address, (None, None, None, None)) for address in addresses]
        schema = {"country": pl.String, "continent": pl.String, "asn": pl.UInt32, "as_name": pl.String}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def describe(self) -> list[dict[str, object]]:
        """Describe the files."""
        return [{"file": "places.mmdb", "type": "Places", "built": "2026-11-01T00:00:00Z"}]


@pytest.fixture
def database() -> GeoDatabase:
    """Return a database of a few places."""
    return cast("GeoDatabase", Places())


def test_without_a_database_every_visitor_is_locatable(labelled: Rows) -> None:
    """Visitors' own addresses are what any database could locate at most."""
    table = labelled(
        {"address": "198.51.100.1", "requests": 7, "health_probes": 1},
        {"address": "10.0.0.10", "requests": 4, "class": "node"},
    )
    reading = geo(table, None, top=20)
    assert (reading.locatable_pct, reading.verdict, reading.database) == (60.0, "partly", None)
    assert (reading.countries, reading.asns, reading.locatable_if_recovered_pct) == ([], [], None)


def test_a_nodes_country_is_nobodys(labelled: Rows, database: GeoDatabase) -> None:
    """Only addresses of class client are looked up; an address without a country is not located."""
    table = labelled(
        {"address": "198.51.100.1", "requests": 30},
        {"address": "198.51.100.2", "requests": 40},
        {"address": "198.51.100.3", "requests": 20},
        {"address": "203.0.113.9", "requests": 5},
        {"address": "10.0.0.10", "requests": 5, "class": "node"},
        {"address": "198.51.100.2", "requests": 9, "class": "private", "in_cluster": True},
    )
    reading = geo(table, database, top=20)
    assert (reading.locatable_pct, reading.verdict) == (90.0, "partly")
    assert [(each.code, each.requests, each.pct) for each in reading.countries] == [("DE", 50, 50.0), ("FR", 40, 40.0)]
    assert [(each.asn, each.name, each.requests) for each in reading.asns] == [(3215, None, 40), (3320, "Telekom", 30)]
    assert reading.database == Places().describe()


def test_top_cuts_the_lists(labelled: Rows, database: GeoDatabase) -> None:
    """`--top 1` shows the busiest country, 0 all."""
    table = labelled({"address": "198.51.100.1", "requests": 1}, {"address": "198.51.100.2", "requests": 2})
    assert [each.code for each in geo(table, database, top=1).countries] == ["FR"]
    assert len(geo(table, database, top=0).countries) == 2


@pytest.mark.parametrize(
    ("clients", "verdict"), [(100, "ready"), (95, "ready"), (94, "partly"), (50, "partly"), (49, "not-ready")]
)
def test_verdict_follows_the_percentage(labelled: Rows, clients: int, verdict: str) -> None:
    """From 95 % a lookup is worth its while, from 50 % partly."""
    table = labelled(
        {"address": "198.51.100.1", "requests": clients},
        {"address": "10.0.0.10", "requests": 100 - clients, "class": "node"},
    )
    assert geo(table, None, top=20).verdict == verdict


def test_nothing_to_locate_is_unknown(labelled: Rows, database: GeoDatabase) -> None:
    """Without a considered request there is no percentage."""
    for each in (None, database):
        reading = geo(labelled({"requests": 3, "class": "unknown"}), each, top=20)
        assert (reading.locatable_pct, reading.verdict, reading.countries) == (None, "unknown", [])
