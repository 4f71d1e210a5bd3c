"""Geo databases: every vendor's layout, and every address as the vendor's own reader answers."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import maxminddb
import polars as pl
import pytest
from geo_databases import EDGES, GB, NETWORKS, locate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.addresses import mmdb as reading
from analyzer.addresses.geo import GeoDatabase
from analyzer.addresses.ranges import MAPPED, to_number
from tests import mmdb

pytestmark = pytest.mark.usefixtures("cache")

NOTHING = (None, None, None, None)

LAYOUTS: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "MaxMind Country": (GB | {"registered_country": {"iso_code": "FR"}}, ("GB", "EU", None, None)),
    "MaxMind City": (
        GB | {"city": {"names": {"en": "Boxford"}}, "location": {"latitude": 51.75}, "postal": {"code": "OX1"}},
        ("GB", "EU", None, None),
    ),
    "MaxMind ASN": (
        {"autonomous_system_number": 1221, "autonomous_system_organization": "Telstra"},
        (None, None, 1221, "Telstra"),
    ),
    "MaxMind Enterprise": (
        GB | {"traits": {"autonomous_system_number": 20712, "autonomous_system_organization": "Andrews & Arnold"}},
        ("GB", "EU", 20712, "Andrews & Arnold"),
    ),
    "DB-IP Country Lite": (
        {"continent": {"code": "EU"}, "country": {"iso_code": "DE", "is_in_european_union": True}},
        ("DE", "EU", None, None),
    ),
    "IPinfo Lite": (
        {
            "asn": "AS174",
            "as_name": "Cogent",
            "as_domain": "cogentco.com",
            "continent": "North America",
            "continent_code": "NA",
            "country": "United States",
            "country_code": "US",
        },
        ("US", "NA", 174, "Cogent"),
    ),
    "old IPinfo country_asn": (
        {"country": "JP", "country_name": "Japan", "continent": "AS", "continent_name": "Asia", "asn": "AS2516"},
        ("JP", "AS", 2516, None),
    ),
    "ip-location-db country": ({"country_code": "BT"}, ("BT", None, None, None)),
    "ip-location-db ASN": (
        {"autonomous_system_number": 4_294_967_295, "autonomous_system_organization": ""},
        (None, None, 4_294_967_295, None),
    ),
    "only registered": ({"registered_country": {"iso_code": "FR"}, "country_code": "US"}, ("US", None, None, None)),
    "a country without its code": ({"country": "Peru", "country_code": "", "asn": "7"}, (None, None, 7, None)),
}


def oracle(reader: maxminddb.Reader, address: IPv4Address | IPv6Address) -> tuple[Any, ...]:
    """Answer as the vendor's reader; an IPv4-mapped address is an IPv4 address to us."""
    address = getattr(address, "ipv4_mapped", None) or address
    if address.version == 6 and reader.metadata().ip_version == 4:
        return NOTHING
    record: Any = reader.get(address) or {}
    country = record.get("country_code") or record.get("country", {}).get("iso_code")
    asn = int(record["asn"][2:]) if "asn" in record else None
    return country, record.get("continent", {}).get("code"), asn, record.get("as_name")


def assert_agrees(path: Path, addresses: list[IPv4Address | IPv6Address]) -> None:
    """Compare every answer with the vendor's reader."""
    found = locate(GeoDatabase.open([path]), *map(str, addresses))
    with maxminddb.open_database(path) as reader:
        assert found == [oracle(reader, address) for address in addresses]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str, tmp_path: Path) -> None:
    """Every vendor's record gives the same four columns, told by its keys alone."""
    record, expected = LAYOUTS[layout]
    records = {"81.2.69.0/24": record, "192.0.2.0/24": {"country_code": "ZZ"}}
    database = GeoDatabase.open([mmdb.write(tmp_path / "no-name-to-go-by", records)])
    assert locate(database, "81.2.69.142") == [expected]


@pytest.mark.parametrize("asn", ["AS0", "AS4294967296", "AS", "AS-1", "174 ", "١٧٤", 0, 2**40, True, 1.5, ["AS1"]])
def test_asn_that_is_none(asn: object, tmp_path: Path) -> None:
    """An ASN that is no number of 32 bits is unknown, whatever its type."""
    path = mmdb.write(tmp_path / "a.mmdb", {"81.2.69.0/24": {"country_code": "GB", "asn": asn, "as_name": 7}})
    assert locate(GeoDatabase.open([path]), "81.2.69.1") == [("GB", None, None, None)]


