"""An nginx ``log_format`` string as data: the fields of a line and the literals between them.

A `LineFormat` drives both scanners. A JSON access log that nginx writes (``escape=json``) is the same thing with longer
literals, so any ``log-format-upstream`` runs at full speed. JSON whose keys may come in any order: `json_format`.

Variables and what they mean: https://nginx.org/en/docs/varindex.html; ingress-nginx adds ``$req_id``, ``$the_real_ip``,
``$proxy_upstream_name`` and others (kubernetes/ingress-nginx docs/user-guide/nginx-configuration/log-format.md). Those
that neither has are logscan's own, for the formats of other products and for what collectors write round a line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from analyzer.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable


class Type(IntEnum):
    """How far a field reaches and what its text may be; the numbers are those of scanner.c."""

    TEXT = 0  #: whatever stands before the next literal
    USER = 1  #: the same, but the text may hold the literal itself (raw text from Basic auth)
    TIME_LOCAL = 2
    TIME_ISO8601 = 3
    MSEC = 4
    STATUS = 5
    PORT = 6
    INTEGER = 7
    SECONDS = 8
    LIST = 9  #: what nginx writes for upstreams: ``a``, ``a, b``, ``a : b``
    ADDRESS_PORT = 10  #: as TEXT; an address and perhaps the port behind it
    MILLIS = 11
    MICROS = 12
    NANOS = 13
    TIME_ANY = 14  #: ISO 8601 in its looser forms, the time of a common log, or an epoch number by its digits
    NAME = 15  #: one or more of ``A-Za-z0-9._-``
    BLANKS = 16  #: and a byte order mark
    STREAM = 17  #: ``stdout`` or ``stderr``
    CRI_TAG = 18  #: ``F`` or ``P``, perhaps with more tags, and the blank behind it
    SYSLOG_TIME = 19  #: ``Nov 21 07:08:09``: it names no year, so it is no time
    WORD = 20  #: as TEXT, without a blank: an address holds none, and what stands before a log line does
    UNQUOTED = 21  #: as TEXT, without a double quote
    FIRST_ADDRESS = 22  #: as TEXT, a list of addresses, of which the first counts, without its port
    ADDRESSES = 23  #: addresses with commas between them, ``-``, or nothing before a blank


#: Types that say themselves where they end, so that the next variable may touch them.
_SELF_DELIMITING = frozenset({
    Type.TIME_ANY, Type.NAME, Type.BLANKS, Type.STREAM, Type.CRI_TAG, Type.SYSLOG_TIME, Type.ADDRESSES
})  # fmt: skip

#: Types that hold a duration; their value is in seconds.
DURATIONS = frozenset({Type.SECONDS, Type.MILLIS, Type.MICROS, Type.NANOS})


#: Why a line does not fit, by the number that the scanners give.
REASONS = ("expected_literal", "malformed_value", "too_long", "continued")

#: Variable -> (type, column or None).
VARIABLES: dict[str, tuple[Type, str | None]] = {
    "remote_addr": (Type.WORD, "remote_addr"),
    "the_real_ip": (Type.WORD, "remote_addr"),
    "realip_remote_addr": (Type.TEXT, "realip_remote_addr"),
    "proxy_protocol_addr": (Type.TEXT, "proxy_protocol_addr"),
    "http_x_forwarded_for": (Type.TEXT, "x_forwarded_for"),
    "proxy_add_x_forwarded_for": (Type.TEXT, "x_forwarded_for"),
    "the_x_forwarded_for": (Type.TEXT, "x_forwarded_for"),
    "remote_port": (Type.PORT, "remote_port"),
    "remote_user": (Type.USER, "remote_user"),
    "time_local": (Type.TIME_LOCAL, "time"),
    "time_iso8601": (Type.TIME_ISO8601, "time"),
    "msec": (Type.MSEC, "time"),
    "request": (Type.TEXT, "request"),
    "request_method": (Type.TEXT, "method"),
    "uri": (Type.TEXT, "path"),
    "request_uri": (Type.TEXT, "path"),
    "server_protocol": (Type.TEXT, "protocol"),
    "host": (Type.TEXT, "host"),
    "http_host": (Type.TEXT, "host"),
    "status": (Type.STATUS, "status"),
    "body_bytes_sent": (Type.INTEGER, "body_bytes_sent"),
    "request_length": (Type.INTEGER, "request_length"),
    "request_time": (Type.SECONDS, "request_time"),
    "http_referer": (Type.TEXT, "referer"),
    "http_user_agent": (Type.TEXT, "user_agent"),
    "req_id": (Type.TEXT, "request_id"),
    "request_id": (Type.TEXT, "request_id"),
    "kong_request_id": (Type.TEXT, "request_id"),
    "http_x_request_id": (Type.TEXT, "request_id"),
    "namespace": (Type.TEXT, "namespace"),
    "ingress_name": (Type.TEXT, "ingress"),
    "limit_req_status": (Type.TEXT, "limit_req_status"),
    "limit_conn_status": (Type.TEXT, "limit_conn_status"),
    "proxy_upstream_name": (Type.TEXT, "upstream_name"),
    "upstream_addr": (Type.LIST, "upstream_addr"),
    "upstream_status": (Type.LIST, "upstream_status"),
    "upstream_response_time": (Type.LIST, "upstream_response_time"),
    "upstream_response_length": (Type.LIST, None),
    "upstream_connect_time": (Type.LIST, None),
    "upstream_header_time": (Type.LIST, None),
    "session_time": (Type.SECONDS, "request_time"),
    "bytes_received": (Type.INTEGER, "request_length"),
    # What other products write.
    "remote_addr_port": (Type.ADDRESS_PORT, "remote_addr"),
    "remote_addr_first": (Type.FIRST_ADDRESS, "remote_addr"),
    "realip_remote_addr_port": (Type.FIRST_ADDRESS, "realip_remote_addr"),
    "x_forwarded_for_list": (Type.ADDRESSES, "x_forwarded_for"),
    "vhost": (Type.NAME, "host"),
    "time_any": (Type.TIME_ANY, "time"),
    "time_begun": (Type.TIME_ANY, "time"),  # to the millisecond, when the request began
    "syslog_time": (Type.SYSLOG_TIME, None),
    "request_time_ms": (Type.MILLIS, "request_time"),
    "request_time_us": (Type.MICROS, "request_time"),
    "request_time_ns": (Type.NANOS, "request_time"),
    "upstream_time": (Type.SECONDS, "upstream_response_time"),
    "upstream_time_ms": (Type.MILLIS, "upstream_response_time"),
    "upstream_time_us": (Type.MICROS, "upstream_response_time"),
    "upstream_time_ns": (Type.NANOS, "upstream_response_time"),
    "upstream_name": (Type.TEXT, "upstream_name"),
    "upstream_target": (Type.TEXT, "upstream_addr"),
    "upstream_code": (Type.TEXT, "upstream_status"),
    # Headers and paths that are written between quotes as they came, quotes and all.
    "request_raw": (Type.USER, "request"),
    "referer_raw": (Type.USER, "referer"),
    "user_agent_raw": (Type.USER, "user_agent"),
    "x_forwarded_for_raw": (Type.USER, "x_forwarded_for"),
    "request_id_raw": (Type.USER, "request_id"),
    "host_raw": (Type.USER, "host"),
    # The same at the end of a line, where a quote shows that fields were mistaken for others; or cut by a longest line.
    "request_unquoted": (Type.UNQUOTED, "request"),
    "upstream_unquoted": (Type.UNQUOTED, "upstream_addr"),
    # Typed or not, but read by no column: a line must have them.
    "number": (Type.INTEGER, None),
    "seconds": (Type.SECONDS, None),
    "millis": (Type.MILLIS, None),
    "name": (Type.NAME, None),
    "word": (Type.WORD, None),
    "blanks": (Type.BLANKS, None),
    "rest": (Type.TEXT, None),
    # What collectors write round a line.
    "message": (Type.TEXT, "message"),
    "node": (Type.NAME, "node"),
    "pod": (Type.NAME, "pod"),
    "pod_namespace": (Type.NAME, "namespace"),
    "container": (Type.NAME, "container"),
    "labels": (Type.TEXT, "labels"),
    "file": (Type.TEXT, "file"),
    "stream": (Type.STREAM, None),
    "cri_tag": (Type.CRI_TAG, None),
}

#: Where a format writes one column twice, the finer notation of the time wins.
_FINER = {Type.TIME_LOCAL: 0, Type.TIME_ISO8601: 1, Type.TIME_ANY: 1, Type.MSEC: 2}

#: Fields that scanner.c has room for.
MAX_FIELDS = 64

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)


@dataclass(frozen=True, slots=True)
class Field:
    """One variable of a format and the literal behind it (empty: the end of the line, or the next variable touches)."""

    variable: str
    type: Type
    column: str | None
    literal: bytes

    @property
    def retry(self) -> bool:
        """Whether the text may hold its own terminator, so that a later one is tried when the rest does not fit.

        ``$remote_user`` may hold anything, and an IPv6 address holds the colon of ``$remote_addr:$remote_port``.
        """
        return bool(self.literal) and (
            self.type is Type.USER or (self.type in (Type.TEXT, Type.WORD) and self.literal.startswith(b":"))
        )


@dataclass(frozen=True, slots=True)
class LineFormat:
    """The layout of an access-log line.

    Attributes
    ----------
    name
        As the report shows it: the name of a shipped format, or ``custom``.
    text
        The ``log_format`` string.
    prefix
        The literal before the first field.
    fields
        Variables in order, each with the literal behind it.
    """

    name: str
    text: str
    prefix: bytes
    fields: tuple[Field, ...]

    @property
    def columns(self) -> dict[str, int]:
        """Access-log columns that the line carries, each with the number of its field.

        A variable written twice counts where it stands last: in ``$the_real_ip - [$the_real_ip]`` the bracket holds the
        effective client when the two differ.
        """
        return columns_of(self.fields)

    def explain(self, field: int, reason: int) -> str:
        """Say why a line stops fitting at a field; the numbers are those that the scanners give (field -1: prefix)."""
        if REASONS[reason] == "too_long":
            return "the line is longer than 1 MiB"
        if field < 0:
            return f"expected {_quoted(self.prefix)} at the start"
        at = self.fields[field]
        if REASONS[reason] == "malformed_value":
            return f"${at.variable} is not {MEANING[at.type]}"
        what = _quoted(at.literal) if at.literal else "the end of the line"
        # `$blanks` behind the last text only says that the line ends there.
        before = self.fields[field - 1] if at.type is Type.BLANKS and not at.literal and field else at
        return f"expected {what} after ${before.variable}"


class Held(Protocol):
    """What a field of any layout has: a type, and the column that it is made for."""

    @property
    def type(self) -> Type:
        """How its text is read."""

    @property
    def column(self) -> str | None:
        """The column, or None."""


def columns_of(fields: Iterable[Held]) -> dict[str, int]:
    """Which columns these fields carry, each with the number of its field; a port may stand with its address."""
    found: dict[str, tuple[int, int]] = {}
    for index, field in enumerate(fields):
        columns = [field.column, "remote_port"] if field.type is Type.ADDRESS_PORT else [field.column]
        fine = _FINER.get(field.type, 0)
        for column in columns:
            if column is not None and (column not in found or found[column][1] <= fine):
                found[column] = (index, fine)
    return {column: index for column, (index, _) in found.items()}


#: What a field of each type should have been, for a message.
MEANING = {
    Type.TIME_LOCAL: "a time such as 21/Nov/2026:07:08:09 +0000",
    Type.TIME_ISO8601: "a time such as 2026-11-21T07:08:09+00:00",
    Type.MSEC: "a time such as 1763708889.123",
    Type.STATUS: "a status of at most three digits",
    Type.PORT: "a port",
    Type.INTEGER: "a whole number",
    Type.SECONDS: "a number of seconds",
    Type.LIST: "an upstream list",
    Type.WORD: "a word",
    Type.UNQUOTED: "free of quotes",
    Type.ADDRESS_PORT: "an address",
    Type.FIRST_ADDRESS: "an address or a list of them",
    Type.ADDRESSES: "a list of addresses",
    Type.MILLIS: "a number of milliseconds",
    Type.MICROS: "a number of microseconds",
    Type.NANOS: "a number of nanoseconds",
    Type.TIME_ANY: "a time",
    Type.NAME: "a name of letters, digits, `.`, `_` and `-`",
    Type.BLANKS: "blank",
    Type.STREAM: "`stdout` or `stderr`",
    Type.CRI_TAG: "`F` or `P`",
    Type.SYSLOG_TIME: "a time such as Nov 21 07:08:09",
}


def _quoted(literal: bytes) -> str:
    return f"`{literal.decode('utf-8', 'replace')}`"


def compile_format(text: str, name: str = "custom") -> LineFormat:
    """Compile an nginx ``log_format`` string.

    Parameters
    ----------
    text
        The string as it stands in nginx's or ingress-nginx's configuration. A leading ``escape=default``,
        ``escape=json`` or ``escape=none`` is accepted: what it changes is read right in any case.
    name
        What the report calls it.

    Raises
    ------
    FormatError
        With the place in the string where it stops making sense.
    """
    body = re.sub(r"\Aescape=(default|json|none)\s+", "", text.rstrip("\r\n"))
    if "\n" in body:
        raise FormatError(f"log format: expected one line, got {body.count(chr(10)) + 1}")
    literals: list[str] = []
    variables: list[str] = []
    end = 0
    for match in _VARIABLE.finditer(body):
        literals.append(_literal(body, end, match.start()))
        variables.append(match[1] or match[2])
        end = match.end()
    literals.append(_literal(body, end, len(body)))
    if not variables:
        raise FormatError(
            f"log format: expected nginx variables such as $remote_addr, got none in {body!r}",
            hint="give the name of a known format or a log_format string",
        )
    known = [v for v in variables if VARIABLES.get(v, (None, None))[1] is not None]
    if not known:
        raise FormatError(f"log format: expected at least one variable that logscan reads, got only ${variables[0]}")
    fields = _fields(variables, literals[1:])
    if len(fields) > MAX_FIELDS:
        raise FormatError(f"log format: expected at most {MAX_FIELDS} variables, got {len(fields)}")
    return LineFormat(name, text, _bytes(literals[0]), tuple(fields))


def _bytes(literal: str) -> bytes:
    return literal.encode("utf-8", "surrogateescape")  # a shell may hand over what is not UTF-8


def _literal(body: str, start: int, stop: int) -> str:
    dollar = body.find("$", start, stop)
    if dollar >= 0:
        raise FormatError(
            f"log format: expected the name of a variable after `$` at column {dollar + 1}, "
            f"got {body[dollar + 1 : dollar + 11]!r}"
        )
    return body[start:stop]


def _fields(variables: list[str], literals: list[str]) -> list[Field]:
    """Pair variables with what follows them; those that touch and do not end by themselves become one text."""
    fields: list[Field] = []
    touching: list[str] = []
    for number, (variable, literal) in enumerate(zip(variables, literals, strict=True), 1):
        touching.append(variable)
        type_, column = VARIABLES.get(variable, (Type.TEXT, None)) if len(touching) == 1 else (Type.TEXT, None)
        if not literal and number < len(variables) and type_ not in _SELF_DELIMITING:
            continue
        # A list is told from what follows by its blanks; before any other literal it reaches to that literal.
        if type_ is Type.LIST and not literal.startswith(" "):
            type_ = Type.TEXT
        fields.append(Field("$".join(touching), type_, column, _bytes(literal)))
        touching = []
    return fields
