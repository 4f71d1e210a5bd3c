"""The oracle of the walk along X-Forwarded-For: what nginx's C does, character by character."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import strategies as st

from analyzer.addresses.forwarded import CHARACTERS, Trusted
from analyzer.addresses.ranges import RangeTable, network_ranges

if TYPE_CHECKING:
    import polars as pl

MAPPED = 0xFFFF << 32
DIGITS = "0123456789"
Trusts = Callable[[int | None], bool]


SHAPES = [
    "1.2.3.4", "1..2.03", "...", "0000000000000000000000001.2.3.4", "255.255.255.255", "255.255.255.254", "256.1.1.1",
    "1.2.3", "1.2.3.4.5", "1.2.3.4:80", "1.2.3.4:0", "1.2.3.4:00080", "1.2.3.4:65535", "1.2.3.4:65536", "1.2.3.4:",
    "1.2.3.4:99999999999999999999", "1.2.3.4:80:80", "[1.2.3.4]:80", "[1.2.3.4]", "...:80", "::", ":", ":::", "::1",
    "[::1]", "[::1]:80", "[::1]:0", "[::1]80", "[::1", "[]:80", "[[::1]]:80", "[::1]]:80", "::1:80", "1::", "1::2:",
    "1:2:", ":1::2", ":1:2", ":1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:", "1:2:3:4:5:6:7:8:",
    "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "::1:2:3:4:5:6:7:8", "1:2:3:4:5:6::8", "1::3::5", "12345::", "::12345",
    "::ffff:1.2.3.4", "::FFFF:1.2.3.4", "::ffff:255.255.255.255", "::1.2.3.4", ":1.2.3.4", "1:2:3:4:5:6:1.2.3.4",
    "1:2:3:4:5:6:7:1.2.3.4", "::ffff:00001.2.3.4", "::ffff:0001.2.3.4", "::ffff:.2.3.4", "::ffff:1..3.4",
    "::ffff:a.2.3.4", "::1.2.3.4:80", "[::ffff:1.2.3.4]:80", "1.2.3.4::", "fe80::1%eth0", "unknown", "_hidden", "-", "",
    "\u0661.2.3.4", "1.2.3.4\n", "1.2.3.4\t", "\\x221.2.3.4", "for=1.2.3.4", "2001:DB8::aB", "::g", "localhost",
]  # fmt: skip
ENTRY = st.one_of(
    st.sampled_from(SHAPES),
    st.sampled_from(["10.0.0.1", "10.9.8.7", "198.51.100.7", "2001:db8::1", "fd00::5", "::ffff:10.0.0.2"]),
    st.ip_addresses().map(str),
    st.text("0123456789abcdefABCDEF:.[]%", max_size=24),
)
CHAIN = st.lists(st.tuples(ENTRY, st.sampled_from([", ", ",", " ", ",,", " , "])), max_size=6).map(
    lambda parts: "".join(entry + separator for entry, separator in parts).strip(" ")
)
#: Chains that are written to cost much.
HOSTILE = [
    "x" * 100_000,
    "x" * 100_000 + ", 8.8.8.8",
    "8.8.8.8" + "," * 100_000,
    "1.1.1.1" + " " * CHARACTERS + "8.8.8.8",
    "\U0001f600" * 10_000 + ",8.8.8.8",
    "1.1.1.1, " * 20_000 + "\x008.8.8.8",
    "[" * 5000 + "8.8.8.8" + "]" * 5000,
    ":" * 5000,
    "." * 5000 + ":80",
]


class Walked(NamedTuple):
    """Where the walk ended: at whom (None for a unix socket), and how many entries from the right."""

    client: int | None
    position: int


def ipv4(text: str) -> int | None:
    """Read as ``ngx_inet_addr`` does: leading zeros and missing octets count, 255.255.255.255 is its error value."""
    number, octet, dots = 0, 0, 0
    for character in text:
        if character in DIGITS:
            octet = octet * 10 + int(character)
            if octet > 255:
                return None
        elif character == ".":
            number, octet, dots = (number << 8) + octet, 0, dots + 1
        else:
            return None
    number = (number << 8) + octet
    return number if dots == 3 and number != 0xFFFF_FFFF else None


def ipv6(text: str) -> int | None:  # noqa: C901, PLR0911, PLR0912 - as the original is
    """Read as ``ngx_inet6_addr`` does, with its counters."""
    if not text:
        return None
    words: list[int] = []
    zero: int | None = None
    digit: int | None = None
    nibbles, word, left = 0, 0, 8
    at = 1 if text[0] == ":" else 0
    while at < len(text):
        character = text[at]
        at += 1
        if character == ":":
            if nibbles:
                digit = at
                words.append(word)
                left -= 1
                if left:
                    nibbles, word = 0, 0
                    continue
            elif zero is None:
                digit, zero = at, len(words)
                continue
            return None
        if character == "." and nibbles:
            if left < 2 or digit is None:
                return None
            dotted = ipv4(text[digit:])
            if dotted is None:
                return None
            words.append(dotted >> 16)
            word = dotted & 0xFFFF
            left -= 1
            break
        nibbles += 1
        if nibbles > 4 or character not in DIGITS + "abcdefABCDEF":
            return None
        word = word * 16 + int(character, 16)
    if nibbles == 0 and zero is None:
        return None
    words.append(word)
    left -= 1
    if (left > 0) is (zero is None):
        return None
    if zero is not None:
        words[zero:zero] = [0] * left
    return sum(each << 16 * (7 - place) for place, each in enumerate(words))


def address(text: str) -> int | None:
    """Read as ``ngx_parse_addr`` does."""
    dotted = ipv4(text)
    return ipv6(text) if dotted is None else dotted | MAPPED


def address_port(text: str) -> int | None:
    """Read as ``ngx_parse_addr_port`` does: an address, or one and a port from 1 to 65535."""
    found = address(text)
    if found is not None:
        return found
    if text.startswith("["):
        end = text.find("]")
        if end < 0 or text[end + 1 : end + 2] != ":":
            return None
        inner, port = text[1:end], text[end + 2 :]
    else:
        inner, colon, port = text.partition(":")
        if not colon:
            return None
    if not port or any(character not in DIGITS for character in port) or not 1 <= int(port) <= 65535:
        return None
    return address(inner)


def walk(peer: int | None, chain: str, trusts: Trusts) -> Walked:
    """Walk as ``ngx_http_get_forwarded_addr_internal`` does."""
    client, position, length = peer, 0, len(chain)
    if chain in ("", "-"):
        return Walked(client, position)
    while trusts(client):
        at = length - 1
        while at > 0 and chain[at] in " ,":
            at, length = at - 1, length - 1
        while at > 0:
            if chain[at] in " ,":
                at += 1
                break
            at -= 1
        found = address_port(chain[at:length])
        if found is None:
            break
        client, position, length = found, position + 1, at - 1
        if at <= 0:
            break
    return Walked(client, position)


def trust(networks: Sequence[str]) -> Trusted:
    """Trust what ``set_real_ip_from`` names; ``::/0`` holds no IPv4, as in nginx."""
    ranges = [pair for network in networks if network != "unix:" for pair in network_ranges(network)]
    table = RangeTable.build((*pair, 1) for pair in ranges)
    return Trusted(lambda addresses: table.lookup(addresses).is_not_null())


def heard(peers: pl.Series, networks: Sequence[str]) -> pl.Series:
    """Whose headers nginx reads."""
    return trust(networks)(peers) | (peers.is_null() & ("unix:" in networks))
