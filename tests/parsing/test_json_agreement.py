"""The native scanner of JSON lines against the portable one: the same to the byte, whatever the line and the layout."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scanners import assert_agree, assert_same, every_output, narrow, native_or_skip

from analyzer.native import SCANNER
from analyzer.parsing import portable
from analyzer.parsing.json_format import compile_json
from analyzer.parsing.scanner import NativeScanner
from analyzer.parsing.schema import Kind, Output

if TYPE_CHECKING:
    from analyzer.parsing.json_format import JsonFormat
    from analyzer.parsing.scanned import Taken

#: Few keys, so that pointers meet what stands in a line; many types, so that values do not fit.
KEYS = ["a", "b", "a\\b", "*", ""]
POINTERS = st.lists(st.sampled_from([*KEYS[:3], "*", "*"]), min_size=1, max_size=4).map(
    lambda keys: "/" + "/".join(keys)
)
VARIABLES = [
    "http_user_agent", "request", "host", "status", "upstream_response_time", "remote_addr_port", "time_any",
    "request_time", "http_x_forwarded_for",
]  # fmt: skip
LAYOUTS = st.builds(
    lambda fields, required: compile_json("any", fields, required),
    st.dictionaries(
        st.sampled_from(VARIABLES), st.lists(POINTERS, min_size=1, max_size=3, unique=True), min_size=1, max_size=5
    ),
    st.lists(POINTERS, max_size=1),
)

SCALARS = st.sampled_from([
    "null", "1", "0.5", "-", "", " ", "true", "nul", "0.1, 0.2", "1 2", 'x"y', "a{b", "\\", "\\n", "\\u0041", "200",
    "2,,3", "1795244889", "10.0.0.1:80", "0.05s",
])  # fmt: skip
STRINGS = st.one_of(
    st.sampled_from([
        "", "a", "-", "null", "200", "GET / HTTP/1.1", 'GET /\\" HTTP/1.1', "10.0.0.1:80", "[::1]:443", "0.5s",
        "0.1, 0.2", "2026-11-21T07:08:09Z", "\\\\", '\\"', "\\\\\\\\", "\\u0041", "\\ud83d\\ude00", "\\ud83d",
        "\\ude00",
        "\\udbff\\udfff\\ud800\\udc00", "\\u12", "\\x", "\\/\\b\\f\\n\\r\\t", "{", "}", "[]", ",", '\\",\\"a\\":1',
    ]),
    st.text(max_size=4).map(lambda text: text.replace("\n", "").replace('"', "").replace("\\", "")),
).map('"{}"'.format)  # fmt: skip
GLUE = st.sampled_from([",", ", ", " , ", "", " ", ",,", "\t", ",\r "])
COLON = st.sampled_from([":", ": ", " : ", ":\t"])


def _object(members: list[tuple[str, str, str, str]]) -> str:
    return "{" + "".join(f'"{key}"{colon}{value}{glue}' for key, colon, value, glue in members) + "}"


def _array(elements: list[tuple[str, str]]) -> str:
    return "[" + "".join(value + glue for value, glue in elements) + "]"


def _members(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.tuples(st.sampled_from(KEYS), COLON, values, GLUE), max_size=5).map(_object)


VALUES = st.recursive(
    SCALARS | STRINGS,
    lambda values: _members(values) | st.lists(st.tuples(values, GLUE), max_size=4).map(_array),
    max_leaves=16,
)
LINES = st.tuples(st.sampled_from(["", " ", "\t"]), _members(VALUES), GLUE).map("".join)
#: Pieces of JSON in any order, nearly none of which is an object.
PIECES = st.lists(
    st.sampled_from([
        "{", "}", "[", "]", '"', ":", ",", " ", "\\", "\t", "\r", '"a"', '"b":', '"a":{', '"a":[', '"b":"', "null", "1",
        "x", '"a":"a",', "\\u0041", "\0", "\xff",
    ]),
    max_size=14,
).map("".join)  # fmt: skip


def wanted_of(layout: JsonFormat) -> list[Output]:
    """Whatever can be made of any field, whether it makes sense or not."""
    kinds = (
        Kind.TEXT,
        Kind.FANIN_FIRST,
        Kind.PATH,
        Kind.PROTOCOL,
        Kind.SECONDS_SUM,
        Kind.ADDRESS,
        Kind.TAG,
        Kind.CHAIN,
    )
    more = [
        Output(f"{number}_{kind.name}", kind, number, (b"", b"a") if kind is Kind.TAG else ())
        for number in range(min(len(layout.fields), 4))
        for kind in kinds
    ]
    return [*every_output(layout)[: 63 - len(more)], *more, Output("line", Kind.LINE, 0)]


@st.composite
def mutated(draw: st.DrawFn, lines: st.SearchStrategy[str]) -> bytes:
    """Insert, delete and overwrite in a line."""
    line = draw(lines).encode("latin-1", "replace")
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(line)))
        stop = min(len(line), start + draw(st.integers(0, 4)))
        piece = draw(st.one_of(PIECES.map(lambda text: text.encode("latin-1")), st.binary(max_size=2)))
        line = line[:start] + piece + line[stop:]
    return line


@pytest.fixture(autouse=True)
def _built() -> None:
    native_or_skip(SCANNER)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(LAYOUTS, st.lists(LINES.map(str.encode), min_size=1, max_size=6))
def test_objects(layout: JsonFormat, lines: list[bytes]) -> None:
    """Objects of any nesting, with keys that come twice and values that are none, read alike through any pointers."""
    assert_agree(layout, b"\n".join(lines), wanted_of(layout))


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(LAYOUTS, st.lists(mutated(LINES), min_size=1, max_size=6))
def test_mutated_objects(layout: JsonFormat, lines: list[bytes]) -> None:
    """Objects with any bytes put in and taken out read alike."""
    assert_agree(layout, b"\r\n".join(lines), wanted_of(layout))


@st.composite
def logs(draw: st.DrawFn) -> bytes:
    """Lines most of which are like others, as in a log."""
    lines = draw(st.lists(mutated(LINES), min_size=1, max_size=3))
    number = st.integers(0, len(lines) - 1)
    log = [lines[at] for at in draw(st.lists(number, min_size=8, max_size=24))]
    for at in draw(st.lists(st.integers(0, len(log) - 1), max_size=4)):
        log[at] = draw(mutated(st.just(log[at].decode("latin-1"))))
    return b"\n".join(log)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(LAYOUTS, logs())
def test_lines_that_are_nearly_alike(layout: JsonFormat, text: bytes) -> None:
    """Lines of one kind, some of them changed, read alike: the native scanner expects what came before."""
    assert_agree(layout, text, wanted_of(layout))


@settings(max_examples=250, deadline=None)
@given(LAYOUTS, st.lists(PIECES.map(lambda text: ("{" + text).encode("latin-1")), max_size=12))
def test_pieces(layout: JsonFormat, lines: list[bytes]) -> None:
    """Pieces of JSON in any order read alike."""
    assert_agree(layout, b"\n".join(lines), wanted_of(layout))


@settings(max_examples=100, deadline=None)
@given(LAYOUTS, LINES.map(str.encode), st.integers(0, 70))
def test_truncations_and_alignments(layout: JsonFormat, line: bytes, pad: int) -> None:
    """Every beginning of an object reads alike, at any place in memory and up to its very end."""
    scans: list[Taken] = []
    for kind in (NativeScanner, portable.Scanner):
        scanner = kind(layout, narrow(wanted_of(layout)))
        for length in range(1, len(line) + 1):
            exact = (ctypes.c_char * (pad + length)).from_buffer_copy(b'"' * pad + line)
            scanner.scan(exact, pad, pad + length, length)  # type: ignore[arg-type]
        scans.append(scanner.take())
    assert_same(*scans)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(STRINGS, PIECES.map(lambda text: f'"{text}"')), max_size=8), st.integers(0, 40))
def test_escapes(strings: list[str], pad: int) -> None:
    """Escapes of every kind decode alike, in short texts and long ones."""
    layout = compile_json("x", {"http_user_agent": "/v", "request": "/v"}, [])
    lines = [f'{{"v": "{"x" * pad}{text[1:-1]}{"y" * pad}"}}' for text in strings]
    assert_agree(layout, "\n".join(lines).encode("latin-1", "replace"))
