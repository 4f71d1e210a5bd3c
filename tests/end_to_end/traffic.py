"""Requests as the internet sends them: ordinary, odd, and none at all. Each is one connection."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import NamedTuple


def request(target: bytes = b"/", *headers: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    """Write a request whose connection ends with its answer."""
    lines = [b"%s %s HTTP/%s" % (method, target, version), b"Host: example.org", b"Connection: close", *headers]
    return b"\r\n".join([*lines, b"", b""])


def client_hello() -> bytes:
    """What a TLS client sends first."""
    outgoing = ssl.MemoryBIO()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="example.org")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


PROXY_V1 = b"PROXY TCP4 203.0.113.7 127.0.0.1 51234 80\r\n"
PROXY_V1_IPV6 = b"PROXY TCP6 2001:db8::7 ::1 51234 80\r\n"
PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([203, 0, 113, 7, 127, 0, 0, 1]) + b"\xc8\x22\0\x50"


class Request(NamedTuple):
    """Bytes with a name; every server answers what is `readable`."""

    name: str
    payload: bytes
    readable: bool = False


_READABLE = {
    "plain": request(b"/a?b=%20", b"User-Agent: curl/8", b"Referer: https://x/", b"X-Request-ID: 5a6f"),
    "HEAD": request(method=b"HEAD"),
    "OPTIONS": request(method=b"OPTIONS"),
    "whole URI": request(b"http://example.org/whole"),
    "quotes": request(b"/", b"User-Agent: a \"quoted\" 'agent'"),
    "backslashes": request(b"/", b"User-Agent: C:\\new\\x22 \\", b"Referer: \\"),
    "quote at the end": request(b"/", b'User-Agent: a "'),
    "UTF-8": request(b"/", "User-Agent: caf\u00e9 \u20ac \U0001f600".encode()),
    "no UTF-8": request(b"/", b"User-Agent: \xff\xfe\xc3 \xe2\x82 \xed\xa0\x80"),
    "brackets": request(b"/", b"User-Agent: ] [ - [x] {y} |"),
    "like a line": request(b"/", b'User-Agent: " 200 0 "-" "x" 1 0.1 [a] [] - - - - ID'),
    "JSON": request(b"/", b'User-Agent: {"status": 200, "remote_addr": "6.6.6.6"}'),
    "tab": request(b"/", b"User-Agent: a\tb"),
    "empty user agent": request(b"/", b"User-Agent: ", b"Referer:"),
    "long URI": request(b"/" + b"u" * 3000),
    "long user agent": request(b"/", b"User-Agent: " + b"x" * 3000),
    "X-Forwarded-For": request(b"/", b"X-Forwarded-For: 198.51.100.9"),
    "X-Forwarded-For of several": request(b"/", b"X-Forwarded-For: 6.6.6.6, 198.51.100.9, 10.0.0.3"),
    "X-Forwarded-For twice": request(b"/", b"X-Forwarded-For: 6.6.6.6", b"X-Forwarded-For: 198.51.100.9"),
    "X-Forwarded-For IPv6": request(b"/", b"X-Forwarded-For: 2001:db8::7"),
    "X-Forwarded-For garbage": request(b"/", b'X-Forwarded-For: "; DROP'),
}
_ODD = {
    "HTTP/1.0": b"GET /old HTTP/1.0\r\n\r\n",
    "path: quotes and bytes": request(b'/\\"\xc3\xa9\xff\x7f'),
    "path: a blank": request(b"/a b"),
    "method: lower case": request(method=b"get"),
    "no host": b"GET /nohost HTTP/1.1\r\n\r\n",
    "HTTP/0.9": b"GET /ancient\r\n",
    "HTTP/3.0": b"GET / HTTP/3.0\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "only CRLF": b"\r\n\r\n",
    "nothing": b"",
    "NUL bytes": b"\0\0\r\n\r\n",
    "garbage": bytes(range(256)) + b"\r\n\r\n",
    "quotes instead of a request": b'" 200 "-" \\ [x]\r\n\r\n',
    "NUL in a header": request(b"/", b"X: a\0b"),
    "huge header": request(b"/", b"X: " + b"h" * 70_000),
    "TLS to the plain port": client_hello(),
    "PROXY v1 to the plain port": PROXY_V1 + request(),
    "PROXY v2 to the plain port": PROXY_V2 + request(),
}
#: What every server answers, whatever stands in it.
READABLE = {name: Request(name, payload, readable=True) for name, payload in _READABLE.items()}
#: What one server answers and another refuses, with a line in its log or without.
ODD = {name: Request(name, payload) for name, payload in _ODD.items()}
#: A few of all, for a listener that differs in what it knows of its clients.
FEW = [READABLE[name] for name in ("plain", "quotes", "X-Forwarded-For of several", "X-Forwarded-For IPv6")]
