"""A real nginx writes the logs: requests of every odd kind are sent, and each line must say what was sent."""

from __future__ import annotations

import base64
import json
import re
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from nginx_server import JSON_FORMAT, NGINX, Nginx, running_nginx
from scanners import FORMATS, INGRESS, assert_same, native_or_skip, read

from analyzer.jobs.analyze import analyze
from analyzer.native import SCANNER
from analyzer.parsing.detect import detect, to_choose_from
from analyzer.parsing.envelopes import load_envelopes
from analyzer.parsing.formats import load_formats
from analyzer.parsing.log_format import compile_format
from analyzer.parsing.portable import Scanner
from analyzer.parsing.scanner import NativeScanner

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: apt-get install nginx-light)")

LOGS = {
    "ingress.log": INGRESS,
    "json.log": compile_format(JSON_FORMAT),
    "combined.log": FORMATS["combined"].layouts[0],
}
UNTRIED = {"upstream_addr": "-", "upstream_status": "-", "upstream_response_time": None}
#: What ingress-nginx writes where a request was refused before a server was chosen: both brackets are empty.
REFUSED = {"upstream_name": "", **UNTRIED}
PEER = "127.0.0.1"


def request(target: bytes, *headers: bytes, method: bytes = b"GET", body: bytes = b"") -> bytes:
    """Write a request whose connection ends with its answer."""
    lines = [b"%s %s HTTP/1.1" % (method, target), b"Host: example.org", b"Connection: close", *headers, b"", body]
    return b"\r\n".join(lines)


def basic(user: bytes) -> bytes:
    """Write the header of a user who gives a name."""
    return b"Authorization: Basic " + base64.b64encode(user + b":secret")


def escaped(text: bytes) -> str:
    """Write bytes as nginx does by default."""
    return "".join(chr(c) if 0x20 <= c < 0x7F and c not in b'"\\' else f"\\x{c:02X}" for c in text)


def client_hello() -> bytes:
    """What a TLS client sends first."""
    outgoing = ssl.MemoryBIO()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="example.org")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


V2 = b"\r\n\r\n\0\r\nQUIT\n"
V2_IPV4 = V2 + b"\x21\x11\0\x0c" + bytes([203, 0, 113, 7, 127, 0, 0, 1]) + b"\xc8\x22\0\x50"
V2_IPV6 = V2 + b"\x21\x21\0\x24" + b"\x20\x01\x0d\xb8" + bytes(11) + b"\x07" + bytes(15) + b"\1" + b"\xc8\x22\0\x50"
V2_LOCAL = V2 + b"\x20\0\0\0"
AGENTS = {
    "quotes": b"a \"quoted\" 'agent'",
    "backslashes": b"C:\\new\\x22 \\",
    "controls": b"tab\tescape\x1b[31m bell\x07 delete\x7f one\x01",
    "UTF-8": "caf\u00e9 \u20ac \U0001f600".encode(),
    "no UTF-8": b"\xff\xfe\xc3 \xe2\x82 \xed\xa0\x80",
    "brackets": b"] [ - [x] {y}",
    "like a line": b'" 200 0 "-" "x" 1 0.1 [a] [] - - - - ID',
    "JSON": b'{"status": 200, "remote_addr": "6.6.6.6"}',
    "long": b"x" * 5000,
}
USERS = {
    "plain": b"ann",
    "blanks": b"ann marie  lee ",
    "brackets": b"] [ - [",
    "quotes": b'a - [b] "c',
    "backslashes": b"WORKGROUP\\ann",
    "like a time": b'a [21/Nov/2026] "GET / HTTP/1.1" 200',
    "UTF-8": "\u044e\u0437\u0435\u0440".encode(),
    "no UTF-8": b"\xff\xfe",
}


