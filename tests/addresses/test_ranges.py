"""Numbers, texts and range tables, held against the standard library's `ipaddress` and a plain search."""

from __future__ import annotations

import ipaddress

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.addresses.ranges import (
    MAPPED,
    RangeTable,
    format_addresses,
    format_range,
    network_ranges,
    parse_addresses,
    parse_network,
    to_number,
    to_text,
)

LAST = (1 << 128) - 1
NUMBERS = st.one_of(st.integers(0, LAST), st.integers(MAPPED, MAPPED + 0xFFFFFFFF), st.sampled_from([0, LAST]))
ADDRESSES = st.one_of(st.ip_addresses().map(str), st.ip_addresses(v=6).map(lambda address: address.exploded))
NEAR_ADDRESSES = st.text("0123456789abcdefABCDEF:.%/+ -", max_size=20)
DOTTED = st.lists(st.text("0123456789", max_size=4), min_size=3, max_size=5).map(".".join)
NO_ADDRESSES = [
    "", "-", "unix:", "unix:/run/nginx.sock", "example.com", "01.2.3.4", "1.2.3.04", "00.0.0.0", "256.1.1.1", "1.2.3",
    "1.2.3.4.5", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4\n", "1.2.3.4:80", "[::1]", "::1%eth0", "fe80::1%1", "1::2::3",
    "12345::", "::g", "+1.2.3.4", "\u0661.2.3.4", "1.2.3.4/32", "0x7f.1.1.1", "2130706433",
]  # fmt: skip


