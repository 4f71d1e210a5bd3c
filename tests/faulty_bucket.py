"""An S3 bucket on loopback whose answers go wrong as a test says."""

from __future__ import annotations

import hashlib
import re
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

from bucket_servers import ALONE

if TYPE_CHECKING:
    from collections.abc import Iterator


class FaultyBucket:
    """Objects by key, and what happens to the requests for each: faults are used up one by one, the last one stays.

    ``ok``, a status with an error code (``503 SlowDown``), ``cut`` (the connection ends half-way through the body),
    ``short`` (the body is said to be half as long), ``pause`` (the body stops for a moment), ``stall`` (and never goes
    on), ``whole`` (the range is ignored), ``rewrite`` (the object is another one from now on), ``lost`` (an object is
    stored, but nobody hears of it), ``unsaid`` (it is stored, and the answer is that of a server that cannot).
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.faults: dict[str, list[str]] = {}
        self.requests: list[str] = []
        self.listed: dict[str, bytes] = {}  # what listings still show though it is gone
        self.port = 0
        self.network: int | None = None  # requests until it is gone; None is never
        self.heeds_conditions = True

    @property
    def env(self) -> dict[str, str]:
        """The variables that lead there."""
        return {
            **ALONE,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }

    def is_gone(self) -> bool:
        """Whether this request finds no network."""
        if self.network is None:
            return False
        self.network -= 1
        return self.network < 0

    def fault(self, key: str) -> str:
        """What happens to this request."""
        faults = self.faults.get(key, ["ok"])
        return faults.pop(0) if len(faults) > 1 else faults[0]


class _Handler(BaseHTTPRequestHandler):
    bucket: FaultyBucket
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        key = self._key()
        fault = self.bucket.fault(key)
        if self._is_gone():
            return
        stored = self.bucket.objects.get(key)
        expected = self.headers.get("If-Match")
        taken = self.headers.get("If-None-Match") == "*" and stored is not None
        other = expected is not None and (stored is None or expected != f'"{_etag(stored)}"')
        if fault[0].isdigit():
            self._fail(fault)
        elif self.bucket.heeds_conditions and (taken or other):
            self._fail("412 PreconditionFailed")
        else:
            self.bucket.objects[key] = content
            if fault == "lost":
                self.close_connection = True
            elif fault == "unsaid":
                self._fail("503 ServiceUnavailable")
            else:
                self._answer(200, b"", {"ETag": f'"{_etag(content)}"'})

    def do_POST(self) -> None:
        """Delete objects, the only use of it here."""
        wanted = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if not self._is_gone():
            keys = [unescape(key) for key in re.findall("<Key>(.*?)</Key>", wanted)]
            for key in keys:
                self.bucket.objects.pop(key, None)
            told = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
            self._answer(200, f"<DeleteResult>{told}</DeleteResult>".encode())

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix("/logs").removeprefix("/")

    def _is_gone(self) -> bool:
        self.bucket.requests.append(f"{self.command} {self._key()}")
        gone = self.bucket.is_gone()
        self.close_connection |= gone
        return gone

    def _fail(self, fault: str) -> None:
        code, _, name = fault.partition(" ")
        self._answer(int(code), f"<Error><Code>{name}</Code><Message>said so</Message></Error>".encode())

    def do_GET(self) -> None:
        query = self.path.partition("?")[2]
        key = self._key()
        self.bucket.requests.append(f"{self.command} {key}?{unquote(query)} {self.headers.get('Range', '')}".strip())
        fault = self.bucket.fault(key or "?list")
        if self.bucket.is_gone():
            self.close_connection = True
        elif fault[0].isdigit():
            self._fail(fault)
        elif not key:
            self._answer(200, _listing(self.bucket, parse_qs(query).get("prefix", [""])[0]))
        elif key not in self.bucket.objects:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._object(key, fault)

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def _object(self, key: str, fault: str) -> None:
        if fault == "rewrite":
            self.bucket.objects[key] += b"more\n"
        content = self.bucket.objects[key]
        asked = self.headers.get("If-Match")
        if asked and asked != f'"{_etag(content)}"':
            self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            return
        headers = {"ETag": f'"{_etag(content)}"', "Last-Modified": "Fri, 20 Nov 2026 00:00:00 GMT"}
        status, body = 200, content
        if (span := self.headers.get("Range")) and fault != "whole":
            first, last = (int(number) for number in span.removeprefix("bytes=").split("-"))
            status, body = 206, content[first : last + 1]
            if fault == "short":
                body = body[: len(body) // 2]
            headers["Content-Range"] = f"bytes {first}-{first + len(body) - 1}/{len(content)}"
        self._answer(status, body, headers, fault)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, fault: str = "ok") -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        half = len(body) // 2
        self.wfile.write(body[:half])
        if fault == "pause":
            time.sleep(0.3)
        elif fault == "stall":
            time.sleep(5)
        if fault in {"cut", "stall"}:
            self.close_connection = True
            return
        self.wfile.write(body[half:])

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def faulty_bucket() -> Iterator[FaultyBucket]:
    """Serve a bucket named ``logs``."""
    bucket = FaultyBucket()
    handler = type("Handler", (_Handler,), {"bucket": bucket})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        bucket.port = server.server_address[1]
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield bucket
        server.shutdown()
        thread.join()


def _etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _listing(bucket: FaultyBucket, prefix: str) -> bytes:
    shown = sorted({**bucket.listed, **bucket.objects}.items())
    entries = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>2026-11-20T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{_etag(content)}&quot;</ETag><Size>{len(content)}</Size></Contents>"
        for key, content in shown
        if key.startswith(prefix)
    )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode()
