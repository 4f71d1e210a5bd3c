"""Networks of a geo database, and what it says of addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from analyzer.addresses.ranges import to_number

if TYPE_CHECKING:
    from analyzer.addresses.geo import GeoDatabase

GB = {"country": {"iso_code": "GB", "names": {"en": "United Kingdom"}}, "continent": {"code": "EU"}}


# Networks of both families, nested, with neighbours of the same record; IPv4 next to the ends of its space.
NETWORKS = {
    "0.0.0.0/8": {"country_code": "AA"},
    "81.2.69.0/24": GB,
    "81.2.69.128/25": {"country_code": "FR"},
    "81.2.69.142/32": {"country_code": "DE", "asn": "AS1"},
    "81.2.70.0/24": GB,
    "81.2.71.0/24": GB,
    "203.0.113.0/24": {"asn": "AS64496", "as_name": "Ω"},
    "255.255.255.255/32": {"country_code": "ZW"},
    "2001:db8::/32": {"country_code": "NL"},
    "2001:db8:1::/48": {"country_code": "BE"},
    "2a00::/12": GB,
    "fe00::/7": {"country_code": "SE"},
}


EDGES = [
    *("0.0.0.1", "0.255.255.255", "1.0.0.0", "81.2.68.255", "81.2.69.0", "81.2.69.127", "81.2.69.128", "81.2.69.141"),
    *("81.2.69.142", "81.2.69.143", "81.2.71.255", "81.2.72.0", "203.0.113.7", "255.255.255.254", "255.255.255.255"),
    *("::", "::1", "::81.2.69.142", "::255.255.255.255", "::1:0:0", "::fffe:ffff:ffff", "::1:0:0:0", "64:ff9b::1"),
    *("2001:0:5102:458e::", "2001:0:ffff:ffff:ffff::", "2001:1::", "2001:db8::", "2001:db8:1::", "2001:db9::"),
    *("2002:5102:458e::", "2002:5102:458e:ffff:ffff:ffff:ffff:ffff", "2002:ffff:ffff::1", "2003::", "2a00::1"),
    *("2a0f:ffff::", "2a10::", "fe00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
]


def locate(database: GeoDatabase, *addresses: str) -> list[tuple[Any, ...]]:
    """Look up addresses given as text."""
    numbers = pl.Series([to_number(address) for address in addresses], dtype=pl.UInt128)
    return database.lookup(numbers).rows()