def standard(text: str) -> int | None:
    """Read an address with the standard library alone; a zone id makes it none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return int(ipaddress.IPv6Address(f"::ffff:{address}"))
    return None if address.scope_id else int(address)


def numbers(*values: int | None) -> pl.Series:
    """Return a column of addresses."""
    return pl.Series(values, dtype=pl.UInt128)


def smallest(entries: list[tuple[int, int, int]], number: int) -> int | None:
    """Search all ranges for the smallest that holds a number, the earliest of equals."""
    holding = [entry for entry in entries if entry[0] <= number <= entry[1]]
    return min(holding, key=lambda entry: entry[1] - entry[0])[2] if holding else None


@given(st.lists(st.one_of(st.none(), ADDRESSES, NEAR_ADDRESSES, DOTTED)))
def test_reading_agrees_with_the_standard_library(texts: list[str | None]) -> None:
    """A text is an address exactly where `ipaddress` says so, one at a time and a column at a time."""
    expected = [None if text is None else standard(text) for text in texts]
    assert [None if text is None else to_number(text) for text in texts] == expected
    assert parse_addresses(pl.Series("x", texts, dtype=pl.String)).to_list() == expected


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_is_no_address(text: str) -> None:
    """Leading zeros, zone ids, ports, blanks and names make a text no address."""
    assert to_number(text) is None
    assert parse_addresses(pl.Series([text, "10.0.0.1", "::1"])).to_list() == [None, MAPPED + 0x0A000001, 1]


def test_mapped_ipv6_is_ipv4() -> None:
    """An IPv4-mapped IPv6 address is the same number as the IPv4 address, and is written dotted."""
    assert to_number("::ffff:10.1.2.3") == to_number("::FFFF:0a01:203") == to_number("10.1.2.3")
    assert to_text(to_number("::ffff:10.1.2.3") or 0) == "10.1.2.3"
    assert to_text(MAPPED - 1) == "::fffe:ffff:ffff"


@given(st.lists(st.one_of(st.none(), NUMBERS)))
def test_writing_and_reading_is_the_identity(values: list[int | None]) -> None:
    """What is written as text reads back as the same number, null stays null."""
    column = pl.Series("address", values, dtype=pl.UInt128)
    texts = format_addresses(column)
    assert texts.dtype == pl.String
    assert parse_addresses(texts).equals(column, check_names=True, check_dtypes=True)


@given(st.ip_addresses(), st.data())
def test_networks_agree_with_the_standard_library(address: ipaddress.IPv4Address, data: st.DataObject) -> None:
    """A CIDR covers from its network address to its broadcast address."""
    prefix = data.draw(st.integers(0, address.max_prefixlen))
    network = ipaddress.ip_network((address, prefix), strict=False)
    expected = (to_number(str(network[0])), to_number(str(network[-1])))
    assert parse_network(str(network)) == expected
    assert parse_network(str(address)) == (to_number(str(address)),) * 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.0/33", 'expected a CIDR such as 10.0.0.0/16, got "10.0.0.0/33"'),
        ("::/129", 'expected a CIDR such as 10.0.0.0/16, got "::/129"'),
        ("10.0.0.0/", 'expected a CIDR such as 10.0.0.0/16, got "10.0.0.0/"'),
        ("10.0.0.0/-1", 'expected a CIDR such as 10.0.0.0/16, got "10.0.0.0/-1"'),
        ("10.0.0.0/255.0.0.0", 'expected a CIDR such as 10.0.0.0/16, got "10.0.0.0/255.0.0.0"'),
        ("10.0.0.0/" + "1" * 5000, "expected a CIDR such as 10.0.0.0/16"),
        ("office", 'expected a CIDR such as 10.0.0.0/16, got "office"'),
        ("10.0.5.0/16", 'expected a CIDR without host bits such as 10.0.0.0/16, got "10.0.5.0/16"'),
        ("2001:db8::1/32", 'expected a CIDR without host bits such as 2001:db8::/32, got "2001:db8::1/32"'),
    ],
)
def test_what_is_no_network(text: str, expected: str) -> None:
    """A wrong CIDR is refused with what was expected, host bits with the network that was meant."""
    with pytest.raises(ValueError, match=r"^expected a CIDR") as error:
        parse_network(text)
    assert str(error.value).startswith(expected)


def test_ipv6_networks_leave_ipv4_alone() -> None:
    """``::/0`` is all of IPv6 and none of IPv4, ``0.0.0.0/0`` all of IPv4 and nothing else."""
    assert network_ranges("::/0") == [(0, MAPPED - 1), (MAPPED + (1 << 32), LAST)]
    assert network_ranges("0.0.0.0/0") == [(MAPPED, MAPPED + (1 << 32) - 1)]
    assert network_ranges("::ffff:10.0.0.0/104") == network_ranges("10.0.0.0/8")
    assert network_ranges("fd00::/8") == [parse_network("fd00::/8")]


SMALL = st.tuples(st.integers(0, 60), st.integers(0, 30)).map(lambda pair: (pair[0], pair[0] + pair[1]))
WIDE = st.tuples(NUMBERS, NUMBERS).map(lambda pair: (min(pair), max(pair)))


@given(st.lists(st.one_of(SMALL, WIDE), max_size=25), st.lists(NUMBERS))
def test_lookup_agrees_with_a_plain_search(ranges: list[tuple[int, int]], wanted: list[int]) -> None:
    """Of the ranges that hold an address the smallest answers, of equal ones the earliest, else nothing does."""
    entries = [(first, last, order) for order, (first, last) in enumerate(ranges)]
    bounds = [bound for first, last in ranges for bound in (first - 1, first, last, last + 1)]
    wanted = [*wanted, *(bound for bound in bounds if 0 <= bound <= LAST)]
    found = RangeTable.build(entries).lookup(numbers(None, *wanted, None))
    assert found.dtype == pl.UInt32
    assert found.to_list() == [None, *(smallest(entries, number) for number in wanted), None]


@given(st.lists(st.lists(st.one_of(SMALL, WIDE), max_size=8), max_size=4), st.lists(NUMBERS))
def test_the_first_layer_that_knows_an_address_answers(layers: list[list[tuple[int, int]]], wanted: list[int]) -> None:
    """However large its range is, and however small that of a layer below."""
    entries = [[(*pair, 100 * layer + order) for order, pair in enumerate(each)] for layer, each in enumerate(layers)]
    wanted += [bound for each in layers for pair in each for bound in pair]
    expected = [
        next((found for each in entries if (found := smallest(each, number)) is not None), None) for number in wanted
    ]
    assert RangeTable.build(*entries).lookup(numbers(*wanted)).to_list() == expected


def test_empty_tables_and_columns() -> None:
    """A table without ranges answers nothing, and no addresses get no answers."""
    for table in (RangeTable.build(), RangeTable.build([]), RangeTable.build([], [])):
        assert table.lookup(numbers(0, LAST, None)).to_list() == [None, None, None]
    found = RangeTable.build([(0, LAST, 7)]).lookup(numbers())
    assert found.dtype == pl.UInt32
    assert found.is_empty()


@given(NUMBERS, NUMBERS)
def test_a_range_is_written_as_it_is_read(one: int, other: int) -> None:
    """As a CIDR or an address where it is one, and else with both ends."""
    first, last = min(one, other), max(one, other)
    text = format_range(first, last)
    if "-" in text:
        assert [to_number(end) for end in text.split("-")] == [first, last]
    else:
        assert parse_network(text) == (first, last)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), st.data())
def test_a_network_is_written_as_the_standard_library_does(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, data: st.DataObject
) -> None:
    """A network comes out as `ipaddress` writes it, a network of one as a bare address."""
    network = ipaddress.ip_network(
        (address, data.draw(st.integers(97, 128)) - 128 + address.max_prefixlen), strict=False
    )
    if not (network.version == 6 and int(network[0]) >> 32 == 0xFFFF):
        assert format_range(*parse_network(str(network))) == str(network).removesuffix(f"/{address.max_prefixlen}")


def test_lookup_in_a_column_of_chunks() -> None:
    """A column that is stored in several pieces is looked up whole."""
    column = pl.concat([numbers(1, None), numbers(7), numbers(2)], rechunk=False)
    assert RangeTable.build([(1, 2, 5)]).lookup(column).to_list() == [5, None, None, 5]
