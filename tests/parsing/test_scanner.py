"""The contract of a scanner, kept by the native and the portable one alike."""

from __future__ import annotations

import gc
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, ClassVar

import polars as pl
import pytest
from field_values import MOMENT, VALUES
from scanners import EVERY_TYPE, FORMATS, INGRESS, JSON, Implementation, native_or_skip, read, read_passing

from analyzer.errors import UsageError
from analyzer.native import SCANNER
from analyzer.parsing import portable, scanner
from analyzer.parsing.log_format import REASONS, compile_format
from analyzer.parsing.schema import DTYPES, SCHEMA, Kind, Output, outputs

if TYPE_CHECKING:
    from analyzer.parsing.log_format import LineFormat
    from analyzer.parsing.portable import Taken

LINE = (
    b'203.0.113.7 - - [21/Nov/2026:07:08:09 +0000] "GET /shop?q=1 HTTP/1.1" 200 612 "-" "curl/8.5.0" '
    b"88 0.004 [shop-web-8080] [] 10.244.1.7:8080 612 0.004 200 1c6f0d8a"
)
STATUS = compile_format("$status $http_user_agent")

#: (text, address, port): what an address with a port behind it may look like.
ADDRESS_PORTS = [
    ("203.0.113.7:443", "203.0.113.7", 443),
    ("203.0.113.7", "203.0.113.7", None),
    ("203.0.113.7:", "203.0.113.7:", None),
    ("203.0.113.7:0", "203.0.113.7", 0),
    ("203.0.113.7:00080", "203.0.113.7", 80),
    ("203.0.113.7:000080", "203.0.113.7:000080", None),
    ("203.0.113.7:65535", "203.0.113.7", 65535),
    ("203.0.113.7:65536", "203.0.113.7:65536", None),
    ("203.0.113.7:8x", "203.0.113.7:8x", None),
    ("[2001:db8::1]:443", "2001:db8::1", 443),
    ("[2001:db8::1]", "2001:db8::1", None),
    ("[2001:db8::1]:", "[2001:db8::1]:", None),
    ("[2001:db8::1]:65536", "[2001:db8::1]:65536", None),
    ("[]:1", "", 1),
    ("[a]b]:1", "a]b", 1),
    ("[a:80", "[a", 80),
    ("::1:54321", "::1", 54321),
    ("unix:", "unix:", None),
    (":80", "", 80),
    ("a b:80", "a b", 80),
    ("-", "-", None),
    ("", "", None),
]
#: (variable, text, how much of it the field takes; None: it does not fit)
TOKENS = [
    ("name", "a.B_c-9 x", "a.B_c-9"),
    ("name", "-", "-"),
    ("name", "", None),
    ("name", " a", None),
    ("name", "/a", None),
    ("name", "\u00e4", None),
    ("blanks", "  \tx", "  "),
    ("blanks", "x", ""),
    ("blanks", "", ""),
    ("stream", "stdout", "stdout"),
    ("stream", "stderr ", "stderr"),
    ("stream", "stdouts", "stdout"),
    ("stream", "stdou", None),
    ("stream", "STDOUT", None),
    ("cri_tag", "F", "F"),
    ("cri_tag", "P x", "P"),
    ("cri_tag", "F:a:b x", "F:a:b"),
    ("cri_tag", "P: x", "P:"),
    ("cri_tag", "Px", "P"),
    ("cri_tag", "X", None),
    ("cri_tag", "", None),
    ("syslog_time", "Nov 21 07:08:09 x", "Nov 21 07:08:09"),
    ("syslog_time", "Nov  1 07:08:60", "Nov  1 07:08:60"),
    ("syslog_time", "Nov 01 23:59:59", "Nov 01 23:59:59"),
    ("syslog_time", "Nov 31 00:00:00", "Nov 31 00:00:00"),
    ("syslog_time", "Nov  0 07:08:09", None),
    ("syslog_time", "Nov 00 07:08:09", None),
    ("syslog_time", "Nov 32 07:08:09", None),
    ("syslog_time", "Nov 1 07:08:09", None),
    ("syslog_time", "nov 21 07:08:09", None),
    ("syslog_time", "Nov 21 24:08:09", None),
    ("syslog_time", "Nov 21 07:60:09", None),
    ("syslog_time", "Nov 21 07:08:61", None),
    ("syslog_time", "Nov 21 07:08:0", None),
]
ADDRESSES = [
    "0.0.0.1", "255.255.255.255", "10.0.0.1", "::", "::1", "1::", "2001:db8::17", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::",
    "::2:3:4:5:6:7:8", "::ffff:10.0.0.1", "::10.0.0.1", "1:2:3:4:5:6:10.0.0.1", "fe80::ABCD:ef01", "0:0:0:0:0:0:0:0",
    "0000:0000:0000:0000:0000:ffff:255.255.255.255",
]  # fmt: skip
NO_ADDRESSES = [
    "-", "", "unix:", "unix:/run/x", "256.0.0.1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.00", "1.2.3.4:80", "1.2.3.",
    ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "12345::",
    "g::", "fe80::1%eth0", "[::1]", "1:2:3:4:5:6:7:10.0.0.1", "::10.0.0.1:1", "::10.0.0.256", "1:", ":1", "1::2:",
    "0000:0000:0000:0000:0000:0000:0000:0000:0000", "0:0:0:0:0:ffff:0255.255.255.255", "\u0661.2.3.4",
]  # fmt: skip
#: (request line, method, path, protocol, whether nginx could read it)
REQUESTS = [
    ("GET / HTTP/1.1", "GET", "/", "HTTP/1.1", 1),
    ("POST /a b HTTP/2.0", "POST", "/a b", "HTTP/2.0", 1),
    ("GET /", "GET", "/", None, 0),
    ("M-SEARCH * HTTP/1.1", "M-SEARCH", "*", "HTTP/1.1", 1),
    ("GET / HTTP/", "GET", "/", "HTTP/", 1),
    ("GET / HTTP/1234567", "GET", "/", "HTTP/1234567", 1),
    ("GET / HTTP/12345678", "GET", "/ HTTP/12345678", None, 0),
    ("GET  HTTP/1.1", "GET", " HTTP/1.1", None, 0),
    ("GET / FTP/1.1", "GET", "/ FTP/1.1", None, 0),
    ("GET ", None, None, None, 0),
    ("GET", None, None, None, 0),
    (" / HTTP/1.1", None, None, None, 0),
    ("get / HTTP/1.1", None, None, None, 0),
    ("", None, None, None, 0),
    ("-", None, None, None, 0),
    ("\\x16\\x03\\x01", None, None, None, 0),
    ("PROXY TCP4 203.0.113.7 10.0.0.1 51234 80", "PROXY", "TCP4 203.0.113.7 10.0.0.1 51234 80", None, 0),
]


