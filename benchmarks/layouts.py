"""How the same requests look in the logs of several programs, and in the envelopes that collectors put round a line.

A log's form is a layout and the envelopes round it, the innermost first: `text`, `nginx-json`, `text+cri`.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

HOST = "shop.example.com"
Parts = tuple[str, ...]


class Visitor(NamedTuple):
    """Who asks. Texts are escaped as nginx's default log format escapes them, here and below."""

    kind: str
    address: str
    user: str
    user_agent: str


class Request(NamedTuple):
    """What is asked and answered; `upstream` holds the four `$upstream_*` variables."""

    kind: str
    line: str
    status: int
    body: int
    referer: str
    length: int
    seconds: float
    service: str
    alternative: str
    upstream: tuple[str, str, str, str]
    sender: Visitor | None


class Layout(NamedTuple):
    """How a program writes a line.

    `clock` gives the stamps of all requests of a second. What is the same each time for a visitor or a request is put
    together once, by `visitor` and `request`; `line` joins it with a stamp and a request id.
    """

    clock: Callable[[datetime, int], Iterable[str]]
    visitor: Callable[[Visitor], Parts]
    request: Callable[[Request], Parts]
    line: Callable[[Parts, str, Parts, str], str]


class Envelope(NamedTuple):
    """What a collector puts round a line: its own stamps, and the line with one of them."""

    clock: Callable[[datetime, int], Iterable[str]]
    wrap: Callable[[str, str], str]


def raw(logged: str) -> str:
    r"""Return what was logged: `\xHH` is a byte, and `-` is nothing."""
    if logged == "-":
        return ""
    if "\\" not in logged:
        return logged
    text = re.sub(r"\\x([0-9A-F]{2})", lambda match: chr(int(match[1], 16)), logged)
    return text.encode("latin-1").decode(errors="replace")


def quoted(text: str) -> str:
    """Return a text as JSON writes it, quotes and all, without escaping what is not ASCII, as nginx and Kong do."""
    return json.dumps(text, ensure_ascii=False)


def words(line: str) -> tuple[str, str, str]:
    """Return method, target and protocol of a request line; nothing where nginx could not read it."""
    method, _, rest = raw(line).partition(" ")
    target, _, protocol = rest.rpartition(" ")
    return (method, target, protocol) if protocol.startswith("HTTP/") else ("", "", "")


# The default of ingress-nginx.


def _text_visitor(visitor: Visitor) -> Parts:
    return f"{visitor.address} - {visitor.user} [", visitor.user_agent


def _text_request(request: Request) -> Parts:
    _, line, status, body, referer, length, seconds, service, alternative, upstream, _ = request
    return (
        f'] "{line}" {status} {body} "{referer}" "',
        f'" {length} {seconds:.3f} [{service}] [{alternative}] {" ".join(upstream)} ',
    )


def _text_line(visitor: Parts, stamp: str, request: Parts, request_id: str) -> str:
    return f"{visitor[0]}{stamp}{request[0]}{visitor[1]}{request[1]}{request_id}"


# The JSON example of ingress-nginx's documentation (ConfigMap, `log-format-upstream`), with `log-format-escape-json`.


def _nginx_visitor(visitor: Visitor) -> Parts:
    return visitor.address, quoted(raw(visitor.user)), quoted(raw(visitor.user_agent))


def _nginx_request(request: Request) -> Parts:
    method, target, protocol = words(request.line)
    path, _, query = target.partition("?")
    rest = (
        f'"bytes_sent": {request.body}, "request_time": {request.seconds:.3f}, "status": {request.status}, '
        f'"vhost": "{HOST}", "request_proto": "{protocol}", "path": {quoted(path)}, "request_query": {quoted(query)}, '
        f'"request_length": {request.length}, "duration": {request.seconds:.3f},"method": "{method}", '
        f'"http_referrer": {quoted(raw(request.referer))}, "http_user_agent": '
    )
    return (rest,)


def _nginx_line(visitor: Parts, stamp: str, request: Parts, request_id: str) -> str:
    address, user, agent = visitor
    return (
        f'{{"time": "{stamp}", "remote_addr": "{address}", "x_forwarded_for": "{address}", "request_id": '
        f'"{request_id}", "remote_user": {user}, {request[0]}{agent} }}'
    )


# What Kong 3.9's log plugins write (kong/pdk/log.lua, `serialize`), with slashes escaped as lua-cjson does.

_ROUTE = {
    "id": "78f79740-c410-4fd9-a998-d0a60a99dc9b", "name": "shop", "paths": ["/"], "protocols": ["http", "https"],
    "service": {"id": "167290ee-c682-4ebf-bdea-e49a3ac5e260"}, "strip_path": True, "created_at": 1795132800,
    "updated_at": 1795132800, "ws_id": "54baa5a9-23d6-41e0-9c9a-02434b010b25", "request_buffering": True,
    "response_buffering": True, "preserve_host": False, "regex_priority": 0, "https_redirect_status_code": 426,
    "path_handling": "v0",
}  # fmt: skip
_SERVICE = {
    "id": "167290ee-c682-4ebf-bdea-e49a3ac5e260", "protocol": "http", "port": 80, "path": "/", "retries": 5,
    "connect_timeout": 60000, "read_timeout": 60000, "write_timeout": 60000, "created_at": 1795132800,
    "updated_at": 1795132800, "ws_id": "54baa5a9-23d6-41e0-9c9a-02434b010b25", "enabled": True,
}  # fmt: skip


