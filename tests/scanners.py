"""What the tests of scanners and unwrappers share: formats and their lines, every output, strict comparisons."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import pytest
from polars.testing import assert_frame_equal

from analyzer.parsing import portable, portable_unwrap
from analyzer.parsing.formats import load_formats
from analyzer.parsing.json_format import compile_json
from analyzer.parsing.log_format import compile_format
from analyzer.parsing.scanner import ROOM, NativeScanner, NativeUnwrapper, Unwrapped
from analyzer.parsing.schema import SCHEMA, Kind, Output, outputs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.parsing.json_format import Layout
    from analyzer.parsing.scanned import Taken

Implementation = type[NativeScanner] | type[portable.Scanner]
UnwrapperKind = type[NativeUnwrapper] | type[portable_unwrap.Unwrapper]

FORMATS = {format_.name: format_ for format_ in load_formats()}
#: (name of the format, sample) of every file under rules/formats.
SAMPLES = [(name, sample) for name, format_ in FORMATS.items() for sample in format_.samples]
INGRESS = FORMATS["ingress-nginx"].layouts[0]
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
STATUS = compile_format("$status $http_user_agent")
#: A line of ingress-nginx.
LINE = (
    b'203.0.113.7 - - [21/Nov/2026:07:08:09 +0000] "GET /shop?q=1 HTTP/1.1" 200 612 "-" "curl/8.5.0" '
    b"88 0.004 [shop-web-8080] [] 10.244.1.7:8080 612 0.004 200 1c6f0d8a"
)
_TAGS = (b"GET ", b"", b"PROXY", b"\\x00\0", b"\0", b"-")
_MORE = {
    "request": (Kind.READABLE, Kind.TAG, Kind.METHOD, Kind.PATH, Kind.PROTOCOL),
    "user_agent": (Kind.FANIN, Kind.FANIN_FIRST, Kind.TAG, Kind.ADDRESS, Kind.SECONDS_SUM, Kind.CHAIN),
    "x_forwarded_for": (Kind.FANIN_FIRST, Kind.ADDRESS, Kind.CHAIN),
    "remote_user": (Kind.ADDRESS, Kind.FANIN),
    "upstream_addr": (Kind.TAG, Kind.SECONDS_SUM),
    "upstream_name": (Kind.HASH,),
}
_TEXTS = (Kind.TEXT, Kind.METHOD, Kind.PATH, Kind.PROTOCOL, Kind.CHAIN)


def native_or_skip(module: object) -> None:
    """Skip a test where the compiled module is not there, or fail it where it has to be."""
    if module is not None:
        return
    if os.environ.get("LOGSCAN_REQUIRE_NATIVE", "") not in {"", "0"}:
        pytest.fail("LOGSCAN_REQUIRE_NATIVE is set and the compiled module is not built")
    pytest.skip("the compiled module is not built")


def every_output(layout: Layout) -> list[Output]:
    """All columns of a format and every other value that a scanner can make of its fields."""
    carried = layout.columns
    more = [
        Output(f"{column}_{kind.name.lower()}", kind, carried[column], _TAGS if kind is Kind.TAG else ())
        for column, kinds in _MORE.items()
        for kind in kinds
        if column in carried
    ]
    return outputs(layout, list(SCHEMA)) + more


def narrow(wanted: Iterable[Output]) -> list[Output]:
    """Those of the outputs that hold no text, for which a scanner takes any buffer."""
    return [output for output in wanted if output.kind not in _TEXTS]


def read(kind: Implementation, layout: Layout, text: bytes, wanted: list[Output] | None = None) -> Taken:
    """Scan a text as a whole."""
    scanner = kind(layout, every_output(layout) if wanted is None else wanted)
    scanner.scan(text, 0, len(text), 0)
    return scanner.take()


class ScannerContract:
    """What a scanner keeps, in tests of subclasses; theirs say of which `kind` it is."""

    kind: ClassVar[Implementation]

    def read(self, line_format: Layout, text: bytes, wanted: list[Output] | None = None) -> Taken:
        """Scan a text as a whole."""
        return read(self.kind, line_format, text, wanted)


def read_passing(kind: Implementation, layout: Layout, text: bytes, wanted: list[Output] | None = None) -> Taken:
    """Scan a text that is overwritten before anything is taken."""
    scanner = kind(layout, every_output(layout) if wanted is None else wanted)
    passing = bytearray(text)
    scanner.scan(passing, 0, len(passing), 0)
    passing[:] = b"?" * len(passing)
    return scanner.take()


def assert_same(found: Taken, expected: Taken) -> None:
    """Fail unless the two are the same to the byte and the bit."""
    assert (found.lines, found.blank) == (expected.lines, expected.blank)
    assert_frame_equal(found.misfits, expected.misfits, check_exact=True)
    assert_frame_equal(found.rows, expected.rows, check_exact=True)


def assert_agree(layout: Layout, text: bytes, wanted: list[Output] | None = None) -> Taken:
    """Fail unless both scanners read the text alike; return what they read."""
    expected = read(portable.Scanner, layout, text, wanted)
    assert_same(read(NativeScanner, layout, text, wanted), expected)
    assert_same(read_passing(NativeScanner, layout, text, wanted), expected)
    return expected


#: Envelopes of each kind: text and JSON, with parts that wait and without.
CRI = compile_format("$time_any $stream $cri_tag$message", "cri")
DOCKER = compile_json("docker", {"message": "/log", "stream": "/stream", "time_any": "/time"}, ["message", "/stream"])
COLLECTOR = compile_json(
    "collector",
    {
        "message": ["/log", "/message"], "time_any": ["/time", "/@timestamp"], "node": "/kubernetes/host",
        "pod": "/kubernetes/pod_name", "namespace": "/kubernetes/namespace_name", "labels": "/kubernetes/labels",
        "file": "/file", "container": ["/kubernetes/container_name", "/containers/*"], "cri_tag": "/_p",
        "stream": "/stream",
    },
    ["/kubernetes"],
)  # fmt: skip
PREFIXED = compile_format("[pod/$pod/$container] $message", "prefixed")
ENVELOPES: list[tuple[Layout, str | None]] = [
    (CRI, "cri"), (CRI, None), (DOCKER, "newline"), (DOCKER, None), (COLLECTOR, None), (COLLECTOR, "cri"),
    (COLLECTOR, "newline"), (PREFIXED, None), (compile_format("$time_any $stream", "bare"), "newline"),
]  # fmt: skip


class Pulled(NamedTuple):
    """All that came out of envelopes: the text and what is said of its lines."""

    text: bytes
    unwrapped: Unwrapped


def unwrap(kind: UnwrapperKind, layout: Layout, join: str | None, *texts: bytes, flush: bool = True) -> Pulled:
    """Unwrap texts that follow each other, and at the end what still waits."""
    unwrapper = kind(layout, join)
    into = bytearray(max(map(len, texts), default=0) + ROOM)
    pulled = b""
    offset = 0
    for text in texts:
        pulled += into[: unwrapper.unwrap(text, 0, len(text), offset, into)]
        offset += len(text)
    if flush:
        pulled += into[: unwrapper.flush(into)]
    return Pulled(pulled, unwrapper.take())


def assert_same_pulled(found: Pulled, expected: Pulled) -> None:
    """Fail unless the two are the same to the byte and the bit."""
    assert found.text == expected.text
    assert found.unwrapped[2:] == expected.unwrapped[2:]
    assert_frame_equal(found.unwrapped.lines, expected.unwrapped.lines, check_exact=True)
    assert_frame_equal(found.unwrapped.joined, expected.unwrapped.joined, check_exact=True)


def assert_unwrap_agree(layout: Layout, join: str | None, *texts: bytes) -> Pulled:
    """Fail unless both unwrappers pull the same out of the texts; return it."""
    expected = unwrap(portable_unwrap.Unwrapper, layout, join, *texts)
    assert_same_pulled(unwrap(NativeUnwrapper, layout, join, *texts), expected)
    return expected
