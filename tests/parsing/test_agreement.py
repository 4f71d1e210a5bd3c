"""The native scanner against the portable one, which is obviously right: the same to the byte, whatever comes."""

from __future__ import annotations

import ctypes
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scanners import (
    EVERY_TYPE,
    FORMATS,
    INGRESS,
    JSON,
    SAMPLES,
    Implementation,
    assert_agree,
    assert_same,
    every_output,
    narrow,
    native_or_skip,
    read,
)

from analyzer.native import SCANNER
from analyzer.parsing import portable
from analyzer.parsing.detect import by_detail, reads_objects
from analyzer.parsing.json_format import compile_json
from analyzer.parsing.log_format import VARIABLES, Type, compile_format
from analyzer.parsing.scanner import FITS_NONE, NativeScanner, NativeSorter
from analyzer.parsing.schema import Kind, Output
from analyzer.sources import Source, open_source, reading

if TYPE_CHECKING:
    from pathlib import Path

    from analyzer.parsing.json_format import Layout
    from analyzer.parsing.scanned import Taken

JSON_LINES = (
    rb'{"time": "2026-11-21T07:08:09+00:00", "msec": 1795244889.123, "remote_addr": "2001:db8::1", "user": "a\"b", '
    rb'"request": "GET /\" \\ HTTP/1.1", "status": 200, "bytes": 612, "duration": 0.004, "upstream": "10.0.0.1:80, '
    rb'10.0.0.2:80", "upstream_time": "0.001, 0.002 : 0.5", "x_forwarded_for": "203.0.113.7, 10.0.0.9", '
    b'"agent": "curl \\u0001\xc3\xa9\xff\\\\", "length": 88}'
    b"\n"
    b'{"time": "2026-11-21T07:08:09Z", "msec": 1795244889, "remote_addr": "", "user": "", "request": "", '
    b'"status": 400, "bytes": 0, "duration": , "upstream": "", "upstream_time": "", "x_forwarded_for": "", '
    b'"agent": "", "length": }'
).split(b"\n")
EVERY_TYPE_LINES = (
    b"2001:db8::1:443 - a [b] [21/Nov/2026:07:08:09 +0530] 2026-11-21T07:08:09.250-04:30 1795244889.250 200 612 0.100 "
    b'"GET /a b HTTP/1.1" 0.001, - : 0.5 10.0.0.1:80, [::1]:80 : unix:/x "203.0.113.7, 10.0.0.9" "curl/8"'
    b"\n"
    b'unix:: -  [21/Nov/2026:07:08:09 +0000] 2026-11-21T07:08:09Z 1795244889 - - - "" - - "" ""'
).split(b"\n")
#: Layouts whose last field has a type, so that what stands behind the line could be taken for more of it.
ENDS = {
    "$http_user_agent $status": b"curl/8 20",
    "$http_user_agent $body_bytes_sent": b"curl/8 1234567",
    "$http_user_agent $request_time": b"curl/8 0.004",
    "$http_user_agent $msec": b"curl/8 1795244889.12",
    "$http_user_agent $time_iso8601": b"curl/8 2026-11-21T07:08:09.25Z",
    "$http_user_agent $time_local": b"curl/8 21/Nov/2026:07:08:09 +0000",
    "$request_time $upstream_addr": b"0.1 10.0.0.1:80, 10.0.0.2:80 : ",
}
#: A JSON layout that reaches everywhere: into objects and arrays, by several ways, with every type.
WALKED = compile_json(
    "walked",
    {
        "remote_addr_port": ["/peer", "/tries/*/peer"], "time_any": ["/time", "/a/time"], "request": "/request",
        "http_user_agent": ["/headers/user-agent", "/headers/User-Agent", "/a/b"], "status": ["/status", "/a/status"],
        "http_x_forwarded_for": ["/headers/x-forwarded-for", "/headers/xff/*"], "request_time_ms": "/latencies/request",
        "upstream_response_time": ["/tries/*/latency", "/tries"], "upstream_addr": ["/tries/*/ip", "/a"],
        "body_bytes_sent": "/size", "request_time": "/a/seconds", "host": ["/a/*", "/a/*/b", "/a/*/*/b"],
        "remote_user": "/", "time_local": "/local", "msec": "/msec", "labels": "/headers",
    },
    ["/request", "http_user_agent"],
)  # fmt: skip
LOOSE = compile_json("loose", {"remote_addr": "/a", "http_user_agent": ["/b", "/a/b"], "upstream_addr": "/b/*"}, [])
WALKED_LINES = [
    (
        rb'{"peer":"10.0.0.1:80","time":"2026-11-21T07:08:09.25Z","request":"GET \/\u00e4 HTTP/1.1","status":200,'
        rb'"headers":{"user-agent":"curl\"\\","x-forwarded-for":["203.0.113.7","10.0.0.9"],"z":{"y":["x",{"w":null}]}},'
        rb'"latencies":{"request":4,"kong":1},"tries":[{"ip":"10.0.0.2","peer":"[::1]:443","latency":0.001},'
        rb'{"ip":"10.0.0.3","latency":"0.002"}],"size":612,"a":{"seconds":"0.05s","b":"","status":null},"":"u"}'
    ),
    (
        rb' { "peer" : ":80" , "time": 1795244889250, "a": [ {"b": 1}, [ {"b": "2"} , 3, null ], "x" ], "request": "",'
        b' "headers": {"User-Agent": "\\ud83d\\ude00\\u12 \xc3\xa9\xff", "xff": [ "a" "b", 1 ]}, "tries": [0.1, "-"],'
        rb' "local": "21/Nov/2026:07:08:09 +0000", "msec": 1795244889.25, "size": , "status": -1, "latencies": {} } ,'
    ),
]
LOOSE_LINES = [
    b'{"a": 0.1, 0.2, "b": }',
    b'{"a": "x\\\\", "a": {"b": "y"}, "b": ["1", 2, null]}',
    b'{"b": [[1}, {"a": 2]]}',
]
#: (layout, line): every sample, and layouts that no shipped format has.
LINES: list[tuple[Layout, bytes]] = [
    *((layout, sample["line"].encode()) for name, sample in SAMPLES for layout in FORMATS[name].layouts),
    *((JSON, line) for line in JSON_LINES),
    *((EVERY_TYPE, line) for line in EVERY_TYPE_LINES),
    *((compile_format(text), line) for text, line in ENDS.items()),
    *((WALKED, line) for line in WALKED_LINES),
    *((LOOSE, line) for line in LOOSE_LINES),
]
LINE_IDS = [f"{layout.name}-{number}" for number, (layout, _) in enumerate(LINES)]
LAYOUTS = list(dict.fromkeys(layout for layout, _ in LINES))
#: As a run tries them on a line, and those that no shipped format has.
SORTED = by_detail(LAYOUTS)
#: One line of each layout that fits it, where one does.
FITTING = list(
    {layout: line for layout, line in reversed(LINES) if read(portable.Scanner, layout, line).rows.height}.items()
)
FITTING_IDS = [f"{layout.name}-{number}" for number, (layout, _) in enumerate(FITTING)]
PADS = range(131)
#: What can be made of any field's text.
RAW = (Kind.TEXT, Kind.CHAIN, Kind.ADDRESS, Kind.FANIN, Kind.SECONDS_SUM, Kind.LINE)