class ScannerContract:
    """What every scanner keeps; the classes below run it."""

    kind: ClassVar[Implementation]

    def read(self, line_format: LineFormat, text: bytes, wanted: list[Output] | None = None) -> Taken:
        """Scan a text as a whole."""
        return read(self.kind, line_format, text, wanted)

    def test_rows_and_misfits_keep_order_and_place(self) -> None:
        """Every line becomes a row or a misfit, each with its byte offset, and misfits with their line's number."""
        lines = [LINE + b"\n", b"no\n", b"\n", LINE + b"\r\n", LINE.replace(b" 200 ", b" 2O0 ", 1)]
        rows, misfits, count, _ = self.read(INGRESS, b"".join(lines))
        starts = [sum(map(len, lines[:n])) for n in range(5)]
        assert count == 5
        assert rows["offset"].to_list() == [starts[0], starts[3]]
        assert misfits["line"].to_list() == [lines[1], lines[2], lines[4]]
        assert misfits["offset"].to_list() == [starts[1], starts[2], starts[4]]
        assert misfits["number"].to_list() == [1, 2, 4]

    def test_misfit_says_where_and_why(self) -> None:
        """A misfit names the field and the position where the line stops fitting, and the reason."""
        bad = LINE.replace(b" 200 ", b" 2O0 ", 1)
        _, misfits, *_ = self.read(INGRESS, b"no\n" + bad + b"\n" + LINE[:40])
        said = [
            (row["position"], INGRESS.explain(row["field"] - 1, row["reason"])) for row in misfits.iter_rows(named=True)
        ]
        assert said == [
            (0, "expected ` - ` after $remote_addr"),
            (bad.index(b"2O0"), "$status is not a status of at most three digits"),
            (LINE.index(b"21/"), "$time_local is not a time such as 21/Nov/2026:07:08:09 +0000"),
        ]

    def test_text_of_a_buffer_is_copied(self) -> None:
        """A bytearray may be used again once it was scanned: short, long and repaired texts stay as they were."""
        wanted = outputs(STATUS, ["user_agent"])
        texts = [
            b"short",
            b"exactly12byt",
            b"longer than a view",
            "übergroß genug".encode(),
            b"longer \xff than a view",
        ]
        text = b"".join(b"200 " + each + b"\n" for each in texts)
        rows = read_passing(self.kind, STATUS, text, wanted).rows
        assert rows["user_agent"].to_list() == [each.decode("utf-8", "replace") for each in texts]

    def test_prefix_is_the_first_thing_expected(self) -> None:
        """A line without the literal before the first variable is a misfit of that literal."""
        _, misfits, *_ = self.read(compile_format("<$status>"), b"200>\n<200>\n<200\n")
        assert misfits["field"].to_list() == [0, 1]
        assert [REASONS[reason] for reason in misfits["reason"]] == ["expected_literal", "malformed_value"]

    @pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
    def test_line_ends(self, end: bytes) -> None:
        """A line ends with a newline, with CR and newline, or with the text; the end belongs to no field."""
        rows, misfits, lines, _ = self.read(STATUS, b"200 a\r\n201 b\n202 c" + end)
        assert (rows["user_agent"].to_list(), misfits.height, lines) == (["a", "b", "c"], 0, 3)

    def test_only_the_last_carriage_return_is_an_end(self) -> None:
        """Other carriage returns and NUL bytes are text."""
        rows, *_ = self.read(STATUS, b"200 a\rb\r\r\n200 \0\n")
        assert rows["user_agent"].to_list() == ["a\rb\r", "\0"]

    def test_blank_lines_are_lines(self) -> None:
        """A blank line is a line that does not fit; the empty text has none."""
        _, misfits, lines, _ = self.read(STATUS, b"\n\r\n\n")
        assert (misfits["line"].to_list(), lines) == ([b"\n", b"\r\n", b"\n"], 3)
        assert self.read(STATUS, b"").lines == 0

    def test_blank_lines_without_end(self) -> None:
        """Of many blank lines in a row the first 2,048 are kept, over all scans; the others are only counted."""
        scan = self.kind(STATUS, outputs(STATUS, ["status"]))
        for text in (b"200 a\n" + b"\n" * 2000, b"\r\n" * 100, b"\n" * 5):
            scan.scan(text, 0, len(text), 0)
        scan.scan(b"x\n\n201 b\n", 0, 9, 0)
        assert scan.misfits() == 2050
        rows, misfits, lines, blank = scan.take()
        assert (rows["status"].to_list(), lines, blank) == ([200, 201], 2109, 57)
        assert misfits["line"].to_list() == [b"\n"] * 2000 + [b"\r\n"] * 48 + [b"x\n", b"\n"]
        assert misfits["number"][-1] == 2107
        assert scan.take().blank == 0

    def test_the_last_literal_ends_the_line(self) -> None:
        """What stands behind the last literal makes a misfit; the last text may hold that literal itself."""
        line_format = compile_format('$status "$http_user_agent"')
        rows, misfits, *_ = self.read(line_format, b'200 "a" b\n200 "a" "\n200 "a"b"\n200 ""\n200 "\n200 a\n')
        assert rows["user_agent"].to_list() == ['a" ', 'a"b', ""]
        assert misfits["number"].to_list() == [0, 4, 5]
        _, misfits, *_ = self.read(compile_format("<$http_user_agent> <$status>"), b"<a> <200> x\n")
        assert misfits.height == 1

    def test_dtypes_stand_without_rows(self) -> None:
        """An empty batch has all columns with their dtypes."""
        wanted = [Output(kind.name, kind, 0) for kind in Kind]
        rows, misfits, lines, _ = self.kind(STATUS, wanted).take()
        assert rows.schema == pl.Schema({kind.name: dtype for kind, dtype in DTYPES.items()})
        assert misfits.schema == pl.Schema(portable.MISFITS)
        assert (rows.height, misfits.height, lines) == (0, 0, 0)

    def test_take_begins_anew(self) -> None:
        """What was taken is not given again, and line numbers begin at 0 with each batch."""
        scan = self.kind(STATUS, outputs(STATUS, ["status"]))
        for text in (b"200 a\nx\n", b"404 b\ny\n"):
            scan.scan(text, 0, len(text), 100)
            rows, misfits, lines, _ = scan.take()
            assert rows["status"].to_list() == [int(text[:3])]
            assert misfits.select("line", "offset", "number").row(0) == (text[6:], 106, 1)
            assert lines == 2
        assert scan.take()[2] == 0

    def test_only_the_named_range_is_read(self) -> None:
        """Bytes before `start` and behind `stop` change nothing, though they would fit; offsets count from `start`."""
        text = b"777 x\n200 a\n201 b777 x\n"
        scan = self.kind(STATUS, outputs(STATUS, ["status", "user_agent", "offset"]))
        scan.scan(text, 6, 17, 1000)
        rows, misfits, lines, _ = scan.take()
        assert rows.rows() == [(200, "a", 1000), (201, "b", 1006)]
        assert (misfits.height, lines) == (0, 2)

    def test_a_blank_line_behind_another_end(self) -> None:
        """A carriage return before `start` belongs to nothing that is read."""
        line_format = compile_format("$http_user_agent")
        scan = self.kind(line_format, outputs(line_format, ["user_agent"]))
        scan.scan(b"a\r\nb\n", 2, 5, 0)
        rows, misfits, lines, _ = scan.take()
        assert (rows["user_agent"].to_list(), misfits.height, lines) == (["", "b"], 0, 2)

    def test_pieces_of_a_long_line(self) -> None:
        """The beginning of a line that is too long counts as a line, later pieces do not; all bytes are kept."""
        scan = self.kind(STATUS, outputs(STATUS, ["status"]))
        scan.scan(b"200 a\n", 0, 6, 0)
        scan.reject(b"..begin", 2, 7, 6, False)  # noqa: FBT003
        scan.reject(b"middle", 0, 6, 11, True)  # noqa: FBT003
        scan.reject(b"end\n..", 0, 4, 17, True)  # noqa: FBT003
        scan.scan(b"201 b\n", 0, 6, 21)
        rows, misfits, lines, _ = scan.take()
        assert rows["status"].to_list() == [200, 201]
        assert misfits["line"].to_list() == [b"begin", b"middle", b"end\n"]
        assert misfits["offset"].to_list() == [6, 11, 17]
        assert misfits["number"].to_list() == [1, 2, 2]
        assert [REASONS[reason] for reason in misfits["reason"]] == ["too_long", "continued", "continued"]
        assert lines == 3

    def test_every_column_of_a_line(self) -> None:
        """All columns that a format carries come out with the contract's dtypes and the line's values."""
        rows, *_ = self.read(INGRESS, LINE, outputs(INGRESS, list(SCHEMA)))
        assert rows.schema == pl.Schema({name: SCHEMA[name] for name in rows.columns})
        assert rows.row(0, named=True) == {
            "time": datetime(2026, 11, 21, 7, 8, 9, tzinfo=UTC),
            "remote_addr": "203.0.113.7",
            "address": int(ip_address("::ffff:203.0.113.7")),
            "remote_user": "-",
            "request": "GET /shop?q=1 HTTP/1.1",
            "method": "GET",
            "path": "/shop?q=1",
            "protocol": "HTTP/1.1",
            "status": 200,
            "body_bytes_sent": 612,
            "request_length": 88,
            "request_time": 0.004,
            "upstream_response_time": 0.004,
            "referer": "-",
            "user_agent": "curl/8.5.0",
            "request_id": "1c6f0d8a",
            "upstream_name": "shop-web-8080",
            "upstream_addr": "10.244.1.7:8080",
            "upstream_status": "200",
            "offset": 0,
        }

    @pytest.mark.parametrize(("variable", "text", "value"), VALUES)
    def test_typed_values(self, variable: str, text: str, value: object) -> None:
        """A typed field takes exactly the notations that programs write; all else makes the line a misfit."""
        line_format = compile_format(f"${variable}|$http_user_agent")
        column = line_format.fields[0].column
        assert column is not None
        rows, misfits, *_ = self.read(line_format, f"{text}|1.5|9".encode(), outputs(line_format, [column]))
        found = rows[column].to_physical().to_list() if column == "time" else rows[column].to_list()
        assert found == ([] if value is ... else [value])
        assert [REASONS[reason] for reason in misfits["reason"]] == (["malformed_value"] if value is ... else [])

    @pytest.mark.parametrize(
        ("upstreams", "fits"),
        [
            ("[::1]:80", True),
            ("10.0.0.1:80, [::1]:80 : [2001:db8::1]:80", True),
            ("[]", False),
            ("[default-web-80]", False),
            ("10.0.0.1:80, []", False),
            ("10.0.0.1:80 : [a", False),
            ("[::1", False),
        ],
    )
    def test_brackets_in_upstream_lists(self, upstreams: str, fits: bool) -> None:  # noqa: FBT001
        """A bracket begins an upstream only round an address of IPv6: a name in brackets is another field."""
        rows, *_ = self.read(compile_format("<$upstream_addr $status"), f"<{upstreams} 200".encode())
        assert rows["upstream_addr"].to_list() == [upstreams] * fits

    @pytest.mark.parametrize("unit", ["", "_ms", "_us", "_ns"])
    def test_upstream_durations(self, unit: str) -> None:
        """A duration that is no list is its own sum."""
        layout = compile_format(f"<$upstream_time{unit}>")
        rows, misfits, *_ = self.read(layout, b"<1500>\n<->\n<>\n<-1>\n<1, 2>")
        scale = {"": 1, "_ms": 1e3, "_us": 1e6, "_ns": 1e9}[unit]
        assert rows["upstream_response_time"].to_list() == [1500 / scale, None, None, None]
        assert misfits["number"].to_list() == [4]

    @pytest.mark.parametrize(("text", "address", "port"), ADDRESS_PORTS)
    def test_address_and_port(self, text: str, address: str, port: int | None) -> None:
        """One field gives the address and the port, whichever way they are put together."""
        layout = compile_format('"$remote_addr_port" $status')
        rows, misfits, *_ = self.read(layout, f'"{text}" 200'.encode())
        assert misfits.height == 0
        assert rows.select("remote_addr", "remote_port").row(0) == (address, port)
        wanted = [Output("fan", Kind.FANIN, 0), Output("tag", Kind.TAG, 0, (f"{address}\0".encode(),))]
        rows, *_ = self.read(layout, f'"{text}" 200'.encode(), wanted)
        assert rows.row(0) == (portable.fanin_bit(address.encode()), 1)

    @pytest.mark.parametrize("variable", ["remote_addr", "the_real_ip"])
    def test_an_address_holds_no_blank(self, variable: str) -> None:
        """A text with a blank or a tab in it is no address, so that nothing can stand before one unseen."""
        layout = compile_format(f"<${variable} - $status")
        rows, misfits, *_ = self.read(
            layout, b"<a/b:c - 200\n< - 200\n<a b - 200\n<a\tb - 200\n<%b b - 200\n<a" % (b"a" * 40)
        )
        assert rows["remote_addr"].to_list() == ["a/b:c", ""]
        assert misfits.select("number", "position", "field", "reason").rows() == [
            (2, 1, 1, 1), (3, 1, 1, 1), (4, 1, 1, 1), (5, 1, 1, 0)
        ]  # fmt: skip

    def test_an_address_ends_the_line(self) -> None:
        """An address at the end of a line reaches to it, and holds no blank there either."""
        rows, misfits, *_ = self.read(compile_format("$status $remote_addr"), b"200 ::1\n200 \n200 ::1 x\n200  ::1")
        assert rows["remote_addr"].to_list() == ["::1", ""]
        assert misfits.select("number", "position", "field", "reason").rows() == [(2, 4, 2, 1), (3, 4, 2, 1)]

    def test_a_text_without_quotes(self) -> None:
        """A text that may hold anything but a quote ends at its literal and holds none, in the line and at its end."""
        layout = compile_format("$request_unquoted | $upstream_unquoted")
        rows, misfits, *_ = self.read(layout, b'GET / x | a b\n | \n"GET | a\nGET" | a\nGET | "a"\nGET')
        assert rows.select("request", "upstream_addr").rows() == [("GET / x", "a b"), ("", "")]
        assert misfits.select("number", "position", "field", "reason").rows() == [
            (2, 0, 1, 1), (3, 0, 1, 1), (4, 6, 2, 1), (5, 0, 1, 0)
        ]  # fmt: skip

    def test_quotes_that_nothing_escapes(self) -> None:
        """Where a line makes no sense with backslashes that escape quotes, it is read as if they did not."""
        layout = compile_format('"$request" $status "$http_user_agent"')
        lines = [
            rb'"GET /\" 200 "x"', rb'"GET /\\" 200 "x"', rb'"GET /\"a" 200 "x\"', rb'"GET /\" 200 "x\" 200 "y"',
            rb'"GET /\" 2O0 "x"', rb'"GET /\" 200 x', rb'"GET /\x22" 2O0 "x"',
        ]  # fmt: skip
        rows, misfits, *_ = self.read(layout, b"\n".join(lines))
        assert rows.select("request", "user_agent").rows() == [
            ("GET /\\", "x"), ("GET /\\\\", "x"), ('GET /\\"a', "x\\"), ("GET /\\", 'x\\" 200 "y')
        ]  # fmt: skip
        assert misfits.select("number", "position", "field").rows() == [(4, 1, 1), (5, 1, 1), (6, 12, 2)]

    @pytest.mark.parametrize(("variable", "text", "taken"), TOKENS)
    def test_texts_that_end_by_themselves(self, variable: str, text: str, taken: str | None) -> None:
        """A field that says itself where it ends needs no literal, and takes what it should and nothing more."""
        layout = compile_format(f"<${variable}$http_user_agent")
        wanted = [Output("taken", Kind.TEXT, 0), Output("rest", Kind.TEXT, 1)]
        rows, misfits, *_ = self.read(layout, f"<{text}".encode(), wanted)
        if taken is None:
            assert rows.height == 0
            assert misfits.select("position", "field", "reason").rows() == [(1, 1, REASONS.index("malformed_value"))]
        else:
            rest = text[len(taken) :]
            assert rows.row(0) == (taken, rest.removeprefix(" ") if variable == "cri_tag" else rest)

    def test_fields_that_touch(self) -> None:
        """Self-delimiting fields may touch each other and whatever follows."""
        layout = compile_format("$stream$blanks$time_any$name$cri_tag$message")
        wanted = [Output(str(number), Kind.TEXT, number) for number in range(6)]
        rows, misfits, *_ = self.read(layout, b"stdout  1795244889abc.P\nstdout 1795244889abcF\nstderr1a F x y", wanted)
        assert rows.rows() == []
        assert misfits["field"].to_list() == [5, 5, 5]
        rows, misfits, *_ = self.read(
            compile_format("$stream$blanks$time_any$cri_tag$blanks$message"),
            b"stdout  1795244889F x\nstderr2026-11-21T07:08:09ZP:a   x y\nstderrP",
            wanted,
        )
        assert rows.rows() == [
            ("stdout", "  ", "1795244889", "F", "", "x"),
            ("stderr", "", "2026-11-21T07:08:09Z", "P:a", "  ", "x y"),
            ("stderr", "", "", "P", "", ""),
        ]
        assert misfits.height == 0

    def test_lines_are_numbered(self) -> None:
        """A row has the number of its line since the last take, of all lines, whatever became of them."""
        scan = self.kind(STATUS, [Output("line", Kind.LINE, 0)])
        scan.scan(b"200 a\nx\n\n200 b\n", 0, 15, 0)
        scan.reject(b"200", 0, 3, 15, False)  # noqa: FBT003
        scan.reject(b" x\n", 0, 3, 18, True)  # noqa: FBT003
        scan.scan(b"\n" * 3000 + b"200 c", 0, 3005, 21)
        assert scan.take().rows["line"].to_list() == [0, 3, 3005]
        scan.scan(b"200 c", 0, 5, 0)
        assert scan.take().rows["line"].to_list() == [0]

    def test_repeated_times_are_read_each(self) -> None:
        """A time that differs in one character from the one before is another time, and a broken one stays broken."""
        times = ["21/Nov/2026:07:08:09 +0000", "21/Nov/2026:07:08:09 +0000", "21/Nov/2026:07:08:09 +0001"]
        times += ["21/Nov/2026:07:08:99 +0000", "21/Nov/2026:07:08:99 +0000", "21/Nov/2026:07:08:09 +0000"]
        line_format = compile_format("[$time_local]")
        rows, misfits, *_ = self.read(line_format, "\n".join(f"[{time}]" for time in times).encode())
        assert rows["time"].to_physical().to_list() == [MOMENT, MOMENT, MOMENT - 60_000, MOMENT]
        assert misfits["number"].to_list() == [3, 4]

    def test_addresses(self) -> None:
        """A text is an address where Python's `ipaddress` says so, without a zone id; the rest is null."""
        line_format = compile_format("$remote_addr")
        rows, *_ = self.read(line_format, "\n".join(ADDRESSES + NO_ADDRESSES).encode() + b"\n")
        texts = [address if ":" in address else f"::ffff:{address}" for address in ADDRESSES]
        expected = [int(ip_address(text)) for text in texts]
        assert rows["address"].to_list() == expected + [None] * len(NO_ADDRESSES)

    @pytest.mark.parametrize(("request_line", "method", "path", "protocol", "readable"), REQUESTS)
    def test_request_lines(
        self, request_line: str, method: str | None, path: str | None, protocol: str | None, readable: int
    ) -> None:
        """A request line is a method, a target that may hold blanks, and a protocol; what it lacks is null."""
        rows, *_ = self.read(compile_format('"$request"'), f'"{request_line}"'.encode())
        wanted = ["request", "method", "path", "protocol", "request_readable"]
        assert rows.select(wanted).row(0) == (request_line, method, path, protocol, readable)

    def test_request_parts_logged_apart(self) -> None:
        """Where a format logs method, target and protocol apart, these are the columns."""
        line_format = compile_format('$request_method "$request_uri" $server_protocol "$request"')
        rows, *_ = self.read(line_format, b'GET "/a" HTTP/1.1 "POST /b HTTP/2.0"')
        assert rows.select("method", "path", "protocol").row(0) == ("GET", "/a", "HTTP/1.1")

    def test_remote_user_may_hold_anything(self) -> None:
        """A user name with the literals of the format in it is read whole."""
        for user in ("a - [b] \\x22c", "] [", "- - [", "x [21/Nov/2026:07:08:09 +0000] y", "", " ", "-"):
            rows, misfits, *_ = self.read(INGRESS, LINE.replace(b" - - [", f" - {user} [".encode(), 1))
            assert (rows["remote_user"].to_list(), misfits.height) == ([user], 0), user

    def test_remote_user_is_not_tried_for_ever(self) -> None:
        """A user name that repeats its terminator more than 64 times makes a misfit, and 64 times does not."""
        for times, fits in ((64, True), (65, False)):
            rows, misfits, *_ = self.read(INGRESS, LINE.replace(b" - - [", b" - " + b" [" * times + b" [", 1))
            assert (rows.height, misfits.height) == ((1, 0) if fits else (0, 1))

    def test_ipv6_and_port(self) -> None:
        """The colons of an IPv6 address do not end it where a port follows."""
        text = b"2001:db8::1:443 200\n::1:8080 200\n1.2.3.4:1 200\n::ffff:1.2.3.4:65535 200\nunix:: 200\n"
        rows, misfits, *_ = self.read(compile_format("$remote_addr:$remote_port $status"), text)
        assert rows.select("remote_addr", "remote_port").rows() == [
            ("2001:db8::1", 443), ("::1", 8080), ("1.2.3.4", 1), ("::ffff:1.2.3.4", 65535), ("unix:", None)
        ]  # fmt: skip
        assert misfits.height == 0

    @pytest.mark.parametrize(
        ("text", "total"),
        [
            ("0.004", 0.004), ("0.001, 0.002 : 0.5", 0.001 + 0.002 + 0.5), ("0.012, -", 0.012), ("-", None),
            ("- : -", None), ("", None), ("0.002 : ", 0.002), ("x", None), ("0.1, x", None), ("-, 0.1", 0.1),
            ("1.2.3", None), ("--", None), (", ", None), ("0.1,0.2", 0.1 + 0.2), ("1234567890123456", None),
        ],
    )  # fmt: skip
    def test_upstream_times_add_up(self, text: str, total: float | None) -> None:
        """The times of an upstream list are summed; what was not tried counts nothing; what is no number is null."""
        rows, *_ = self.read(compile_format('"$upstream_response_time"'), f'"{text}"'.encode())
        assert rows["upstream_response_time"].to_list() == [total]

    @pytest.mark.parametrize(
        "text", ["a", "a, b", "a : b", "a, b : c", "a : ", "a, b : ", "-", "-, -", "[::1]:80, unix:/x : y", ""]
    )
    def test_upstream_lists_never_shift_columns(self, text: str) -> None:
        """A list with blanks is one field, whatever stands behind it."""
        rows, *_ = self.read(compile_format("$upstream_addr $upstream_status $req_id"), f"{text} {text} ID".encode())
        assert rows.select("upstream_addr", "upstream_status", "request_id").row(0) == (text, text, "ID")

    def test_json_strings_hold_quotes(self) -> None:
        r"""A quote behind an odd number of backslashes does not end a JSON string, one behind an even number does."""
        line_format = compile_format('{"a": "$http_user_agent", "b": "$http_referer"}')
        text = rb'{"a": "x \"q\", \"b\": \"", "b": "\\"}' + b"\n" + rb'{"a": "\\\", \"b\": \"\\", "b": ""}'
        rows, misfits, *_ = self.read(line_format, text)
        assert misfits.height == 0
        assert rows.select("user_agent", "referer").rows() == [
            (r"x \"q\", \"b\": \"", r"\\"),
            (r"\\\", \"b\": \"\\", ""),
        ]

    def test_json_numbers_may_be_empty(self) -> None:
        """An unquoted number that nginx had no value for is null, also as the last value."""
        line_format = compile_format('{"s":$status,"t":$request_time,"b":$body_bytes_sent}')
        rows, misfits, *_ = self.read(line_format, b'{"s":,"t":,"b":}\n{"s":200,"t":0.1,"b":5}\n')
        assert misfits.height == 0
        assert rows.select("status", "request_time", "body_bytes_sent").rows() == [(None, None, None), (200, 0.1, 5)]

    def test_broken_utf8_is_replaced(self) -> None:
        """Bytes that are no UTF-8 become U+FFFD as Python replaces them; what is UTF-8 stays."""
        texts = [
            b"\xff", b"\xc3\xa9", b"caf\xc3", b"\xe2\x82", b"\xe2\x82\xac twelve bytes and more", b"\xed\xa0\x80",
            b"\xf0\x9f\x98\x80", b"\xf0\x9f\x98", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"a\x80" * 40, b"\xe0\x80\x80",
            b"\xf8\x88\x80\x80\x80", b"plain", b"\xf0\x80\x80\x80",
        ]  # fmt: skip
        rows, *_ = self.read(STATUS, b"".join(b"200 " + text + b"\n" for text in texts))
        assert rows["user_agent"].to_list() == [text.decode("utf-8", "replace") for text in texts]

    def test_misfits_keep_their_bytes(self) -> None:
        """A line that does not fit comes out byte for byte."""
        lines = [bytes(range(256)).replace(b"\n", b"") + b"\n", b"\xff\xfe\r\n", b"\0"]
        assert self.read(STATUS, b"".join(lines)).misfits["line"].to_list() == lines

    def test_many_rows(self) -> None:
        """Values, nulls and repaired texts stay in their rows however many there are, and misfits between them."""
        lines = []
        for n in range(20_000):
            size = "-" if n % 7 == 0 else str(n)
            agent = b"agent \xff %d of a long name" % n if n % 11 == 0 else b"a%d" % n
            lines.append(b"x%d" % n if n % 13 == 0 else b"%s %s" % (size.encode(), agent))
        rows, misfits, count, _ = self.read(compile_format("$body_bytes_sent $http_user_agent"), b"\n".join(lines))
        kept = [n for n in range(20_000) if n % 13]
        assert count == 20_000
        assert rows["body_bytes_sent"].to_list() == [None if n % 7 == 0 else n for n in kept]
        assert rows["user_agent"].to_list() == [
            f"agent \ufffd {n} of a long name" if n % 11 == 0 else f"a{n}" for n in kept
        ]
        assert misfits["number"].to_list() == list(range(0, 20_000, 13))

    def test_frames_outlive_everything(self) -> None:
        """A frame stays as it was when the scanner has read more, and is gone, and so are the texts."""
        frames = []
        for n in range(5):
            scan = self.kind(STATUS, outputs(STATUS, ["status", "user_agent"]))
            for part in range(3):
                text = b"".join(b"%d agent number %d.%d \xff\n" % (200 + n, part, row) for row in range(50))
                scan.scan(text, 0, len(text), 0)
                del text
                if part:
                    frames.append((n, part, scan.take()[0]))
            del scan
            gc.collect()
        for n, part, frame in frames:
            parts = [0, 1] if part == 1 else [2]
            assert frame["user_agent"].to_list() == [
                f"agent number {p}.{row} \ufffd" for p in parts for row in range(50)
            ]
            assert set(frame["status"]) == {200 + n}

    def test_a_buffer_may_be_reused(self) -> None:
        """Values that hold no text do not change when the buffer that they were read from does."""
        scan = self.kind(STATUS, [Output("status", Kind.UINT16, 0), Output("fan", Kind.FANIN, 1)])
        buffer = bytearray(b"200 a\nbad\n")
        scan.scan(buffer, 0, len(buffer), 0)
        buffer[:] = b"999 zz\n\n\n\n"
        scan.scan(buffer, 0, 7, 10)
        rows, misfits, *_ = scan.take()
        assert rows["status"].to_list() == [200, 999]
        assert rows["fan"].to_list() == [portable.fanin_bit(b"a"), portable.fanin_bit(b"zz")]
        assert misfits["line"].to_list() == [b"bad\n"]

    def test_fanin_bits(self) -> None:
        """A text sets one of 64 bits, the same each time; of a list the first counts; nothing sets none."""
        line_format = compile_format('"$http_x_forwarded_for" "$http_user_agent"')
        texts = [f"agent {n} {'x' * (n % 40)}" for n in range(500)]
        lines = [f'"{text}, 10.0.0.{n % 250}" "{text}"' for n, text in enumerate(texts)]
        rows, *_ = self.read(
            line_format, "\n".join([*lines, '"-" "-"', '"" ""', '",1.2.3.4" "a"', '"-, b" "a"']).encode()
        )
        bits = rows["user_agent_fanin"].to_list()
        assert all(bit.bit_count() == 1 for bit in bits)
        assert len(set(bits[:500])) == 64
        assert rows["x_forwarded_for_fanin_first"].to_list() == [*bits[:500], 0, 0, 0, 0]

    def test_tags(self) -> None:
        """A tag is the number of the first pattern that the text begins with; an empty one asks for an empty text."""
        wanted = [Output("tag", Kind.TAG, 1, (b"curl/", b"", b"cu", b"\\x"))]
        rows, *_ = self.read(STATUS, b"200 curl/8\n200 \n200 cut\n200 c\n200 \\x00\n200 a", wanted)
        assert rows["tag"].to_list() == [1, 2, 3, 0, 4, 0]

    def test_what_stands_twice_counts_last(self) -> None:
        """Of a variable written twice the last one counts, and of two notations of the time the finer one."""
        old = FORMATS["ingress-nginx-0.25"].layouts[0]
        rows, *_ = self.read(old, b"192.0.2.1 - [198.51.100.9] - " + LINE[LINE.index(b"- [") :])
        assert rows["remote_addr"].to_list() == ["198.51.100.9"]
        rows, *_ = self.read(compile_format("$msec [$time_local]"), b"1795244889.123 [21/Nov/2026:07:08:00 +0000]")
        assert rows["time"].to_physical().to_list() == [MOMENT + 123]

    def test_a_field_of_every_type(self) -> None:
        """One line with a field of every type gives every value."""
        text = (
            b"::1:443 - a [b] [21/Nov/2026:07:08:09 +0000] 2026-11-21T07:08:09+00:00 1795244889.250 200 5 0.100 "
            b'"GET / HTTP/1.1" 0.001, 0.002 10.0.0.1:80, 10.0.0.2:80 "203.0.113.7, 10.0.0.9" "x"'
        )
        rows, misfits, *_ = self.read(EVERY_TYPE, text)
        assert misfits.height == 0
        row = rows.row(0, named=True)
        assert (row["remote_addr"], row["remote_port"], row["remote_user"]) == ("::1", 443, "a [b]")
        assert row["time"] == datetime(2026, 11, 21, 7, 8, 9, 250_000, tzinfo=UTC)
        assert (row["upstream_response_time"], row["upstream_addr"]) == (0.003, "10.0.0.1:80, 10.0.0.2:80")
        assert row["x_forwarded_for"] == "203.0.113.7, 10.0.0.9"

    def test_nothing_fits_half(self) -> None:
        """No beginning of a line that ends in a typed or closed value fits."""
        line = (
            b'{"time": "2026-11-21T07:08:09+00:00", "msec": 1795244889.250, "remote_addr": "::1", "user": "", '
            b'"request": "GET / HTTP/1.1", "status": 200, "bytes": 5, "duration": 0.100, "upstream": "", '
            b'"upstream_time": "", "x_forwarded_for": "", "agent": "\\"", "length": 80}'
        )
        assert self.read(JSON, line).rows.height == 1
        rows, misfits, *_ = self.read(JSON, b"\n".join(line[:n] for n in range(len(line))))
        assert (rows.height, misfits.height) == (0, len(line))


