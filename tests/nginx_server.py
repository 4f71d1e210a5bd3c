"""A real nginx on loopback, configured to log as ingress-nginx does; started and stopped by the tests alone."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from scanners import INGRESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
OPENSSL = shutil.which("openssl")
#: Seconds that a client waits at most, and a whole server may live.
PATIENCE, LIFETIME = 20, 120

#: The same requests as JSON, with all that nginx knows of addresses.
JSON_FORMAT = (
    'escape=json {"time":"$time_iso8601","msec":$msec,"remote_addr":"$remote_addr","remote_port":$remote_port,'
    '"peer":"$realip_remote_addr","proxied":"$proxy_protocol_addr","x_forwarded_for":"$http_x_forwarded_for",'
    '"user":"$remote_user","request":"$request","status":$status,"bytes":$body_bytes_sent,"referer":"$http_referer",'
    '"agent":"$http_user_agent","length":$request_length,"seconds":$request_time,"name":"$proxy_upstream_name",'
    '"upstream":"$upstream_addr","upstream_seconds":"$upstream_response_time","upstream_status":"$upstream_status",'
    '"id":"$req_id"}'
)

_CONFIGURATION = """
daemon off;
master_process off;
pid nginx.pid;
error_log mixed.log info;
events { worker_connections 64; }
http {
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    log_format upstreaminfo '@INGRESS@';
    log_format as_json @JSON@;
    access_log ingress.log upstreaminfo;
    access_log mixed.log upstreaminfo;
    access_log json.log as_json;
    access_log combined.log combined;
    map $http_x_request_id $req_id { default $http_x_request_id; "" $request_id; }
    map "" $proxy_alternative_upstream_name { default ""; }
    uninitialized_variable_warn off;
    proxy_connect_timeout 2s;
    limit_req_zone $binary_remote_addr zone=few:1m rate=1r/m;
    upstream retried { server @DEAD@; server @DEAD2@; server @BACKEND@ backup; }
    upstream dead { server @DEAD@ max_fails=0; server @DEAD2@ max_fails=0; }
    server {
        listen @BACKEND@;
        access_log off;
        location / { return 200 "answer\\n"; }
        location /failing { return 503; }
    }
    server {
        listen @PLAIN@;
        @PLAIN6@
        listen unix:@FOLDER@/nginx.sock;
        set $proxy_upstream_name "-";
        location / { return 200 "here\\n"; }
        location /proxied { set $proxy_upstream_name default-web-8080; proxy_pass http://@BACKEND@; }
        location /retried { set $proxy_upstream_name default-web-8080; proxy_pass http://retried; }
        location /dead { set $proxy_upstream_name default-web-8080; proxy_pass http://dead; }
        location /silent { set $proxy_upstream_name default-web-8080; proxy_pass http://@SILENT@; }
        location /failing {
            set $proxy_upstream_name default-web-8080;
            proxy_pass http://@BACKEND@;
            proxy_intercept_errors on;
            error_page 503 = @rescue;
        }
        location @rescue { rewrite ^ /rescued break; proxy_pass http://@BACKEND@; }
        location /limited { limit_req zone=few burst=1 nodelay; alias @FOLDER@/nginx.conf; }
        location /forbidden { deny all; }
    }
    server {
        listen @HASTY@;
        client_header_timeout 200ms;
        location / { return 200; }
    }
    server {
        listen @FORWARDED@;
        real_ip_header X-Forwarded-For;
        real_ip_recursive on;
        set_real_ip_from 0.0.0.0/0;
        location / { return 200; }
    }
    server {
        listen @BEHIND_PROXY@ proxy_protocol;
        real_ip_header proxy_protocol;
        set_real_ip_from 127.0.0.0/8;
        location / { return 200; }
    }
    @TLS_SERVER@
}
"""
_TLS_SERVER = """server {
        listen @TLS@ ssl;
        ssl_certificate certificate.pem;
        ssl_certificate_key key.pem;
        location / { return 200; }
    }"""


class Nginx(NamedTuple):
    """A running server: its folder, and where each of its listeners is; a unix socket has a path."""

    folder: Path
    listeners: dict[str, tuple[str, int] | str]

    def connect(self, listener: str) -> socket.socket:
        """Open a connection to a listener."""
        address = self.listeners[listener]
        if isinstance(address, str):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(PATIENCE)
            client.connect(address)
            return client
        return socket.create_connection(address, timeout=PATIENCE)

    def send(self, listener: str, payload: bytes, *, hold: float | None = None) -> bytes:
        """Send bytes and return the answer; with `hold` leave after so many seconds instead of waiting for it."""
        with self.connect(listener) as client:
            with suppress(ConnectionError):  # nginx may refuse before it has read all
                client.sendall(payload)
            if hold is not None:
                time.sleep(hold)
                return b""
            return receive(client)

    def send_encrypted(self, listener: str, payload: bytes) -> bytes:
        """Send bytes over TLS and return the answer."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with self.connect(listener) as plain, context.wrap_socket(plain) as client:
            client.sendall(payload)
            return receive(client)

    def lines(self, log: str) -> list[bytes]:
        """Return the whole lines that a log holds by now."""
        return (self.folder / log).read_bytes().split(b"\n")[:-1]

    def wait_for_lines(self, log: str, count: int) -> None:
        """Wait until a log has so many lines; nginx writes one when a request is over."""
        deadline = time.monotonic() + PATIENCE
        while len(self.lines(log)) < count:
            assert time.monotonic() < deadline, f"{log}: {len(self.lines(log))} of {count} lines"
            time.sleep(0.005)


def receive(client: socket.socket) -> bytes:
    """Read until the other side closes."""
    answer = b""
    with suppress(ConnectionResetError):
        while more := client.recv(1 << 16):
            answer += more
    return answer


@contextmanager
def running_nginx(folder: Path) -> Iterator[Nginx]:
    """Start nginx with a folder of its own, and stop it."""
    assert NGINX
    with _held_ports() as (held, has_ipv6):
        free = {name: _free_port() for name in ("PLAIN", "BACKEND", "HASTY", "FORWARDED", "BEHIND_PROXY", "TLS")}
        values = {name: f"127.0.0.1:{port}" for name, port in {**free, **held}.items()}
        has_tls = _make_certificate(folder)
        text = _CONFIGURATION.replace("@TLS_SERVER@", _TLS_SERVER if has_tls else "")
        plain6 = f"listen [::1]:{free['PLAIN']};" if has_ipv6 else ""
        for name, value in {
            **values, "PLAIN6": plain6, "FOLDER": str(folder), "INGRESS": INGRESS.text, "JSON": _quoted(JSON_FORMAT)
        }.items():  # fmt: skip
            text = text.replace(f"@{name}@", value)
        (folder / "nginx.conf").write_text(text)
        listeners: dict[str, tuple[str, int] | str] = {
            name.lower(): ("127.0.0.1", port) for name, port in free.items() if has_tls or name != "TLS"
        }
        listeners |= {"unix": str(folder / "nginx.sock")} | ({"plain6": ("::1", free["PLAIN"])} if has_ipv6 else {})
        # `timeout` ends the server even where this process is killed; it hands on the signal that stops it before.
        process = subprocess.Popen(
            ["timeout", str(LIFETIME), NGINX, "-p", str(folder), "-e", "mixed.log", "-c", "nginx.conf"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            nginx = Nginx(folder, listeners)
            wait_until_it_listens(lambda: nginx.connect("plain"), process)
            yield nginx
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE)


def _quoted(log_format: str) -> str:
    escape, _, body = log_format.partition(" ")
    return f"{escape} '{body}'"


@contextmanager
def _held_ports() -> Iterator[tuple[dict[str, int], bool]]:
    """Ports of servers that refuse (bound, not listening) and of one that never answers; and whether ::1 is there."""
    sockets = {name: socket.socket() for name in ("DEAD", "DEAD2", "SILENT")}
    try:
        for held in sockets.values():
            held.bind(("127.0.0.1", 0))
        sockets["SILENT"].listen()
        has_ipv6 = socket.has_ipv6
        with suppress(OSError), socket.socket(socket.AF_INET6) as probe:
            has_ipv6 = False
            probe.bind(("::1", 0))
            has_ipv6 = True
        yield {name: held.getsockname()[1] for name, held in sockets.items()}, has_ipv6
    finally:
        for held in sockets.values():
            held.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _make_certificate(folder: Path) -> bool:
    if OPENSSL is None:
        return False
    command = [OPENSSL, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0


def wait_until_it_listens(connect: Callable[[], socket.socket], process: subprocess.Popen[bytes]) -> None:
    """Wait until a connection can be opened; where the process ends before, say what it said."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            connect().close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.terminate()
                raise AssertionError(f"nginx did not start: {process.communicate()[1].decode()}") from None
            time.sleep(0.02)
        else:
            return
