"""MMDB files of any vendor, read as sorted ranges of addresses and the places that their records name.

Which vendor wrote a file is told by the keys of its records, never by its name. Only country, continent and ASN are
read: no city, no coordinates, and not where a block is *registered*, as that is not where its user is. What becomes of
the ranges is left to `analyzer.addresses.geo`.
"""

from __future__ import annotations

import os
import re
import struct
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from analyzer.addresses.ranges import MAPPED
from analyzer.errors import GeoError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Place = tuple[str | None, str | None, int | None, str | None]
"""Country, continent, ASN and the name of its holder."""

NOWHERE: Place = (None, None, None, None)

# Where the vendors keep each fact, in the order tried: MaxMind and DB-IP; MaxMind Enterprise and DB-IP ISP, or IPinfo
# Lite and ip-location-db; older IPinfo. A `country` or `continent` that is a name and no code is passed over.
COUNTRY = (("country", "iso_code"), ("country_code",), ("country",))
CONTINENT = (("continent", "code"), ("continent_code",), ("continent",))
ASN = (("autonomous_system_number",), ("traits", "autonomous_system_number"), ("asn",))
AS_NAME = (("autonomous_system_organization",), ("traits", "autonomous_system_organization"), ("as_name",))

ADDRESS_LENGTH = 128
IPV4_LENGTH = 96
METADATA_MARKER = b"\xab\xcd\xefMaxMind.com"
METADATA_REACH = 128 * 1024
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# What stands between a hostile file and this process: a tree that shares its subtrees unfolds to 2**128 networks, its
# records may each take long to decode, overlapping names would fill the memory, and every alias costs every lookup
# (MaxMind's files have three and ::/96). Real files come nowhere near.
SPARE_STEPS = 1_000_000
MAX_ALIASES = 32
MAX_SECONDS = 120.0
MAX_NAME = 256
# What a reader raises when fed with arbitrary bytes. Its own InvalidDatabaseError is a RuntimeError; a SystemError is
# how the C code of maxminddb 3.2.0 answers a map with a key that is no text.
BROKEN = (
    RuntimeError,
    SystemError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    struct.error,
)


@dataclass(slots=True)
class Contents:
    """A whole file: the place ``places[payload[i]]`` holds from ``starts[i]`` to before the next start, or to the end.

    ``places[0]`` is `NOWHERE`. `aliases` are networks (first address, prefix length) in which the IPv4 address that
    follows the prefix has its own place.
    """

    type_: str
    built: str
    starts: list[int] = field(default_factory=list)
    payload: list[int] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    aliases: list[tuple[int, int]] = field(default_factory=list)