@pytest.mark.parametrize("aliases", [True, False])
@pytest.mark.parametrize("record_size", [24, 28, 32])
@pytest.mark.parametrize("ip_version", [4, 6])
def test_edges(ip_version: int, record_size: int, aliases: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """First and last addresses of networks, aliases of IPv4 and gaps are answered as the vendor's reader does."""
    networks = {network: record for network, record in NETWORKS.items() if ip_version == 6 or ":" not in network}
    path = mmdb.write(tmp_path / "a.mmdb", networks, aliases=aliases, ip_version=ip_version, record_size=record_size)
    assert_agrees(path, [ip_address(address) for address in EDGES])


@pytest.mark.parametrize("record_size", [28, 32])
def test_large_file(record_size: int, tmp_path: Path) -> None:
    """Records far into a file, where their pointers need more than 24 bits, are found on both sides of a node."""
    data = mmdb.encode(NETWORKS["0.0.0.0/8"]).ljust(1 << 24) + mmdb.encode(GB)
    near, far = mmdb.leaf(0), mmdb.leaf(1 << 24)
    path = tmp_path / "a.mmdb"
    for node, expected in (([far, near], ["GB", "AA"]), ([near, far], ["AA", "GB"])):
        path.write_bytes(mmdb.assemble([node], data, ip_version=4, record_size=record_size))
        found = locate(GeoDatabase.open([path]), "0.0.0.1", "128.0.0.1")
        assert [country for country, *_ in found] == expected


@pytest.mark.parametrize("network", ["::/0", "::/1", "::/64", "::/80", "::/95", "::/96", "0.0.0.0/0", "::ffff:0:0/96"])
@pytest.mark.parametrize("aliases", [True, False])
def test_ipv4_inside_a_larger_network(network: str, aliases: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """IPv4 is answered right where one network holds all of it, and its neighbours of the same record are kept."""
    networks = {network: {"country_code": "AA"}, "2a00::/12": {"country_code": "AA"}, "4000::/2": GB}
    path = mmdb.write(tmp_path / "a.mmdb", networks, aliases=aliases)
    assert_agrees(path, [ip_address(address) for address in EDGES])


@st.composite
def addresses(draw: st.DrawFn) -> IPv4Address | IPv6Address:
    """Draw an address, often one that is or embeds IPv4."""
    ipv4 = draw(st.integers(0, 2**32 - 1))
    tail = draw(st.integers(0, 2**80 - 1))
    embedded = st.sampled_from([ipv4, MAPPED | ipv4, 0x2002 << 112 | ipv4 << 80 | tail, 0x20010000 << 96 | ipv4 << 64])
    return draw(st.one_of(st.just(IPv4Address(ipv4)), st.ip_addresses(), embedded.map(IPv6Address)))


@st.composite
def networks(draw: st.DrawFn, version: int) -> str:
    """Draw a network of any size."""
    address = draw(st.ip_addresses(v=4) if version == 4 else addresses())
    length = draw(st.integers(1, address.max_prefixlen))
    spare = address.max_prefixlen - length
    return f"{type(address)(int(address) >> spare << spare)}/{length}"


@pytest.mark.parametrize("ip_version", [4, 6])
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_agrees_with_the_reader(ip_version: int, data: st.DataObject, tmp_path: Path) -> None:
    """Any address of either family, in any database, is answered as the vendor's reader does."""
    countries = st.sampled_from(["AA", "BB", "CC"]).map(lambda code: {"country_code": code})
    chosen = {"9.0.0.0/8": GB} | data.draw(st.dictionaries(networks(ip_version), countries, max_size=12))
    size, aliases = data.draw(st.sampled_from([24, 28, 32])), data.draw(st.booleans())
    path = mmdb.write(tmp_path / "a.mmdb", chosen, aliases=aliases, ip_version=ip_version, record_size=size)
    inside = [ip_address(network.split("/")[0]) for network in chosen]
    assert_agrees(path, inside + data.draw(st.lists(addresses(), min_size=1, max_size=40)))


def test_null_and_none(tmp_path: Path) -> None:
    """A null address has no place, no addresses give no rows, and the columns keep their types."""
    database = GeoDatabase.open([mmdb.write(tmp_path / "a.mmdb", NETWORKS)])
    found = database.lookup(pl.Series("remote", [None, to_number("81.2.70.1"), None], dtype=pl.UInt128))
    assert found.rows() == [NOTHING, ("GB", "EU", None, None), NOTHING]
    empty = database.lookup(pl.Series([], dtype=pl.UInt128))
    assert empty.is_empty()
    assert empty.schema == {"country": pl.String, "continent": pl.String, "asn": pl.UInt32, "as_name": pl.String}


def test_several_files(tmp_path: Path) -> None:
    """Country and ASN each come from the first file that knows them, with the continent and name that go with them."""
    first = {
        "10.1.0.0/16": {"country_code": "AA"},
        "10.2.0.0/16": {"continent": {"code": "EU"}},
        "10.4.0.0/16": {"asn": "AS1"},
    }
    second = {
        "10.0.0.0/14": {"country_code": "BB", "continent_code": "NA", "asn": "AS2", "as_name": "two"},
        "10.4.0.0/16": {"asn": "AS2", "as_name": "two"},
    }
    paths = [mmdb.write(tmp_path / "1.mmdb", first), mmdb.write(tmp_path / "2.mmdb", second)]
    assert locate(GeoDatabase.open(paths), "10.1.0.1", "10.2.0.1", "10.3.0.1", "10.4.0.1", "10.5.0.1") == [
        ("AA", None, 2, "two"),
        ("BB", "NA", 2, "two"),
        ("BB", "NA", 2, "two"),
        (None, None, 1, None),
        NOTHING,
    ]


def test_describe(tmp_path: Path) -> None:
    """A report can name each database, what it is and how old it is, in the order given."""
    one = mmdb.write(tmp_path / "1.mmdb", NETWORKS, database_type="GeoLite2-Country")
    two = mmdb.write(tmp_path / "2.mmdb", NETWORKS, database_type="ipinfo lite", build_epoch=1)
    both = ["country", "asn"]
    assert GeoDatabase.open([one, two]).describe() == [
        {"file": str(one), "type": "GeoLite2-Country", "built": "2026-01-01T00:00:00Z", "knows": both},
        {"file": str(two), "type": "ipinfo lite", "built": "1970-01-01T00:00:01Z", "knows": both},
    ]


def test_what_a_database_knows(tmp_path: Path) -> None:
    """Whether countries or ASNs can be asked for is told from the records, of all files together."""
    country = mmdb.write(tmp_path / "1.mmdb", {"10.0.0.0/8": GB})
    asn = mmdb.write(tmp_path / "2.mmdb", {"10.0.0.0/8": {"asn": "AS1"}})
    assert GeoDatabase.open([country]).knows == ("country",)
    assert GeoDatabase.open([asn]).knows == ("asn",)
    assert GeoDatabase.open([asn, country]).knows == ("country", "asn")


def test_neighbours_merge(tmp_path: Path, cache: Path) -> None:
    """Networks side by side that say the same are one range."""
    GeoDatabase.open([mmdb.write(tmp_path / "a.mmdb", {f"10.0.{n}.0/24": GB for n in range(256)}, ip_version=4)])
    (cached,) = cache.iterdir()
    assert pl.read_ipc(cached)["starts"].list.len().item() == 3


REAL = [Path(name) for name in os.environ.get("LOGSCAN_TEST_MMDB", "").split(os.pathsep) if name]


@pytest.mark.skipif(not REAL, reason="LOGSCAN_TEST_MMDB names no databases of a vendor")
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_a_real_database(path: Path) -> None:
    """Both sides of ten thousand borders, and addresses anywhere, are answered as the vendor's own reader does."""
    generator = random.Random(1)
    database = GeoDatabase.open([path])
    (file,) = database._files
    borders = generator.sample(file.table.starts.to_list(), 10_000)
    numbers = [border + step for border in borders for step in (-1, 0) if border + step >= 0]
    numbers += [MAPPED + generator.getrandbits(32) for _ in range(20_000)]
    numbers += [2 << 124 | generator.getrandbits(124) for _ in range(5_000)]
    found = database.lookup(pl.Series(numbers, dtype=pl.UInt128))
    with maxminddb.open_database(path) as reader:
        expected = [reading._place(reader.get(reading._address(number))) for number in numbers]
    assert found.rows() == expected
    assert found["country"].null_count() < len(numbers) / 2


def test_long_names_are_cut(tmp_path: Path) -> None:
    """A name as long as a hostile file can make it does not travel through the program."""
    path = mmdb.write(tmp_path / "a.mmdb", {"10.0.0.0/8": {"asn": "AS1", "as_name": "x" * 60_000}})
    assert locate(GeoDatabase.open([path]), "10.0.0.1") == [(None, None, 1, "x" * 256)]


def test_pyarrow_and_reader_stay_out(tmp_path: Path) -> None:
    """Asking a cached database imports neither pyarrow nor maxminddb."""
    path = mmdb.write(tmp_path / "a.mmdb", NETWORKS)
    GeoDatabase.open([path])
    code = (
        "import pathlib, sys; from analyzer.addresses.geo import GeoDatabase\n"
        f"GeoDatabase.open([pathlib.Path({str(path)!r})])\n"
        "assert not {'pyarrow', 'maxminddb'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
