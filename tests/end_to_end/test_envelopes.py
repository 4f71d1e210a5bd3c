"""Real programs put real nginx lines in envelopes: conmon, as CRI-O's containers log, and rsyslog's three templates."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple

import pytest
from end_to_end.reading import SCANNERS, Log, assert_clients, assert_read
from end_to_end.servers import LOOPBACK, Listener, contained, free_port, listens, program, running
from end_to_end.traffic import ODD, READABLE, Request, request

if TYPE_CHECKING:
    from pathlib import Path

    from end_to_end.servers import Command

_NGINX = """
daemon off;
master_process off;
pid nginx.pid;
error_log {error_log} info;
events {{ worker_connections 64; }}
http {{
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    map "" $req_id {{ default $request_id; }}
    map "" $proxy_upstream_name {{ default "default-web-8080"; }}
    map "" $proxy_alternative_upstream_name {{ default ""; }}
    log_format upstreaminfo '{layout}';
    access_log {access_log} upstreaminfo;
    access_log access.log upstreaminfo;
    large_client_header_buffers 4 64k;
    server {{ listen 127.0.0.1:{port}; return 200 answer; }}
}}
"""
_LAYOUT = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" '
    "$request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr "
    "$upstream_response_length $upstream_response_time $upstream_status $req_id"
)
#: Files that rsyslog writes by its own templates, and the envelope that logscan sees in them.
RSYSLOG = {"traditional": "syslog", "file": "syslog", "protocol23": "syslog-5424"}
#: conmon cuts a line where its buffer of 8 KiB is full.
LONG = [Request(f"long URI of {size}", request(b"/" + b"u" * size), readable=True) for size in (7900, 9000, 30_000)]
#: The layout of a node's disk: the file says pod and namespace.
CONTAINER = "pods/ingress-nginx_ingress-nginx-controller-7d9f_0f5b2c6e-31d5-4c8e-9a55-2a6f4e9f7d11/controller"
_RSYSLOG = """
module(load="imudp")
input(type="imudp" address="127.0.0.1" port="{port}")
*.* action(type="omfile" file="{folder}/traditional.log" template="RSYSLOG_TraditionalFileFormat")
*.* action(type="omfile" file="{folder}/file.log" template="RSYSLOG_FileFormat")
*.* action(type="omfile" file="{folder}/protocol23.log" template="RSYSLOG_SyslogProtocol23Format")
"""


def _configure(folder: Path, port: int, *, access_log: str, error_log: str) -> None:
    text = _NGINX.format(port=port, layout=_LAYOUT, access_log=access_log, error_log=error_log)
    (folder / "nginx.conf").write_text(text)


class Container(NamedTuple):
    """The log of a container: a line of it for each access line, and all lines."""

    log: Log
    lines: list[bytes]


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Container:
    """Send everything to an nginx whose lines go to its standard output, and what is wrong to standard error."""
    folder = tmp_path_factory.mktemp("conmon")
    port = free_port()
    log = folder / CONTAINER / "0.log"
    _configure(folder, port, access_log="/dev/stdout", error_log="/dev/stderr")
    listener = Listener((LOOPBACK, port), folder / "access.log", [])
    nginx = program("nginx", "Debian: apt-get install nginx-light")
    with contained([nginx, "-p", folder, "-e", "stderr", "-c", "nginx.conf"], folder, log, listens(listener.server)):
        for one in [*READABLE.values(), *ODD.values(), *LONG]:
            listener.send(one, lines=one.name != "nothing")
    lines = log.read_bytes().splitlines()
    return Container(Log(log, "ingress-nginx", listener.sent, "cri", len(lines) - len(listener.sent)), lines)


def _receives_datagrams(port: int) -> None:
    """Raise an OSError where no socket is bound to a port of loopback, which a sender of datagrams is not told."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return
    raise OSError(port)


@pytest.fixture(scope="module")
def relayed(tmp_path_factory: pytest.TempPathFactory) -> list[Log]:
    """Send everything to an nginx that logs to rsyslog, which writes it in each of its templates."""
    rsyslogd = program("rsyslogd", "Debian: apt-get install rsyslog")
    nginx = program("nginx", "Debian: apt-get install nginx-light")
    folder = tmp_path_factory.mktemp("rsyslog")
    (folder / "rsyslog").mkdir()
    port, syslog = free_port(), free_port()
    (folder / "rsyslog.conf").write_text(_RSYSLOG.format(port=syslog, folder=folder))
    _configure(folder, port, access_log=f"syslog:server={LOOPBACK}:{syslog},tag=ingress", error_log="error.log")
    listener = Listener((LOOPBACK, port), folder / "traditional.log", [])
    relay: Command = [rsyslogd, "-n", "-f", folder / "rsyslog.conf", "-i", folder / "rsyslog.pid"]
    serve: Command = [nginx, "-p", folder, "-e", "error.log", "-c", "nginx.conf"]
    with (
        running(relay, folder / "rsyslog", lambda: _receives_datagrams(syslog)),
        running(serve, folder, listens(listener.server)),
    ):
        for one in [*READABLE.values(), *ODD.values()]:
            listener.send(one, lines=one.name != "nothing")
    return [Log(folder / f"{name}.log", "ingress-nginx", listener.sent, envelope) for name, envelope in RSYSLOG.items()]


@pytest.mark.parametrize("scanner", SCANNERS)
def test_every_line_of_a_container_is_read(scanner: str, container: Container) -> None:
    """Lines that conmon cut are joined, error lines between them are told apart, and the path says whose they are."""
    source, kinds = assert_read([container.log], scanner)
    assert source["pod"] == "ingress-nginx-controller-7d9f"
    cut = sum(line.split(b" ", 3)[2] == b"P" for line in container.lines)
    assert cut >= len(LONG)
    assert kinds == {"continuation": cut, "error-log": container.log.other - cut}


@pytest.mark.parametrize("scanner", SCANNERS)
def test_every_line_that_rsyslog_wrote_is_read(scanner: str, relayed: list[Log]) -> None:
    """The templates of rsyslog are told apart, and every line in them is read."""
    assert_read(relayed, scanner)


def test_every_line_names_its_client(container: Container, relayed: list[Log]) -> None:
    """The address of each line is the client's."""
    assert_clients([container.log, *relayed], ports=False)
