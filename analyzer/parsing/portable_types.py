"""What the text of a field may be and what it is worth, in plain Python: the types of `log_format.Type`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, NamedTuple

from analyzer.parsing.log_format import Type

if TYPE_CHECKING:
    from collections.abc import Callable

EXPECTED_LITERAL, MALFORMED_VALUE, TOO_LONG, CONTINUED = range(4)

_MONTH_NAMES = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_MONTHS = {name: i for i, name in enumerate(_MONTH_NAMES, 1)}
_TIME_LOCAL = re.compile(rb"(\d\d)/([A-Za-z]{3})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)", re.ASCII)
_TIME_ISO8601 = re.compile(
    rb"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
)
_ANY_ISO8601 = re.compile(
    rb"(\d{4})-(\d\d)-(\d\d)[T \t](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?:Z|([+-])([01]\d|2[0-3]):?([0-5]\d))?",
    re.ASCII,
)
_ANY_LOCAL = re.compile(
    rb"(\d\d)/([A-Za-z]{3})/(\d{4}):(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?: ([+-])([01]\d|2[0-3])([0-5]\d))?", re.ASCII
)
_EPOCH_NUMBER = re.compile(rb"(\d+)(?:\.(\d+))?", re.ASCII)
_SYSLOG_TIME = re.compile(
    rb"(?:%b) (?:[ 0][1-9]|[12]\d|3[01]) (?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)" % b"|".join(_MONTH_NAMES), re.ASCII
)
_INTEGER = re.compile(rb"\d+|-\d*|", re.ASCII)
_DURATION = re.compile(rb"(-?)(\d+\.?\d*|\.\d+)(?:[eE]([+-]?\d{1,3}))?|-", re.ASCII)
_SECONDS = re.compile(rb"\d+\.?\d*|\.\d+", re.ASCII)
_NAME = re.compile(rb"[A-Za-z0-9._-]+")
_BLANKS = re.compile(rb" *(?:\xef\xbb\xbf)?")
_STREAM = re.compile(rb"stdout|stderr")
_CRI_TAG = re.compile(rb"[FP](?::[^ ]*)?")
_ADDRESS = re.compile(rb"[^ ,]+")
_ADDRESSES = re.compile(rb"[^ ,]+(?:,[ ,]*[^ ,]+)*(?= |\Z)")
_BRACKETED = re.compile(rb"\[(.*)\](?::(\d{1,5}))?", re.DOTALL | re.ASCII)

_MOST = {Type.STATUS: 999, Type.PORT: 65535, Type.INTEGER: 2**64 - 1}
_DECIMALS = {Type.SECONDS: 0, Type.MILLIS: 3, Type.MICROS: 6, Type.NANOS: 9}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_DIGITS = 18  # that count, and decimals of a number: a double holds no more
_YEAR_10000 = 253_402_300_800_000  # in milliseconds: no calendar goes further


class MisfitError(Exception):
    """A line does not fit: where in it, at which field (-1: before the first), and why (`log_format.REASONS`)."""

    def __init__(self, position: int, field: int, reason: int) -> None:
        super().__init__(position, field, reason)
        self.position = position
        self.field = field
        self.reason = reason


class Span(NamedTuple):
    """What a line has for a field.

    Attributes
    ----------
    text
        As it stands in the line.
    value
        What its type makes of it; None where it is absent, as ``-`` and the empty text are.
    there
        Whether there is a text at all, which only a JSON object may lack.
    seen
        The same, but true of an empty JSON string as well.
    escaped
        Whether JSON escapes are to be decoded where the text goes out.
    quoted
        Whether it is one JSON string.
    """

    text: bytes
    value: Any = None
    there: bool = True
    seen: bool = True
    escaped: bool = False
    quoted: bool = False


def read_value(type_: Type, line: bytes, at: int) -> tuple[int, Any] | None:
    """Where the text of a type that ends by itself ends, and its value; None where no such text stands there."""
    return _READERS[type_](type_, line, at)


def read_seconds(type_: Type, line: bytes, at: int) -> tuple[int, float | None] | None:
    """Read a duration; its value is in seconds."""
    start = at + (type_ is not Type.SECONDS and line.startswith(b"+", at))
    match = _DURATION.match(line, start)
    if match is None:
        return None if start > at or line.startswith(b".", at) else (at, None)
    minus, number, exponent = match.groups()
    if number is None or minus:
        return None if start > at else (match.end(), None)
    value = _decimal(number, int(exponent or 0), _DECIMALS[type_])
    return None if value is None else (match.end(), value)


def _decimal(number: bytes, exponent: int, unit: int) -> float | None:
    """What a number is worth in units of ``10 ** -unit``; None where it is too large."""
    whole, _, fraction = number.partition(b".")
    whole = whole.lstrip(b"0")
    if len(whole) > _MOST_DIGITS:
        return None
    fraction = fraction[: _MOST_DIGITS - len(whole)]
    value = int(b"0" + whole + fraction)
    decimals = len(fraction) - exponent if value else 0
    if decimals < 0:
        value, decimals = value * 10**-decimals, 0
    if decimals > _MOST_DIGITS:
        value, decimals = value // 10 ** (decimals - _MOST_DIGITS), _MOST_DIGITS
    return float(value) / float(10 ** (decimals + unit)) if value < 10**_MOST_DIGITS else None


def split_port(text: bytes) -> tuple[bytes, int | None]:
    """An address and the port behind it, which an address of IPv6 may have with brackets and without."""
    bracketed = _BRACKETED.fullmatch(text)
    if bracketed and int(bracketed[2] or b"0") <= 65535:
        return bracketed[1], None if bracketed[2] is None else int(bracketed[2])
    address, colon, port = text.rpartition(b":")
    if colon and port.isdigit() and len(port) <= 5 and int(port) <= 65535:
        return address, int(port)
    return text, None


@lru_cache(maxsize=65536)
def address_number(text: bytes) -> int | None:
    """The IPv6 number of an address, IPv4 as ``::ffff:a.b.c.d``; None where the text is no address."""
    try:
        return 0xFFFF << 32 | int(IPv4Address(text.decode("ascii")))
    except (AddressValueError, UnicodeDecodeError):
        pass
    try:
        return None if b"%" in text else int(IPv6Address(text.decode("ascii")))
    except (AddressValueError, UnicodeDecodeError):
        return None


def first_address(text: bytes) -> bytes:
    """The first of a list of addresses, without a port, which is one behind brackets or the only colon."""
    first = text.partition(b",")[0]
    return split_port(first)[0] if first.startswith(b"[") or first.count(b":") == 1 else first


def _read_addresses(_: Type, line: bytes, at: int) -> tuple[int, None] | None:
    if line.startswith(b" ", at):
        return at, None
    match = _ADDRESSES.match(line, at)
    if match is None:
        return None
    items = [first_address(item).partition(b"%")[0] for item in _ADDRESS.findall(match[0])]
    if match[0] != b"-" and not any(address_number(item) is not None for item in items):
        return None
    return match.end(), None


def _read_integer(type_: Type, line: bytes, at: int) -> tuple[int, int | None] | None:
    plus = type_ is Type.INTEGER and line.startswith(b"+", at)
    text = _matched(_INTEGER, line, at + plus)
    if not text.isdigit():
        return None if plus else (at + len(text), None)
    digits = text.lstrip(b"0") or b"0"
    if len(digits) > 20 or int(digits) > _MOST[type_]:  # Python refuses to read thousands of digits
        return None
    return at + plus + len(text), int(digits)


def _read_msec(_: Type, line: bytes, at: int) -> tuple[int, int] | None:
    text = _matched(_SECONDS, line, at)
    whole, fraction = text.partition(b".")[::2]
    if not (whole + fraction).isdigit() or len((whole + fraction).lstrip(b"0")) > 15 or len(fraction) > 3:
        return None
    value = int(whole + fraction.ljust(3, b"0"))
    return (at + len(text), value) if value < _YEAR_10000 else None


@lru_cache(maxsize=1024)
def _local_time(text: bytes) -> int | None:
    match = _TIME_LOCAL.fullmatch(text)
    if match is None:
        return None
    day, month, year, hour, minute, second, sign, *zone = match.groups()
    return _milliseconds([year, month, day, hour, minute, second], sign, *zone)


def _milliseconds(parts: list[bytes], sign: bytes, zone_hours: bytes, zone_minutes: bytes) -> int | None:
    year, month, day, hour, minute, second = (_MONTHS.get(part) or _number(part) for part in parts)
    if not 1970 <= year <= 9999 or second > 60 or int(zone_hours) > 23 or int(zone_minutes) > 59:
        return None
    try:
        moment = datetime(year, month, day, hour, minute, tzinfo=UTC)
    except ValueError:
        return None
    zone = timedelta(hours=int(zone_hours), minutes=int(zone_minutes)) * (-1 if sign == b"-" else 1)
    value = (moment - _EPOCH - zone) // timedelta(milliseconds=1) + second * 1000
    return value if value < _YEAR_10000 else None


def _number(part: bytes) -> int:
    return int(part) if part.isdigit() else 0  # no month is 0


def _read_time_local(_: Type, line: bytes, at: int) -> tuple[int, int] | None:
    value = _local_time(line[at : at + 26])
    return None if value is None else (at + 26, value)


def _read_time_iso8601(_: Type, line: bytes, at: int) -> tuple[int, int] | None:
    match = _TIME_ISO8601.match(line, at)
    if match is None:
        return None
    *parts, fraction, sign, hours, minutes = match.groups()
    value = _milliseconds(parts, sign or b"+", hours or b"00", minutes or b"00")
    return None if value is None else (match.end(), value + _thousandths(fraction))


def _read_time_any(_: Type, line: bytes, at: int) -> tuple[int, int | None]:
    for pattern in (_ANY_ISO8601, _ANY_LOCAL):
        match = pattern.match(line, at)
        if match is None:
            continue
        *parts, fraction, sign, hours, minutes = match.groups()
        if pattern is _ANY_LOCAL:
            parts[0], parts[2] = parts[2], parts[0]
        value = _milliseconds(parts, sign or b"+", hours or b"00", minutes or b"00")
        if value is not None:
            return match.end(), value + _thousandths(fraction)
    match = _EPOCH_NUMBER.match(line, at)
    if match is not None and (value := _epoch(match[1], match[2])) is not None:
        return match.end(), value
    return at + line.startswith(b"-", at), None


def _epoch(whole: bytes, fraction: bytes | None) -> int | None:
    """Milliseconds of an epoch number, whose unit is told by how many digits it has."""
    if len(whole) > 19:
        return None
    if len(whole) <= 11:
        value = int(whole) * 1000 + _thousandths(fraction)
    elif len(whole) <= 14:
        value = int(whole)
    else:
        value = int(whole) // (1000 if len(whole) <= 17 else 1_000_000)
    return value if value < _YEAR_10000 else None


def _thousandths(fraction: bytes | None) -> int:
    return int((fraction or b"").ljust(3, b"0")[:3])


def _matched(pattern: re.Pattern[bytes], line: bytes, at: int) -> bytes:
    match = pattern.match(line, at)
    return match[0] if match else b""


def _reader_of(pattern: re.Pattern[bytes]) -> Callable[[Type, bytes, int], tuple[int, None] | None]:
    def read(_: Type, line: bytes, at: int) -> tuple[int, None] | None:
        match = pattern.match(line, at)
        return None if match is None else (match.end(), None)

    return read


_READERS: dict[Type, Callable[[Type, bytes, int], tuple[int, Any] | None]] = {
    Type.TIME_LOCAL: _read_time_local,
    Type.TIME_ISO8601: _read_time_iso8601,
    Type.MSEC: _read_msec,
    Type.STATUS: _read_integer,
    Type.PORT: _read_integer,
    Type.INTEGER: _read_integer,
    Type.SECONDS: read_seconds,
    Type.MILLIS: read_seconds,
    Type.MICROS: read_seconds,
    Type.NANOS: read_seconds,
    Type.TIME_ANY: _read_time_any,
    Type.NAME: _reader_of(_NAME),
    Type.BLANKS: _reader_of(_BLANKS),
    Type.STREAM: _reader_of(_STREAM),
    Type.CRI_TAG: _reader_of(_CRI_TAG),
    Type.SYSLOG_TIME: _reader_of(_SYSLOG_TIME),
    Type.ADDRESSES: _read_addresses,
}
