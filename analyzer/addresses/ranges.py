"""Addresses as 128-bit numbers, and tables of address ranges.

IPv4 is held as its IPv4-mapped IPv6 number, so that one sorted table serves both families and ``::ffff:10.0.0.1`` is
``10.0.0.1``. What a range means is left to `analyzer.addresses.classify` and `analyzer.addresses.geo`: a table hands
out a number per address, the payload, and nothing else.
"""

from __future__ import annotations

import heapq
import ipaddress
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

import polars as pl

from analyzer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAPPED = 0xFFFF << 32
"""The number of ``::ffff:0.0.0.0``: add an IPv4 address to it and it is ours."""

_MAPPED_LAST = MAPPED | 0xFFFF_FFFF
_LAST = (1 << 128) - 1
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"^(?:{_OCTET}\.){{3}}{_OCTET}$"


@dataclass(frozen=True, slots=True)
class NetworkRule:
    """A range of addresses and what they are.

    Parameters
    ----------
    first, last
        The range, both ends in it, as numbers.
    class_, kind
        As the contract names them.
    rule
        Who says so, as the report shows it, such as ``networks/gcp.toml: gfe``.
    node
        The cluster node that an address of this range names, where it names one.
    in_cluster
        The range is a live pod: a real caller, but no visitor.
    health_probe
        Nothing but health probes comes from here.
    """

    first: int
    last: int
    class_: str
    kind: str
    rule: str
    node: str | None = None
    in_cluster: bool = False
    health_probe: bool = False


def to_number(text: str) -> int | None:
    """Return the number of an address, None where `text` is none; a zone id (``fe80::1%eth0``) makes it none."""
    if "%" in text:
        return None
    try:
        return int(ipaddress.IPv6Address(text)) if ":" in text else int(ipaddress.IPv4Address(text)) | MAPPED
    except ValueError:
        return None


def to_text(number: int) -> str:
    """Return an address as people write it: dotted where it is IPv4."""
    if MAPPED <= number <= _MAPPED_LAST:
        return str(ipaddress.IPv4Address(number - MAPPED))
    return str(ipaddress.IPv6Address(number))


def parse_addresses(texts: pl.Series) -> pl.Series:
    """Return the numbers (UInt128) of addresses (String), null where a text is no address.

    Agrees with `to_number`, which is what reads every IPv6 text, once per distinct one.
    """
    text = pl.col("text")
    octets = pl.when(text.str.contains(_IPV4)).then(text).str.split_exact(".", 3)
    number = pl.lit(MAPPED, dtype=pl.UInt64)
    for place in range(4):
        number = number + octets.struct.field(f"field_{place}").cast(pl.UInt64) * 256 ** (3 - place)
    numbers = texts.alias("text").to_frame().select("text", number=number.cast(pl.UInt128))

    coloned = texts.filter(texts.str.contains(":", literal=True)).unique()
    if not coloned.is_empty():
        read = [to_number(value) for value in coloned]
        table = pl.DataFrame({"text": coloned, "ipv6": pl.Series(read, dtype=pl.UInt128)})
        numbers = numbers.join(table, on="text", how="left", maintain_order="left")
        numbers = numbers.select(number=pl.coalesce("number", "ipv6"))
    return numbers["number"].alias(texts.name)


def address_numbers(addresses: pl.Series, asked_by: str) -> pl.Series:
    """Return addresses as numbers (UInt128), whether they are text (String, Categorical, Enum) or numbers already.

    Raises
    ------
    UsageError
        Where they are neither; names the function that was asked.
    """
    if not isinstance(addresses, pl.Series):
        library = type(addresses).__module__.partition(".")[0]
        got = f"{library} {type(addresses).__name__}".removeprefix("builtins ")
        raise UsageError(
            f"{asked_by}: expected a Polars Series of addresses, got {got}", "polars.Series(...) makes one"
        )
    if addresses.dtype == pl.UInt128:
        return addresses
    if addresses.dtype not in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        raise UsageError(f"{asked_by}: expected addresses as String or UInt128, got {addresses.dtype}")
    return parse_addresses(addresses.cast(pl.String))


