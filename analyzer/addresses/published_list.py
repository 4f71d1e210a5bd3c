"""A published list of ranges, and how its entries are read: all of them, or the list is refused."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from analyzer.addresses.ranges import MAPPED, parse_network
from analyzer.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Sequence


_SHOWN = 60
_MOST_NETWORKS = 500_000
#: More addresses of one network than any publisher has: of the whole Internet's size it is a slip or a trick.
_LARGEST_IPV4, _LARGEST_IPV6 = 1 << 24, 1 << 112

Networks = tuple[tuple[int, int], ...]


class PublishedRange(NamedTuple):
    """Networks under one name; `health_probe` where nothing but probes comes from there."""

    name: str
    class_: str
    kind: str
    networks: Networks
    health_probe: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """What a list says; `name` is that of the rule file, and `registry` as such a file has it."""

    name: str
    title: str
    source: str
    date: dt.date
    ranges: tuple[PublishedRange, ...]
    registry: bool = False


def read_networks(texts: Sequence[str], where: str) -> Networks:
    """Read CIDRs, in order and without those that lie in others."""
    if not texts:
        raise RuleError(f"{where}: expected a list of ranges, got an empty one")
    if len(texts) > _MOST_NETWORKS:
        raise RuleError(f"{where}: expected at most {_MOST_NETWORKS} ranges, got {len(texts)}")
    return outermost([read_network(text, where) for text in texts])


def outermost(networks: list[tuple[int, int]]) -> Networks:
    """Return the networks in order without those that lie in others."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(networks, key=lambda pair: (pair[0], -pair[1])):
        if not found or first > found[-1][1]:
            found.append((first, last))
    return tuple(found)


def read_network(text: str, where: str) -> tuple[int, int]:
    """Read a CIDR that is not larger than any publisher has."""
    try:
        first, last = parse_network(short(text))
    except ValueError as error:
        raise RuleError(f"{where}: {error}") from error
    is_ipv4 = MAPPED <= first <= MAPPED | 0xFFFF_FFFF
    if last - first >= (_LARGEST_IPV4 if is_ipv4 else _LARGEST_IPV6):
        raise RuleError(f"{where}: expected networks of at most {'/8' if is_ipv4 else '/16'}, got {text}")
    return first, last


def list_of(value: Any, where: str) -> list[Any]:
    """Require a list."""
    if not isinstance(value, list):
        raise RuleError(f"{where}: expected a list of ranges, got {short(repr(value))}")
    return value


def texts_of(value: Any, where: str) -> list[str]:
    """Require a list of texts."""
    wrong = [item for item in list_of(value, where) if not isinstance(item, str)][:1]
    if wrong:
        raise RuleError(f"{where}: expected CIDRs, got {short(repr(wrong[0]))}")
    return value  # type: ignore[no-any-return]


def text_of(entry: Any, key: str, where: str) -> str:
    """Require a text under a key."""
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, str):
        raise RuleError(f"{where}: expected entries with a text `{key}`, got {short(repr(entry))}")
    return value


def date_of(text: str | None) -> dt.date | None:
    """Read a date, None where it is none."""
    try:
        return None if text is None else dt.date.fromisoformat(text)
    except ValueError:
        return None


def short(text: str) -> str:
    """Cut what a message quotes."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
