"""The programs of the lab and their configurations, made of the same settings that the cluster file shows."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from end_to_end.servers import program
from end_to_end.test_envoy import LAYOUTS
from lab.network import NODE_PORT, NODES, VIP
from scanners import FORMATS, INGRESS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from end_to_end.servers import Command

#: Where the application listens, in its own pod.
APPLICATION_PORT = 8080
_KONG = FORMATS["kong"].layouts[0]
_PORTS = {"ingress-nginx": 80, "kong": 8000, "envoy-gateway": 10080}
_NGINX = """
daemon off;
master_process off;
pid nginx.pid;
error_log {log} notice;
events {{ worker_connections 512; }}
http {{
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    map "" $req_id {{ default $request_id; }}
    map "" $kong_request_id {{ default $request_id; }}
    map "" $proxy_alternative_upstream_name {{ default ""; }}
    uninitialized_variable_warn off;
    log_format chosen {layout};
    access_log {access_log} chosen;
    {real_ip}
    {zone}
    server {{
        listen {port}{listen};
        set $proxy_upstream_name "default-shop-8080";
        location / {{
            {limit}
            proxy_pass http://{application}:8080;
            proxy_set_header X-Forwarded-For $remote_addr;
        }}
    }}
}}
"""
_APPLICATION = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 512; }}
http {{
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    access_log off;
    server {{ listen {port}; return 200 answer; }}
}}
"""
_ASGI = """
async def application(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
        await send({"type": "http.response.body", "body": b"answer"})
"""
_HAPROXY = """
global
  nbthread 1
defaults
  mode {mode}
  timeout connect 2s
  timeout client 2s
  timeout server 2s
{option}
frontend front
  bind {front}:80
  default_backend servers
backend servers
{servers}
"""


@dataclass(frozen=True)
class Controller:
    """An ingress controller: its product, and its ConfigMap keys, environment or ClientTrafficPolicy.

    `limit_rps` is an annotation of the Ingress.
    """

    product: str = "ingress-nginx"
    settings: dict[str, Any] = field(default_factory=dict)
    limit_rps: int | None = None

    @property
    def port(self) -> int:
        """Where it listens in its pod."""
        return _PORTS[self.product]

    def command(self, folder: Path, log: str, application: str) -> Command:
        """Write its configuration into a folder, and return the command that runs it."""
        if self.product == "envoy-gateway":
            return self._envoy(folder, log, application)
        nginx = program("nginx", "Debian: apt-get install nginx-light")
        layout, listen, real_ip = self._kong() if self.product == "kong" else self._ingress_nginx()
        rate = self.limit_rps
        zone = f"limit_req_zone $binary_remote_addr zone=rps:5m rate={rate}r/s;" if rate else ""
        limit = f"limit_req zone=rps burst={5 * rate} nodelay;" if rate else ""
        text = _NGINX.format(
            log="stderr" if log == "-" else log, access_log="/dev/stdout" if log == "-" else log, layout=layout,
            real_ip=real_ip, port=self.port, listen=listen, application=application, zone=zone, limit=limit,
        )  # fmt: skip
        (folder / "nginx.conf").write_text(text)
        return [nginx, "-p", folder, "-e", "stderr", "-c", "nginx.conf"]

    def _ingress_nginx(self) -> tuple[str, str, str]:
        """The lines that kubernetes/ingress-nginx rootfs/etc/nginx/template/nginx.tmpl makes of the keys."""
        given = self.settings
        proxied = given.get("use-proxy-protocol") == "true"
        forwarded = given.get("use-forwarded-headers") == "true"
        escape = "escape=json " if given.get("log-format-escape-json") == "true" else ""
        layout = f"{escape}'{given.get('log-format-upstream') or INGRESS.text}'"
        header = "X-Forwarded-For" if forwarded else "proxy_protocol"
        trusted = given.get("proxy-real-ip-cidr", "0.0.0.0/0").split(",")
        return layout, " proxy_protocol" if proxied else "", _real_ip(header, trusted, "on") if (
            proxied or forwarded
        ) else ""  # fmt: skip

    def _kong(self) -> tuple[str, str, str]:
        given = self.settings
        listen = " proxy_protocol" if "proxy_protocol" in given.get("KONG_PROXY_LISTEN", "") else ""
        trusted = [each for each in given.get("KONG_TRUSTED_IPS", "").split(",") if each]
        header = given.get("KONG_REAL_IP_HEADER", "X-Real-IP")
        real_ip = _real_ip(header, trusted, given.get("KONG_REAL_IP_RECURSIVE", "off"))
        return f"'{_KONG.text}'", listen, real_ip

    def _envoy(self, folder: Path, log: str, application: str) -> Command:
        envoy = program("envoy", "pip install --group programs")
        forwarded = self.settings.get("clientIPDetection", {}).get("xForwardedFor", {})
        configuration = folder / "envoy.json"
        configuration.write_text(json.dumps(_envoy(log, self.port, application, forwarded.get("numTrustedHops", 0))))
        options: Command = ["--disable-hot-restart", "--concurrency", 1, "--file-flush-interval-msec", 5]
        return [envoy, "-c", configuration, "--log-level", "warn", *options]


