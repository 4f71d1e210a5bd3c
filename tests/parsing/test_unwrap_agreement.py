"""The native unwrapper against the portable one: the same to the byte, whatever comes."""

from __future__ import annotations

import ctypes
import json
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scanners import (
    COLLECTOR,
    DOCKER,
    ENVELOPES,
    Pulled,
    assert_same_pulled,
    assert_unwrap_agree,
    native_or_skip,
    unwrap,
)

from analyzer.native import SCANNER
from analyzer.parsing.portable_unwrap import Unwrapper
from analyzer.parsing.scanner import ROOM, NativeUnwrapper

if TYPE_CHECKING:
    from analyzer.parsing.json_format import Layout

MIB = 1 << 20
LINES = [
    b"2026-11-21T07:08:09.25Z stdout F 203.0.113.7 - - [x] \xff",
    b"2026-11-21T07:08:09.25+01:00 stderr P:a part",
    b"2026-11-21T07:08:09Z stdout P ",
    b"2026-11-21T07:08:09Z stdout F",
    b"1795244889.25 stderr F e",
    b"2026-11-21T07:08:09Z stdout",
    rb'{"log":"GET \"/\u00e4\"\n","stream":"stdout","time":"2026-11-21T07:08:09.25Z"}',
    rb'{"log":"part\r","stream":"stderr","time":"2026-11-21T07:08:09.25Z"}',
    rb'{"log":"end\r\n","stream":"stderr"}',
    rb'{"log":"\n","stream":"stdout","time":"-"}',
    rb'{"log":{"a":[1,"\n"]},"stream":"stdout"}',
    (
        rb'{"log":"P","stream":"stdout","_p":"P","time":1795244889.25,"kubernetes":{"host":"n1","pod_name":"p",'
        rb'"namespace_name":"ns","container_name":"c","labels":{"app":"x\u00e4"}},"file":"/var/log/\u0078"}'
    ),
    rb'{"message":"F\n","stream":"stderr","_p":"F","kubernetes":{"host":"n2"},"@timestamp":"2026-11-21T07:08:09Z"}',
    rb'{"a":1,"kubernetes":{"host":"n2","labels":["a","b"]},"containers":["c","d"],"log":null}',
    rb'{"log":\n\u0041,"kubernetes":{"host":\u0041},"file":\n,"_p":P,"stream":stderr}',
    rb'{"log":"","kubernetes":{},"stream":"stdout"}',
    b"[pod/a-1/c] message",
    b"[pod/a.2/c] ",
    b"[pod//c] x",
    b"",
    b"no envelope",
]
HOSTILE = st.sampled_from([
    b'"', b"\\", b"\\n", b"\\r", b"\\u000a", b"\\ud83d", b"\\ude00", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"{", b"}",
    b"[", b"]", b",", b":", b" ", b"P", b"F", b"stdout", b"stderr", b"null", b'"log":"x",', b'"_p":"P",', b"-", b"Z ",
    b'""', b"[]",
])  # fmt: skip