HOSTILE = st.sampled_from([
    b'"', b"[", b"]", b" ", b"  ", b"-", b" - ", b"] [", b'" "', b":", b" : ", b",", b", ", b".", b"0", b"9",
    b"99999999", b"18446744073709551616", b"\\", b"\\\\", b'\\"', b"\\x22", b"\0", b"\r", b"\n", b"\r\n", b"\t",
    b"\x7f", b"\xff", b"\xc3\xa9", b"\xe2\x82", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"::", b"::1", b"a", b"HTTP/1.1",
    b"-" * 70, b"[x " * 70, b"{", b"}", b"[]", b"{}", b"}]", b'{"', b'"}', b'":', b'", "', b'"a":', b'"b": ', b"null",
    b"*", b"\\u", b"\\ud83d", b"\\ude00", b"\\u00e9", b"\\/", b"\\n", b"[{", b"s", b"+", b"1795244889123", b'["', b'"]',
])  # fmt: skip


@pytest.fixture(autouse=True)
def _built() -> None:
    native_or_skip(SCANNER)


@st.composite
def mutated(draw: st.DrawFn, line: bytes) -> bytes:
    """Insert, delete, overwrite and repeat in a line."""
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(line)))
        stop = min(len(line), start + draw(st.integers(0, 9)))
        line = line[:start] + draw(st.one_of(HOSTILE, st.just(b""), st.binary(max_size=3))) + line[stop:]
    return line


