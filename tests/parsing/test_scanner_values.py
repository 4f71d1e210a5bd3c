"""The contract of a scanner, kept by the native and the portable one alike: what each field takes."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from field_values import MOMENT, VALUES
from scanners import (
    FORMATS,
    INGRESS,
    LINE,
    STATUS,
    ScannerContract,
    native_or_skip,
)

from analyzer.native import SCANNER
from analyzer.parsing import portable, scanner
from analyzer.parsing.log_format import REASONS, compile_format
from analyzer.parsing.schema import Kind, Output, outputs

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


class ValuesContract(ScannerContract):
    """What every scanner makes of values; the classes below run it."""

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

    def test_repeated_times_are_read_each(self) -> None:
        """A time that differs in one character from the one before is another time, and a broken one stays broken."""
        times = ["21/Nov/2026:07:08:09 +0000", "21/Nov/2026:07:08:09 +0000", "21/Nov/2026:07:08:09 +0001"]
        times += ["21/Nov/2026:07:08:99 +0000", "21/Nov/2026:07:08:99 +0000", "21/Nov/2026:07:08:09 +0000"]
        line_format = compile_format("[$time_local]")
        rows, misfits, *_ = self.read(line_format, "\n".join(f"[{time}]" for time in times).encode())
        assert rows["time"].to_physical().to_list() == [MOMENT, MOMENT, MOMENT - 60_000, MOMENT]
        assert misfits["number"].to_list() == [3, 4]

    def test_repeated_seconds_are_read_each(self) -> None:
        """A second of ISO 8601 that comes again has its own fraction and zone; one of no calendar stays broken."""
        second, last = "2026-11-21T07:08:09", "9999-12-31T23:59:59"
        times = [f"{second}Z", f"{second}.25Z", f"{second}+00:01", f"{second}.5", "2026-11-21T07:08:99Z", f"{second}Z"]
        times += [f"{last}Z", f"{last}-00:01", f"{last}+00:01", f"{last}-00:01"]
        rows, misfits, *_ = self.read(
            compile_format("[$time_iso8601]"), "\n".join(f"[{time}]" for time in times).encode()
        )
        end = 253_402_300_799_000
        read = [MOMENT, MOMENT + 250, MOMENT - 60_000, MOMENT, end, end - 60_000]
        assert (rows["time"].to_physical().to_list(), misfits.height) == (read, 4)

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
            ("1.2.3", None), ("--", None), (", ", None), ("0.1,0.2", 0.1 + 0.2),
            ("1234567890123456", 1234567890123456.0), ("1234567890123456789", None),
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


class TestPortable(ValuesContract):
    """The portable scanner."""

    kind = portable.Scanner


class TestNative(ValuesContract):
    """The native scanner."""

    kind = scanner.NativeScanner

    @pytest.fixture(autouse=True)
    def _built(self) -> None:
        native_or_skip(SCANNER)
