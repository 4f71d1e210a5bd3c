"""The contract of a scanner, kept by the native and the portable one alike: rows, misfits, ranges and buffers."""

from __future__ import annotations

import gc
from datetime import UTC, datetime
from ipaddress import ip_address

import polars as pl
import pytest
from scanners import (
    EVERY_TYPE,
    INGRESS,
    JSON,
    LINE,
    STATUS,
    ScannerContract,
    native_or_skip,
    read_passing,
)

from analyzer.errors import UsageError
from analyzer.native import SCANNER
from analyzer.parsing import portable, scanner
from analyzer.parsing.log_format import REASONS, compile_format
from analyzer.parsing.schema import DTYPES, SCHEMA, Kind, Output, outputs


class RowsContract(ScannerContract):
    """What every scanner keeps of lines, ranges and buffers; the classes below run it."""

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


class TestPortable(RowsContract):
    """The portable scanner."""

    kind = portable.Scanner


class TestNative(RowsContract):
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