@st.composite
def logs(draw: st.DrawFn) -> tuple[Layout, bytes]:
    """Some mutated lines of one layout, or of several as a mixed stream has them."""
    layout = draw(st.sampled_from(LAYOUTS))
    own = [line for of, line in LINES if of is layout]
    lines = draw(st.lists(st.sampled_from(own * 3 + [line for _, line in LINES]).flatmap(mutated), max_size=8))
    ends = [draw(st.sampled_from([b"\n", b"\r\n", b"\n\n"])) for _ in lines]
    text = b"".join(line + end for line, end in zip(lines, ends, strict=True))
    return layout, text + draw(st.sampled_from([b"", b"\r", b"x", b"203.0.113.7 - -"]))


@pytest.mark.parametrize("layout", LAYOUTS, ids=[f"{layout.name}-{number}" for number, layout in enumerate(LAYOUTS)])
def test_samples(layout: Layout) -> None:
    """Every sample line reads alike in its own layout, where it fits or is rejected, and in every other."""
    lines = [line for _, line in LINES]
    assert_agree(layout, b"\n".join(lines) + b"\n" + b"\r\n".join(lines))


def test_lines_are_sorted_to_the_first_that_reads_them() -> None:
    """Of several layouts a line goes to the first whose scanner reads it: objects to those of objects, others not."""
    lines = [line for _, line in LINES]
    text = b"\n".join(lines)
    expected = [FITS_NONE] * len(lines)
    for number, layout in reversed(list(enumerate(SORTED))):
        for line in read(NativeScanner, layout, text, [Output("line", Kind.LINE, 0)]).rows["line"]:
            if reads_objects(layout) is lines[line].lstrip().startswith(b"{"):
                expected[line] = number
    assert set(expected) > {FITS_NONE}
    assert NativeSorter(SORTED).sort(text).to_list() == expected
    assert portable.Sorter(SORTED).sort(text).to_list() == expected


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_sorted_lines(data: st.DataObject) -> None:
    """Lines with anything in them are sorted alike, whatever layouts there are and whatever was sorted before."""
    layouts = data.draw(st.permutations(SORTED))
    sorters = NativeSorter(layouts), portable.Sorter(layouts)
    for _ in range(2):
        lines = data.draw(st.lists(st.sampled_from([line for _, line in LINES]).flatmap(mutated), max_size=6))
        text = data.draw(st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\n "])).join(lines)
        native, expected = (sorter.sort(text) for sorter in sorters)
        assert native.to_list() == expected.to_list()


@pytest.mark.parametrize(("layout", "line"), LINES, ids=LINE_IDS)
def test_truncations(layout: Layout, line: bytes) -> None:
    """Every beginning of a sample reads alike, ended by a newline and by the end of the memory that holds it."""
    assert_agree(layout, b"\n".join(line[:length] for length in range(len(line) + 1)))
    wanted = narrow(every_output(layout))
    scans = []
    for kind in (NativeScanner, portable.Scanner):
        scanner = kind(layout, wanted)
        for length in range(1, len(line) + 1):
            exact = (ctypes.c_char * length).from_buffer_copy(line)
            scanner.scan(exact, 0, length, length)  # type: ignore[arg-type]
        scans.append(scanner.take())
    assert_same(*scans)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(logs())
def test_mutated_lines(log: tuple[Layout, bytes]) -> None:
    """Lines with any bytes put in, taken out and repeated read alike."""
    assert_agree(*log)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(LAYOUTS), st.binary(max_size=300))
def test_any_bytes(layout: Layout, text: bytes) -> None:
    """Bytes that are no log at all read alike."""
    assert_agree(layout, text)


