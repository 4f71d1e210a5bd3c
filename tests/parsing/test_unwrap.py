"""The contract of an unwrapper, kept by the native and the portable one alike."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import ClassVar

import polars as pl
import pytest
from scanners import (
    COLLECTOR,
    CRI,
    DOCKER,
    ENVELOPES,
    PREFIXED,
    Pulled,
    UnwrapperKind,
    native_or_skip,
    unwrap,
)

from analyzer.errors import FormatError, UsageError
from analyzer.native import SCANNER
from analyzer.parsing import portable_unwrap, scanner
from analyzer.parsing.json_format import compile_json
from analyzer.parsing.log_format import compile_format
from analyzer.parsing.scanner import ROOM, new_unwrapper

MIB = 1 << 20
CRI_TIME = b"2026-11-21T07:08:09.250000000Z "
MOMENT = 1795244889250


def cri(tag: str, message: bytes, stream: str = "stdout") -> bytes:
    """One line of a container runtime."""
    return CRI_TIME + f"{stream} {tag} ".encode() + message + b"\n"


def docker(log: object, stream: str = "stdout") -> bytes:
    """One line of docker's json-file driver."""
    return json.dumps({"log": log, "stream": stream, "time": "2026-11-21T07:08:09.25Z"}).encode() + b"\n"


