"""A writer of MMDB files for tests: real ones in any layout, and broken ones that no honest writer would make."""

from __future__ import annotations

import ipaddress
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EMPTY = -1
# Readers insist on these types of the metadata: uint16 is 5, uint64 is 9.
KINDS = {
    "binary_format_major_version": 5,
    "binary_format_minor_version": 5,
    "build_epoch": 9,
    "ip_version": 5,
    "record_size": 5,
}
ALIASES = ("::ffff:0:0/96", "2001::/32", "2002::/16")


def encode(value: Any) -> bytes:
    """Encode a value of the data section."""
    if isinstance(value, bool):
        return _control(14, int(value))
    if isinstance(value, str):
        return _control(2, len(value.encode())) + value.encode()
    if isinstance(value, int):
        return _unsigned(value, 6 if value < 1 << 32 else 9)
    if isinstance(value, float):
        return _control(3, 8) + struct.pack("!d", value)
    if isinstance(value, dict):
        return _control(7, len(value)) + b"".join(encode(key) + encode(item) for key, item in value.items())
    return _control(11, len(value)) + b"".join(map(encode, value))


def _unsigned(value: int, kind: int) -> bytes:
    size = (value.bit_length() + 7) // 8
    return _control(kind, size) + value.to_bytes(size, "big")


def _control(kind: int, size: int) -> bytes:
    short = size if size < 29 else 29 if size < 285 else 30
    rest = b"" if size < 29 else bytes([size - 29]) if size < 285 else (size - 285).to_bytes(2, "big")
    return (bytes([short, kind - 7]) if kind > 7 else bytes([kind << 5 | short])) + rest


def leaf(offset: int) -> int:
    """Return the record of a node that points at an offset of the data section."""
    return -2 - offset


def assemble(nodes: list[list[int]], data: bytes, **metadata: Any) -> bytes:
    """Lay out a file: nodes of two records each (a node's number, `EMPTY` or a `leaf`), data, metadata."""
    about = {
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": 1_767_225_600,
        "database_type": "Test",
        "description": {"en": "A test"},
        "ip_version": 6,
        "languages": ["en"],
        "node_count": len(nodes),
        "record_size": 24,
        **metadata,
    }
    count, size = len(nodes), about["record_size"]
    tree = bytearray()
    for node in nodes:
        left, right = (record if record >= 0 else count if record == EMPTY else count + 14 - record for record in node)
        if size == 28:
            middle = left >> 24 << 4 | right >> 24
            tree += (left & 0xFFFFFF).to_bytes(3, "big") + bytes([middle]) + (right & 0xFFFFFF).to_bytes(3, "big")
        else:
            tree += left.to_bytes(size // 8, "big") + right.to_bytes(size // 8, "big")
    tail = _control(7, len(about))
    for key, value in about.items():
        tail += encode(key) + (_unsigned(value, KINDS[key]) if key in KINDS else encode(value))
    return bytes(tree) + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + tail


def write(path: Path, networks: Mapping[str, Any], *, aliases: bool = True, **metadata: Any) -> Path:
    """Write a file of networks and their records; the most specific wins.

    A file of both families (`ip_version` 6) holds IPv4 at ::/96 and, with `aliases`, shares it as MaxMind does.
    """
    version = metadata.setdefault("ip_version", 6)
    width = 128 if version == 6 else 32
    nodes, data, offsets = [[EMPTY, EMPTY]], bytearray(), dict[bytes, int]()
    parsed = [(ipaddress.ip_network(text), encode(record)) for text, record in networks.items()]
    prefixes = [(int(net.network_address), net.prefixlen + width - net.max_prefixlen, item) for net, item in parsed]
    for first, length, item in sorted(prefixes, key=lambda prefix: prefix[1]):
        if item not in offsets:
            offsets[item] = len(data)
            data += item
        _insert(nodes, width, first, length, leaf(offsets[item]))
    if version == 6 and aliases:
        ipv4 = 0
        for _ in range(96):
            ipv4 = nodes[ipv4][0] if ipv4 >= 0 else ipv4
        for net in map(ipaddress.ip_network, ALIASES):
            _insert(nodes, width, int(net.network_address), net.prefixlen, ipv4)
    path.write_bytes(assemble(nodes, bytes(data), **metadata))
    return path


def _insert(nodes: list[list[int]], width: int, first: int, length: int, record: int) -> None:
    node = 0
    for place in range(length - 1):
        bit = first >> (width - 1 - place) & 1
        if nodes[node][bit] < 0:
            nodes.append([nodes[node][bit]] * 2)
            nodes[node][bit] = len(nodes) - 1
        node = nodes[node][bit]
    nodes[node][first >> (width - length) & 1] = record