DIGITS = st.text("0123456789", max_size=22)
NUMBERS = st.one_of(
    DIGITS, st.tuples(DIGITS, DIGITS).map(".".join), st.sampled_from(["-", "", ".", "1.2.3", "-1", "+1"])
)
TWO = st.one_of(st.integers(0, 99).map("{:02}".format), st.text("0123456789 -", max_size=3))
MONTHS = st.sampled_from(
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "jan", "Foo"]
)
YEARS = st.one_of(st.integers(1960, 2110), st.integers(0, 9999)).map("{:04}".format)
LOCAL = st.builds(
    "{}/{}/{}:{}:{}:{} {}{}{}".format, TWO, MONTHS, YEARS, TWO, TWO, TWO, st.sampled_from("+- "), TWO, TWO
)
ZONES = st.one_of(st.just("Z"), st.builds("{}{}:{}".format, st.sampled_from("+- "), TWO, TWO))
FRACTIONS = st.one_of(st.just(""), st.text("0123456789", max_size=11).map(".{}".format))
ISO = st.builds("{}-{}-{}T{}:{}:{}{}{}".format, YEARS, TWO, TWO, TWO, TWO, TWO, FRACTIONS, ZONES)
ADDRESSES = st.one_of(
    st.ip_addresses().map(str),
    st.ip_addresses(v=6).map(lambda address: address.exploded),
    st.text("0123456789abcdefABCDEF:.%", max_size=50),
    st.lists(st.text("0123456789abcdef", max_size=5), min_size=2, max_size=10).map(":".join),
    st.lists(st.text("0123456789", max_size=4), min_size=3, max_size=5).map(".".join),
    st.builds("{}:{}".format, st.sampled_from(["::", "::ffff", "1:2:3:4:5:6", "1::", "1::6"]), st.ip_addresses(v=4)),
)
TIMES = st.lists(NUMBERS, max_size=4).flatmap(
    lambda items: st.sampled_from([", ", " : ", ",", " ", ":", ", : "]).map(lambda glue: glue.join(items))
)
REQUESTS = st.builds(
    "{}{}{}{}{}".format,
    st.text("AGET_-a ", max_size=5),
    st.text(" ", max_size=2),
    st.text("/ aHTP1", max_size=15),
    st.text(" ", max_size=2),
    st.one_of(st.just(""), st.text("0123456789. ", max_size=9).map("HTTP/{}".format)),
)


ANY_ISO = st.builds(
    "{}-{}-{}{}{}:{}:{}{}{}".format, YEARS, TWO, TWO, st.sampled_from("T \tx"), TWO, TWO, TWO,
    st.one_of(st.just(""), st.builds("{}{}".format, st.sampled_from(".,"), st.text("0123456789", max_size=11))),
    st.one_of(st.just(""), ZONES, st.builds("{}{}{}".format, st.sampled_from(["+", "-", " +"]), TWO, TWO)),
)  # fmt: skip
ANY_LOCAL = st.builds(
    "{}/{}/{}:{}:{}:{}{}{}".format, TWO, MONTHS, YEARS, TWO, TWO, TWO, FRACTIONS,
    st.one_of(st.just(""), st.builds("{}{}{}".format, st.sampled_from([" +", " -", "+", " "]), TWO, TWO)),
)  # fmt: skip
EXPONENTS = st.one_of(st.just(""), st.builds("{}{}".format, st.sampled_from(["e", "E-", "e+", "s", ".0"]), NUMBERS))
DURATIONS = st.builds("{}{}{}".format, st.sampled_from(["", "+", "-", "++", "-+"]), NUMBERS, EXPONENTS)
SYSLOG_TIMES = st.builds(
    "{} {} {}:{}:{}".format, MONTHS, st.one_of(TWO, st.integers(0, 9).map(" {}".format)), TWO, TWO, TWO
)
PORTS = st.one_of(st.integers(0, 70_000).map(str), st.text("0123456789", max_size=6), st.sampled_from(["x", "-1"]))
ADDRESS_PORTS = st.one_of(
    ADDRESSES,
    st.builds("{}:{}".format, ADDRESSES, PORTS),
    st.builds("[{}]:{}".format, ADDRESSES, PORTS),
    st.text("[]:0123456789a", max_size=12),
)
LISTS = st.builds(
    "{}{}".format,
    st.sampled_from(["", "-", " ", ",", "fe80::1%x,"]),
    st.lists(ADDRESS_PORTS, max_size=3).map(", ".join),
)
TOKENS = st.one_of(st.text("aZ09._-/ \u00e4", max_size=6), st.sampled_from(["stdout", "stderr", "F", "P:a", "F "]))
#: What the text of each type may be, well-formed or nearly so.
TYPED: dict[Type, st.SearchStrategy[str]] = {
    Type.TIME_LOCAL: LOCAL, Type.TIME_ISO8601: ISO, Type.MSEC: NUMBERS, Type.STATUS: DURATIONS, Type.PORT: DURATIONS,
    Type.INTEGER: DURATIONS, Type.SECONDS: DURATIONS, Type.ADDRESS_PORT: ADDRESS_PORTS, Type.MILLIS: DURATIONS,
    Type.MICROS: DURATIONS, Type.NANOS: DURATIONS, Type.TIME_ANY: st.one_of(ANY_ISO, ANY_LOCAL, NUMBERS),
    Type.NAME: TOKENS, Type.BLANKS: TOKENS, Type.STREAM: TOKENS, Type.CRI_TAG: TOKENS, Type.SYSLOG_TIME: SYSLOG_TIMES,
    Type.WORD: st.one_of(ADDRESS_PORTS, st.text('ab \t\\"|x', max_size=40)),
    Type.FIRST_ADDRESS: LISTS, Type.ADDRESSES: LISTS,
    Type.UNQUOTED: st.text('ab \t\\"|x', max_size=40),
}  # fmt: skip