class TestPortable(ScannerContract):
    """The portable scanner."""

    kind = portable.Scanner


class TestNative(ScannerContract):
    """The native scanner."""

    kind = scanner.NativeScanner

    @pytest.fixture(autouse=True)
    def _built(self) -> None:
        native_or_skip(SCANNER)

    @pytest.mark.parametrize(("start", "stop"), [(-1, 3), (3, 2), (0, 7)])
    def test_a_range_outside_the_text_is_refused(self, start: int, stop: int) -> None:
        """A range that is none of the text raises instead of reading past it."""
        scan = self.kind(STATUS, outputs(STATUS, ["status"]))
        with pytest.raises(ValueError, match="start <= stop <= len"):
            scan.scan(b"200 a\n", start, stop, 0)
        with pytest.raises(ValueError, match="start <= stop <= len"):
            scan.reject(b"200 a\n", start, stop, 0, False)  # noqa: FBT003
        assert scan.take()[2] == 0

    @pytest.mark.parametrize("wanted", [[], [Output("x", Kind.TEXT, 2)], [Output("x", Kind.TEXT, 0)] * 65])
    def test_outputs_that_cannot_be_served(self, wanted: list[Output]) -> None:
        """No output at all and one of a field that is not there are refused."""
        with pytest.raises(ValueError, match="output"):
            self.kind(STATUS, wanted)


def test_environment_chooses_the_scanner(monkeypatch: pytest.MonkeyPatch) -> None:
    """LOGSCAN_SCANNER forces one of the scanners, and is refused where it names none or one that is not there."""
    monkeypatch.setenv("LOGSCAN_SCANNER", "portable")
    assert isinstance(scanner.new_scanner(STATUS, outputs(STATUS, ["status"])), portable.Scanner)
    monkeypatch.setenv("LOGSCAN_SCANNER", "fast")
    with pytest.raises(UsageError, match="LOGSCAN_SCANNER: expected native or portable, got 'fast'"):
        scanner.use_native()
    monkeypatch.setenv("LOGSCAN_SCANNER", "native")
    monkeypatch.setattr(scanner, "SCANNER", None)
    with pytest.raises(UsageError, match="not built"):
        scanner.use_native()
    with pytest.raises(UsageError, match="not built"):
        scanner.NativeScanner(STATUS, outputs(STATUS, ["status"]))
    monkeypatch.delenv("LOGSCAN_SCANNER")
    assert isinstance(scanner.new_scanner(STATUS, outputs(STATUS, ["status"])), portable.Scanner)
