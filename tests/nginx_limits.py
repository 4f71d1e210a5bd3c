"""A real nginx with rate limits as ingress-nginx renders them, and clients at many addresses of loopback."""

from __future__ import annotations

import asyncio
import subprocess
import time
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from nginx_server import LIFETIME, NGINX, PATIENCE, _free_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

#: What each request is logged as: when it ended, how long it took, and what nginx decided.
LOG_FORMAT = (
    "$remote_addr [$msec] $request_time $status $namespace $ingress_name $limit_req_status $limit_conn_status"
    ' "$request" "$http_user_agent"'
)
#: Who no limit is for.
ALLOWED = "127.0.9.0/24"

#: As kubernetes/ingress-nginx rootfs/etc/nginx/template/nginx.tmpl renders it: one zone for each Ingress and kind, the
#: key empty for addresses of the allowlist.
_CONFIGURATION = """
daemon off;
pid nginx.pid;
master_process off;
error_log error.log warn;
events { worker_connections 8192; }
http {
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    log_format limits '@FORMAT@';
    limit_req_status 503;
    limit_conn_status 503;
    geo $remote_addr $allowlist_1 { default 0; @ALLOWED@ 1; }
    map $allowlist_1 $limit_1 { 0 $binary_remote_addr; 1 ""; }
    limit_req_zone $limit_1 zone=web_five_1_rps:5m rate=5r/s;
    limit_req_zone $limit_1 zone=web_slow_2_rpm:5m rate=10r/m;
    limit_conn_zone $limit_1 zone=web_busy_3_conn:5m;
    limit_conn_zone $limit_1 zone=web_all_4_conn:5m;
    limit_req_zone $limit_1 zone=web_all_4_rps:5m rate=5r/s;
    limit_req_zone $limit_1 zone=web_all_4_rpm:5m rate=10r/m;
    sendfile off;
    server {
        listen 127.0.0.1:@PORT@ backlog=2048;
        set $namespace web;
        location = /five {
            set $ingress_name five;
            access_log five.log limits;
            limit_req zone=web_five_1_rps burst=25 nodelay;
            alias @FOLDER@/quick;
        }
        location = /slow {
            set $ingress_name slow;
            access_log slow.log limits;
            limit_req zone=web_slow_2_rpm burst=50 nodelay;
            alias @FOLDER@/quick;
        }
        location = /busy {
            set $ingress_name busy;
            access_log busy.log limits;
            limit_conn web_busy_3_conn 3;
            limit_rate 40k;
            alias @FOLDER@/lasting;
        }
        location = /all {
            set $ingress_name all;
            access_log all.log limits;
            limit_conn web_all_4_conn 2;
            limit_req zone=web_all_4_rps burst=10 nodelay;
            limit_req zone=web_all_4_rpm burst=20 nodelay;
            limit_rate 40k;
            alias @FOLDER@/lasting;
        }
    }
}
"""


class Send(NamedTuple):
    """A request: seconds after the start, the address it comes from, the path."""

    at: float
    address: str
    path: str


@contextmanager
def limiting_nginx(folder: Path) -> Iterator[int]:
    """Start nginx with a folder of its own; give its port."""
    assert NGINX
    port = _free_port()
    (folder / "quick").write_text("answer\n")
    (folder / "lasting").write_bytes(b"." * 60_000)  # of which 40 KB go at once, the rest half a second later
    text = _CONFIGURATION
    for name, value in {"FORMAT": LOG_FORMAT, "ALLOWED": ALLOWED, "PORT": str(port), "FOLDER": str(folder)}.items():
        text = text.replace(f"@{name}@", value)
    (folder / "nginx.conf").write_text(text)
    process = subprocess.Popen(
        ["timeout", str(LIFETIME), NGINX, "-p", str(folder), "-e", "error.log", "-c", "nginx.conf"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        _wait(port, process)
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            asyncio.run(_send(port, Send(0, "127.0.9.1", "/nothing"), 0))
        except OSError:
            assert process.poll() is None, "nginx did not start"
            assert time.monotonic() < deadline, "nginx does not answer"
            time.sleep(0.05)
        else:
            return


async def _send(port: int, request: Send, start: float) -> None:
    await asyncio.sleep(max(0, start + request.at - time.monotonic()))
    reader, writer = await asyncio.wait_for(
        asyncio.open_connection("127.0.0.1", port, local_addr=(request.address, 0)), PATIENCE
    )
    try:
        writer.write(b"GET %s HTTP/1.0\r\nUser-Agent: t\r\n\r\n" % request.path.encode())
        await asyncio.wait_for(reader.read(-1), PATIENCE)
    finally:
        writer.close()


def send(port: int, requests: Iterable[Send]) -> None:
    """Send requests, each at its time over a connection of its own, and wait for all answers."""

    async def all_of_them() -> None:
        start = time.monotonic() + 0.2
        await asyncio.gather(*(_send(port, request, start) for request in requests))

    ordered = sorted(requests)
    assert all(one <= other for one, other in pairwise(ordered))
    asyncio.run(all_of_them())
