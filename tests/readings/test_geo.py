"""Geo readiness with and without a database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import polars as pl
import pytest

from analyzer.addresses.ranges import to_number
from analyzer.errors import UsageError
from analyzer.readings.geo import geo as read_geo
from analyzer.readings.geo_rules import NEEDS, GeoRules

if TYPE_CHECKING:
    from analyzer.addresses.geo import GeoDatabase
    from analyzer.readings.geo import Geo

Rows = Callable[..., pl.DataFrame]

PLACES = {
    "198.51.100.1": ("DE", "EU", 3320, "Telekom"),
    "198.51.100.2": ("FR", "EU", 3215, None),
    "198.51.100.3": ("DE", "EU", None, None),
    "198.51.100.4": ("US", "NA", 64500, "Edge"),
    "10.0.0.10": ("ZZ", "XX", 1, "nobody"),
}


class Places:
    """A database of a few addresses; it knows nothing of classes."""

    knows: tuple[str, ...] = ("country", "asn")

    def lookup(self, addresses: pl.Series) -> pl.DataFrame:
        """Locate addresses."""
        places = {to_number(text): place for text, place in PLACES.items()}
        rows = [places.get(address, (None, None, None, None)) for address in addresses]
        schema = {"country": pl.String, "continent": pl.String, "asn": pl.UInt32, "as_name": pl.String}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def describe(self) -> list[dict[str, object]]:
        """Describe the files."""
        return [{"file": "places.mmdb", "type": "Places", "built": "2026-11-01T00:00:00Z", "knows": self.knows}]


@pytest.fixture
def database() -> GeoDatabase:
    """Return a database of a few places."""
    return cast("GeoDatabase", Places())


def geo(table: pl.DataFrame, database: GeoDatabase | None, **options: Any) -> Geo:
    """Read with two networks that are no visitors'."""
    return read_geo(table, database, **{"asn_classes": {3215: "hosting", 64500: "cdn"}, "top": 20} | options)


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
    assert reading.database == [{**each, "age_days": None} for each in Places().describe()]


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


def test_without_a_database_it_says_what_it_needs(labelled: Rows, database: GeoDatabase) -> None:
    """What is missing is named, and where to get it; a database of ASNs alone does not make visitors unlocatable."""
    table = labelled({"address": "198.51.100.1", "requests": 7})
    assert geo(table, None).needs == list(NEEDS.values())
    assert geo(table, database).needs == []
    asns = Places()
    asns.knows = ("asn",)
    reading = geo(table, cast("GeoDatabase", asns))
    assert (reading.locatable_pct, reading.needs) == (100.0, [NEEDS["country"]])


def test_who_would_be_judged(labelled: Rows, database: GeoDatabase) -> None:
    """Requests behind another machine's address are counted by whose it is, an edge that its ASN tells as well."""
    table = labelled(
        {"address": "198.51.100.1", "requests": 50},
        {"address": "198.51.100.4", "requests": 10},
        {"address": "10.0.0.10", "requests": 20, "class": "node"},
        {"address": "104.16.0.1", "requests": 15, "class": "lb", "kind": "cdn"},
        {"address": "10.0.0.11", "requests": 3, "class": "private"},
        {"address": "10.0.0.12", "requests": 2, "class": "private", "visitor": True},
    )
    reading = geo(table, database)
    assert reading.judged_by == {"cdn": 25, "node": 20, "private": 3}
    assert reading.judged_by_other_pct == 48.0


def test_networks_that_are_no_visitors_warn(labelled: Rows, database: GeoDatabase) -> None:
    """Addresses of data centres and CDNs are counted by class, with the networks' names."""
    table = labelled(
        {"address": "198.51.100.1", "requests": 50},
        {"address": "198.51.100.2", "requests": 40},
        {"address": "198.51.100.4", "requests": 10},
    )
    found = [
        (each.class_, each.requests, each.addresses, each.pct, each.names) for each in geo(table, database).asn_classes
    ]
    assert found == [("cdn", 10, 1, 10.0, ["Edge"]), ("hosting", 40, 1, 40.0, ["AS3215"])]


def test_continents_are_counted(labelled: Rows, database: GeoDatabase) -> None:
    """Continents add up over their countries."""
    table = labelled(*({"address": f"198.51.100.{n}", "requests": 10 * n} for n in (1, 2, 4)))
    assert [(each.code, each.requests) for each in geo(table, database).continents] == [("NA", 40), ("EU", 30)]


