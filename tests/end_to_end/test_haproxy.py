"""A real HAProxy writes the logs: every format it has by itself, bare and in both syslog envelopes."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from end_to_end.reading import SCANNERS, Log, assert_clients, assert_read
from end_to_end.servers import (
    LOOPBACK,
    Listener,
    free_port,
    has_ipv6,
    listens,
    make_certificate,
    program,
    running,
    send,
    syslog_server,
    wait_for_lines,
)
from end_to_end.traffic import FEW, ODD, PROXY_V1, PROXY_V1_IPV6, PROXY_V2, READABLE, Request, request

if TYPE_CHECKING:
    from pathlib import Path

    from end_to_end.servers import Address

_CAPTURES = """
  capture request header X-Forwarded-For len 64
  capture request header User-Agent len 4096
  capture response header Server len 20"""
#: The name that logscan gives to the log of each frontend, and what the frontend says of it.
FRONTENDS = {
    "http": ("haproxy-http", "option httplog"),
    "captured": ("haproxy-http", f"option httplog{_CAPTURES}"),
    "proxied": ("haproxy-http", "option httplog"),
    "https": ("haproxy-https", "option httpslog"),
    "clf": ("haproxy-clf", "option httplog clf"),
    "tcp": ("haproxy-tcp", "option tcplog"),
    "connect": ("haproxy-connect", ""),
}
#: The form in which HAProxy sends lines to a syslog server, and the envelope that logscan sees round them.
FORMS = {"raw": "none", "rfc3164": "syslog", "rfc5424": "syslog-5424"}
_CONFIGURATION = """
global
  nbthread 1  # two threads would write their lines in any order

defaults
  mode http
  timeout connect 300ms
  timeout client 300ms
  option abortonclose
  timeout server 300ms
  timeout http-request 300ms
{frontends}
frontend origin
  bind 127.0.0.1:{origin}
  http-request return status 200 content-type text/plain string answer hdr Server origin
backend web
  server alive 127.0.0.1:{origin}
backend tcp_web
  mode tcp
  server alive 127.0.0.1:{origin}
backend dead
  retries 0
  server dead 127.0.0.1:{dead}
backend silent
  server silent 127.0.0.1:{silent}
"""
_HTTP = """
  http-request deny if { path_beg /forbidden }
  use_backend dead if { path_beg /dead }
  use_backend silent if { path_beg /silent }
  default_backend web"""
_TCP = """
  mode tcp
  default_backend tcp_web"""
MORE = [
    Request("dead", request(b"/dead"), readable=True),
    Request("forbidden", request(b"/forbidden"), readable=True),
    Request("gave up", request(b"/silent")),
    Request("slow", b"GET /slow HTTP/1.1\r\nHost: x\r\n", readable=True),
]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> list[Log]:
    """Send everything to every frontend; each has its log in every form, and the first one on stdout too."""
    haproxy = program("haproxy", "Debian: apt-get install haproxy")
    folder = tmp_path_factory.mktemp("haproxy")
    make_certificate(folder)
    with ExitStack() as stack, socket.socket() as silent:
        silent.bind((LOOPBACK, 0))
        silent.listen()
        ports = {name: free_port() for name in (*FRONTENDS, "origin", "dead")} | {"silent": silent.getsockname()[1]}
        syslog = {
            (name, form): stack.enter_context(syslog_server(folder / f"{name}-{form}.log"))
            for name in FRONTENDS
            for form in FORMS
        }
        frontends = "\n".join(_frontend(name, folder, ports[name], syslog) for name in FRONTENDS)
        configuration = folder / "haproxy.cfg"
        configuration.write_text(_CONFIGURATION.format(frontends=frontends, **ports))
        stack.enter_context(
            running([haproxy, "-db", "-f", configuration], folder, listens((LOOPBACK, ports["origin"])))
        )
        listeners = {name: Listener((LOOPBACK, ports[name]), folder / f"{name}-raw.log", []) for name in FRONTENDS}
        errors = {name: _send_all(name, listener, folder) for name, listener in listeners.items()}
    written = [
        Log(folder / f"{name}-{form}.log", FRONTENDS[name][0], listener.sent, envelope, errors[name])
        for name, listener in listeners.items()
        for form, envelope in FORMS.items()
    ]
    stdout = (folder / "stdout").rename(folder / "stdout.log")
    return [*written, Log(stdout, FRONTENDS["http"][0], listeners["http"].sent)]


def _frontend(name: str, folder: Path, port: int, syslog: dict[tuple[str, str], tuple[str, int]]) -> str:
    binding = {"https": f" ssl crt {folder}/both.pem", "proxied": " accept-proxy"}.get(name, "")
    lines = [f"frontend {name}", f"bind {LOOPBACK}:{port}{binding}"]
    if name == "http":
        lines += ["log stdout format raw local0", f"bind {folder}/haproxy.sock"]
        lines += [f"bind [::1]:{port}"] if has_ipv6() else []
    for form in FORMS:
        host, to = syslog[name, form]
        lines.append(f"log {host}:{to} len 8192 format {form} local0")
    return "\n  ".join(lines) + "\n  " + FRONTENDS[name][1] + (_TCP if name == "tcp" else _HTTP)


def _send_all(name: str, listener: Listener, folder: Path) -> int:
    """Send what a frontend is there for, and return how many lines of errors its log has."""
    if name == "proxied":
        for one in FEW:
            listener.send(one, prefix=PROXY_V1, client=("203.0.113.7", 51234))
            listener.send(one, prefix=PROXY_V1_IPV6, client=("2001:db8::7", 51234))
            listener.send(one, prefix=PROXY_V2, client=("203.0.113.7", 51234))
            listener.send(one, prefix=b"PROXY UNKNOWN\r\n")
        return _send_errors(listener, [READABLE["plain"], ODD["TLS to the plain port"]])
    more = {"connect": [], "tcp": list(ODD.values())}.get(name, [*ODD.values(), *MORE])
    for one in [*READABLE.values(), *more]:
        silent = name != "tcp" and one.name == "HTTP/2 preface"
        listener.send(one, lines=0 if silent else 1, tls=name == "https")
    if name == "http":
        _also_at(listener, f"{folder}/haproxy.sock", ("unix", 2))
        if has_ipv6() and isinstance(listener.server, tuple):
            _also_at(listener, ("::1", listener.server[1]), None)
    if name == "https":
        return _send_errors(listener, [READABLE["plain"], ODD["nothing"]])
    return 0


def _also_at(listener: Listener, server: Address | str, client: Address | None) -> None:
    listener._replace(server=server).send(READABLE["plain"], client=client)


def _send_errors(listener: Listener, requests: list[Request]) -> int:
    """Send what ends a connection before there is a request; HAProxy writes what is wrong with it."""
    for number, one in enumerate(requests, 1):
        send(listener.server, one._replace(readable=False))
        wait_for_lines(listener.log, len(listener.sent) + number)
    return len(requests)


@pytest.mark.parametrize("scanner", SCANNERS)
def test_every_line_is_read(scanner: str, logs: list[Log]) -> None:
    """Each format is told from the others, in each form, and every line is read."""
    assert_read(logs, scanner)


def test_every_line_names_its_client(logs: list[Log]) -> None:
    """The address and the port of each line are those of who sent the request."""
    assert_clients(logs)