def _cjson(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("/", r"\/")


def _kong_visitor(visitor: Visitor) -> Parts:
    return visitor.address, _cjson(raw(visitor.user_agent))


def _kong_tries(request: Request) -> list[dict[str, object]]:
    addresses, _, _, codes = (re.split(", | : ", each) for each in request.upstream)
    found = []
    for number, (address, code) in enumerate(zip(addresses, codes, strict=True), 1):
        ip, _, port = address.rpartition(":")
        if not ip:
            continue
        found.append({
            "balancer_start": "<time>", "balancer_start_ns": "<ns>", "balancer_latency": 0,
            "balancer_latency_ns": 13568, "ip": ip, "port": int(port),
            **({"state": "failed", "code": int(code)} if number < len(addresses) else {}),
        })  # fmt: skip
    return found


def _kong_request(request: Request) -> Parts:
    """Return the whole line, with what differs each time in angle brackets."""
    method, target, protocol = words(request.line)
    path, _, query = target.partition("?")
    took, tries, referer = int(request.seconds * 1000), _kong_tries(request), raw(request.referer)
    proxied = took if tries else -1
    written: dict[str, object] = {
        "latencies": {"request": took + 1, "kong": 1, "proxy": proxied, "receive": 0},
        "service": {"host": f"{request.service}.shop.svc", "name": request.service, **_SERVICE},
        "request": {
            "id": "<id>", "method": method, "uri": target, "url": f"http://{HOST}:8000{path}", "size": request.length,
            "querystring": dict(pair.partition("=")[::2] for pair in query.split("&") if pair),
            "headers": {
                "host": HOST, "user-agent": "<agent>", "x-forwarded-for": "<address>", "x-forwarded-proto": "https",
                "accept": "*/*", "accept-encoding": "gzip, deflate, br",
                "connection": "keep-alive", **({"referer": referer} if referer else {}),
            },
        },
        "tries": tries,
        "client_ip": "<address>",
        "workspace": "54baa5a9-23d6-41e0-9c9a-02434b010b25",
        "workspace_name": "default",
        "upstream_uri": target,
        "response": {
            "headers": {
                "content-type": "application/json; charset=utf-8", "content-length": str(request.body),
                "connection": "close" if protocol == "HTTP/1.1" else "keep-alive", "via": "1.1 kong/3.9.0",
                "x-kong-request-id": "<id>", "x-kong-upstream-latency": str(max(proxied, 0)),
                "x-kong-proxy-latency": "1", "server": "gunicorn/19.9.0",
            },
            "status": request.status, "size": request.body,
        },
        "route": _ROUTE,
        "started_at": "<time>",
        **({"upstream_status": request.upstream[3]} if tries and request.upstream[3] != "-" else {}),
        "source": "upstream" if tries else "kong",
    }  # fmt: skip
    return (_cjson(written),)


def _kong_line(visitor: Parts, stamp: str, request: Parts, request_id: str) -> str:
    address, agent = visitor
    text = request[0].replace("<address>", address).replace('"<agent>"', agent).replace("<id>", request_id)
    return text.replace('"<time>"', stamp).replace('"<ns>"', f"{stamp[0]}.{stamp[1:]}e+18")


# What collectors write: containerd, and Fluent Bit that takes its files as they are.

_POD = {
    "pod_name": "ingress-nginx-controller-7d4b9c6f5-x2x9k", "namespace_name": "ingress-nginx",
    "pod_id": "5a6f2c3b-9d1e-4f70-a8b9-c0d1e2f30415", "host": "worker-1", "container_name": "controller",
    "docker_id": "1c4f" * 16, "container_image": "registry.k8s.io/ingress-nginx/controller:v1.15.1",
    "labels": {"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"},
}  # fmt: skip
_POD_TEXT = json.dumps(_POD, separators=(",", ":"))


def _cri(line: str, stamp: str) -> str:
    return f"{stamp} stdout F {line}"


def _fluent_bit(line: str, stamp: str) -> str:
    return f'{{"date":{stamp},"log":{quoted(line)},"kubernetes":{_POD_TEXT}}}'


def _every(pattern: str) -> Callable[[datetime, int], Iterable[str]]:
    """Return a clock that shows the same all second long."""
    return lambda second, count: itertools.repeat(f"{second:{pattern}}", count)


def _split(begin: Callable[[datetime], str], digits: int, end: str = "") -> Callable[[datetime, int], Iterable[str]]:
    """Return a clock that divides a second evenly among its requests."""

    def clock(second: datetime, count: int) -> Iterable[str]:
        text = begin(second)
        return (f"{text}{number * 10**digits // count:0{digits}d}{end}" for number in range(count))

    return clock


LAYOUTS = {
    "text": Layout(_every("%d/%b/%Y:%H:%M:%S +0000"), _text_visitor, _text_request, _text_line),
    "nginx-json": Layout(_every("%Y-%m-%dT%H:%M:%S+00:00"), _nginx_visitor, _nginx_request, _nginx_line),
    "kong-json": Layout(
        _split(lambda second: f"{second.timestamp():.0f}", 3), _kong_visitor, _kong_request, _kong_line
    ),
}
ENVELOPES = {
    "cri": Envelope(_split(lambda second: f"{second:%Y-%m-%dT%H:%M:%S}.", 9, "Z"), _cri),
    "fluent-bit": Envelope(_split(lambda second: f"{second.timestamp():.0f}.", 6), _fluent_bit),
}


def form(name: str) -> tuple[Layout, list[Envelope]]:
    """Return the layout and the envelopes of a form."""
    layout, *around = name.split("+")
    return LAYOUTS[layout], [ENVELOPES[each] for each in around]