def test_recovered_clients_are_found_as_often_as_visitors(labelled: Rows, database: GeoDatabase) -> None:
    """Of a hundred lost requests whose clients are logged, as many could be located as of the visitors."""
    table = labelled(
        {"address": "198.51.100.1", "requests": 80},
        {"address": "203.0.113.9", "requests": 20},
        {"address": "10.0.0.10", "requests": 100, "class": "node"},
    )
    reading = geo(table, database, recoverable=50)
    assert (reading.locatable_pct, reading.locatable_if_recovered_pct) == (40.0, 60.0)
    assert geo(table, None, recoverable=50).locatable_if_recovered_pct == 75.0


def test_the_age_of_a_database_is_that_at_the_end_of_the_log(labelled: Rows, database: GeoDatabase) -> None:
    """How old a database was counts by the log's last request, so that a report can be made again."""
    table = labelled({"address": "198.51.100.1", "requests": 1, "last_time": datetime(2026, 11, 21, tzinfo=UTC)})
    (described,) = geo(table, database).database or []
    assert described["age_days"] == 20


RULED: tuple[dict[str, object], ...] = (
    {"address": "198.51.100.1", "requests": 50},
    {"address": "198.51.100.2", "requests": 20},
    {"address": "203.0.113.9", "requests": 10},
    {"address": "10.0.0.10", "requests": 15, "class": "node"},
    {"address": "10.0.0.11", "requests": 5, "class": "node"},
)


@pytest.mark.parametrize(
    ("rules", "rejected", "addresses", "rightly", "wrongly", "wrong_addresses", "unseen"),
    [
        (GeoRules(deny_country=("DE",)), 50, 1, 50, 0, 0, 20),
        (GeoRules(deny_country=("DE", "ZZ")), 65, 2, 50, 15, 1, 5),
        (GeoRules(allow_country=("DE",)), 50, 4, 30, 20, 2, 0),
        (GeoRules(allowlist=("198.51.100.2", "10.0.0.10/32")), 65, 3, 60, 5, 1, 15),
    ],
)
def test_rules_are_tried(
    labelled: Rows,
    database: GeoDatabase,
    rules: GeoRules,
    rejected: int,
    addresses: int,
    rightly: int,
    wrongly: int,
    wrong_addresses: int,
    unseen: int,
) -> None:
    """A rule hits rightly by the visitor's own address, wrongly and unseen by another machine's.

    Who has no country passes a list of countries to reject, and none to let in.
    """
    (found,) = geo(labelled(*RULED), database, rules=rules).rules
    assert (found.rejected, found.rejected_addresses) == (rejected, addresses)
    assert (found.rightly, found.wrongly, found.wrongly_addresses) == (rightly, wrongly, wrong_addresses)
    assert (found.unseen, found.unseen_pct, found.rejected_pct) == (unseen, unseen, rejected)


def test_several_rules_are_tried_apart(labelled: Rows, database: GeoDatabase) -> None:
    """Each kind of rule stands for itself; without any there is nothing to try."""
    rules = GeoRules.given(["de"], ["FR"], ["10.0.0.0/8"])
    assert [each.rule for each in geo(labelled(*RULED), database, rules=rules).rules] == [
        "deny-country",
        "allow-country",
        "allowlist",
    ]
    assert geo(labelled(*RULED), database).rules == []


@pytest.mark.parametrize(
    ("deny", "allow", "cidrs", "message"),
    [
        (["Germany"], [], [], "--deny-country: expected a country code of two letters such as DE, got 'Germany'"),
        ([], ["D1"], [], "--allow-country: expected a country code of two letters such as DE, got 'D1'"),
        ([], [], ["10.0.0.1/8"], "--allowlist: expected a CIDR without host bits such as 10.0.0.0/8"),
    ],
)
def test_rules_that_cannot_be_meant(deny: list[str], allow: list[str], cidrs: list[str], message: str) -> None:
    """What is no country code and no CIDR is an error that says so."""
    with pytest.raises(UsageError, match=message):
        GeoRules.given(deny, allow, cidrs)


def test_a_rule_by_country_needs_countries() -> None:
    """Without countries a rule by country cannot be tried; an allowlist can."""
    with pytest.raises(UsageError, match="--allow-country: expected a database that knows countries") as raised:
        GeoRules(allow_country=("DE",)).check(["asn"])
    assert "GeoLite2 Country" in str(raised.value.hint)
    GeoRules(allow_country=("DE",)).check(["country"])
    GeoRules(allowlist=("10.0.0.0/8",)).check([])