def check(path: Path) -> None:
    """Raise `GeoError` where a file is none, or is plainly no MMDB; reads its end alone, so a huge file costs nothing.

    Raises
    ------
    GeoError
        Says what is there instead.
    """
    expected = f"{path}: expected a MaxMind DB file (.mmdb), got"
    try:
        if not path.is_file():
            raise GeoError(f"{expected} {'something that is no file' if path.exists() else 'no such file'}")
        with path.open("rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
            file.seek(-min(METADATA_REACH, file.seek(0, os.SEEK_END)), os.SEEK_END)
            if METADATA_MARKER in file.read():
                return
    except OSError as error:
        raise GeoError(f"{expected} {error.strerror}") from error
    if gzipped:
        raise GeoError(f"{expected} a gzip archive", "unpack it first, with gunzip or tar xzf")
    raise GeoError(f"{expected} a file without database metadata at its end", "a download cut short looks like this")


def read(path: Path) -> Contents:
    """Read a file whole.

    Raises
    ------
    GeoError
        The file is broken, takes longer than any real one, or holds neither countries nor ASNs.
    """
    import maxminddb  # noqa: PLC0415 - 67 ms that a run with a cached database need not spend

    give_up = time.monotonic() + MAX_SECONDS
    places = {NOWHERE: 0}
    try:
        tree = path.read_bytes()
        with maxminddb.open_database(path) as reader:
            about = reader.metadata()
            contents = Contents(
                type_=str(about.database_type)[:MAX_NAME],
                built=(EPOCH + timedelta(seconds=about.build_epoch)).isoformat().replace("+00:00", "Z"),
            )
            known = {about.node_count: 0}
            for first, node in _walk(tree, about.node_count, about.record_size, about.ip_version, contents.aliases):
                if node not in known:
                    known[node] = places.setdefault(_place(reader.get(_address(first))), len(places))
                    if time.monotonic() > give_up:
                        raise GeoError(f"{path}: expected a database that is read in {MAX_SECONDS:.0f} s, got more")
                if not contents.payload or contents.payload[-1] != known[node]:
                    contents.starts.append(first)
                    contents.payload.append(known[node])
    except OSError as error:
        raise GeoError(f"{path}: expected a MaxMind DB file (.mmdb), got {error.strerror or error}") from error
    except BROKEN as error:
        raise GeoError(f"{path}: expected a sound MaxMind DB file, got a broken one", "download it again") from error
    if not any(country or asn for country, _, asn, _ in places):
        raise GeoError(f"{path}: expected records with a country or an ASN, got none in this {contents.type_!r}")
    contents.places = list(places)
    return contents


def _address(number: int) -> IPv4Address | IPv6Address:
    return IPv4Address(number - MAPPED) if number >> 32 == MAPPED >> 32 else IPv6Address(number)


def _walk(
    tree: bytes, count: int, size: int, version: int, aliases: list[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Yield where each network begins, in order and without gaps, and its leaf; the leaf `count` is no record.

    The reader's own iteration would unfold shared subtrees without end, and where IPv4 is one record it passes over
    every other network of that record. IPv4, at ::/96 in a tree of both families, is yielded at ::ffff:0:0/96. Every
    other way to it is an alias: appended to `aliases`, yielded as no record.
    """
    if version not in (4, 6):
        raise ValueError("the addresses are of no known family")
    ipv4, stack = 0, [(0, MAPPED, IPV4_LENGTH) if version == 4 else (0, 0, 0)]
    for _ in range(IPV4_LENGTH if version == 6 else 0):
        ipv4 = _children(tree, size, ipv4)[0] if ipv4 < count else ipv4
    steps = 4 * count + SPARE_STEPS
    while stack:
        node, first, length = stack.pop()
        # A leaf above ::ffff:0:0/96 is split down to it, so that IPv4 can take that place.
        above_ipv4 = length < IPV4_LENGTH and first <= MAPPED < first + (1 << ADDRESS_LENGTH - length)
        if first == MAPPED and length == IPV4_LENGTH:
            node = ipv4
        elif node == ipv4 < count and length <= IPV4_LENGTH and not above_ipv4:
            aliases.append((first, length))
            node = count
        if node >= count and not above_ipv4:
            yield first, node
            continue
        steps -= 1
        if length == ADDRESS_LENGTH or steps < 0 or len(aliases) > MAX_ALIASES:
            raise ValueError("the search tree is no tree")
        left, right = _children(tree, size, node) if node < count else (node, node)
        stack.append((right, first | 1 << ADDRESS_LENGTH - 1 - length, length + 1))
        stack.append((left, first, length + 1))
    if version == 4:
        yield MAPPED + (1 << 32), count


def _children(tree: bytes, size: int, node: int) -> tuple[int, int]:
    """Return both records of a node: numbers of 24 or 32 bits, or of 28, whose top bits share the middle byte."""
    width = size // 4
    pair = int.from_bytes(tree[node * width : node * width + width], "big")
    if size == 28:
        return pair >> 32 | (pair >> 28 & 0xF) << 24, pair & 0xFFF_FFFF
    return pair >> size, pair & (1 << size) - 1


def _place(record: object) -> Place:
    return (
        next(filter(None, (_code(_get(record, keys)) for keys in COUNTRY)), None),
        next(filter(None, (_code(_get(record, keys)) for keys in CONTINENT)), None),
        next(filter(None, (_number(_get(record, keys)) for keys in ASN)), None),
        next(filter(None, (_name(_get(record, keys)) for keys in AS_NAME)), None),
    )


def _get(record: object, keys: tuple[str, ...]) -> object:
    for key in keys:
        record = record.get(key) if isinstance(record, dict) else None
    return record


def _code(value: object) -> str | None:
    return value.upper() if isinstance(value, str) and re.fullmatch("[A-Za-z]{2}", value) else None


def _number(value: object) -> int | None:
    if isinstance(value, str) and (text := re.fullmatch("(?:AS)?([0-9]{1,10})", value)):
        value = int(text[1])
    return value if type(value) is int and 0 < value < 1 << 32 else None


def _name(value: object) -> str | None:
    return value[:MAX_NAME] if isinstance(value, str) and value else None