@pytest.mark.parametrize("type_", list(TYPED), ids=lambda type_: type_.name.lower())
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_typed_values(type_: Type, data: st.DataObject) -> None:
    """Values of every type, well-formed or nearly so, read alike before a literal, at a line's end, and in JSON."""
    variable = next(name for name, (of, _) in VARIABLES.items() if of is type_)
    value = data.draw(TYPED[type_])
    field = f"${{{variable}}}"
    for text in (f"{field}|$status", f"$message<{field}", f"{field}x$message", f"{field}$message"):
        layout = compile_format(text)
        wanted = every_output(layout) + [
            Output(f"{n}_{kind.name}", kind, n) for kind in RAW for n in range(len(layout.fields))
        ]
        assert_agree(layout, f"{value}|\n{value}|1\n{value}\n<{value}\n{value}x\n{value}-1x".encode(), wanted)
    layout = compile_json("json", {variable: "/v"}, [])
    wanted = every_output(layout) + [Output(f"raw_{kind.name}", kind, 0) for kind in RAW]
    assert_agree(layout, f'{{"v":"{value}"}}\n{{"v":{value}}}\n{{"v":"{value}s"}}\n{{"v": [{value}]}}'.encode(), wanted)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(ADDRESSES, REQUESTS, TIMES), max_size=5))
def test_texts_with_a_meaning(rows: list[tuple[str, str, str]]) -> None:
    """Addresses, request lines and upstream times, well-formed or nearly so, read alike."""
    layout = compile_format('$remote_addr "$request" "$upstream_response_time"')
    assert_agree(layout, "\n".join(f'{a} "{r}" "{t}"' for a, r, t in rows).encode())


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["a", "-", ", ", " : ", " ", ":", ",", "[", "]", "[::1]:80", "[]"])).map("".join))
)
def test_upstream_lists(lists: list[str]) -> None:
    """Lists of tries, well-formed or not, end at the same place."""
    assert_agree(compile_format("$upstream_addr $upstream_status x"), "\n".join(f"{text} x" for text in lists).encode())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=5), st.lists(st.binary(max_size=6), max_size=32).map(tuple))
def test_hashes_and_tags(texts: list[bytes], patterns: tuple[bytes, ...]) -> None:
    """Fan-in bits and tags of any bytes are the same."""
    layout = compile_format("<$http_user_agent>")
    wanted = [Output("fan", Kind.FANIN, 0), Output("first", Kind.FANIN_FIRST, 0), Output("tag", Kind.TAG, 0, patterns)]
    patterned = [pattern + text for pattern in patterns for text in texts]
    assert_agree(layout, b"\n".join(b"<%s>" % text for text in (*texts, *patterned)), wanted)


