"""The scanner in plain Python: what runs where no compiler was, and the oracle that the native one is tested against.

The contract is that of scanner.c, to the byte: the same lines fit, the same values come out, a line that does not fit
is given with the same place and reason. It is meant to be obviously right, not fast.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from analyzer.parsing.log_format import LineFormat, Type
from analyzer.parsing.schema import DTYPES, Kind, Output

if TYPE_CHECKING:
    from collections.abc import Callable

_EXPECTED_LITERAL, _MALFORMED_VALUE, _TOO_LONG, _CONTINUED = range(4)
_MAX_RETRIES = 64
_MONTHS = {name: i for i, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
_TIME_LOCAL = re.compile(rb"(\d\d)/(\w{3})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)", re.ASCII)
_TIME_ISO8601 = re.compile(
    rb"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
)
_INTEGER = re.compile(rb"\d+|-|", re.ASCII)
_SECONDS = re.compile(rb"\d+\.?\d*|\.\d+|-|", re.ASCII)
_REQUEST = re.compile(rb"([A-Z_-]+) (.+?)(?: (HTTP/[^ ]{0,7}))?", re.DOTALL)
_MOST = {Type.STATUS: 999, Type.PORT: 65535, Type.INTEGER: 2**64 - 1}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_10000 = 253_402_300_800_000  # in milliseconds: no calendar goes further
_KEPT_BLANK = 2048  # as scanner.c has it

#: start, end, value (None where absent)
_Span = tuple[int, int, Any]


class _MisfitError(Exception):
    """The line does not fit, for the reason given."""


class Taken(NamedTuple):
    """What a scanner read: rows, misfits (`MISFITS`), how many lines in all, and blank ones it did not keep."""

    rows: pl.DataFrame
    misfits: pl.DataFrame
    lines: int
    blank: int


class Scanner:
    """Reads lines of one layout into columns; see scanner.c for the contract."""

    def __init__(self, line_format: LineFormat, outputs: list[Output]) -> None:
        self._format = line_format
        self._outputs = outputs
        self._blank_run = 0
        self._reset()

    def _reset(self) -> None:
        self._columns: list[list[Any]] = [[] for _ in self._outputs]
        self._misfits: list[tuple[bytes, int, int, int, int, int]] = []
        self._lines = 0
        self._blank = 0

    def scan(self, text: bytes | bytearray, start: int, stop: int, offset: int) -> None:
        """Add the lines of ``text[start:stop]``; the first of them begins at byte `offset` of the source."""
        for line in bytes(text[start:stop]).split(b"\n"):
            whole = line + b"\n" if start + len(line) < stop else line
            if not whole:
                break
            stripped = line.removesuffix(b"\r")
            self._blank_run = 0 if stripped else self._blank_run + 1
            spans = None
            if self._blank_run > _KEPT_BLANK:
                self._blank += 1
            else:
                spans = self._match(stripped, whole, offset)
            if spans is not None:
                for values, output in zip(self._columns, self._outputs, strict=True):
                    values.append(_VALUES[output.kind](stripped, spans[output.field], output, offset))
            self._lines += 1
            start += len(whole)
            offset += len(whole)

    def reject(self, text: bytes | bytearray, start: int, stop: int, offset: int, continued: bool) -> None:  # noqa: FBT001
        """Add ``text[start:stop]`` as a piece of a line that is too long to read: its beginning, or a later piece."""
        reason = _CONTINUED if continued else _TOO_LONG
        self._misfits.append((bytes(text[start:stop]), offset, 0, self._lines, 0, reason))
        self._lines += not continued

    def misfits(self) -> int:
        """How many misfits were found since the last `take`."""
        return len(self._misfits)

    def take(self) -> Taken:
        """What was scanned since the last call."""
        rows = pl.DataFrame(
            [
                pl.Series(output.name, values, dtype=pl.Int64 if output.kind is Kind.TIME else DTYPES[output.kind])
                for output, values in zip(self._outputs, self._columns, strict=True)
            ]
        ).cast({o.name: DTYPES[o.kind] for o in self._outputs if o.kind is Kind.TIME})
        misfits = pl.DataFrame(self._misfits, schema=MISFITS, orient="row")
        taken = Taken(rows, misfits, self._lines, self._blank)
        self._reset()
        return taken

    def _match(self, line: bytes, whole: bytes, offset: int) -> list[_Span] | None:
        prefix, fields = self._format.prefix, self._format.fields
        if not line.startswith(prefix):
            self._misfits.append((whole, offset, 0, self._lines, 0, _EXPECTED_LITERAL))
            return None
        spans: list[_Span] = []
        at = search = len(prefix)
        again, retries, worst = -1, 0, (0, -1, _EXPECTED_LITERAL)
        index = 0
        while index < len(fields):
            field = fields[index]
            try:
                span = _match_field(field.type, field.literal, line, at, search, last=index == len(fields) - 1)
            except _MisfitError as misfit:
                if index > worst[1]:
                    worst = (at, index, misfit.args[0])
                if again < 0 or again == index or (retries := retries + 1) > _MAX_RETRIES:
                    self._misfits.append((whole, offset, worst[0], self._lines, worst[1] + 1, worst[2]))
                    return None
                index = again
                at, search = spans[index][0], spans[index][1] + 1
                continue
            del spans[index:]
            spans.append(span)
            if field.retry:
                again = index
            at = search = span[1] + len(field.literal)
            index += 1
        return spans


#: Lines that do not fit: the line as it came, where it begins, where in it and at which field (1 + its number) it
#: stops fitting, how many lines came before it, and why (log_format.REASONS).
MISFITS = {
    "line": pl.Binary,
    "offset": pl.UInt64,
    "position": pl.UInt64,
    "number": pl.UInt64,
    "field": pl.UInt8,
    "reason": pl.UInt8,
}


def _match_field(type_: Type, literal: bytes, line: bytes, at: int, search: int, *, last: bool) -> _Span:  # noqa: PLR0913
    value = None
    reason = _EXPECTED_LITERAL if type_ in (Type.TEXT, Type.USER, Type.LIST) else _MALFORMED_VALUE
    if type_ in (Type.TEXT, Type.USER):
        end = max(at, len(line) - len(literal)) if last else _find_literal(line, literal, at, search)
    elif type_ is Type.LIST:
        end = _list_end(line, at)
    else:
        read = _READERS[type_](type_, line, at)
        if read is None:
            raise _MisfitError(reason)
        end, value = read
    if not line.startswith(literal, end) or (last and end + len(literal) != len(line)):
        raise _MisfitError(reason)
    return at, end, value


def _find_literal(line: bytes, literal: bytes, at: int, search: int) -> int:
    while (found := line.find(literal, search)) >= 0:
        backslashes = found - at - len(line[at:found].rstrip(b"\\"))
        if not (literal.startswith(b'"') and backslashes % 2):
            return found
        search = found + 1
    raise _MisfitError(_EXPECTED_LITERAL)


def _list_end(line: bytes, at: int) -> int:
    position = at
    while True:
        position = line.find(b" ", position)
        if position < 0:
            return len(line)
        if position > at and line[position - 1 : position] == b",":
            position += 1
        elif line.startswith(b" : ", position):
            position += 3
            if position == len(line) or line.startswith(b" ", position):
                return position
        else:
            return position


def _read_integer(type_: Type, line: bytes, at: int) -> tuple[int, int | None] | None:
    text = _matched(_INTEGER, line, at)
    if not text.isdigit():
        return at + len(text), None
    digits = text.lstrip(b"0") or b"0"
    if len(digits) > 20 or int(digits) > _MOST[type_]:  # Python refuses to read thousands of digits
        return None
    return at + len(text), int(digits)


def _read_seconds(_: Type, line: bytes, at: int) -> tuple[int, float | None] | None:
    text = _matched(_SECONDS, line, at)
    if text in (b"", b"-"):
        return None if line.startswith(b".", at) else (at + len(text), None)
    digits = text.replace(b".", b"")
    if len(digits) > 15:
        return None
    return at + len(text), int(digits) / 10 ** len(text.partition(b".")[2])


def _read_msec(_: Type, line: bytes, at: int) -> tuple[int, int] | None:
    text = _matched(_SECONDS, line, at)
    whole, fraction = text.partition(b".")[::2]
    if not (whole + fraction).isdigit() or len(whole + fraction) > 15 or len(fraction) > 3:
        return None
    value = int(whole + fraction.ljust(3, b"0"))
    return (at + len(text), value) if value < _YEAR_10000 else None


@lru_cache(maxsize=1024)
def _local_time(text: bytes) -> int | None:
    match = _TIME_LOCAL.fullmatch(text)
    if match is None or match[2] not in _MONTHS:
        return None
    day, month, year, hour, minute, second, sign, *zone = match.groups()
    return _milliseconds([year, b"%d" % _MONTHS[month], day, hour, minute, second], sign, *zone)


def _milliseconds(parts: list[bytes], sign: bytes, zone_hours: bytes, zone_minutes: bytes) -> int | None:
    year, month, day, hour, minute, second = (int(part) for part in parts)
    if not 1970 <= year <= 9999 or second > 60 or int(zone_hours) > 23 or int(zone_minutes) > 59:
        return None
    try:
        moment = datetime(year, month, day, hour, minute, tzinfo=UTC)
    except ValueError:
        return None
    zone = timedelta(hours=int(zone_hours), minutes=int(zone_minutes)) * (-1 if sign == b"-" else 1)
    value = (moment - _EPOCH - zone) // timedelta(milliseconds=1) + second * 1000
    return value if value < _YEAR_10000 else None


def _read_time_local(_: Type, line: bytes, at: int) -> tuple[int, int] | None:
    value = _local_time(line[at : at + 26])
    return None if value is None else (at + 26, value)


def _read_time_iso8601(_: Type, line: bytes, at: int) -> tuple[int, int] | None:
    match = _TIME_ISO8601.match(line, at)
    if match is None:
        return None
    *parts, fraction, sign, hours, minutes = match.groups()
    value = _milliseconds(parts, sign or b"+", hours or b"00", minutes or b"00")
    return None if value is None else (match.end(), value + int((fraction or b"").ljust(3, b"0")[:3]))


def _matched(pattern: re.Pattern[bytes], line: bytes, at: int) -> bytes:
    match = pattern.match(line, at)
    return match[0] if match else b""


_READERS: dict[Type, Callable[[Type, bytes, int], tuple[int, Any] | None]] = {
    Type.TIME_LOCAL: _read_time_local,
    Type.TIME_ISO8601: _read_time_iso8601,
    Type.MSEC: _read_msec,
    Type.STATUS: _read_integer,
    Type.PORT: _read_integer,
    Type.INTEGER: _read_integer,
    Type.SECONDS: _read_seconds,
}


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


@lru_cache(maxsize=65536)
def fanin_bit(text: bytes) -> int:
    """One of 64 bits, by a hash of the text in two lanes of eight bytes."""
    k, mask = 0x9E3779B97F4A7C15, 2**64 - 1

    def rotate(value: int, by: int) -> int:
        return (value << by | value >> (64 - by)) & mask

    a = len(text) * k & mask
    b = ~a & mask
    for at in range(0, len(text), 16):
        words = text[at : at + 16].ljust(16, b"\0")
        a = rotate((a ^ int.from_bytes(words[:8], "little")) * k & mask, 31)
        b = rotate((b ^ int.from_bytes(words[8:], "little")) * k & mask, 31)
    hashed = (a ^ rotate(b, 17)) * k & mask
    hashed = (hashed ^ hashed >> 32) * k & mask
    return 1 << (hashed >> 58)


def _text(line: bytes, span: _Span, _: Output, __: int) -> str:
    return line[span[0] : span[1]].decode("utf-8", "replace")


def _value(_: bytes, span: _Span, __: Output, ___: int) -> Any:
    return span[2]


def _seconds_sum(line: bytes, span: _Span, _: Output, __: int) -> float | None:
    items = [item for item in re.split(rb"[ ,:]+", line[span[0] : span[1]]) if item]
    known = [_read_seconds(Type.SECONDS, item, 0) for item in items]
    if any(read is None or read[0] != len(item) for read, item in zip(known, items, strict=True)):
        return None
    values = [read[1] for read in known if read is not None and read[1] is not None]
    total = 0.0
    for value in values:
        total += value
    return total if values else None


def _request_part(line: bytes, span: _Span, output: Output, _: int) -> Any:
    match = _REQUEST.fullmatch(line, span[0], span[1])
    if output.kind is Kind.READABLE:
        return int(match is not None and match[3] is not None)
    group = match[int(output.kind) - int(Kind.METHOD) + 1] if match else None
    return None if group is None else group.decode("utf-8", "replace")


def _fanin_first(line: bytes, span: _Span, _: Output, __: int) -> int:
    first = line[span[0] : span[1]].partition(b",")[0]
    return 0 if first in (b"", b"-") else fanin_bit(first)


def _tag(line: bytes, span: _Span, output: Output, _: int) -> int:
    text = line[span[0] : span[1]]
    for number, pattern in enumerate(output.patterns, 1):
        whole = not pattern or pattern.endswith(b"\0")
        if text == pattern.removesuffix(b"\0") if whole else text.startswith(pattern):
            return number
    return 0


_VALUES: dict[Kind, Callable[[bytes, _Span, Output, int], Any]] = {
    Kind.TEXT: _text,
    Kind.ADDRESS: lambda line, span, _, __: address_number(line[span[0] : span[1]]),
    Kind.TIME: _value,
    Kind.UINT16: _value,
    Kind.UINT64: _value,
    Kind.SECONDS: _value,
    Kind.SECONDS_SUM: _seconds_sum,
    Kind.METHOD: _request_part,
    Kind.PATH: _request_part,
    Kind.PROTOCOL: _request_part,
    Kind.READABLE: _request_part,
    Kind.FANIN: lambda line, span, _, __: fanin_bit(line[span[0] : span[1]]),
    Kind.FANIN_FIRST: _fanin_first,
    Kind.TAG: _tag,
    Kind.OFFSET: lambda _, __, ___, offset: offset,
}
