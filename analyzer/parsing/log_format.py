"""An nginx ``log_format`` string as data: the fields of a line and the literals between them.

A `LineFormat` drives both scanners. A JSON access log that nginx writes (``escape=json``) is the same thing with longer
literals, so any ``log-format-upstream`` runs at full speed. JSON whose keys may come in any order is not read here.

Variables and what they mean: https://nginx.org/en/docs/varindex.html; ingress-nginx adds ``$req_id``, ``$the_real_ip``,
``$proxy_upstream_name`` and others (kubernetes/ingress-nginx docs/user-guide/nginx-configuration/log-format.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

from analyzer.errors import FormatError


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


#: Why a line does not fit, by the number that the scanners give.
REASONS = ("expected_literal", "malformed_value", "too_long", "continued")

#: nginx variable -> (type, access-log column or None).
VARIABLES: dict[str, tuple[Type, str | None]] = {
    "remote_addr": (Type.TEXT, "remote_addr"),
    "the_real_ip": (Type.TEXT, "remote_addr"),
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
    "proxy_upstream_name": (Type.TEXT, "upstream_name"),
    "upstream_addr": (Type.LIST, "upstream_addr"),
    "upstream_status": (Type.LIST, "upstream_status"),
    "upstream_response_time": (Type.LIST, "upstream_response_time"),
    "upstream_response_length": (Type.LIST, None),
    "upstream_connect_time": (Type.LIST, None),
    "upstream_header_time": (Type.LIST, None),
}

#: Where a format writes one column twice, the finer notation of the time wins.
_FINER = {Type.TIME_LOCAL: 0, Type.TIME_ISO8601: 1, Type.MSEC: 2}

#: Fields that scanner.c has room for.
_MAX_FIELDS = 64

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)


@dataclass(frozen=True, slots=True)
class Field:
    """One variable of a format and the literal that ends it (empty: the end of the line)."""

    variable: str
    type: Type
    column: str | None
    literal: bytes

    @property
    def retry(self) -> bool:
        """Whether the text may hold its own terminator, so that a later one is tried when the rest does not fit.

        ``$remote_user`` may hold anything, and an IPv6 address holds the colon of ``$remote_addr:$remote_port``.
        """
        return bool(self.literal) and (self.type is Type.USER or self.literal.startswith(b":"))


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
        found: dict[str, int] = {}
        for index, field in enumerate(self.fields):
            if field.column is None:
                continue
            held = found.get(field.column)
            if held is None or _FINER.get(self.fields[held].type, 0) <= _FINER.get(field.type, 0):
                found[field.column] = index
        return found

    def explain(self, field: int, reason: int) -> str:
        """Say why a line stops fitting at a field; the numbers are those that the scanners give (field -1: prefix)."""
        if REASONS[reason] == "too_long":
            return "the line is longer than 1 MiB"
        if field < 0:
            return f"expected {_quoted(self.prefix)} at the start"
        at = self.fields[field]
        if REASONS[reason] == "malformed_value":
            return f"${at.variable} is not {_MEANING[at.type]}"
        what = _quoted(at.literal) if at.literal else "the end of the line"
        return f"expected {what} after ${at.variable}"


_MEANING = {
    Type.TIME_LOCAL: "a time such as 21/Nov/2026:07:08:09 +0000",
    Type.TIME_ISO8601: "a time such as 2026-11-21T07:08:09+00:00",
    Type.MSEC: "a time such as 1763708889.123",
    Type.STATUS: "a status of at most three digits",
    Type.PORT: "a port",
    Type.INTEGER: "a whole number",
    Type.SECONDS: "a number of seconds",
    Type.LIST: "an upstream list",
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
    if len(fields) > _MAX_FIELDS:
        raise FormatError(f"log format: expected at most {_MAX_FIELDS} variables, got {len(fields)}")
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
    """Pair variables with what follows them; variables that touch become one text that no column takes."""
    fields: list[Field] = []
    touching: list[str] = []
    for number, (variable, literal) in enumerate(zip(variables, literals, strict=True), 1):
        touching.append(variable)
        if not literal and number < len(variables):
            continue
        type_, column = VARIABLES.get(variable, (Type.TEXT, None)) if len(touching) == 1 else (Type.TEXT, None)
        # A list is told from what follows by its blanks; before any other literal it reaches to that literal.
        if type_ is Type.LIST and not literal.startswith(" "):
            type_ = Type.TEXT
        fields.append(Field("$".join(touching), type_, column, _bytes(literal)))
        touching = []
    return fields
