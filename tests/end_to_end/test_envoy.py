"""A real Envoy writes the logs: its own text, Istio's text and JSON, and Envoy Gateway's JSON."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from end_to_end.reading import SCANNERS, Log, assert_clients, assert_read
from end_to_end.servers import LOOPBACK, Listener, free_port, has_ipv6, listens, make_certificate, program, running
from end_to_end.traffic import FEW, ODD, PROXY_V1, PROXY_V1_IPV6, PROXY_V2, READABLE, Request, request

if TYPE_CHECKING:
    from pathlib import Path

    from end_to_end.servers import Command

#: What Istio and Envoy Gateway write of each request: Istio's name, Envoy Gateway's, and Envoy's operator.
FIELDS = [
    ("start_time", "start_time", "START_TIME"),
    ("method", "method", "REQ(:METHOD)"),
    ("path", "x-envoy-origin-path", "REQ(X-ENVOY-ORIGINAL-PATH?:PATH)"),
    ("protocol", "protocol", "PROTOCOL"),
    ("response_code", "response_code", "RESPONSE_CODE"),
    ("response_flags", "response_flags", "RESPONSE_FLAGS"),
    ("response_code_details", "response_code_details", "RESPONSE_CODE_DETAILS"),
    ("connection_termination_details", "connection_termination_details", "CONNECTION_TERMINATION_DETAILS"),
    ("upstream_transport_failure_reason", "upstream_transport_failure_reason", "UPSTREAM_TRANSPORT_FAILURE_REASON"),
    ("bytes_received", "bytes_received", "BYTES_RECEIVED"),
    ("bytes_sent", "bytes_sent", "BYTES_SENT"),
    ("duration", "duration", "DURATION"),
    ("upstream_service_time", "x-envoy-upstream-service-time", "RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)"),
    ("x_forwarded_for", "x-forwarded-for", "REQ(X-FORWARDED-FOR)"),
    ("user_agent", "user-agent", "REQ(USER-AGENT)"),
    ("request_id", "x-request-id", "REQ(X-REQUEST-ID)"),
    ("authority", ":authority", "REQ(:AUTHORITY)"),
    ("upstream_host", "upstream_host", "UPSTREAM_HOST"),
    ("upstream_cluster", "upstream_cluster", "UPSTREAM_CLUSTER_RAW"),
    ("upstream_local_address", "upstream_local_address", "UPSTREAM_LOCAL_ADDRESS"),
    ("downstream_local_address", "downstream_local_address", "DOWNSTREAM_LOCAL_ADDRESS"),
    ("downstream_remote_address", "downstream_remote_address", "DOWNSTREAM_REMOTE_ADDRESS"),
    ("requested_server_name", "requested_server_name", "REQUESTED_SERVER_NAME"),
    ("route_name", "route_name", "ROUTE_NAME"),
]
ISTIO_TEXT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% '
    '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" '
    '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% '
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)
#: What logscan calls a layout, and the layout; Envoy's own is what it writes where none is given.
LAYOUTS: dict[str, tuple[str, str | dict[str, str] | None]] = {
    "default": ("envoy", None),
    "istio": ("istio", ISTIO_TEXT),
    "istio-json": ("envoy-json", {istio: f"%{operator}%" for istio, _, operator in FIELDS}),
    "gateway-json": ("envoy-json", {gateway: f"%{operator}%" for _, gateway, operator in FIELDS}),
}
_TYPE = "type.googleapis.com/envoy.extensions."
_MANAGER = _TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = {"name": "envoy.filters.http.router", "typed_config": {"@type": _TYPE + "filters.http.router.v3.Router"}}
#: What the listeners make of X-Forwarded-For: the first hop writes it, the others trust it.
LISTENERS: dict[str, dict[str, Any]] = {
    "edge": {"use_remote_address": True},
    "tls": {"use_remote_address": True},
    "proxied": {"use_remote_address": True},
    "hops": {"use_remote_address": True, "xff_num_trusted_hops": 1},
    "inner": {},
    "tcp": {},
}
#: The addresses that a listener takes from the header have no port.
FORWARDED = {"X-Forwarded-For of several": ("10.0.0.3", 0), "X-Forwarded-For IPv6": ("2001:db8::7", 0)}
#: HTTP/2 is spoken on a plain port too, and what comes after its preface is no request.
SILENT = {"nothing", "HTTP/2 preface"}
MORE = [
    Request("dead", request(b"/dead"), readable=True),
    Request("direct", request(b"/direct"), readable=True),
    Request("gave up", request(b"/silent")),
]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> list[Log]:
    """Send everything to the first hop, and a little to every other listener; each writes every layout."""
    envoy = program("envoy", "pip install --group programs")
    folder = tmp_path_factory.mktemp("envoy")
    make_certificate(folder)
    with socket.socket() as silent:
        silent.bind((LOOPBACK, 0))
        silent.listen()
        ports = {name: free_port() for name in (*LISTENERS, "origin", "dead")} | {"silent": silent.getsockname()[1]}
        configuration = folder / "envoy.json"
        configuration.write_text(json.dumps(_configuration(folder, ports)))
        options = ["--disable-hot-restart", "--concurrency", "1", "--file-flush-interval-msec", "5"]
        command: Command = [envoy, "-c", configuration, "--log-level", "warn", *options]
        with running(command, folder, listens((LOOPBACK, ports["origin"]))):
            listeners = [Listener((LOOPBACK, ports[name]), folder / f"{name}.default.log", []) for name in LISTENERS]
            for name, listener in zip(LISTENERS, listeners, strict=True):
                _send_all(name, listener)
    return [
        Log(folder / f"{name}.{layout}.log", known_as, listener.sent)
        for name, listener in zip(LISTENERS, listeners, strict=True)
        for layout, (known_as, _) in LAYOUTS.items()
    ]


def _send_all(name: str, listener: Listener) -> None:
    if name == "edge":
        for one in [*READABLE.values(), *ODD.values(), *MORE]:
            listener.send(one, lines=one.name not in SILENT)
        if has_ipv6() and isinstance(listener.server, tuple):
            listener._replace(server=("::1", listener.server[1])).send(READABLE["plain"])
        return
    for one in [*FEW, ODD["garbage"]]:
        if name == "proxied":
            listener.send(one, prefix=PROXY_V1, client=("203.0.113.7", 51234))
            listener.send(one, prefix=PROXY_V1_IPV6, client=("2001:db8::7", 51234))
            listener.send(one, prefix=PROXY_V2, client=("203.0.113.7", 51234))
        else:
            trusted = FORWARDED.get(one.name) if name in {"hops", "inner"} else None
            listener.send(one, tls=name == "tls", client=trusted)


def _configuration(folder: Path, ports: dict[str, int]) -> dict[str, Any]:
    listeners = [_listener(name, folder, ports[name]) for name in LISTENERS]
    if has_ipv6():
        listeners.append(
            {**_listener("edge", folder, ports["edge"]), "name": "edge6", "address": _address(ports["edge"], "::1")}
        )
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "answer"}}}
    origin = {
        "name": "origin",
        "address": _address(ports["origin"]),
        "filter_chains": [{"filters": [_manager([answer])]}],
    }
    clusters = [_cluster(name, ports[name]) for name in ("origin", "dead", "silent")]
    return {"static_resources": {"listeners": [origin, *listeners], "clusters": clusters}}


def _listener(name: str, folder: Path, port: int) -> dict[str, Any]:
    logs = {"access_log": [_access_log(folder / f"{name}.{layout}.log", text) for layout, (_, text) in LAYOUTS.items()]}
    if name == "tcp":
        proxy = {"@type": _TYPE + "filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "tcp", "cluster": "origin"}
        chain: dict[str, Any] = {"filters": [{"name": "tcp", "typed_config": {**proxy, **logs}}]}
    else:
        routes: list[dict[str, Any]] = [
            {"match": {"path": "/direct"}, "name": "direct", "direct_response": {"status": 404}},
            {"match": {"prefix": "/dead"}, "route": {"cluster": "dead"}},
            {"match": {"prefix": "/silent"}, "route": {"cluster": "silent"}},
            {"match": {"prefix": "/"}, "name": "default", "route": {"cluster": "origin"}},
        ]
        chain = {"filters": [_manager(routes, **logs, **LISTENERS[name])]}
    listener = {"name": name, "address": _address(port), "filter_chains": [chain]}
    if name == "tls":
        files = {"certificate_chain": folder / "certificate.pem", "private_key": folder / "key.pem"}
        pair = {part: {"filename": str(file)} for part, file in files.items()}
        tls = {"@type": _TYPE + "transport_sockets.tls.v3.DownstreamTlsContext"}
        chain["transport_socket"] = {
            "name": "tls", "typed_config": {**tls, "common_tls_context": {"tls_certificates": [pair]}},
        }  # fmt: skip
    if name == "proxied":
        proxy_protocol = {"@type": _TYPE + "filters.listener.proxy_protocol.v3.ProxyProtocol"}
        listener["listener_filters"] = [{"name": "proxy_protocol", "typed_config": proxy_protocol}]
    return listener


def _manager(routes: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    manager = {"@type": _MANAGER, "stat_prefix": "http", "http_filters": [_ROUTER], **options}
    return {"name": "http", "typed_config": {**manager, "route_config": {"virtual_hosts": hosts}}}


def _access_log(path: Path, layout: str | dict[str, str] | None) -> dict[str, Any]:
    config: dict[str, Any] = {"@type": _TYPE + "access_loggers.file.v3.FileAccessLog", "path": str(path)}
    if isinstance(layout, str):
        config["log_format"] = {"text_format_source": {"inline_string": layout}}
    elif layout:
        config["log_format"] = {"json_format": layout}
    return {"name": "file", "typed_config": config}


def _address(port: int, host: str = LOOPBACK) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _cluster(name: str, port: int) -> dict[str, Any]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}]
    return {"name": name, "connect_timeout": "1s", "load_assignment": {"cluster_name": name, "endpoints": endpoints}}


@pytest.mark.parametrize("scanner", SCANNERS)
def test_every_line_is_read(scanner: str, logs: list[Log]) -> None:
    """Each layout is told from the others, and every line is read."""
    assert_read(logs, scanner)


def test_every_line_names_its_client(logs: list[Log]) -> None:
    """Layouts that have the client's address name it: port 0 where it was taken from X-Forwarded-For."""
    assert_clients(log for log in logs if log.format != "envoy")  # which only has the header
