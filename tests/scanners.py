"""What the tests of the scanners share: the shipped formats and their lines, every output, and a strict comparison."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from polars.testing import assert_frame_equal

from analyzer.parsing import portable
from analyzer.parsing.formats import load_formats
from analyzer.parsing.log_format import LineFormat, compile_format
from analyzer.parsing.scanner import NativeScanner
from analyzer.parsing.schema import SCHEMA, Kind, Output, outputs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.parsing.portable import Taken

Implementation = type[NativeScanner] | type[portable.Scanner]

FORMATS = {format_.name: format_ for format_ in load_formats()}
#: (name of the format, sample) of every file under rules/formats.
SAMPLES = [(name, sample) for name, format_ in FORMATS.items() for sample in format_.samples]
INGRESS = FORMATS["ingress-nginx"].line_format
#: A layout with a field of every type, which no shipped format has.
EVERY_TYPE = compile_format(
    "$remote_addr:$remote_port - $remote_user [$time_local] $time_iso8601 $msec $status $body_bytes_sent "
    '$request_time "$request" $upstream_response_time $upstream_addr "$http_x_forwarded_for" "$http_user_agent"'
)
#: What nginx writes with escape=json, as ingress-nginx's documentation proposes it.
JSON = compile_format(
    'escape=json {"time": "$time_iso8601", "msec": $msec, "remote_addr": "$remote_addr", "user": "$remote_user", '
    '"request": "$request", "status": $status, "bytes": $body_bytes_sent, "duration": $request_time, '
    '"upstream": "$upstream_addr", "upstream_time": "$upstream_response_time", "x_forwarded_for": '
    '"$http_x_forwarded_for", "agent": "$http_user_agent", "length": $request_length}'
)
_TAGS = (b"GET ", b"", b"PROXY", b"\\x00\0", b"\0", b"-")
_MORE = {
    "request": (Kind.READABLE, Kind.TAG, Kind.METHOD, Kind.PATH, Kind.PROTOCOL),
    "user_agent": (Kind.FANIN, Kind.FANIN_FIRST, Kind.TAG, Kind.ADDRESS, Kind.SECONDS_SUM),
    "x_forwarded_for": (Kind.FANIN_FIRST, Kind.ADDRESS),
    "remote_user": (Kind.ADDRESS, Kind.FANIN),
    "upstream_addr": (Kind.TAG, Kind.SECONDS_SUM),
}
_TEXTS = (Kind.TEXT, Kind.METHOD, Kind.PATH, Kind.PROTOCOL)


def native_or_skip(module: object) -> None:
    """Skip a test where the compiled module is not there, or fail it where it has to be."""
    if module is not None:
        return
    if os.environ.get("LOGSCAN_REQUIRE_NATIVE", "") not in {"", "0"}:
        pytest.fail("LOGSCAN_REQUIRE_NATIVE is set and the compiled module is not built")
    pytest.skip("the compiled module is not built")


def every_output(line_format: LineFormat) -> list[Output]:
    """All columns of a format and every other value that a scanner can make of its fields."""
    carried = line_format.columns
    more = [
        Output(f"{column}_{kind.name.lower()}", kind, carried[column], _TAGS if kind is Kind.TAG else ())
        for column, kinds in _MORE.items()
        for kind in kinds
        if column in carried
    ]
    return outputs(line_format, list(SCHEMA)) + more


def narrow(wanted: Iterable[Output]) -> list[Output]:
    """Those of the outputs that hold no text, for which a scanner takes any buffer."""
    return [output for output in wanted if output.kind not in _TEXTS]


def read(kind: Implementation, line_format: LineFormat, text: bytes, wanted: list[Output] | None = None) -> Taken:
    """Scan a text as a whole."""
    scanner = kind(line_format, every_output(line_format) if wanted is None else wanted)
    scanner.scan(text, 0, len(text), 0)
    return scanner.take()


def assert_same(found: Taken, expected: Taken) -> None:
    """Fail unless the two are the same to the byte and the bit."""
    assert (found.lines, found.blank) == (expected.lines, expected.blank)
    assert_frame_equal(found.misfits, expected.misfits, check_exact=True)
    assert_frame_equal(found.rows, expected.rows, check_exact=True)


def assert_agree(line_format: LineFormat, text: bytes, wanted: list[Output] | None = None) -> Taken:
    """Fail unless both scanners read the text alike; return what they read."""
    expected = read(portable.Scanner, line_format, text, wanted)
    assert_same(read(NativeScanner, line_format, text, wanted), expected)
    return expected
