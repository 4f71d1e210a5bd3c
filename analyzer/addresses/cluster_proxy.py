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
from analyzer.addresses.cluster_settings import Found, SettingsBuilder, config_of, go_bool, title

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from analyzer.addresses.cluster_controllers import Workload


def read_proxy(workload: Workload, objects: Mapping[str, Sequence[Object]]) -> Found:
    """Return how a controller learns its clients' addresses."""
    if (reader := _READERS.get(workload.kind)) is not None:
        return reader(workload, objects)
    config = config_of(workload, objects)
    of_config = _READERS_OF_CONFIG.get(workload.kind)
    if config is None or of_config is None:
        return Found(ProxySettings())
    settings = SettingsBuilder(title(config))
    log_format = of_config(settings, text_map(sub(config, "data")))
    return Found(settings.build(), log_format, config)


def _traefik(workload: Workload, _: Mapping[str, Sequence[Object]]) -> Found:
    options = traefik_options(workload.spec)
    options = {key: value for key, value in options.items() if key[0] not in ("traefik", "metrics")}
    settings = SettingsBuilder()
    for section, name in (("forwardedheaders", "trusted"), ("proxyprotocol", "proxy_trusted")):
        points = [point for point, part, option in options if part == section]
        if not points:
            continue
        listed = [options[key] for key in options if key[1:] == (section, "trustedips")]
        cidrs = plain_cidrs(",".join(listed).split(","))[0]
        insecure = any(options[key].lower() in ("", "true") for key in options if key[1:] == (section, "insecure"))
        who = f"{section} of entry points {', '.join(dict.fromkeys(points))} of {workload.namespace}/{workload.name}"
        settings.set(name, EVERYONE if insecure else cidrs, who)
        switch = "use_forwarded_headers" if name == "trusted" else "use_proxy_protocol"
        settings.set(switch, bool(insecure or cidrs), who)
    settings.default(use_forwarded_headers=False, use_proxy_protocol=False, trusted=(), header="X-Forwarded-For")
    return Found(settings.build())


def _haproxy(settings: SettingsBuilder, data: Mapping[str, str]) -> None:
    if "proxy-protocol" in data:
        settings.set("proxy_trusted", plain_cidrs(data["proxy-protocol"].split(","))[0])
        settings.set("use_proxy_protocol", bool(settings.values["proxy_trusted"]))
    elif (value := go_bool(data.get("use-proxy-protocol", "x"))) is not None:
        settings.set("use_proxy_protocol", value)
    if data.get("src-ip-header"):
        settings.set("header", data["src-ip-header"])
        settings.set("use_forwarded_headers", value=True)
        settings.set("trusted", EVERYONE)
    settings.default(use_forwarded_headers=False, use_proxy_protocol=False, trusted=())


_READERS: dict[str, Callable[[Workload, Mapping[str, Sequence[Object]]], Found]] = {
    "ingress-nginx": cluster_nginx.ingress_nginx,
    "kong": cluster_nginx.kong,
    "nginx-gateway-fabric": cluster_nginx.fabric,
    "envoy-gateway": cluster_envoy.envoy_gateway,
    "traefik": _traefik,
    "contour": cluster_envoy.contour,
    "istio": cluster_envoy.istio,
}
_READERS_OF_CONFIG: dict[str, Callable[[SettingsBuilder, Mapping[str, str]], str | None]] = {
    "f5-nginx": cluster_nginx.f5,
    "haproxy": _haproxy,
    "cilium": cluster_envoy.cilium,
}
"""Of controllers that are set up by their ConfigMap alone; these return the log format."""