@pytest.fixture(autouse=True)
def _built() -> None:
    native_or_skip(SCANNER)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Insert, delete and overwrite in a line."""
    line = draw(st.sampled_from(LINES))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(line)))
        stop = min(len(line), start + draw(st.integers(0, 6)))
        line = line[:start] + draw(st.one_of(HOSTILE, st.just(b""), st.binary(max_size=3))) + line[stop:]
    return line + draw(st.sampled_from([b"\n", b"\n", b"\r\n", b"\n\n"]))


LOGS = st.tuples(
    st.lists(mutated(), max_size=12).map(b"".join), st.sampled_from([b"", b"\r", b"x", LINES[1], LINES[7]])
).map(b"".join)
IDS = [f"{layout.name}-{join}" for layout, join in ENVELOPES]


@pytest.mark.parametrize(("layout", "join"), ENVELOPES, ids=IDS)
def test_truncations(layout: Layout, join: str | None) -> None:
    """Every beginning of a line comes out alike, among whole ones and at the very end of the memory that holds it."""
    for line in LINES:
        beginnings = [line[:length] for length in range(len(line) + 1)]
        assert_unwrap_agree(layout, join, b"\n".join(beginnings), b"\r\n".join(reversed(beginnings)))
        pulled = []
        for kind in (NativeUnwrapper, Unwrapper):
            unwrapper, into, text = kind(layout, join), bytearray(len(line) + ROOM), b""
            for beginning in beginnings:
                exact = (ctypes.c_char * len(beginning)).from_buffer_copy(beginning)
                text += into[: unwrapper.unwrap(exact, 0, len(beginning), 7, into)]  # type: ignore[arg-type]
            text += into[: unwrapper.flush(into)]
            pulled.append(Pulled(text, unwrapper.take()))
        assert_same_pulled(*pulled)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(ENVELOPES), LOGS)
def test_mutated_lines(envelope: tuple[Layout, str | None], log: bytes) -> None:
    """Lines with any bytes put in and taken out come out alike, and each is a line or a part of one."""
    text, (rows, joined, *_, count) = assert_unwrap_agree(*envelope, log)
    assert text.count(b"\n") == rows.height == count - joined.height


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(ENVELOPES), st.binary(max_size=300))
def test_any_bytes(envelope: tuple[Layout, str | None], log: bytes) -> None:
    """Bytes that are no envelope at all come out alike."""
    assert_unwrap_agree(*envelope, log)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ENVELOPES), LOGS, st.data())
def test_cut_at_line_boundaries(envelope: tuple[Layout, str | None], log: bytes, data: st.DataObject) -> None:
    """Blocks cut at any line boundaries give what the whole text gives, whatever waits over them and over takes."""
    whole = assert_unwrap_agree(*envelope, log)
    boundaries = [at + 1 for at, byte in enumerate(log) if byte == ord("\n")]
    cuts = data.draw(st.lists(st.sampled_from(boundaries), unique=True)) if boundaries else []
    edges = [0, *sorted(cuts), len(log)]
    blocks = [log[start:stop] for start, stop in pairwise(edges)]
    assert_same_pulled(assert_unwrap_agree(*envelope, *blocks), whole)
    taken = []
    for kind in (NativeUnwrapper, Unwrapper):
        unwrapper, into, pieces = kind(*envelope), bytearray(len(log) + ROOM), []
        for start, block in zip(edges, blocks, strict=False):
            text = bytes(into[: unwrapper.unwrap(b"{" + block + b'"', 1, 1 + len(block), start, into)])
            pieces.append(Pulled(text, unwrapper.take()))
        pieces.append(Pulled(bytes(into[: unwrapper.flush(into)]), unwrapper.take()))
        taken.append(pieces)
    for found, expected in zip(*taken, strict=True):
        assert_same_pulled(found, expected)
    assert b"".join(piece.text for piece in taken[0]) == whole.text
    assert sum(piece.unwrapped.input_lines for piece in taken[0]) == whole.unwrapped.input_lines


SIZES = st.sampled_from([0, 1, MIB // 2 - 1, MIB // 2, MIB // 2 + 1, MIB - 1, MIB, MIB + 1])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.sampled_from("PF"), SIZES), max_size=7))
def test_what_waits_up_to_its_bound(parts: list[tuple[str, str, int]]) -> None:
    """Parts about as long as what may wait come out alike, and fit into the room that is asked for."""
    cri = "".join(f"2026-11-21T07:08:09Z {stream} {tag} {'x' * size}\n" for stream, tag, size in parts).encode()
    docker = "".join(
        json.dumps({"log": "x" * size + "\n" * (tag == "F"), "stream": stream}) + "\n" for stream, tag, size in parts
    ).encode()
    for layout, join in ENVELOPES:
        if join is not None:
            assert_unwrap_agree(layout, join, cri if join == "cri" else docker)


@pytest.mark.parametrize("kind", [NativeUnwrapper, Unwrapper])
def test_messages_are_what_json_says(kind: type[NativeUnwrapper | Unwrapper]) -> None:
    """Whatever text a JSON library wrote comes out as it went in."""
    texts = ["".join(map(chr, range(start, start + 64))) for start in (*range(0, 0x3000, 64), 0xFFC0, 0x1F600)]
    for ascii_only in (True, False):
        for layout in (DOCKER, COLLECTOR):
            lines = [
                json.dumps({"log": f"{text}\n", "stream": "stdout", "kubernetes": {}}, ensure_ascii=ascii_only)
                for text in texts
            ]
            found, _ = unwrap(kind, layout, "newline", "\n".join(lines).encode())
            assert found.decode().split("\n")[:-1] == [text.replace("\n", " ").replace("\r", " ") for text in texts]
