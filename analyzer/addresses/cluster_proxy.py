"""What a controller is told about proxies in front of it: its ConfigMap, environment, arguments or custom resources.

Each reader answers with `ProxySettings` and, where the product writes logs by an nginx ``log_format``, that string. The
readers of nginx's and Envoy's kin stand in `cluster_nginx` and `cluster_envoy`, the others here. Names and defaults:
Traefik: doc.traefik.io/traefik (EntryPoints); HAProxy: haproxytech/kubernetes-ingress documentation/controller.md and
haproxy-ingress.github.io/docs/configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.addresses import cluster_envoy, cluster_nginx
from analyzer.addresses.cluster_model import EVERYONE, ProxySettings
from analyzer.addresses.cluster_objects import Object, plain_cidrs, sub, text_map, traefik_options
from analyzer.addresses.cluster_settings import Found, Reading, config_of, go_bool, title

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from analyzer.addresses.cluster_controllers import Workload


def read_proxy(workload: Workload, objects: Mapping[str, Sequence[Object]]) -> Found:
    """Return how a controller learns its clients' addresses."""
    reader = _READERS.get(workload.kind)
    return reader(workload, objects) if reader else Found(ProxySettings())


def _traefik(workload: Workload, _: Mapping[str, Sequence[Object]]) -> Found:
    options = traefik_options(workload.spec)
    options = {key: value for key, value in options.items() if key[0] not in ("traefik", "metrics")}
    reading = Reading()
    for section, name in (("forwardedheaders", "trusted"), ("proxyprotocol", "proxy_trusted")):
        points = [point for point, part, option in options if part == section]
        if not points:
            continue
        listed = [options[key] for key in options if key[1:] == (section, "trustedips")]
        cidrs = plain_cidrs(",".join(listed).split(","))[0]
        insecure = any(options[key].lower() in ("", "true") for key in options if key[1:] == (section, "insecure"))
        who = f"{section} of entry points {', '.join(dict.fromkeys(points))} of {workload.namespace}/{workload.name}"
        reading.set(name, EVERYONE if insecure else cidrs, who)
        switch = "use_forwarded_headers" if name == "trusted" else "use_proxy_protocol"
        reading.set(switch, bool(insecure or cidrs), who)
    reading.default(use_forwarded_headers=False, use_proxy_protocol=False, trusted=(), header="X-Forwarded-For")
    return Found(reading.settings())


def _haproxy(workload: Workload, objects: Mapping[str, Sequence[Object]]) -> Found:
    config = config_of(workload, objects)
    if config is None:
        return Found(ProxySettings())
    data = text_map(sub(config, "data"))
    reading = Reading(title(config))
    if "proxy-protocol" in data:
        reading.set("proxy_trusted", plain_cidrs(data["proxy-protocol"].split(","))[0])
        reading.set("use_proxy_protocol", bool(reading.values["proxy_trusted"]))
    elif (value := go_bool(data.get("use-proxy-protocol", "x"))) is not None:
        reading.set("use_proxy_protocol", value)
    if data.get("src-ip-header"):
        reading.set("header", data["src-ip-header"])
        reading.set("use_forwarded_headers", value=True)
        reading.set("trusted", EVERYONE)
    reading.default(use_forwarded_headers=False, use_proxy_protocol=False, trusted=())
    return Found(reading.settings(), None, config)


_READERS: dict[str, Callable[[Workload, Mapping[str, Sequence[Object]]], Found]] = {
    "ingress-nginx": cluster_nginx.ingress_nginx,
    "kong": cluster_nginx.kong,
    "f5-nginx": cluster_nginx.f5,
    "nginx-gateway-fabric": cluster_nginx.fabric,
    "envoy-gateway": cluster_envoy.envoy_gateway,
    "traefik": _traefik,
    "haproxy": _haproxy,
    "cilium": cluster_envoy.cilium,
    "contour": cluster_envoy.contour,
    "istio": cluster_envoy.istio,
}