def nginx_application(folder: Path) -> Command:
    """Return the command of an application that answers everything."""
    (folder / "nginx.conf").write_text(_APPLICATION.format(port=APPLICATION_PORT))
    return [program("nginx", "Debian: apt-get install nginx-light"), "-p", folder, "-e", "stderr", "-c", "nginx.conf"]


def uvicorn_application(folder: Path, *options: str) -> Command:
    """Return the command of an application under Uvicorn."""
    (folder / "shop.py").write_text(_ASGI)
    uvicorn = program("uvicorn", "pip install --group test")
    command: Command = [uvicorn, "shop:application", "--app-dir", folder, "--http", "h11", "--lifespan", "off"]
    return [*command, "--host", "0.0.0.0", "--port", APPLICATION_PORT, *options]  # noqa: S104 - of a pod


def balancer(folder: Path, front: str, servers: Iterable[str], *, mode: str = "http") -> Command:
    """Return the command of a load balancer that terminates connections; in mode http it names the client."""
    option = "  option forwardfor" if mode == "http" else ""
    lines = "\n".join(f"  server s{at} {server}" for at, server in enumerate(servers))
    (folder / "haproxy.cfg").write_text(_HAPROXY.format(mode=mode, option=option, front=front, servers=lines))
    return [program("haproxy", "Debian: apt-get install haproxy"), "-db", "-f", folder / "haproxy.cfg"]


def to_nodes(nodes: Iterable[str], sources: Sequence[str], *more: str) -> list[str]:
    """Return a balancer's servers: the Service's port on nodes, each from every address that the balancer has."""
    return [" ".join([f"{NODES[node]}:{NODE_PORT} source {source}", *more]) for node in nodes for source in sources]


def to_service(sources: Iterable[str]) -> list[str]:
    """Return a CDN's servers: the Service's public address, from every edge."""
    return [f"{VIP}:80 source {source}" for source in sources]


def python(script: Path) -> Command:
    """Return the command that runs a script of the lab with nothing of its surroundings."""
    return [sys.executable, "-I", script]


def _real_ip(header: str, trusted: list[str], recursive: str) -> str:
    lines = [f"real_ip_header {header};", f"real_ip_recursive {recursive};"]
    return " ".join([*lines, *(f"set_real_ip_from {cidr};" for cidr in trusted)])


def _envoy(log: str, port: int, application: str, hops: int) -> dict[str, Any]:
    extensions = "type.googleapis.com/envoy.extensions."
    manager = {
        "@type": extensions + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "use_remote_address": True,
        "xff_num_trusted_hops": hops,
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
            "@type": extensions + "filters.http.router.v3.Router",
        }}],
        "route_config": {"virtual_hosts": [{"name": "shop", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "shop"}},
        ]}]},
        "access_log": [{"name": "file", "typed_config": {
            "@type": extensions + "access_loggers.file.v3.FileAccessLog", "path": log,
            "log_format": {"json_format": LAYOUTS["gateway-json"][1]},
        }}],
    }  # fmt: skip
    endpoint = {"endpoint": {"address": _address(application, APPLICATION_PORT)}}
    cluster = {
        "name": "shop",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "shop", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    listener = {
        "name": "http",
        "address": _address("0.0.0.0", port),  # noqa: S104 - of a pod
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