class Case(NamedTuple):
    """What is sent where, and what must come of it.

    `lines` is how many access lines it makes; `expect` holds columns of the last one of them in ingress-nginx's layout,
    `more` columns that only the JSON layout has. `unread` says that it must not count in the preserved percentage; None
    where versions of nginx differ on whether they take it.
    """

    name: str
    payload: bytes
    expect: dict[str, Any] = {}  # noqa: RUF012 - never changed
    listener: str = "plain"
    lines: int = 1
    hold: float | None = None
    encrypted: bool = False
    more: dict[str, Any] = {}  # noqa: RUF012
    unread: bool | None = False


CASES = [
    Case("normal", request(b"/a?b=%20", b"User-Agent: curl/8", b"Referer: https://x/", b"X-Request-ID: 5a6f"), {
        "remote_addr": PEER, "remote_user": "-", "request": "GET /a?b=%20 HTTP/1.1", "method": "GET",
        "path": "/a?b=%20", "protocol": "HTTP/1.1", "status": 200, "body_bytes_sent": 5, "referer": "https://x/",
        "user_agent": "curl/8", "request_id": "5a6f", "upstream_name": "-", **UNTRIED,
    }),
    Case("no headers", b"GET / HTTP/1.0\r\n\r\n", {
        "protocol": "HTTP/1.0", "status": 200, "user_agent": "-", "referer": "-", "request_length": 18,
    }),
    Case("empty user agent", request(b"/", b"User-Agent: ", b"Referer:"), {"user_agent": "", "referer": ""}),
    *(Case(f"user agent: {name}", request(b"/", b"User-Agent: " + agent), {"user_agent": escaped(agent)})
      for name, agent in AGENTS.items()),
    *(Case(f"referer: {name}", request(b"/", b"Referer: " + text), {"referer": escaped(text), "user_agent": "-"})
      for name, text in AGENTS.items()),
    *(Case(f"user: {name}", request(b"/", basic(user)), {"remote_user": escaped(user), "status": 200})
      for name, user in USERS.items()),
    Case("request id: anything", request(b"/", b'X-Request-ID: a b, c : d [e] "f" \xff'), {
        "request_id": "a b, c : d [e] \\x22f\\x22 \\xFF",
    }),
    Case("path: quotes and bytes", request(b'/\\"\xc3\xa9\xff\x7f'), {
        "path": "/\\x5C\\x22\\xC3\\xA9\\xFF\\x7F", "method": "GET", "protocol": "HTTP/1.1",
    }, unread=None),
    Case("path: a blank", request(b"/a b"), {"request": "GET /a b HTTP/1.1", "path": "/a b"}, unread=None),
    Case("path: whole URI", request(b"http://other.example/p"), {"path": "http://other.example/p", "status": 200}),
    Case("method: POST", request(b"/", b"Content-Length: 4", method=b"POST", body=b"body"), {"method": "POST"}),
    Case("method: unknown", request(b"/", method=b"M-SEARCH"), {"method": "M-SEARCH", "path": "/"}),
    Case("method: lower case", request(b"/", method=b"get"), {"status": 400, "method": None, **REFUSED}, unread=True),
    Case("two at once", request(b"/1").replace(b"close", b"keep-alive") + request(b"/2"), {"path": "/2"}, lines=2),
    Case("HTTP/0.9", b"GET /old\r\n", {
        "request": "GET /old", "method": "GET", "path": "/old", "protocol": None, "status": 200, "request_length": 10,
    }),
    Case("HTTP/3.0", b"GET / HTTP/3.0\r\n\r\n", {"status": 505, "protocol": "HTTP/3.0", **REFUSED}, unread=True),
    Case("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {"method": "PRI", "path": "*", **REFUSED}, unread=True),
    Case("no host", b"GET / HTTP/1.1\r\n\r\n", {"status": 400, "path": "/", **REFUSED}, unread=True),
    Case("only a newline", b"\n", {"request": "", "method": None, "status": 400, **REFUSED}, hold=0.05, unread=True),
    Case("only CRLF", b"\r\n\r\n", {"request": "", "status": 400, "request_length": 0}, hold=0.05, unread=True),
    Case("nothing", b"", lines=0, hold=0.05),
    Case("NUL bytes", b"\0\0\r\n", {"request": "\\x00\\x00", "status": 400, **REFUSED}, unread=True),
    Case("NUL in a header", request(b"/", b"X: a\0b"), {"status": 400, "path": "/", **REFUSED}, unread=True),
    Case("quotes instead of a request", b'" 200 "-" \\ [x]\r\n', {
        "request": "\\x22 200 \\x22-\\x22 \\x5C [x]",
    }, unread=True),
    Case("long URI", request(b"/" + b"u" * 9000), {"status": 414, "remote_addr": PEER}),
    Case("huge header", request(b"/", b"X: " + b"h" * 9000), {"status": 400, "path": "/", **REFUSED}, unread=True),
    Case("TLS to the plain port", client_hello(), {"status": 400, "remote_addr": PEER, **REFUSED}, unread=True),
    Case("PROXY v1 to the plain port", b"PROXY TCP4 203.0.113.7 127.0.0.1 51234 80\r\n" + request(b"/"), {
        "request": "PROXY TCP4 203.0.113.7 127.0.0.1 51234 80", "status": 400, "remote_addr": PEER, **REFUSED,
    }, unread=True),
    Case("PROXY v1 unknown to the plain port", b"PROXY UNKNOWN\r\n" + request(b"/"), {
        "request": "PROXY UNKNOWN", "status": 400, "method": "PROXY",
    }, unread=True),
    Case("PROXY v2 to the plain port", V2_IPV4 + request(b"/"), {
        "request": "\\x00", "status": 400, "remote_addr": PEER, **REFUSED,
    }, unread=True),
    Case("plain to the TLS port", request(b"/p?a=1"), {
        "path": "/p?a=1", "status": 400, "remote_addr": PEER, **REFUSED,
    }, listener="tls", unread=True),
    Case("TLS to the TLS port", request(b"/s"), {"path": "/s", "status": 200}, listener="tls", encrypted=True),
    Case("no PROXY where it is expected", request(b"/", b"User-Agent: x"), listener="behind_proxy", lines=0),
    Case("TLS where PROXY is expected", client_hello(), listener="behind_proxy", lines=0),
    Case("PROXY v1", b"PROXY TCP4 203.0.113.7 127.0.0.1 51234 80\r\n" + request(b"/"), {
        "remote_addr": "203.0.113.7", "path": "/", "status": 200,
    }, listener="behind_proxy", more={
        "realip_remote_addr": PEER, "proxy_protocol_addr": "203.0.113.7", "remote_port": 51234,
    }),
    Case("PROXY v1 IPv6", b"PROXY TCP6 2001:db8::7 ::1 51234 80\r\n" + request(b"/"), {
        "remote_addr": "2001:db8::7", "status": 200,
    }, listener="behind_proxy"),
    Case("PROXY v1 unknown", b"PROXY UNKNOWN\r\n" + request(b"/"), {"remote_addr": PEER}, listener="behind_proxy"),
    Case("PROXY v2", V2_IPV4 + request(b"/"), {"remote_addr": "203.0.113.7"}, listener="behind_proxy"),
    Case("PROXY v2 IPv6", V2_IPV6 + request(b"/"), {"remote_addr": "2001:db8::7"}, listener="behind_proxy"),
    Case("PROXY v2 local", V2_LOCAL + request(b"/"), {"remote_addr": PEER}, listener="behind_proxy"),
    Case("400 behind PROXY", b"PROXY TCP4 203.0.113.7 127.0.0.1 51234 80\r\nGET / HTTP/1.1\r\n\r\n", {
        "remote_addr": PEER, "status": 400,
    }, listener="behind_proxy", more={"proxy_protocol_addr": "203.0.113.7"}, unread=True),
    Case("X-Forwarded-For", request(b"/", b"X-Forwarded-For: 6.6.6.6, 198.51.100.9, 10.0.0.3"), {
        "remote_addr": "6.6.6.6",
    }, listener="forwarded", more={"realip_remote_addr": PEER, "x_forwarded_for": "6.6.6.6, 198.51.100.9, 10.0.0.3"}),
    Case("X-Forwarded-For IPv6", request(b"/", b"X-Forwarded-For: [2001:db8::7]:443"), {
        "remote_addr": "2001:db8::7",
    }, listener="forwarded", more={"x_forwarded_for": "[2001:db8::7]:443", "realip_remote_addr": PEER}),
    Case("X-Forwarded-For mapped", request(b"/", b"X-Forwarded-For: ::ffff:198.51.100.9"), {
        "remote_addr": "::ffff:198.51.100.9",
    }, listener="forwarded"),
    Case("X-Forwarded-For garbage", request(b"/", b'X-Forwarded-For: "; DROP'), {
        "remote_addr": PEER,
    }, listener="forwarded", more={"x_forwarded_for": '\\"; DROP'}),
    Case("IPv6 client", request(b"/"), {"remote_addr": "::1", "status": 200}, listener="plain6"),
    Case("unix socket", request(b"/"), {"remote_addr": "unix:", "address": None, "status": 200}, listener="unix"),
    Case("proxied", request(b"/proxied"), {
        "status": 200, "upstream_name": "default-web-8080", "upstream_status": "200", "body_bytes_sent": 7,
    }),
    Case("retried", request(b"/retried", b"X-Request-ID: r"), {
        "status": 200, "upstream_status": "502, 502, 200", "request_id": "r", "upstream_name": "default-web-8080",
    }),
    Case("all dead", request(b"/dead", b"X-Request-ID: d"), {
        "status": 502, "upstream_status": "502, 502", "request_id": "d",
    }),
    Case("redirected within", request(b"/failing", b"X-Request-ID: f"), {
        "status": 200, "upstream_status": "503 : 200", "request_id": "f", "body_bytes_sent": 7,
    }),
    Case("client gave up", request(b"/silent", b"X-Request-ID: s"), {
        "status": 499, "upstream_status": "-", "request_id": "s", "body_bytes_sent": 0,
    }, hold=0.2),
    Case("forbidden", request(b"/forbidden"), {"status": 403, "upstream_name": "-", **UNTRIED}),
    Case("limited: first", request(b"/limited"), {"status": 200}),
    Case("limited: burst", request(b"/limited"), {"status": 200}),
    Case("limited: rejected", request(b"/limited"), {"status": 503, **UNTRIED}),
    Case("slow header", b"GET /late HTTP/1.1\r\nHost: x\r\n", {
        "status": 408, "path": "/late", "remote_addr": PEER, **REFUSED,
    }, listener="hasty", unread=True),
    Case("slow request line", b"GET /la", {"status": 408, "protocol": None, **REFUSED}, listener="hasty", unread=True),
    Case("slow to begin", b"", listener="hasty", lines=0),
]  # fmt: skip
SIGNALS = {
    "proxy_v1_to_plain_listener": 2,
    "proxy_v2_to_plain_listener": 1,
    "tls_to_plain_listener": 1,
}


class Traffic(NamedTuple):
    """The logs after all cases: where they are, and which lines each case made; a case that was not sent is missing."""

    folder: Path
    lines: dict[str, range]
    encrypted: bool

    def rows(self, log: str, kind: type[NativeScanner | Scanner] = Scanner) -> pl.DataFrame:
        """Read a log; row n is line n."""
        found = read(kind, LOGS[log], (self.folder / log).read_bytes())
        assert found.misfits.rows(named=True) == []
        return found.rows


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Traffic:
    """Send all cases to a server, one after the other, and stop it."""
    folder = tmp_path_factory.mktemp("nginx")
    lines = {}
    with running_nginx(folder) as nginx:
        for case in CASES:
            if case.listener in nginx.listeners:
                lines[case.name] = send(nginx, case)
    return Traffic(folder, lines, encrypted="tls" in nginx.listeners)


def send(nginx: Nginx, case: Case) -> range:
    """Send a case and wait for its lines; the combined log is the last to be written."""
    before = len(nginx.lines("combined.log"))
    if case.encrypted:
        nginx.send_encrypted(case.listener, case.payload)
    else:
        nginx.send(case.listener, case.payload, hold=case.hold)
    nginx.wait_for_lines("combined.log", before + case.lines)
    return range(before, before + case.lines)


def sent(traffic: Traffic, case: Case) -> range:
    """Return the lines of a case, or skip a test of one that could not be sent here."""
    if case.name not in traffic.lines:
        pytest.skip(f"no listener {case.listener!r}: it needs IPv6 on loopback, or the openssl command")
    return traffic.lines[case.name]


@pytest.mark.parametrize("log", LOGS)
def test_every_line_is_read_alike(log: str, traffic: Traffic) -> None:
    """Both scanners read every line of every log, and read it alike."""
    text = (traffic.folder / log).read_bytes()
    expected = read(Scanner, LOGS[log], text)
    assert expected.misfits.rows(named=True) == []
    assert expected.rows.height == text.count(b"\n") == sum(map(len, traffic.lines.values()))
    native_or_skip(SCANNER)
    assert_same(read(NativeScanner, LOGS[log], text), expected)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_line_says_what_was_sent(case: Case, traffic: Traffic) -> None:
    """The line of a request holds what was sent, from whom, and what came of it; some make no line at all."""
    lines = sent(traffic, case)
    if not lines:
        return
    found = traffic.rows("ingress.log").row(lines[-1], named=True)
    assert {column: found[column] for column in case.expect} == case.expect
    more = traffic.rows("json.log").row(lines[-1], named=True)
    assert {column: more[column] for column in case.more} == case.more
    assert abs((datetime.now(tz=UTC) - found["time"]).total_seconds()) < 600


def _plain(text: str | None, *, escape: str) -> str:
    """Undo an escape; what is missing stands as `-` in one and as nothing in the other."""
    if escape == "json":
        return "" if text == "-" else str(json.loads(f'"{text}"', strict=False))
    raw = re.sub(rb"\\x([0-9A-F]{2})", lambda code: bytes.fromhex(code[1].decode()), (text or "").encode())
    return "" if text == "-" else raw.decode("utf-8", "replace")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_layouts_say_the_same(case: Case, traffic: Traffic) -> None:
    """ingress-nginx's layout, JSON and `combined` give the same values of the same request."""
    if not sent(traffic, case):
        return
    number = sent(traffic, case)[-1]
    found, as_json, combined = (traffic.rows(log).row(number, named=True) for log in LOGS)
    numbers = ["address", "status", "body_bytes_sent", "request_length", "request_time", "upstream_response_time"]
    assert {column: as_json[column] for column in numbers} == {column: found[column] for column in numbers}
    texts = ["remote_addr", "remote_user", "request", "referer", "user_agent", "upstream_addr", "upstream_name"]
    for column in [*texts, "upstream_status", "request_id"]:
        assert _plain(as_json[column], escape="json") == _plain(found[column], escape="default"), column
    for column in combined.keys() - {"offset"}:
        assert combined[column] == found[column], column
    assert 0 <= (as_json["time"] - found["time"]).total_seconds() < 1


def test_upstream_lists(traffic: Traffic) -> None:
    """A request that was tried several times has one address for each try, and the sum of their times."""
    rows = traffic.rows("ingress.log")
    retried, dead, redirected, proxied = (
        rows.row(traffic.lines[name][-1], named=True)
        for name in ("retried", "all dead", "redirected within", "proxied")
    )
    backend = proxied["upstream_addr"]
    assert re.fullmatch(r"127\.0\.0\.1:\d+", backend)
    assert retried["upstream_addr"] == f"{dead['upstream_addr']}, {backend}"
    assert redirected["upstream_addr"] == f"{backend} : {backend}"
    assert all(row["upstream_response_time"] is not None for row in (retried, dead, redirected, proxied))
    gave_up = rows.row(traffic.lines["client gave up"][-1], named=True)
    assert min(gave_up["upstream_response_time"], gave_up["request_time"]) > 0


def test_request_lengths(traffic: Traffic) -> None:
    """Where nginx read a request whole its length is that of what was sent."""
    rows = traffic.rows("ingress.log")
    for case in CASES:
        if case.expect.get("status") == 200 and case.listener == "plain" and case.payload.startswith(b"GET"):
            assert rows["request_length"][traffic.lines[case.name][-1]] == len(case.payload), case.name


def test_tls_hello(traffic: Traffic) -> None:
    """A TLS client's hello is logged up to its first newline or carriage return, each byte escaped."""
    number = traffic.lines["TLS to the plain port"][-1]
    logged = traffic.rows("ingress.log")["request"][number]
    assert logged.startswith("\\x16\\x03\\x01")
    payload = next(case.payload for case in CASES if case.name == "TLS to the plain port")
    assert escaped(payload).startswith(logged)


@pytest.mark.parametrize("scanner", ["native", "portable"])
@pytest.mark.parametrize("log", LOGS)
def test_nothing_is_lost(log: str, scanner: str, traffic: Traffic, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole program reads every line of every log, counts what could not be read, and the signals."""
    if scanner == "native":
        native_or_skip(SCANNER)
    monkeypatch.setenv("LOGSCAN_SCANNER", scanner)
    report = analyze(traffic.folder / log, log_format=JSON_FORMAT if log == "json.log" else None)
    lines = sum(map(len, traffic.lines.values()))
    assert (report.input.lines, report.input.parsed, report.input.rejected, report.input.other) == (lines, lines, 0, 0)
    assert {name: report.signals[name] for name in SIGNALS} == SIGNALS
    status = traffic.rows(log)["status"]
    unread = sum(
        status[traffic.lines[case.name][-1]] == 400 if case.unread is None else case.unread
        for case in CASES
        if case.name in traffic.lines
    )
    if log != "combined.log":  # it names no upstream, so that a readable 400 could have come from one
        assert report.preservation.excluded.unparsed_request == unread


@pytest.mark.parametrize("scanner", ["native", "portable"])
def test_one_stream_of_access_and_error_lines(scanner: str, traffic: Traffic, monkeypatch: pytest.MonkeyPatch) -> None:
    """With both logs in one stream, as `kubectl logs` shows them, every line is an access line or an error line."""
    if scanner == "native":
        native_or_skip(SCANNER)
    monkeypatch.setenv("LOGSCAN_SCANNER", scanner)
    text = (traffic.folder / "mixed.log").read_bytes()
    report = analyze(traffic.folder / "mixed.log")
    access = sum(map(len, traffic.lines.values()))
    assert report.input.rejected_samples == []
    assert (report.input.lines, report.input.parsed, report.input.rejected) == (text.count(b"\n"), access, 0)
    assert report.input.other_kinds == {"error-log": report.input.other}
    assert report.signals == {
        **SIGNALS,
        "plain_to_tls_listener": int(traffic.encrypted),
        "broken_proxy_header": 2,
        "empty_proxy_header": 0,
        "limiting_requests": 1,
        "limiting_connections": 0,
    }


def test_the_layout_is_recognised(traffic: Traffic) -> None:
    """The layouts are told from what nginx wrote, with error lines between them too."""
    known = to_choose_from(load_formats(), load_envelopes(), None)
    for log, name in (("ingress.log", "ingress-nginx"), ("mixed.log", "ingress-nginx"), ("combined.log", "combined")):
        found = detect((traffic.folder / log).read_bytes(), known)
        assert found.layout is not None
        assert (found.layout.name, found.layers) == (name, ())