def format_addresses(numbers: pl.Series) -> pl.Series:
    """Return addresses (UInt128) as text (String); a Python loop, so meant for the few that a report shows."""
    texts = [None if number is None else to_text(number) for number in numbers]
    return pl.Series(numbers.name, texts, dtype=pl.String)


def parse_network(text: str) -> tuple[int, int]:
    """Return the first and last number of a CIDR; a bare address is a network of one.

    Raises
    ------
    ValueError
        Where `text` is no CIDR, or has bits set behind its prefix; says what was expected.
    """
    base, slash, prefix = text.partition("/")
    width = 128 if ":" in base else 32
    first = to_number(base)
    fits = not slash or (prefix.isascii() and prefix.isdigit() and len(prefix) <= 3 and int(prefix) <= width)
    if first is None or not fits:
        raise ValueError(f'expected a CIDR such as 10.0.0.0/16, got "{text}"')
    hosts = (1 << (width - int(prefix))) - 1 if slash else 0
    if first & hosts:
        network = ipaddress.IPv6Address(first & ~hosts) if width == 128 else to_text(first & ~hosts)
        raise ValueError(f'expected a CIDR without host bits such as {network}/{prefix}, got "{text}"')
    return first, first | hosts


def network_ranges(text: str) -> list[tuple[int, int]]:
    """Return a CIDR as ranges of its own family: `parse_network`, less all of IPv4 where ``::/0`` or such holds it."""
    first, last = parse_network(text)
    if first < MAPPED and last > _MAPPED_LAST:
        return [(first, MAPPED - 1), (_MAPPED_LAST + 1, last)]
    return [(first, last)]


def format_range(first: int, last: int) -> str:
    """Return a range as a CIDR, as a bare address where it is one, else as ``first-last``."""
    if first == last:
        return to_text(first)
    size = last - first + 1
    if size & (size - 1) or first & (size - 1):
        return f"{to_text(first)}-{to_text(last)}"
    width = 32 if MAPPED <= first <= _MAPPED_LAST else 128
    return f"{to_text(first)}/{width + 1 - size.bit_length()}"


class RangeTable:
    """Ranges of addresses, each with a payload (UInt32), looked up a column at a time.

    Held as the sorted numbers at which the answer changes. ``payload[i]`` is the answer from ``starts[i - 1]`` on, so
    that the count of starts not above an address, which is what `search_sorted` returns, is the place of its answer.
    It returns 0 for a null as for an address before the first start, hence the null at ``payload[0]``.
    """

    __slots__ = ("payload", "starts")

    def __init__(self, starts: pl.Series, payload: pl.Series) -> None:
        self.starts = starts.rechunk()
        self.payload = pl.concat([pl.Series([None], dtype=pl.UInt32), payload.cast(pl.UInt32).alias("")], rechunk=True)

    @classmethod
    def build(cls, *layers: Iterable[tuple[int, int, int]]) -> RangeTable:
        """Make a table of (first, last, payload).

        Where ranges overlap one of the first layer wins, within a layer the smallest, of equals the earliest.
        """
        waiting = [(*entry, layer, order) for layer, each in enumerate(layers) for order, entry in enumerate(each)]
        waiting.sort(key=itemgetter(0), reverse=True)
        bounds = sorted({entry[0] for entry in waiting} | {entry[1] + 1 for entry in waiting if entry[1] < _LAST})
        current: list[tuple[int, int, int, int, int]] = []
        answers: list[int | None] = []
        for bound in bounds:
            while waiting and waiting[-1][0] == bound:
                first, last, payload, layer, order = waiting.pop()
                heapq.heappush(current, (layer, last - first, order, last, payload))
            while current and current[0][3] < bound:
                heapq.heappop(current)
            answers.append(current[0][4] if current else None)
        return cls(pl.Series(bounds, dtype=pl.UInt128), pl.Series(answers, dtype=pl.UInt32))

    def lookup(self, addresses: pl.Series) -> pl.Series:
        """Return the payload (UInt32) of each address (UInt128), null where no range has it or the address is null."""
        return self.payload.gather(self.starts.search_sorted(addresses, side="right"))
