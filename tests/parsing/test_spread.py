"""JSON objects that a log format spreads over several lines, each line in an envelope of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runs import run_all

from analyzer.parsing.scanner import ROOM
from analyzer.parsing.spread import SpreadObjects, is_spread

if TYPE_CHECKING:
    from pathlib import Path

ERROR = "2026/11/21 07:08:09 [error] 31#31: *7 limiting requests, excess: 5.5 by zone z, client: 203.0.113.7"


def entry(number: int) -> list[str]:
    """An access-log entry as a ConfigMap with line breaks makes nginx write it."""
    about = {"time": "2026-11-21T07:08:09+00:00", "remote_addr": f"203.0.113.{number}", "status": 200, "q": '"} {'}
    text = json.dumps(about | {"tries": [{"a": 1}, {"b": 2}]}, indent=2)
    return text.splitlines() if number % 2 else text.replace("{\n", "{ ", 1).splitlines()


def cri(line: str, stream: str = "stdout") -> str:
    """The line as a container runtime keeps it."""
    return f"2026-11-21T07:08:09.1Z {stream} F {line}"


@pytest.mark.parametrize("block", [400, 1_000, 1 << 20])
def test_each_object_is_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Wherever blocks end, with lines of the other stream between and an object that lost its end, all else is read."""
    monkeypatch.setattr("analyzer.sources.reading.MAX_LINE", block)
    lines = [cri(line) for number in range(40) for line in entry(number)]
    lines.insert(25, cri(ERROR, "stderr"))
    cut = [cri(line) for line in entry(77)[:4]]
    more = [cri(line) for number in range(40, 60) for line in entry(number)]
    path = tmp_path / "0.log"
    path.write_text("\n".join([*lines, *cut, *more]) + "\n")
    rejects = tmp_path / "rejects"
    (ran,) = run_all([path], rejects=rejects)
    assert (ran.envelope, ran.format) == ("cri+objects", "nginx-json")
    assert (ran.log.parsed, ran.log.rejected) == (60, 4)
    assert ran.log.other.signals["limiting_requests"] == 1
    assert rejects.read_text().splitlines() == cut


def unwrapped(text: bytes, size: int) -> list[bytes]:
    """What comes out, fed with so many bytes of whole lines."""
    spread, into, out = SpreadObjects(), bytearray(len(text) + ROOM), b""
    lines = text.splitlines(keepends=True)
    for at in range(0, len(lines), size):
        part = b"".join(lines[at : at + size])
        out += bytes(into[: spread.unwrap(part, 0, len(part), 0, into)])
    out += bytes(into[: spread.flush(into)])
    taken = spread.take()
    assert taken.input_lines == len(lines) == taken.lines.height + taken.joined.height
    return out.splitlines()


VALUES = st.recursive(st.text(max_size=5) | st.integers() | st.none(), lambda inner: st.lists(inner, max_size=3))
DICTIONARIES = st.dictionaries(st.text(max_size=3), VALUES, max_size=3)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(DICTIONARIES | st.dictionaries(st.text(max_size=2), DICTIONARIES, max_size=2), max_size=4),
    st.integers(1, 7),
)
def test_any_objects(objects: list[dict[str, object]], size: int) -> None:
    """Whatever objects hold, each comes out in one line, and means the same."""
    text = "".join(json.dumps(one, indent=1) + "\n" for one in objects).encode()
    assert [json.loads(line) for line in unwrapped(text, size)] == objects


@given(st.lists(st.sampled_from([b"{", b"}", b'"a": {', b"},", b"[", b"x", b"", b'"'])), st.integers(1, 3))
def test_no_line_is_lost(lines: list[bytes], size: int) -> None:
    """Lines that make no object come out as they are, or joined by blanks."""
    text = b"".join(line + b"\n" for line in lines)
    assert sorted(b" ".join(unwrapped(text, size)).split()) == sorted(text.split())


def test_what_is_spread() -> None:
    """Objects of a line each are not, and a few that were cut make no log one."""
    assert is_spread(b'{\n"a": 1\n}\n')
    assert is_spread(b'x\n  { "a": 1,\n"b": 2 }\n')
    assert not is_spread(b'{"a": "{"}\n{"a": [1, {"b": 2}]}\n{"a"\n')
    assert not is_spread(b"no object\n")
