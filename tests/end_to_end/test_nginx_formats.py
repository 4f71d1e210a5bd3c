"""A real nginx writes the logs that others configure it to write: of HTTP and of streams, to files and to syslog."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from end_to_end.reading import SCANNERS, Log, assert_clients, assert_read
from end_to_end.servers import (
    LOOPBACK,
    Command,
    Listener,
    Sent,
    free_port,
    listens,
    missing,
    program,
    running,
    syslog_server,
    wait_for_lines,
)
from end_to_end.traffic import ODD, PROXY_V1, PROXY_V1_IPV6, READABLE, Request, request


class Layout(NamedTuple):
    """What logscan calls a layout, and nginx's log_format."""

    name: str
    text: str
    escape: str = "default"


_APISIX = (
    '$remote_addr - $remote_user [$time_local] $http_host "$request" $status $body_bytes_sent $request_time '
    '"$http_referer" "$http_user_agent" $upstream_addr $upstream_status $upstream_response_time '
    '"$upstream_scheme://$upstream_host$upstream_uri"'
)
#: The sample of ingress-nginx's documentation, which many paste as it is.
_JSON = (
    '{"time": "$time_iso8601", "remote_addr": "$proxy_protocol_addr", "x_forwarded_for": "$proxy_add_x_forwarded_for", '
    '"request_id": "$req_id", "remote_user": "$remote_user", "bytes_sent": $bytes_sent, "request_time": $request_time, '
    '"status": $status, "vhost": "$host", "request_proto": "$server_protocol", "path": "$uri", '
    '"request_query": "$args", "request_length": $request_length, "duration": $request_time,'
    '"method": "$request_method", "http_referrer": "$http_referer", "http_user_agent": "$http_user_agent" }'
)
#: What is not quoted is no JSON where no upstream was tried, nor where several were.
_UNQUOTED = (
    '{"time": "$time_iso8601", "remote_addr": "$remote_addr", "x_forwarded_for": "$http_x_forwarded_for", '
    '"request": "$request", "status": $status, "body_bytes_sent": $body_bytes_sent, "request_time": $request_time, '
    '"upstream_addr": "$upstream_addr", "upstream_response_time": $upstream_response_time, '
    '"http_user_agent": "$http_user_agent"}'
)
_COMBINED = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
)
HTTP = {
    "ingress": Layout(
        "ingress-nginx",
        f"{_COMBINED} $request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] "
        "$upstream_addr $upstream_response_length $upstream_response_time $upstream_status $req_id",
    ),
    "f5": Layout("main", f'{_COMBINED} "$http_x_forwarded_for"'),
    "kong": Layout("kong", f'{_COMBINED} kong_request_id: "$request_id"'),
    "apisix": Layout("apisix", f'{_APISIX} "$request_id"'),
    "apisix_old": Layout("apisix", _APISIX),
    "json": Layout("nginx-json", _JSON, "json"),
    "json_escaped_as_text": Layout("nginx-json", _JSON),
    "json_unquoted": Layout("nginx-json-request", _UNQUOTED, "json"),
}
_STREAM = "[$time_local] $protocol $status $bytes_sent $bytes_received $session_time"
STREAM = {
    "ingress_stream": Layout("ingress-nginx-stream", f"[$remote_addr] {_STREAM}"),
    "ingress_stream_old": Layout("ingress-nginx-stream", _STREAM),
    "kong_stream": Layout("kong-stream", f"$remote_addr {_STREAM}"),
    "f5_stream": Layout("f5-nginx-stream", f'$remote_addr {_STREAM} "$ssl_preread_server_name"'),
}
#: Options of `access_log syslog:`, the layout that is sent, and the envelope that logscan sees.
SYSLOG = {
    "syslog": ("", "ingress", "syslog"),
    "syslog_no_host": (",nohostname,tag=ingress,facility=local0,severity=notice", "ingress", "syslog"),
    "syslog_json": (",tag=web", "json", "syslog"),
}
#: What nginx takes the address from, where it trusts everybody.
FORWARDED = {
    "X-Forwarded-For": "198.51.100.9",
    "X-Forwarded-For of several": "6.6.6.6",
    "X-Forwarded-For twice": "6.6.6.6",
    "X-Forwarded-For IPv6": "2001:db8::7",
}
_CONFIGURATION = """
{load_stream}
daemon off;
master_process off;
pid nginx.pid;
error_log error.log info;
events {{ worker_connections 64; }}
http {{
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    map $http_x_request_id $req_id {{ default $http_x_request_id; "" $request_id; }}
    map "" $proxy_upstream_name {{ default "default-web-8080"; }}
    map "" $proxy_alternative_upstream_name {{ default ""; }}
    map "" $upstream_scheme {{ default "http"; }}
    map "" $upstream_host {{ default $http_host; }}
    map "" $upstream_uri {{ default $request_uri; }}
    {http_logs}
    upstream retried {{ server 127.0.0.1:{dead}; server 127.0.0.1:{origin} backup; }}
    server {{
        listen 127.0.0.1:{origin};
        access_log off;
        location / {{ return 200 answer; }}
    }}
    server {{
        listen 127.0.0.1:{plain};
        location / {{ proxy_pass http://127.0.0.1:{origin}; }}
        location /retried {{ proxy_pass http://retried; }}
        location /direct {{ return 204; }}
    }}
    server {{
        listen 127.0.0.1:{forwarded};
        set_real_ip_from 0.0.0.0/0;
        real_ip_header X-Forwarded-For;
        real_ip_recursive on;
        location / {{ return 200; }}
    }}
    server {{
        listen 127.0.0.1:{proxied} proxy_protocol;
        set_real_ip_from 127.0.0.0/8;
        real_ip_header proxy_protocol;
        location / {{ return 200; }}
    }}
}}
{stream}
"""
_STREAMS = """stream {{
    {stream_logs}
    server {{ listen 127.0.0.1:{tcp}; ssl_preread on; proxy_pass 127.0.0.1:{origin}; }}
    server {{ listen 127.0.0.1:{udp} udp; proxy_pass 127.0.0.1:{origin}; proxy_responses 0; }}
    server {{ listen 127.0.0.1:{broken}; proxy_pass 127.0.0.1:{dead}; }}
}}"""
_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Log]:
    """Send everything to a plain listener, to one that believes X-Forwarded-For and to one behind PROXY protocol."""
    nginx = program("nginx", "Debian: apt-get install nginx-light")
    folder = tmp_path_factory.mktemp("nginx")
    names = ("plain", "forwarded", "proxied", "tcp", "udp", "broken", "origin", "dead")
    ports = {name: free_port() for name in names}
    http = Listener((LOOPBACK, ports["plain"]), folder / "ingress.log", [])
    stream = Listener((LOOPBACK, ports["tcp"]), folder / "ingress_stream.log", [])
    with ExitStack() as stack:
        lines = _log_lines(HTTP)
        for name, (options, layout, _) in SYSLOG.items():
            host, port = stack.enter_context(syslog_server(folder / f"{name}.log"))
            lines.append(f"access_log syslog:server={host}:{port}{options} {layout};")
        streams = {"load_stream": "", "stream": ""}
        if _MODULE.exists():
            streams["load_stream"] = f"load_module {_MODULE};"
            streams["stream"] = _STREAMS.format(stream_logs="\n    ".join(_log_lines(STREAM)), **ports)
        configuration = _CONFIGURATION.format(http_logs="\n    ".join(lines), **streams, **ports)
        (folder / "nginx.conf").write_text(configuration)
        command: Command = [nginx, "-p", folder, "-e", "error.log", "-c", "nginx.conf"]
        stack.enter_context(running(command, folder, listens((LOOPBACK, ports["origin"]))))
        _send_http(http, ports)
        if _MODULE.exists():
            _send_streams(stream, ports)
    found = {name: Log(folder / f"{name}.log", layout.name, http.sent) for name, layout in HTTP.items()}
    for name, (_, layout, envelope) in SYSLOG.items():
        found[name] = Log(folder / f"{name}.log", HTTP[layout].name, http.sent, envelope)
    if _MODULE.exists():
        found |= {name: Log(folder / f"{name}.log", layout.name, stream.sent) for name, layout in STREAM.items()}
    return found