class UnwrapperContract:
    """What every unwrapper keeps; the classes below run it."""

    kind: ClassVar[UnwrapperKind]

    def cri(self, *lines: bytes) -> Pulled:
        """Unwrap lines of a container runtime, joined."""
        return unwrap(self.kind, CRI, "cri", b"".join(lines))

    def docker(self, *lines: bytes) -> list[bytes]:
        """The inner lines of docker's, joined."""
        return unwrap(self.kind, DOCKER, "newline", b"".join(lines)).text.splitlines(keepends=True)

    def test_every_line_gives_one(self) -> None:
        """A message comes out as it is, a line that does not fit too; a blank one stays blank; each says its place."""
        lines = [
            cri("F", b"a \xff\0b"), b"no envelope\r\n", b"\n", b"\r\n", cri("F", b""), b"2026 stdout F x\n",
            cri("F", b"z"),
        ]  # fmt: skip
        text, (rows, joined, origins, fitted, count) = self.cri(*lines)
        assert text == b"a \xff\0b\nno envelope\n\n\n\nx\nz\n"
        assert rows["input"].to_list() == list(range(7))
        assert rows["start"].to_list() == [sum(map(len, lines[:n])) for n in range(7)]
        assert rows["time"].to_physical().to_list() == [MOMENT, None, None, None, MOMENT, 2026000, MOMENT]
        assert rows["origin"].to_list() == [0] * 7
        assert (joined.height, origins, fitted, count) == (0, [{}], 4, 7)

    def test_dtypes_stand_without_rows(self) -> None:
        """Nothing at all has all columns with their dtypes."""
        _, (rows, joined, origins, fitted, count) = unwrap(self.kind, CRI, "cri")
        assert rows.schema == pl.Schema(portable_unwrap.LINES)
        assert joined.schema == pl.Schema(portable_unwrap.JOINED)
        assert (rows.height, joined.height, origins, fitted, count) == (0, 0, [{}], 0, 0)

    @pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
    def test_line_ends(self, end: bytes) -> None:
        """An inner line ends with a newline, whatever ended the line around it; other carriage returns are its own."""
        text, (rows, *_, count) = self.cri(cri("F", b"a\r"), cri("F", b"b\rc")[:-1] + end)
        assert text == b"a\nb\rc\n"
        assert rows.height == count == 2

    def test_only_the_named_range_is_read(self) -> None:
        """Bytes before `start` and behind `stop` change nothing; offsets count from `start`."""
        text = b"xx\n" + cri("F", b"a") + cri("F", b"b") + b"yy"
        unwrapper = self.kind(CRI, "cri")
        into = bytearray(len(text) + ROOM)
        assert unwrapper.unwrap(text, 3, len(text) - 3, 1000, into) == 4
        assert into[:4] == b"a\nb\n"
        assert unwrapper.take().lines["start"].to_list() == [1000, 1000 + len(cri("F", b"a"))]

    def test_a_buffer_may_be_reused(self) -> None:
        """What waits does not change when the buffers that it was read from and written to do."""
        unwrapper = self.kind(CRI, "cri")
        text, into = bytearray(cri("P", b"first ")), bytearray(ROOM + 200)
        assert unwrapper.unwrap(text, 0, len(text), 0, into) == 0
        text[:] = b"?" * len(text)
        into[:] = b"!" * len(into)
        end = cri("F", b"second")
        assert unwrapper.unwrap(end, 0, len(end), 0, into) == 13
        assert into[:14] == b"first second\n!"

    def test_cri_parts_are_joined(self) -> None:
        """Parts wait for the one that ends the record, which has the place and time of the first; each part is told."""
        lines = [cri("P", b"a"), cri("P:x", b" b"), b"between\n", cri("P", b""), cri("F:y", b" c"), cri("F", b"d")]
        lines[0] = lines[0].replace(b".25", b".75")
        text, (rows, joined, _, fitted, count) = self.cri(*lines)
        assert text == b"between\na b c\nd\n"
        starts = [sum(map(len, lines[:n])) for n in range(6)]
        assert rows.select("input", "start").rows() == [(2, starts[2]), (0, starts[0]), (5, starts[5])]
        assert rows["time"].to_physical().to_list() == [None, MOMENT + 500, MOMENT]
        assert joined.rows() == [(1, 1, starts[1]), (1, 3, starts[3]), (1, 4, starts[4])]
        assert (fitted, count) == (5, 6)

    def test_streams_wait_apart(self) -> None:
        """Parts of stdout and stderr that alternate do not mix."""
        lines = [
            cri("P", b"o1 "), cri("P", b"e1 ", "stderr"), cri("P", b"o2 "), cri("F", b"e2", "stderr"), cri("F", b"o3")
        ]  # fmt: skip
        text, (rows, joined, *_) = self.cri(*lines)
        assert text == b"e1 e2\no1 o2 o3\n"
        assert rows["input"].to_list() == [1, 0]
        assert joined.select("line", "input").rows() == [(0, 3), (1, 2), (1, 4)]

    def test_flush_sends_what_waits(self) -> None:
        """What waits at the end comes out, stdout before stderr, and only once."""
        unwrapper = self.kind(CRI, "cri")
        into = bytearray(ROOM + 1000)
        text = cri("P", b"e", "stderr") + cri("P", b"o") + cri("P", b"p")
        assert unwrapper.unwrap(text, 0, len(text), 0, into) == 0
        assert unwrapper.take().lines.height == 0
        assert into[: unwrapper.flush(into)] == b"op\ne\n"
        assert unwrapper.flush(into) == 0
        rows, joined, _, fitted, count = unwrapper.take()
        assert rows["input"].to_list() == [2**64 - 2, 2**64 - 3]
        assert joined.select("line", "input").rows() == [(0, 2**64 - 1)]
        assert (fitted, count) == (0, 0)

    def test_what_waits_over_take_is_counted_back(self) -> None:
        """A part that was read before the last take has a number below 0, modulo 2**64, also two takes later."""
        unwrapper = self.kind(CRI, "cri")
        into = bytearray(ROOM + 1000)
        for text in (b"x\n" + cri("P", b"a"), b"x\nx\nx\n" + cri("P", b"b"), cri("F", b"c")):
            length = unwrapper.unwrap(text, 0, len(text), 100, into)
            rows, joined, _, fitted, _ = unwrapper.take()
            assert fitted == 1
        assert into[:length] == b"abc\n"
        assert rows.select("input", "start").rows() == [(2**64 - 5, 102)]
        assert joined.rows() == [(0, 2**64 - 1, 106), (0, 0, 100)]

    def test_too_much_that_waits(self) -> None:
        """What waits never exceeds 1 MiB: it goes out before a part that would, and a part of more at once."""
        half = b"x" * (MIB // 2)
        lines = [
            cri("P", half), cri("P", half), cri("P", b"y"), cri("F", b"z"), cri("P", half * 2 + b"w"), cri("F", b"v")
        ]  # fmt: skip
        text, (rows, joined, *_) = self.cri(*lines)
        assert text.split(b"\n") == [half * 2, b"yz", half * 2 + b"w", b"v", b""]
        assert rows["input"].to_list() == [0, 2, 4, 5]
        assert joined.select("line", "input").rows() == [(0, 1), (1, 3)]
        text, _ = self.cri(cri("P", half * 2), cri("F", b""), cri("P", half * 2), cri("F", b"z"))
        assert text.split(b"\n") == [half * 2, half * 2, b"z", b""]

    def test_streams_share_what_may_wait(self) -> None:
        """Both streams together have 1 MiB: a part without room beside the other stream goes out at once."""
        half = b"x" * (MIB // 2)
        lines = [
            cri("P", half, "stderr"), cri("P", half[1:]), cri("P", b"ab"), cri("P", half), cri("F", b"c"),
            cri("P", half + b"!"), cri("F", b"d", "stderr"),
        ]  # fmt: skip
        text, (rows, joined, *_) = self.cri(*lines)
        assert text.split(b"\n") == [half[1:], b"ab", half, b"c", half + b"!", half + b"d", b""]
        assert rows["input"].to_list() == [1, 2, 3, 4, 5, 0]
        assert joined.select("line", "input").rows() == [(5, 6)]

    def test_without_join_nothing_waits(self) -> None:
        """Where no way of joining is said, a tag or a missing newline means nothing."""
        assert unwrap(self.kind, CRI, None, cri("P", b"a"), cri("F", b"b"), flush=False).text == b"a\nb\n"
        assert unwrap(self.kind, CRI, "", cri("P", b"a"), flush=False).text == b"a\n"
        assert unwrap(self.kind, DOCKER, None, docker("a"), docker("b\n"), flush=False).text == b"a\nb\n"

    def test_docker_joins_by_the_newline(self) -> None:
        """A record goes on in the next line of its stream until one ends with a newline."""
        lines = [docker("a"), docker("E", "stderr"), docker("b"), docker("c\n"), docker("F\n", "stderr"), docker("d")]
        assert self.docker(*lines) == [b"abc\n", b"EF\n", b"d\n"]
        assert self.docker(docker("a\r\n"), docker("\n"), docker(""), docker("b\n")) == [b"a\n", b"\n", b"b\n"]
        assert self.docker(docker("a\r"), docker("\n")) == [b"a \n"]

    @pytest.mark.parametrize(
        ("log", "line"),
        [
            ("a\n", b"a"), ("a\r\n", b"a"), ("a\n\n", b"a "), ("a\nb\r\nc\rd\n", b"a b  c d"), ("\n", b""),
            ("\r\n", b""), ("\r\r\n", b" "),
            ('"q" \\ /\t\x00\u00e4\U0001f600\n', '"q" \\ /\t\x00\u00e4\U0001f600'.encode()),
            ("\ud800x\n", b"\xef\xbf\xbdx"),
        ],
    )  # fmt: skip
    def test_one_record_is_one_line(self, log: str, line: bytes) -> None:
        """A JSON string is decoded; the newline at its end is none of it, others become blanks."""
        for layout, join in ((DOCKER, None), (DOCKER, "newline"), (DOCKER, "cri")):
            assert unwrap(self.kind, layout, join, docker(log), flush=False).text == line + b"\n"

    @pytest.mark.parametrize(
        ("value", "line"),
        [
            ('{"a": "x\\n", "b": [1]}', b'{"a": "x\\n", "b": [1]}'), ('["a", "b\\n"]', b'["a", "b\\n"]'), ("[]", b"[]"),
            ('["a", {"b": 1}]', b'["a", {"b": 1}]'), (" 12 ", b"12"), ("a\\nb", b"a\\nb"),
            ("true", b"true"), ("a\rb", b"a\rb"), ('"a\rb\\n"', b"a b"),
            ('"\xff\\n"', b"\xc3\xbf"), ('"{\\"a\\": \\"\\\\n\\"}\\n"', b'{"a": "\\n"}'),
        ],
    )  # fmt: skip
    def test_what_a_message_may_be(self, value: str, line: bytes) -> None:
        """An object and an array are the line as they stand, a number too; nothing of them waits."""
        text = f'{{"log": {value}, "stream": "stdout"}}'.encode()
        assert unwrap(self.kind, DOCKER, "newline", text, flush=False).text == line + b"\n"

    def test_bytes_are_not_repaired(self) -> None:
        """What is no UTF-8 in a message is left to the scanner of the line."""
        text = b'{"log": "\xff\\u00e9\xe2\x82\\n", "stream": "stdout"}'
        assert unwrap(self.kind, DOCKER, "newline", text).text == b"\xff\xc3\xa9\xe2\x82\n"

    def test_a_lifted_record(self) -> None:
        """Where the message is not there, the collector lifted the record's own keys: the whole line is the record."""
        known = b'"kubernetes": {"host": "n1"}, "time": 1795244889.25'
        lines = [
            b'{"remote_addr": "::1", %b}' % known, b'{"log": null, %b}' % known, b'{"log": , %b}' % known,
            b'{"log": "", %b}' % known, b'{"log": "", "message": "m", %b}' % known, b'{"message": "", %b}' % known,
            b'{"log": "x"}',
        ]  # fmt: skip
        text, (rows, _, origins, fitted, _) = unwrap(self.kind, COLLECTOR, None, b"\n".join(lines))
        assert text.split(b"\n") == [*lines[:3], b"", b"m", b"", lines[6], b""]
        assert rows["origin"].to_list() == [1] * 6 + [0]
        assert rows["time"].to_physical().to_list() == [MOMENT] * 6 + [None]
        assert (origins, fitted) == ([{}, {"node": "n1"}], 6)

    def test_a_lifted_record_waits_for_nothing(self) -> None:
        """A line without a message goes out at once, between parts of a record and whatever its tag says."""
        rest = ', "stream": "stdout", "_p": "P", "kubernetes": {}}'
        lines = ['{"log": "a"' + rest, '{"x": 1' + rest, '{"log": "b"' + rest.replace("P", "F")]
        text, (rows, *_) = unwrap(self.kind, COLLECTOR, "cri", "\n".join(lines).encode())
        assert text.decode().split("\n") == [lines[1], "ab", ""]
        assert rows["input"].to_list() == [1, 0]

    def test_an_envelope_without_a_message(self) -> None:
        """A layout that has no message gives whole lines, with what it says of them."""
        layout = compile_format("$pod $time_any")
        text, (rows, _, origins, fitted, _) = unwrap(self.kind, layout, "cri", b"p 1795244889.25\r\np x\n")
        assert fitted == 1
        assert text == b"p 1795244889.25\np x\n"
        assert rows.select("origin", pl.col("time").to_physical()).rows() == [(1, MOMENT), (0, None)]
        assert origins == [{}, {"pod": "p"}]

    def test_origins(self) -> None:
        """What an envelope says of where a line comes from is told once, decoded, without what is not there."""
        lines = [
            '{"kubernetes": {"host": "n\\u00e4", "pod_name": "p", "labels": {"app": "a\\nb"}}}',
            '{"kubernetes": {"labels": {"app": "a\\nb"}, "pod_name": "\\u0070", "host": "n\u00e4"}, "file": ""}',
            '{"kubernetes": {}, "file": null}', '{"kubernetes": {"container_name": "c"}}',
            '{"kubernetes": {"host": "n"}, "containers": ["a", "\\"b"], "file": "/f"}', "{}", "",
            '{"kubernetes": {"namespace_name": "\xff"}}',
        ]  # fmt: skip
        text = "\n".join(lines).encode("latin-1", "xmlcharrefreplace").replace(b"n\xe4", "n\u00e4".encode())
        _, (rows, _, origins, *_) = unwrap(self.kind, COLLECTOR, None, text)
        assert rows["origin"].to_list() == [1, 1, 0, 2, 3, 0, 0, 4]
        assert origins == [
            {},
            {"node": "n\u00e4", "pod": "p", "labels": '{"app": "a\\nb"}'},
            {"container": "c"},
            {"node": "n", "container": 'a, "b', "file": "/f"},
            {"namespace": "\ufffd"},
        ]

    def test_origins_of_text(self) -> None:
        """In a text layout what stands there is the origin, escapes and all."""
        text = b"[pod/a-1/c] x\n[pod/a-1/d] x\n[pod/a/c/d] x\n[pod/a-1/c] y"
        pulled, (rows, _, origins, *_) = unwrap(self.kind, PREFIXED, None, text)
        assert pulled == b"x\nx\n[pod/a/c/d] x\ny\n"
        assert rows["origin"].to_list() == [1, 2, 0, 1]
        assert origins == [{}, {"pod": "a-1", "container": "c"}, {"pod": "a-1", "container": "d"}]

    def test_origins_stay_over_take(self) -> None:
        """A number means the same origin as long as the unwrapper lives; the list grows."""
        unwrapper = self.kind(PREFIXED, None)
        into = bytearray(ROOM + 1000)
        for names, numbers, known in (("ab", [1, 2], 3), ("b", [2], 3), ("ca", [3, 1], 4)):
            text = "".join(f"[pod/{name}/x] m\n" for name in names).encode()
            unwrapper.unwrap(text, 0, len(text), 0, into)
            taken = unwrapper.take()
            assert taken.lines["origin"].to_list() == numbers
            assert [origin.get("pod") for origin in taken.origins] == [None, "a", "b", "c"][:known]

    def test_the_first_part_has_the_origin(self) -> None:
        """A joined record comes from where its first part does."""
        lines = [
            f'{{"log": "a{end}", "kubernetes": {{"host": "{node}"}}}}'
            for node, end in (("n", ""), ("m", "\\n"), ("m", "\\n"))
        ]
        text, (rows, *_) = unwrap(self.kind, COLLECTOR, "newline", "\n".join(lines).encode())
        assert text == b"aa\na\n"
        assert rows["origin"].to_list() == [1, 2]

    def test_origins_are_bounded(self) -> None:
        """After 65,535 origins further ones are not told apart, and known ones still are."""
        numbers = [*range(65_600), 5, 65_534, 65_535]
        text = "".join(f"[pod/{n}/x] m\n" for n in numbers).encode()
        _, (rows, _, origins, *_) = unwrap(self.kind, PREFIXED, None, text)
        assert rows["origin"].to_list() == [n + 1 if n < 65_535 else 0 for n in numbers]
        assert len(origins) == 65_536
        assert origins[-1] == {"pod": "65534", "container": "x"}

    def test_origins_have_bounded_length(self) -> None:
        """The texts of all origins together have 64 MiB, so that no log can fill the memory with them."""
        unwrapper = self.kind(PREFIXED, None)
        into = bytearray(MIB + 100 + ROOM)
        for number in range(66):
            name = b"%03d" % number + b"a" * (MIB - 4 if number else MIB - 5)
            text = b"[pod/" + name + b"/x] m\n[pod/%d/y] m" % number
            unwrapper.unwrap(text, 0, len(text), 0, into)
        rows, _, origins, *_ = unwrapper.take()
        found = rows["origin"].to_list()
        assert found[:4] == [1, 2, 3, 4]
        assert [n for n in range(66) if found[2 * n] == 0] == [63, 64, 65]
        assert all(found[2 * n + 1] for n in range(66))
        assert len(origins) == 1 + 63 + 66

    def test_take_begins_anew(self) -> None:
        """What was taken is not given again."""
        unwrapper = self.kind(CRI, "cri")
        into = bytearray(ROOM + 1000)
        for _ in range(2):
            text = cri("P", b"a") + cri("F", b"b") + b"x"
            unwrapper.unwrap(text, 0, len(text), 0, into)
            rows, joined, _, fitted, count = unwrapper.take()
            assert rows["input"].to_list() == [0, 2]
            assert joined.rows() == [(0, 1, len(cri("P", b"a")))]
            assert (fitted, count) == (2, 3)

    def test_many_lines(self) -> None:
        """Places stay right over many lines and blocks."""
        blocks = [
            b"".join(cri("P" if n % 3 == 0 else "F", b"%d" % n) for n in range(start, stop))
            for start, stop in pairwise([0, 9001, 18_001, 27_000])
        ]
        text, (rows, joined, *_, count) = unwrap(self.kind, CRI, "cri", *blocks)
        expected = [b"%d%d" % (n - 1, n) if n % 3 == 1 else b"%d" % n for n in range(27_000) if n % 3]
        assert text.split(b"\n")[:-1] == expected
        assert rows["input"].to_list() == [n - (n % 3 == 1) for n in range(27_000) if n % 3]
        assert joined["input"].to_list() == list(range(1, 27_000, 3))
        assert joined["line"].to_list() == list(range(0, 18_000, 2))
        assert count == 27_000

    def test_a_buffer_without_room_is_refused(self) -> None:
        """Room for the text and what may wait is asked for before anything is read."""
        text = cri("P", b"a")
        unwrapper = self.kind(CRI, "cri")
        with pytest.raises(ValueError, match="room"):
            unwrapper.unwrap(text, 0, len(text), 0, bytearray(len(text) + ROOM - 1))
        with pytest.raises(ValueError, match="room"):
            unwrapper.flush(bytearray(ROOM - 1))
        assert unwrapper.take().input_lines == 0
        assert unwrapper.unwrap(text, 0, len(text), 0, bytearray(len(text) + ROOM)) == 0
        assert unwrapper.flush(bytearray(ROOM)) == 2

    @pytest.mark.parametrize(("start", "stop"), [(-1, 3), (3, 2), (0, 7)])
    def test_a_range_outside_the_text_is_refused(self, start: int, stop: int) -> None:
        """A range that is none of the text raises instead of reading past it."""
        unwrapper = self.kind(CRI, "cri")
        with pytest.raises(ValueError, match="start <= stop <= len"):
            unwrapper.unwrap(b"200 a\n", start, stop, 0, bytearray(ROOM + 100))

    def test_what_no_envelope_can_be(self) -> None:
        """An unknown way of joining and a message in many places are refused."""
        with pytest.raises(FormatError, match="join: expected cri or newline, got 'tag'"):
            self.kind(CRI, "tag")
        many = compile_json("x", {"message": ["/a", "/b/*/c"]}, [])
        with pytest.raises(FormatError, match="expected one place for the message"):
            self.kind(many, None)

    def test_lines_of_everything(self) -> None:
        """Any bytes come out as lines: as many as records, whatever the envelope."""
        text = bytes(range(256)) * 3 + b"\n\n" + bytes(range(255, -1, -1))
        for layout, join in ENVELOPES:
            pulled, (rows, joined, *_, count) = unwrap(self.kind, layout, join, text)
            assert pulled.count(b"\n") == rows.height == count - joined.height


class TestPortable(UnwrapperContract):
    """The portable unwrapper."""

    kind = portable_unwrap.Unwrapper


class TestNative(UnwrapperContract):
    """The native unwrapper."""

    kind = scanner.NativeUnwrapper

    @pytest.fixture(autouse=True)
    def _built(self) -> None:
        native_or_skip(SCANNER)


def test_environment_chooses_the_unwrapper(monkeypatch: pytest.MonkeyPatch) -> None:
    """LOGSCAN_SCANNER chooses the unwrapper as it does the scanner."""
    monkeypatch.setenv("LOGSCAN_SCANNER", "portable")
    assert isinstance(new_unwrapper(CRI, "cri"), portable_unwrap.Unwrapper)
    monkeypatch.delenv("LOGSCAN_SCANNER")
    monkeypatch.setattr(scanner, "SCANNER", None)
    assert isinstance(new_unwrapper(CRI), portable_unwrap.Unwrapper)
    with pytest.raises(UsageError, match="not built"):
        scanner.NativeUnwrapper(CRI)
