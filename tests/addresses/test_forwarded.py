"""Forwarded chains: the walk along them, held against nginx's own way of reading, and the client that it ends at."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nginx_chains import CHAIN, ENTRY, HOSTILE, SHAPES, Walked, address_port, heard, trust, walk

from analyzer.addresses import forwarded
from analyzer.addresses.forwarded import (
    CHARACTERS,
    ENTRIES,
    address_texts,
    effective_client,
    parse_entries,
    take_apart,
)
from analyzer.addresses.ranges import format_addresses, network_ranges, to_number, to_text

TRUST = [["10.0.0.0/8", "fd00::/8"], ["0.0.0.0/0"], ["::/0"], ["0.0.0.0/0", "::/0"], [], ["10.0.0.1/32", "unix:"]]
PEERS = [to_number("10.0.0.1"), to_number("203.0.113.9"), to_number("fd00::1"), None]


def numbers(*values: int | None) -> pl.Series:
    """Make a column of addresses."""
    return pl.Series(values, dtype=pl.UInt128)


def found(peers: list[int | None], chains: list[str | None], networks: list[str]) -> pl.DataFrame:
    """Walk a column of chains."""
    who = numbers(*peers)
    return forwarded.walk(who, heard(who, networks), pl.Series(chains, dtype=pl.String), trust(networks))


def expected(peer: int | None, chain: str, networks: list[str]) -> Walked:
    """Walk one chain, trusting CIDRs one by one."""

    def trusts(address: int | None) -> bool:
        if address is None:
            return "unix:" in networks
        ranges = [pair for cidr in networks if cidr != "unix:" for pair in network_ranges(cidr)]
        return any(first <= address <= last for first, last in ranges)

    return walk(peer, chain, trusts)


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), ENTRY)))
def test_an_entry_is_read_as_nginx_reads_it(texts: list[str | None]) -> None:
    """What nginx takes for an address, and no more, is one; its port is dropped."""
    read = parse_entries(pl.Series("name", texts, dtype=pl.String))
    assert read.to_list() == [None if text is None else address_port(text) for text in texts]
    assert (read.name, read.dtype) == ("name", pl.UInt128)


def test_every_shape_of_an_entry() -> None:
    """Each shape gives what the oracle gives, all in one column."""
    assert dict(zip(SHAPES, parse_entries(pl.Series(SHAPES)), strict=True)) == {
        shape: address_port(shape) for shape in SHAPES
    }


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(PEERS), CHAIN), max_size=5),
    st.sampled_from(TRUST),
)
def test_the_walk_agrees_with_nginx(rows: list[tuple[int | None, str]], networks: list[str]) -> None:
    """Client and place are those of the walk in C, whatever the chain."""
    peers, chains = [row[0] for row in rows], [row[1] for row in rows]
    got = found(peers, list(chains), networks)
    assert [Walked(*row) for row in got.iter_rows()] == [expected(peer, chain, networks) for peer, chain in rows]


@pytest.mark.parametrize(
    ("chain", "networks", "client"),
    [
        ("1.1.1.1, 198.51.100.7, 10.0.0.5", ["0.0.0.0/0"], "1.1.1.1"),
        ("1.1.1.1, 198.51.100.7, 10.0.0.5", ["127.0.0.0/8", "10.0.0.0/8"], "198.51.100.7"),
        ("1.1.1.1", ["::/0"], "10.0.0.1"),
        ("1.1.1.1, unknown, 10.0.0.5", ["10.0.0.0/8"], "10.0.0.5"),
        ("garbage", ["10.0.0.0/8"], "10.0.0.1"),
        ("198.51.100.7:4444,10.0.0.5", ["10.0.0.0/8"], "198.51.100.7"),
        ("[2001:db8::7]:443, ::ffff:10.0.0.5", ["10.0.0.0/8"], "2001:db8::7"),
        (", 198.51.100.7", ["10.0.0.0/8"], "198.51.100.7"),
        (",198.51.100.7", ["10.0.0.0/8"], "10.0.0.1"),
        ("198.51.100.7, ", ["10.0.0.0/8"], "10.0.0.1"),
        (None, ["10.0.0.0/8"], "10.0.0.1"),
    ],
)
def test_known_walks(chain: str | None, networks: list[str], client: str) -> None:
    """Cases seen with a real server, among them an empty last header, which leaves a blank at the end."""
    assert to_text(found([to_number("10.0.0.1")], [chain], networks)["client"][0]) == client


def test_the_ends_of_a_chain() -> None:
    """A chain has a length and a leftmost entry, whatever the others are; of no chain there is none."""
    parts = take_apart(pl.Series(["1.1.1.1, x,10.0.0.5:80", "x, ::1", "-", ""]))
    assert parts.length.to_list() == [3, 2, 0, 0]
    assert format_addresses(parts.leftmost).to_list() == ["1.1.1.1", None, None, None]


def test_no_rows() -> None:
    """Nothing comes of nothing."""
    assert found([], [], ["10.0.0.0/8"]).height == 0
    assert parse_entries(pl.Series([], dtype=pl.String)).len() == 0


@pytest.mark.parametrize("entries", [ENTRIES - 1, ENTRIES, ENTRIES + 1, 4000])
def test_a_long_chain_is_looked_at_so_far(entries: int) -> None:
    """All of them trusted, the leftmost is the client; with more than are looked at nobody is, and it is said."""
    chain = ",".join(["9.9.9.9"] + ["10.0.0.5"] * (entries - 1))
    found_there = (to_number("9.9.9.9"), entries) if entries <= ENTRIES else (None, None)
    assert found([to_number("10.0.0.1")], [chain], ["0.0.0.0/0"]).row(0) == found_there
    parts = take_apart(pl.Series([chain]))
    assert (parts.length[0], parts.more[0]) == (min(entries, ENTRIES), entries > ENTRIES)
    assert format_addresses(parts.leftmost).to_list() == ["9.9.9.9"]
    narrow = found([to_number("10.0.0.1")], ["1.1.1.1, " + chain + ", 8.8.8.8"], ["10.0.0.0/8"])
    assert format_addresses(narrow["client"]).to_list() == ["8.8.8.8"]


def test_hostile_chains() -> None:
    """Long entries, blanks by the thousand and bytes of every kind are read up to the limits and no further."""
    peer, visitor = to_number("10.0.0.1"), to_number("8.8.8.8")
    got = found([peer] * len(HOSTILE), list(HOSTILE), ["10.0.0.0/8"])
    assert got["client"].to_list() == [peer, visitor, visitor, visitor, visitor, peer, peer, peer, peer]
    assert take_apart(pl.Series(HOSTILE)).entries.group_by("row").len()["len"].max() <= ENTRIES


def test_what_the_limit_cuts_off_is_not_read() -> None:
    """An entry of which the limit leaves but the end is passed over: its end may be an address."""
    entries = ", ".join(["10.0.0.5"] * 5)
    chain = "1" * CHARACTERS + ".8.8.8, " + entries
    assert found([to_number("10.0.0.1")], [chain], ["10.0.0.0/8"]).row(0) == (None, None)
    assert take_apart(pl.Series([chain])).length.to_list() == [5]


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.ip_addresses().map(lambda each: to_number(str(each))))))
def test_addresses_as_text(values: list[int | None]) -> None:
    """A column of addresses is written as one by one."""
    assert address_texts(numbers(*values)).to_list() == format_addresses(numbers(*values)).to_list()


CLIENTS = {
    "direct": (("8.8.8.8", None, None, None), ("8.8.8.8", "remote_addr")),
    "a header that the server does not read": (("8.8.8.8", None, None, "1.1.1.1"), ("8.8.8.8", "remote_addr")),
    "lost at a node": (("10.0.0.1", None, None, "8.8.8.8"), ("8.8.8.8", "x_forwarded_for")),
    "lost, its chain longer": (("10.0.0.1", None, None, "1.1.1.1, 8.8.8.8"), ("8.8.8.8", "x_forwarded_for")),
    "lost, nothing known": (("10.0.0.1", None, None, "-"), ("10.0.0.1", "remote_addr")),
    "lost, nothing readable": (("10.0.0.1", None, None, "unknown"), ("10.0.0.1", "remote_addr")),
    "PROXY not used": (("10.0.0.1", "10.0.0.1", "8.8.8.8", None), ("8.8.8.8", "proxy_protocol_addr")),
    "PROXY used": (("8.8.8.8", "10.0.0.1", "8.8.8.8", None), ("8.8.8.8", "remote_addr")),
    "PROXY, and a header believed": (("1.1.1.1", "10.0.0.1", "8.8.8.8", "1.1.1.1"), ("8.8.8.8", "proxy_protocol_addr")),
    "PROXY, and a header believed, peer not logged": (
        ("1.1.1.1", None, "8.8.8.8", "1.1.1.1"), ("8.8.8.8", "proxy_protocol_addr")
    ),
    "PROXY used, peer not logged": (("8.8.8.8", None, "8.8.8.8", "1.1.1.1"), ("8.8.8.8", "remote_addr")),
    "PROXY of a proxy": (("10.0.0.1", "10.0.0.1", "10.0.0.2", "8.8.8.8"), ("8.8.8.8", "x_forwarded_for")),
    "PROXY header of a visitor": (("7.7.7.7", "8.8.8.8", "7.7.7.7", None), ("8.8.8.8", "realip_remote_addr")),
    "header used": (("8.8.8.8", "10.0.0.1", None, "8.8.8.8"), ("8.8.8.8", "remote_addr")),
    "header of a visitor believed": (("1.1.1.1", "8.8.8.8", None, "1.1.1.1"), ("8.8.8.8", "realip_remote_addr")),
    "leftmost believed": (("1.1.1.1", "10.0.0.1", None, "1.1.1.1, 8.8.8.8"), ("8.8.8.8", "x_forwarded_for")),
    "leftmost believed, peer not logged": (("1.1.1.1", None, None, "1.1.1.1, 8.8.8.8"), ("8.8.8.8", "x_forwarded_for")),
    "another header used": (("8.8.8.8", "10.0.0.1", None, "-"), ("8.8.8.8", "remote_addr")),
    "the chain stops at a proxy": (("10.0.0.1", "10.0.0.1", None, "x, 10.0.0.9"), ("10.0.0.9", "x_forwarded_for")),
    "too long": (("10.0.0.1", "10.0.0.1", None, ",".join(["10.0.0.9"] * 99)), ("10.0.0.1", "remote_addr")),
}  # fmt: skip


@pytest.mark.parametrize("name", CLIENTS)
def test_the_effective_client(name: str) -> None:
    """The client is the first behind the connection whose word nobody needs, and where it stands is said."""
    (address, peer, proxied, chain), (client, origin) = CLIENTS[name]
    row = {"address": address, "peer": peer, "proxied": proxied}
    rows = pl.DataFrame({key: numbers(value and to_number(value)) for key, value in row.items()})
    rows = rows.with_columns(chain=pl.lit(chain, pl.String))
    got = effective_client(rows, trust(["10.0.0.0/8"])).row(0)
    assert (to_text(got[0]), got[1]) == (client, origin)


def test_the_effective_client_of_what_is_not_logged() -> None:
    """With the remote address alone the client is that; where there is none, there is none."""
    rows = pl.DataFrame({"address": numbers(to_number("8.8.8.8"), None)})
    got = effective_client(rows, trust(["0.0.0.0/0"]))
    assert got.rows() == [(to_number("8.8.8.8"), "remote_addr"), (None, "remote_addr")]