@pytest.mark.parametrize(("layout", "line"), FITTING, ids=FITTING_IDS)
@pytest.mark.parametrize("pad", [b"9", b"9 ", b"9.", b'"', b" ", b"\n"])
def test_alignments_and_tails(layout: Layout, line: bytes, pad: bytes) -> None:
    """A line reads the same at every alignment, with any bytes around it, and at the very end of its memory."""
    wanted = narrow(every_output(layout))
    scanner = NativeScanner(layout, wanted)
    for before in PADS:
        for after in (*range(18), *PADS[18 :: 1 + before % 7]):
            text = (pad * before)[:before] + line + (pad * after)[:after]
            exact = (ctypes.c_char * len(text)).from_buffer_copy(text)
            scanner.scan(exact, before, before + len(line), 0)
    rows, misfits, lines, _ = scanner.take()
    expected = read(portable.Scanner, layout, line, wanted)
    assert lines == rows.height + misfits.height
    for found, once in ((rows, expected.rows), (misfits.drop("number"), expected.misfits.drop("number"))):
        assert found.height == lines * once.height
        assert found.unique().equals(once)


@pytest.mark.parametrize(("layout", "line"), FITTING, ids=FITTING_IDS)
def test_alignments_of_texts(layout: Layout, line: bytes) -> None:
    """Texts are cut out of a line the same at every alignment."""
    scans = []
    for kind in (NativeScanner, portable.Scanner):
        scanner = kind(layout, every_output(layout))
        for pad in PADS:
            scanner.scan(b"x" * pad + line + b"x" * (130 - pad), pad, pad + len(line), pad)
        scans.append(scanner.take())
    assert_same(*scans)


@settings(max_examples=100, deadline=None)
@given(logs(), st.data())
def test_cut_at_line_boundaries(log: tuple[Layout, bytes], data: st.DataObject) -> None:
    """Blocks cut at any line boundaries, in one buffer or each in its own, give what the whole text gives."""
    layout, text = log
    expected = assert_agree(layout, text)
    boundaries = [at + 1 for at, byte in enumerate(text) if byte == ord("\n")]
    for cuts in (boundaries, data.draw(st.lists(st.sampled_from(boundaries), unique=True)) if boundaries else []):
        edges = [0, *sorted(cuts), len(text)]
        for own_buffers in (False, True):
            for kind in (NativeScanner, portable.Scanner):
                scanner = kind(layout, every_output(layout))
                for start, stop in pairwise(edges):
                    if own_buffers:
                        scanner.scan(text[start:stop], 0, stop - start, start)
                    else:
                        scanner.scan(text, start, stop, start)
                assert_same(scanner.take(), expected)


def _through_blocks(kind: Implementation, layout: Layout, path: Path) -> list[Taken]:
    """Read a file as the program does: a scanner for each piece, its blocks in one buffer used again and again."""
    reader = open_source(Source(str(path)))
    scans = []
    for piece in reader.pieces():
        scanner = kind(layout, narrow(every_output(layout)))
        for block in piece.blocks():
            if block.too_long:
                scanner.reject(block.text, 0, block.stop, block.offset, block.continued)
            else:
                scanner.scan(block.text, 0, block.stop, block.offset)
        scans.append(scanner.take())
    reader.close()
    return scans


@pytest.mark.parametrize("piece", [1, 7, 64, 1 << 20])
def test_every_byte_is_a_boundary(piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the sizes of buffers and pieces, both scanners give the same, and no byte is lost."""
    lines = [line for layout, line in LINES if layout is INGRESS][:3]
    lines += [lines[0].replace(b" 200 ", b" 2O0 ", 1), b"", b"\r", b"2026/11/21 07:08:09 [error] x", b"y" * 300]
    path = tmp_path / "access.log"
    path.write_bytes(b"\n".join([*lines, *lines]))
    monkeypatch.setattr(reading, "PIECE", piece)
    for longest in [*range(1, 40), *range(40, 330, 7)]:
        monkeypatch.setattr(reading, "MAX_LINE", longest)
        native, plain = (_through_blocks(kind, INGRESS, path) for kind in (NativeScanner, portable.Scanner))
        for found, expected in zip(native, plain, strict=True):
            assert_same(found, expected)
        kept = {offset: line for scan in native for offset, line in scan.misfits.select("offset", "line").iter_rows()}
        text = path.read_bytes()
        for scan in native:
            for offset in scan.rows["offset"]:
                kept[offset] = text[offset : text.index(b"\n", offset) + 1]
        assert b"".join(kept[offset] for offset in sorted(kept)) == text
        assert sum(scan.lines for scan in native) == text.count(b"\n") + 1
