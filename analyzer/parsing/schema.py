"""The access-log columns: their names, dtypes, and how a scanner makes each from a field.

The contract of the columns stands in `SCHEMA`. Besides them the scanners make a few narrow values that the tables need
and that would cost a pass over the text each otherwise: a bit for a fan-in bitmap, whether a request line is readable,
which of a few known beginnings a field has.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from analyzer.errors import FormatError

if TYPE_CHECKING:
    from analyzer.parsing.json_format import Layout


class Kind(IntEnum):
    """What a scanner writes for a field; the numbers are those of scanner.c."""

    TEXT = 0  #: null where a JSON object has no such value or an empty one
    ADDRESS = 1  #: UInt128, null where the text is no address
    TIME = 2
    UINT16 = 3
    UINT64 = 4
    SECONDS = 5
    SECONDS_SUM = 6  #: of an upstream list; of a duration its value
    METHOD = 7
    PATH = 8
    PROTOCOL = 9
    READABLE = 10  #: UInt8, 1 where the request line has a method, a target and a protocol
    FANIN = 11  #: UInt64 with one bit set, by a hash of the text
    FANIN_FIRST = 12  #: the same of the text before the first comma; 0 where there is none
    TAG = (
        13  #: UInt8, 1 + the number of the first pattern that the text begins with (whole if it ends with NUL), else 0
    )
    OFFSET = 14
    LINE = 15  #: UInt32, the number of the line since the last `take`, counted from 0 over all lines
    CHAIN = 16  #: a copy of the text, so that the input may be let go; null where it is empty, ``-`` or one address
    HASH = 17  #: UInt32, a hash of the text; 0 where it is empty or ``-``


TIME = pl.Datetime("ms", "UTC")

#: dtype of what each kind yields.
DTYPES: dict[Kind, pl.DataType] = {
    Kind.TEXT: pl.String(),
    Kind.ADDRESS: pl.UInt128(),
    Kind.TIME: TIME,
    Kind.UINT16: pl.UInt16(),
    Kind.UINT64: pl.UInt64(),
    Kind.SECONDS: pl.Float64(),
    Kind.SECONDS_SUM: pl.Float64(),
    Kind.METHOD: pl.String(),
    Kind.PATH: pl.String(),
    Kind.PROTOCOL: pl.String(),
    Kind.READABLE: pl.UInt8(),
    Kind.FANIN: pl.UInt64(),
    Kind.FANIN_FIRST: pl.UInt64(),
    Kind.TAG: pl.UInt8(),
    Kind.OFFSET: pl.UInt64(),
    Kind.LINE: pl.UInt32(),
    Kind.CHAIN: pl.String(),
    Kind.HASH: pl.UInt32(),
}

#: column -> (field it is made from, kind). A column made from its own name is the usual case.
_MADE_FROM: dict[str, tuple[str, Kind]] = {
    "time": ("time", Kind.TIME),
    "remote_addr": ("remote_addr", Kind.TEXT),
    "address": ("remote_addr", Kind.ADDRESS),
    "remote_port": ("remote_port", Kind.UINT16),
    "x_forwarded_for": ("x_forwarded_for", Kind.TEXT),
    "proxy_protocol_addr": ("proxy_protocol_addr", Kind.TEXT),
    "realip_remote_addr": ("realip_remote_addr", Kind.TEXT),
    "remote_user": ("remote_user", Kind.TEXT),
    "request": ("request", Kind.TEXT),
    "method": ("method", Kind.TEXT),
    "path": ("path", Kind.TEXT),
    "protocol": ("protocol", Kind.TEXT),
    "host": ("host", Kind.TEXT),
    "status": ("status", Kind.UINT16),
    "body_bytes_sent": ("body_bytes_sent", Kind.UINT64),
    "request_length": ("request_length", Kind.UINT64),
    "request_time": ("request_time", Kind.SECONDS),
    "upstream_response_time": ("upstream_response_time", Kind.SECONDS_SUM),
    "referer": ("referer", Kind.TEXT),
    "user_agent": ("user_agent", Kind.TEXT),
    "request_id": ("request_id", Kind.TEXT),
    "upstream_name": ("upstream_name", Kind.TEXT),
    "upstream_addr": ("upstream_addr", Kind.TEXT),
    "upstream_status": ("upstream_status", Kind.TEXT),
    "node": ("node", Kind.TEXT),
    "pod": ("pod", Kind.TEXT),
    "namespace": ("namespace", Kind.TEXT),
    "container": ("container", Kind.TEXT),
    "offset": ("", Kind.OFFSET),
}

#: Parts of the request line, where a format logs it whole and not in pieces.
_REQUEST_PARTS = {"method": Kind.METHOD, "path": Kind.PATH, "protocol": Kind.PROTOCOL}

#: Columns of an access-log line and their dtypes.
SCHEMA: dict[str, pl.DataType] = {column: DTYPES[kind] for column, (_, kind) in _MADE_FROM.items()}


class Output(NamedTuple):
    """One column that a scanner is asked for."""

    name: str
    kind: Kind
    field: int
    patterns: tuple[bytes, ...] = ()


def outputs(format_: Layout, columns: list[str]) -> list[Output]:
    """How to make these columns from lines of this format; a column that the format does not carry is left out.

    Raises
    ------
    FormatError
        For a name that is no access-log column.
    """
    carried = format_.columns
    found = []
    for column in columns:
        if column not in _MADE_FROM:
            raise FormatError(f"expected the name of an access-log column, got {column!r}")
        field, kind = _MADE_FROM[column]
        if column in _REQUEST_PARTS and field not in carried:
            field, kind = "request", _REQUEST_PARTS[column]
        if kind is Kind.OFFSET:
            found.append(Output(column, kind, 0))
        elif field in carried:
            found.append(Output(column, kind, carried[field]))
    return found