def _log_lines(layouts: dict[str, Layout]) -> list[str]:
    return [
        f"log_format {name} escape={layout.escape} '{layout.text}'; access_log {name}.log {name};"
        for name, layout in layouts.items()
    ]


def _send_http(plain: Listener, ports: dict[str, int]) -> None:
    everything = [*READABLE.values(), *ODD.values()]
    for one in [*everything, *(Request(path, request(b"/" + path.encode())) for path in ("retried", "direct"))]:
        plain.send(one, lines=one.name != "nothing")
    forwarded = plain._replace(server=(LOOPBACK, ports["forwarded"]))
    for one in everything:
        address = FORWARDED.get(one.name)
        forwarded.send(one, lines=one.name != "nothing", client=(address, 0) if address else None)
    proxied = plain._replace(server=(LOOPBACK, ports["proxied"]))
    for one in READABLE.values():
        proxied.send(one, prefix=PROXY_V1, client=("203.0.113.7", 51234))
        proxied.send(one, prefix=PROXY_V1_IPV6, client=("2001:db8::7", 51234))


def _send_streams(listener: Listener, ports: dict[str, int]) -> None:
    for name in ("tcp", "broken"):
        to = listener._replace(server=(LOOPBACK, ports[name]))
        for one in (READABLE["plain"], ODD["TLS to the plain port"], ODD["garbage"], ODD["nothing"]):
            to.send(one._replace(readable=False))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((LOOPBACK, ports["udp"]))
        client.send(b"datagram")
        listener.sent.append(Sent(Request("datagram", b"datagram"), client.getsockname()))
    wait_for_lines(listener.log, len(listener.sent))


@pytest.mark.parametrize("scanner", SCANNERS)
@pytest.mark.parametrize("kind", [HTTP, SYSLOG, STREAM], ids=["http", "syslog", "stream"])
def test_every_line_is_read(kind: dict[str, object], scanner: str, logs: dict[str, Log]) -> None:
    """Each layout is told from the others, in syslog's envelope too, and every line is read."""
    assert_read(_those(kind, logs), scanner)


@pytest.mark.parametrize("kind", [HTTP, SYSLOG, STREAM], ids=["http", "syslog", "stream"])
def test_every_line_names_its_client(kind: dict[str, object], logs: dict[str, Log]) -> None:
    """The address of each line is the client's, as nginx knows it where the layout asks it for that."""
    without = {"json.log", "json_escaped_as_text.log", "syslog_json.log", "ingress_stream_old.log"}
    assert_clients((log for log in _those(kind, logs) if log.path.name not in without), ports=False)


def test_a_layout_that_only_names_clients_behind_proxy_protocol(logs: dict[str, Log]) -> None:
    """The documentation's sample logs the address of the PROXY header, and none where there is no such header."""
    log = logs["json"]
    others = len(log.sent) - 2 * len(READABLE)
    expected = [Sent(sent.request, ("", 0)) for sent in log.sent[:others]] + log.sent[others:]
    assert_clients([log._replace(sent=expected)], ports=False)


def _those(kind: dict[str, object], logs: dict[str, Log]) -> list[Log]:
    found = [logs[name] for name in kind if name in logs]
    if not found:
        missing("nginx has no stream module (Debian: apt-get install libnginx-mod-stream)")
    return found
