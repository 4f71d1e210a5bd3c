"""The contract of a scanner for lines that are JSON objects, kept by the native and the portable one alike."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import TYPE_CHECKING, ClassVar

import pytest
from field_values import VALUES
from hypothesis import given, settings
from hypothesis import strategies as st
from scanners import Implementation, native_or_skip, read

from analyzer.native import SCANNER
from analyzer.parsing import portable
from analyzer.parsing.json_format import compile_json
from analyzer.parsing.log_format import REASONS
from analyzer.parsing.scanner import NativeScanner
from analyzer.parsing.schema import Kind, Output, outputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.parsing.json_format import JsonFormat

ONE = compile_json("one", {"http_user_agent": "/v"}, [])

#: (line, text at /v or None), all of which fit.
TEXTS = [
    ('{"v": "a"}', "a"),
    (' \t{"v":"a"} \t,, ', "a"),
    ('{,,"v" \t: "a",,}', "a"),
    ('{"x": 1 "v": "a"}', None),
    ('{"v": "a" "x": 1}', "a"),
    ('{"v": "a""x": 1}', "a"),
    ("{}", None),
    ('{"v": ""}', None),
    ('{"v": null}', None),
    ('{"v": }', None),
    ('{"v": ,"x": 1}', None),
    ('{"v": , }', ","),
    ('{"v": -}', "-"),
    ('{"v": "-"}', "-"),
    ('{"v": "null"}', "null"),
    ('{"v": nullx}', "nullx"),
    ('{"v": true}', "true"),
    ('{"v":  -1.5e3  }', "-1.5e3"),
    ('{"v": 0.1, 0.2, "x": 1}', "0.1, 0.2"),
    ('{"v": 0.1, 0.2 ,  "x": 1}', "0.1, 0.2"),
    ('{"v": 1, }', "1,"),
    ('{"v": a b c}', "a b c"),
    ('{"v": a"b"}', 'a"b"'),
    ('{"x": {"v": "no"}, "v": "a"}', "a"),
    ('{"x": ["v", {"v": "no"}], "v": "a"}', "a"),
    ('{"x": [}, "v": "a"}', "a"),
    ('{"x": "}", "y": {"z": "]}\\""}, "v": "a"}', "a"),
    ('{"x": "\\\\", "v": "a"}', "a"),
    ('{"x": "\\\\\\"", "v": "a"}', "a"),
    ('{"v": "a", "v": "b"}', "b"),
    ('{"v": "a", "v": ""}', "a"),
    ('{"v": "a", "v": null, "v": []}', "a"),
    ('{"v": "a", "v": {}}', "{}"),
    ('{"V": "a", "v ": "b", "\\u0076": "c"}', None),
    ('{"v": {"a": "x\\ny", "b": [1, "}"]}}', '{"a": "x\\ny", "b": [1, "}"]}'),
    ('{"v": ["a", "b"]}', "a, b"),
    ('{"v": ["a" "b",,"c"]}', "a, b, c"),
    ('{"v": [ 1 , null, "", "null", true ]}', "1, null, true"),
    ('{"v": []}', None),
    ('{"v": [null, ""]}', None),
    ('{"v": ["\\u00e4", "\\""]}', '\u00e4, "'),
    ('{"v": ["\\u00e4", ["b"], {"c": "\\n"}]}', '["\\u00e4", ["b"], {"c": "\\n"}]'),
    ('{"v": [a b, c"d", e]}', 'a b, c"d", e'),
    ('{"v": [a"b, "c]}', '[a"b, "c]'),
    ('{"v": [a{b}]}', "[a{b}]"),
    ('{"v": ["a"}}', "a"),
    ('{"v": "\\"\\\\\\/\\b\\f\\n\\r\\t"}', '"\\/\b\f\n\r\t'),
    ('{"v": "\\u0041\\u00e4\\u20ac\\uD83D\\uDE00\\u0000"}', "A\u00e4\u20ac\U0001f600\0"),
    ('{"v": "\\ud83D\\uDC00\\udbff\\udfff\\ud800\\udbff"}', "\U0001f400\U0010ffff\ufffd\ufffd"),
    ('{"v": "\\ud83d\\ud83d\\ude00 \\ude00\\ud83d \\ud83dx"}', "\ufffd\U0001f600 \ufffd\ufffd \ufffdx"),
    ('{"v": "\\x41 \\u12 \\u12g4 \\q \\U0041 \\x\\n"}', "\\x41 \\u12 \\u12g4 \\q \\U0041 \\x\n"),
    ('{"v": \\u0041}', "A"),
    ('{"v": "\u00e4\u20ac"}', "\u00e4\u20ac"),
]

#: (line, where it breaks): no object, or none that can be read.
BROKEN = [
    ("", 0),
    ("  ", 2),
    ("x", 0),
    ("[]", 0),
    ('"v"', 0),
    ("  x{}", 2),
    ("{", 1),
    ('{"v"', 4),
    ('{"v" x}', 5),
    ('{"v', 3),
    ('{"v\\"', 5),
    ('{"v": "a', 8),
    ('{"v": "a\\"}', 11),
    ('{"v": 1', 7),
    ('{"v": 1, ', 9),
    ('{"v": "a"', 9),
    ('{"v": "a", ', 11),
    ('{"v": "a"]', 9),
    ('{"v": a]}', 7),
    ('{"v": {"a": 1}', 14),
    ('{"v": {"a": 1', 13),
    ('{"v": ["}', 9),
    ('{"v": "a"} x', 11),
    ('{"v": "a"}{', 10),
    ("{v: 1}", 1),
    ("{} }", 3),
    ('{"v": 1}, 2', 10),
    ("\ufeff{}", 0),
]


class JsonContract:
    """What every scanner of JSON lines keeps; the classes below run it."""

    kind: ClassVar[Implementation]

    def texts(self, layout: JsonFormat, *lines: str) -> list[str | None]:
        """The texts of the first field, of lines that all fit."""
        rows, misfits, *_ = read(
            self.kind, layout, "\n".join(lines).encode(), [Output("v", Kind.TEXT, 0), Output("line", Kind.LINE, 0)]
        )
        assert misfits.height == 0, misfits
        assert rows["line"].to_list() == list(range(len(lines)))
        found: list[str | None] = rows["v"].to_list()
        return found

    @pytest.mark.parametrize(("line", "text"), TEXTS)
    def test_texts(self, line: str, text: str | None) -> None:
        """A value is found wherever it stands, however the object is written, and its escapes are decoded."""
        assert self.texts(ONE, line) == [text]

    @pytest.mark.parametrize(("line", "position"), BROKEN)
    def test_broken_lines(self, line: str, position: int) -> None:
        """What is no object does not fit; the position is where it stops being one."""
        rows, misfits, *_ = read(self.kind, ONE, line.encode() + b"\r\n")
        assert rows.height == 0
        assert misfits.select("position", "field", "reason").rows() == [(position, 0, 0)]
        assert misfits["line"].to_list() == [line.encode() + b"\r\n"]

    @pytest.mark.parametrize("step", [1, 2, 3, 5, 7])
    def test_lines_behind_others(self, step: int) -> None:
        """What a line gives and where it is broken does not depend on the lines before it."""
        told = [*TEXTS, *BROKEN, *TEXTS]
        lines = [told[at * step % len(told)] for at in range(3 * len(told))]
        text = "".join(f"{line}\n" for line, _ in lines)
        rows, misfits, *_ = read(self.kind, ONE, text.encode(), [Output("v", Kind.TEXT, 0)])
        assert rows["v"].to_list() == [value for value in (told for _, told in lines) if not isinstance(value, int)]
        assert misfits["position"].to_list() == [value for _, value in lines if isinstance(value, int)]

    def test_lines_that_are_nearly_alike(self) -> None:
        """Values of other types, members that come and go, other blanks and other orders change nothing else."""
        lines = [
            '{"a": "x", "v": "1", "n": {"v": 0}, "z": 1}', '{"a": "x", "v": 2, "n": {"v": 0}, "z": 1}',
            '{"a": "x", "v": "3", "n": [1], "z": 1}', '{"a": "x", "v": null, "n": {"v": 0}, "z": 1}',
            '{"a": "x", "v":  "5", "n": {}, "z": 1}', '{"a": 7, "v": "6", "z": {"v": 0}}', '{"v": "7", "a": "x"}',
            '{"a": "x", "v": ["8"], "n": 1}', '{"a": "x", "v": "\\"9", "n": {"v": 0}}', '{"a": {"v": 0}, "v": 10}',
            '{"a": "x", "v": "11", "v2": 0, "n": {"v": 0}, "z": 1}', '{"a": "x", "n": {"v": 0}, "z": 1}',
            '{"a": "v", "v": {"v": 13}}', '{"a": "x", "v": -, "z": 1}', '{"a": "x", "v": "15" }',
        ]  # fmt: skip
        texts = ["1", "2", "3", None, "5", "6", "7", "8", '"9', "10", "11", None, '{"v": 13}', "-", "15"]
        assert self.texts(ONE, *lines * 3, *reversed(lines)) == [*texts * 3, *reversed(texts)]

    def test_what_stands_behind_the_end(self) -> None:
        """A line that ends with the text is broken there, whatever stands behind it in memory."""
        line = b'{"a": "x", "n": {"v": [1, "2"], "m": {}}, "v": "1" }'
        text = line + b"\n" + line + b"\n" + line + b'"}]' * 40
        for length in range(1, len(line)):
            scanner = self.kind(ONE, [Output("line", Kind.LINE, 0)])
            scanner.scan(text, 0, 2 * len(line) + 2 + length, 0)
            rows, misfits, *_ = scanner.take()
            assert rows.height == 2
            assert misfits["position"].to_list() == [length]

    def test_more_keys_than_are_remembered(self) -> None:
        """Keys by the hundred and keys of any length stand before a value, each line with others."""
        lines = [
            "{" + "".join(f'"{"k" * (at % 70)}{number * at}": {at}, ' for at in range(60)) + f'"v": "{number}"}}'
            for number in range(40)
        ]
        assert self.texts(ONE, *lines) == [str(number) for number in range(40)]

    def test_what_is_asked_for(self) -> None:
        """Which lines fit does not depend on what is made of them."""
        layout = compile_json("x", {"request": "/a/b", "host": "/c", "status": "/d", "http_referer": "/e/*"}, ["/f"])
        lines = [
            '{"a": {"b" 1}, "f": 1}', '{"a": {"b": "x"}, "f": 2}', '{"c": {"d"}, "f": 3}', '{"d": "x", "f": 4}',
            '{"e": ["y" }, "f": 5}', '{"e": [1], "d": 200}', '{"d": 200, "f": {}}', '{"d": 200, "f": null}',
        ]  # fmt: skip
        for field in range(len(layout.fields)):
            rows, misfits, *_ = read(self.kind, layout, "\n".join(lines).encode(), [Output("x", Kind.TEXT, field)])
            assert rows.height == 3
            assert misfits["number"].to_list() == [0, 3, 4, 5, 7]

    @pytest.mark.parametrize(
        ("line", "position"),
        [
            ('{"a": {"b": 1]', 13), ('{"a": {b: 1}}', 7), ('{"a": {"b": 1}, ', 16), ('{"a": {"b": "c}}', 16),
            ('{"r": [{"b": 1}}', 15), ('{"r": [{"b": 1}', 15), ('{"r": [1, }', 10), ('{"r": [1, ', 10),
        ],
    )  # fmt: skip
    def test_broken_inside(self, line: str, position: int) -> None:
        """What is looked into must be readable, too."""
        layout = compile_json("x", {"http_user_agent": ["/a/b", "/r/*/b"]}, [])
        _, misfits, *_ = read(self.kind, layout, line.encode())
        assert misfits.select("position", "field", "reason").rows() == [(position, 0, 0)]

    @pytest.mark.parametrize(
        ("pointers", "line", "text"),
        [
            (["/a/b"], '{"a": {"c": {"b": 1}, "b": 2}, "b": 3}', "2"),
            (["/a/b"], '{"a": {"b": 1}, "a": {"c": 2}}', "1"),
            (["/a/b"], '{"a": {"b": 1}, "a": {"b": 2}}', "2"),
            (["/a/b"], '{"a": [{"b": 1}], "x": 1}', None),
            (["/a/b"], '{"a": "b", "b": "c"}', None),
            (["/a/b"], '{"a": , "b": 1}', None),
            (["/a/0"], '{"a": ["x"]}', None),
            (["/a/0"], '{"a": {"0": "x"}}', "x"),
            (["/a/*"], '{"a": {"*": "x"}}', None),
            (["/*"], '{"*": "x"}', None),
            (["/"], '{"": "x"}', "x"),
            (["/a/*"], '{"a": ["x", 1, null, "", ["y", 2], {"z": "\\n"}]}', 'x, 1, y, 2, {"z": "\\n"}'),
            (["/a/*"], '{"a": ["x"], "a": ["y"]}', "x, y"),
            (["/a/*"], '{"a": ["\\n", "y"]}', "\n, y"),
            (["/a/*/b"], '{"a": [{"b": 1}, 2, {"c": 3}, {"b": "4", "b": 5}]}', "1, 4, 5"),
            (["/a/*/*/b"], '{"a": [[{"b": 1}], {"b": 2}, [{"b": 3}, {"b": 4}]]}', "1, 3, 4"),
            (["/a/*/b/*"], '{"a": [{"b": ["x", "y"]}, {"b": ["z"]}]}', "x, y, z"),
            (["/a", "/b"], '{"b": "2", "a": "1"}', "1"),
            (["/a", "/b"], '{"b": "2", "a": ""}', "2"),
            (["/a", "/b"], '{"b": "2", "a": null}', "2"),
            (["/a", "/b"], '{"b": "2"}', "2"),
            (["/a", "/b"], '{"b": "2", "a": "-"}', "-"),
            (["/a/b", "/a"], '{"a": {"c": 1}}', '{"c": 1}'),
            (["/a/b", "/a"], '{"a": {"b": 1}}', "1"),
            (["/a", "/a/b"], '{"a": {"b": 1}}', '{"b": 1}'),
            (["/a", "/a/*/b"], '{"a": [{"b": 1}, 2]}', '[{"b": 1}, 2]'),
            (["/a/*/b", "/a"], '{"a": ["x", "y"]}', "x, y"),
            (["/x" * 16], '{"x": ' * 16 + '"deep"' + "}" * 16, "deep"),
            (["/x" + "/*" * 15], '{"x": ' + "[" * 15 + '"deep"' + "]" * 15 + "}", "deep"),
        ],
    )
    def test_pointers(self, pointers: list[str], line: str, text: str | None) -> None:
        """A pointer leads through objects by keys and through arrays by `*`; the best one that finds a text counts."""
        assert self.texts(compile_json("x", {"http_user_agent": pointers}, []), line) == [text]

    @pytest.mark.parametrize(("variable", "text", "value"), VALUES)
    def test_typed_values(self, variable: str, text: str, value: object) -> None:
        """A string and a bare value are read as a field of a text layout is; `-`, empty and missing ones are absent."""
        layout = compile_json("x", {variable: "/v"}, [])
        wanted = outputs(layout, list(layout.columns))
        value = None if text in {"-", ""} else value
        bare = "-" if text.startswith(" ") else text  # blanks round it are none of it
        lines = [f'{{"v": "{text}"}}', f'{{"v": {bare} }}', "{}"]
        rows, misfits, *_ = read(self.kind, layout, "\n".join(lines).encode(), wanted)
        found = rows.to_series().to_physical().to_list() if "time" in rows.columns else rows.to_series().to_list()
        assert found == ([None] * (1 + (bare != text)) if value is ... else [value, value, None])
        if value is ... and bare == text:
            assert misfits.select("position", "field", "reason", "number").rows() == [(7, 1, 1, 0), (6, 1, 1, 1)]

    @pytest.mark.parametrize(
        ("text", "value"),
        [("0.05s", 0.05), ("3s", 3.0), ("-s", ...), ("s", ...), ("-1s", ...), ("1ss", ...), ("1 s", ...)],
    )
    def test_seconds_may_say_so(self, text: str, value: object) -> None:
        """A number of seconds may have its unit behind it."""
        layout = compile_json("x", {"request_time": "/v", "upstream_time": "/v"}, [])
        rows, misfits, *_ = read(self.kind, layout, f'{{"v": "{text}"}}'.encode())
        assert rows.select("request_time", "upstream_response_time").rows() == ([] if value is ... else [(value,) * 2])
        assert misfits.height == (value is ...)

    @pytest.mark.parametrize(
        ("value", "status"),
        [
            ("200.0", 200),
            ('"200.000"', 200),
            ("200.", 200),
            ("200.5", ...),
            ("200.0.0", ...),
            (".0", ...),
            ('"-.0"', ...),
        ],
    )
    def test_whole_numbers_may_be_doubles(self, value: str, status: object) -> None:
        """A whole number may come from a program that knows of doubles only."""
        layout = compile_json("x", {"status": "/v", "body_bytes_sent": "/v", "remote_port": "/v"}, [])
        rows, *_ = read(self.kind, layout, f'{{"v": {value}}}'.encode())
        assert rows.select("status", "body_bytes_sent", "remote_port").rows() == (
            [] if status is ... else [(status,) * 3]
        )

    def test_which_misfit_is_told(self) -> None:
        """Of several the lowest field counts; a broken object counts before all."""
        layout = compile_json("x", {"status": "/s", "remote_port": ["/a/*", "/p"], "host": "/h"}, ["/h", "/s"])
        lines = [
            '{"h": "a"}', '{"s": "x", "p": "x"}', '{"s": 200, "p": "x"}', '{"s": 200, "a": [1, "x"], "h": 1}',
            '{"s": 200, "a": [null, "x"], "h": 1}', '{"s": 200}', '{"s": 200, "h": null}', '{"s": "x", "h": "a"',
            '{"s": 200, "p": [ null, "", "1", 2], "h": 1}', '{"s": 200, "p": ["1", {}], "h": 1}',
            '{"s": null, "h": "a"}', '{"s": "", "h": ""}', '{"s": "-", "h": []}', '{"s": {}, "h": {}}',
        ]  # fmt: skip
        rows, misfits, *_ = read(self.kind, layout, "\n".join(lines).encode())
        assert misfits.select("number", "position", "field", "reason").rows() == [
            (0, 0, 1, 0), (1, 7, 1, 1), (2, 17, 2, 1), (3, 17, 2, 1), (4, 24, 2, 1), (5, 0, 3, 0), (6, 0, 3, 0),
            (7, 19, 0, 0), (8, 29, 2, 1), (9, 16, 2, 1), (10, 0, 1, 0), (13, 6, 1, 1),
        ]  # fmt: skip
        assert rows["status"].to_list() == [None, None]

    @pytest.mark.parametrize(
        ("line", "there"),
        [
            ('{"a": "x"}', True), ('{"a": ""}', True), ('{"a": []}', True), ('{"a": {}}', True), ('{"a": 0}', True),
            ('{"a": null}', False), ('{"a": }', False), ("{}", False), ('{"b": null}', False), ('{"b": 1}', True),
            ('{"a": "x", "a": null}', True), ('{"c": []}', False), ('{"c": [null]}', False), ('{"c": [""]}', True),
        ],
    )  # fmt: skip
    def test_required(self, line: str, there: bool) -> None:  # noqa: FBT001
        """A required field needs a value that is not null at one of its pointers; it may be empty."""
        layout = compile_json("x", {"host": ["/a", "/b", "/c/*"]}, ["host"])
        rows, misfits, *_ = read(self.kind, layout, line.encode())
        assert rows.height == there
        assert [REASONS[reason] for reason in misfits["reason"]] == ([] if there else ["expected_literal"])

    def test_what_is_made_of_raw_text(self) -> None:
        """Addresses, hashes and tags are of the text as it stands; a request line is split before it is decoded."""
        layout = compile_json("x", {"remote_addr": "/a", "request": "/r", "http_x_forwarded_for": "/x"}, [])
        wanted = [
            *outputs(layout, ["address", "method", "path", "protocol", "request"]),
            Output("fan", Kind.FANIN, 2), Output("first", Kind.FANIN_FIRST, 2), Output("readable", Kind.READABLE, 1),
            Output("tag", Kind.TAG, 2, (b"\\u0031\0", b"", b"a")),
        ]  # fmt: skip
        lines = (
            rb'{"a": "::1", "r": "GET /\u00e4\"b\\ HTTP/1.1", "x": "\u0031"}' + b"\n"
            rb'{"a": "\u003a:1", "r": "GET\u0020/ HTTP/1.1", "x": ["a", "b"]}' + b"\n{}"
        )
        rows, *_ = read(self.kind, layout, lines, wanted)
        bit = portable.fanin_bit
        assert rows.rows() == [
            (int(ip_address("::1")), "GET", '/\u00e4"b\\', "HTTP/1.1", 'GET /\u00e4"b\\ HTTP/1.1', bit(rb"\u0031"),
             bit(rb"\u0031"), 1, 1),
            (None, None, None, None, "GET / HTTP/1.1", bit(b"a, b"), bit(b"a"), 0, 3),
            (None, None, None, None, None, bit(b""), 0, 0, 2),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("value", "total"),
        [
            ('"0.001, 0.002 : 0.5"', 0.001 + 0.002 + 0.5), ('["0.1", 0.2, "-"]', 0.1 + 0.2), ("0.1, 0.2", 0.1 + 0.2),
            ('"-"', None), ("null", None), ("0.3", 0.3), ('{"a": 1}', None), ('"x"', None),
        ],
    )  # fmt: skip
    def test_upstream_times_add_up(self, value: str, total: float | None) -> None:
        """What was tried one after the other adds up, in a string, in an array, and without quotes."""
        layout = compile_json("x", {"upstream_response_time": "/t"}, [])
        rows, *_ = read(self.kind, layout, f'{{"t": {value}, "x": 1}}'.encode())
        assert rows["upstream_response_time"].to_list() == [total]

    def test_address_and_port(self) -> None:
        """An address and its port in one value; a port alone leaves an address that is empty and not null."""
        layout = compile_json("x", {"remote_addr_port": "/a"}, [])
        values = ['"[2001:db8::1]:443"', '"10.0.0.1:80"', '"10.0.0.1"', '":80"', '"-"', '""', "null", '["a:1", "b:2"]']
        rows, *_ = read(self.kind, layout, "\n".join(f'{{"a": {value}}}' for value in values).encode())
        assert rows.select("remote_addr", "remote_port").rows() == [
            ("2001:db8::1", 443), ("10.0.0.1", 80), ("10.0.0.1", None), ("", 80), ("-", None), (None, None),
            (None, None), ("a:1, b", 2),
        ]  # fmt: skip

    def test_broken_utf8_is_replaced(self) -> None:
        """Bytes that are no UTF-8 become U+FFFD, beside escapes and without."""
        texts = [b"\xff", b"\xff\\n\xc3\\u00e9", b"caf\xc3\xa9", b"\xe2\x82\\\\", b"\\ud800\xed\xa0\x80", b"\0"]
        rows, misfits, *_ = read(self.kind, ONE, b"\n".join(b'{"v": "%s"}' % text for text in texts))
        assert misfits.height == 0
        assert rows["user_agent"].to_list() == [
            "\ufffd", "\ufffd\n\ufffd\u00e9", "caf\u00e9", "\ufffd\\", "\ufffd\ufffd\ufffd\ufffd", "\0"
        ]  # fmt: skip

    def test_nesting_without_end(self) -> None:
        """Brackets by the hundred thousand are skipped, and are broken where they do not end, in bounded time."""
        deep = 300_000
        line = '{"x": ' + '[{"v":' * deep + "1" + "}]" * deep + ', "v": "a"}'
        assert self.texts(ONE, line) == ["a"]
        _, misfits, *_ = read(self.kind, ONE, line[: 6 + 6 * deep].encode())
        assert misfits["position"].to_list() == [6 + 6 * deep]

    @pytest.mark.parametrize(
        "line",
        [
            '{"v": "' + '\\"' * 300_000 + '"}', '{"v": "' + "\\" * 600_000 + '"}', '{"v": ' + ", " * 300_000 + "}",
            '{"v": ' + "," + " " * 300_000 + ", " * 200_000 + "}", '{"v": [' + '"a",' * 200_000 + "]}",
            "{" + '"v": ["a"],' * 60_000 + "}", "{" + '"v": [x"y,"z],' * 40_000 + "}",
            '{"v": [' + "," * 600_000 + "]}",
            "{" + '"v": {},' * 100_000 + "}", '{"v": "' + "\\ud800" * 100_000 + '"}',
        ],
    )  # fmt: skip
    def test_no_line_takes_long(self, line: str) -> None:
        """The time that a line takes grows with its length and no faster, whatever it holds."""
        rows, *_ = read(self.kind, ONE, line.encode(), [Output("v", Kind.TEXT, 0)])
        assert rows.height == 1


def _text_of(value: object) -> str | None:
    if isinstance(value, str):
        return value or None
    return None if value is None else json.dumps(value)


class TestPortable(JsonContract):
    """The portable scanner."""

    kind = portable.Scanner


class TestNative(JsonContract):
    """The native scanner."""

    kind = NativeScanner

    @pytest.fixture(autouse=True)
    def _built(self) -> None:
        native_or_skip(SCANNER)

    @pytest.mark.parametrize(
        "fields",
        [
            (), ((0, ((b"a",),), 0),) * 65, ((0, ((),), 0),), ((0, ((b"a",) * 17,), 0),),
            ((99, ((b"a",),), 0),), ((0, (("a",),), 0),),
        ],
    )  # fmt: skip
    def test_fields_that_cannot_be(self, fields: Sequence[object]) -> None:
        """What no format says is refused before a line is read."""
        assert SCANNER is not None
        with pytest.raises((ValueError, TypeError)):
            SCANNER.Scanner(None, fields, ((int(Kind.LINE), 0, ()),))


@pytest.mark.parametrize("kind", [NativeScanner, portable.Scanner])
@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=3) | st.sampled_from("ab"),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda children: st.lists(children, max_size=3) | st.dictionaries(st.sampled_from("ab"), children),
            max_leaves=9,
        ),
    ),
    st.booleans(),
)
def test_what_json_says(kind: Implementation, value: dict[str, object], ascii_only: bool) -> None:  # noqa: FBT001
    """Of any object that a JSON library writes, the strings and numbers at a pointer are what went in."""
    if kind is NativeScanner:
        native_or_skip(SCANNER)
    layout = compile_json("x", {"http_user_agent": "/a", "host": "/a/b"}, [])
    line = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    rows, misfits, *_ = read(kind, layout, line, outputs(layout, ["user_agent", "host"]))
    assert misfits.height == 0
    inner = value.get("a")
    found = [inner, inner.get("b") if isinstance(inner, dict) else None]
    for column, at in zip(rows.columns, found, strict=True):
        if not isinstance(at, dict | list):
            assert rows[column].to_list() == [_text_of(at)]
