"""What a controller is told about proxies in front of it: its ConfigMap, environment, arguments or custom resources.

Each reader answers with `ProxySettings` and, where the product writes logs by an nginx ``log_format``, that string.
Names and defaults: ingress-nginx: kubernetes/ingress-nginx docs/user-guide/nginx-configuration/configmap.md and
rootfs/etc/nginx/template/nginx.tmpl; Kong: developer.konghq.com/gateway/configuration; F5:
docs.nginx.com/nginx-ingress-controller (ConfigMap resource); NGINX Gateway Fabric: docs.nginx.com/nginx-gateway-fabric
(NginxProxy); Envoy Gateway: gateway.envoyproxy.io (ClientTrafficPolicy); Traefik: doc.traefik.io/traefik (EntryPoints);
HAProxy: haproxytech/kubernetes-ingress documentation/controller.md and haproxy-ingress.github.io/docs/configuration;
Cilium: docs.cilium.io (Ingress); Contour: projectcontour.io/docs; Istio: istio.io (gateway network topology).
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from analyzer.addresses.cluster_model import EVERYONE, ProxySettings
from analyzer.addresses.cluster_objects import (
    SSL_PASSTHROUGH,
    Object,
    containers,
    dicts,
    flags,
    identity,
    labels,
    number,
    plain_cidrs,
    sub,
    text,
    text_map,
    texts,
    traefik_options,
    variables,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from analyzer.addresses.cluster_controllers import Workload

CONFIG_KEYS = {
    "ingress-nginx": (
        "use-forwarded-headers", "use-proxy-protocol", "enable-real-ip", "proxy-real-ip-cidr", "forwarded-for-header",
        "compute-full-forwarded-for", "log-format-upstream", "log-format-escape-json", "log-format-escape-none",
        "limit-req-status-code", "limit-conn-status-code", "whitelist-source-range",
    ),
    "f5-nginx": (
        "proxy-protocol", "real-ip-header", "set-real-ip-from", "real-ip-recursive",
        "log-format", "log-format-escaping",
    ),
    "haproxy": ("proxy-protocol", "src-ip-header", "use-proxy-protocol"),
    "cilium": (
        "enable-ingress-controller", "enable-gateway-api", "enable-ingress-proxy-protocol",
        "enable-gateway-api-proxy-protocol", "ingress-default-xff-num-trusted-hops", "gateway-api-xff-num-trusted-hops",
        "kube-proxy-replacement",
    ),
}  # fmt: skip
"""The keys of a controller's ConfigMap whose values are read."""

_OPTIONS = ("limit-req-status-code", "limit-conn-status-code", "whitelist-source-range")
"""Of ingress-nginx, those that act on clients by address: not how it learns the address."""

ISTIO_ANNOTATION = "proxy.istio.io/config"
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False", ""})
_HOPS = {
    "contour": re.compile(r"""(?m)^\s*["']?num-trusted-hops["']?\s*:\s*(\d{1,3})\b"""),
    "istio": re.compile(r"""["']?numTrustedProxies["']?\s*:\s*(\d{1,3})\b"""),
}
_ISTIO_PROXY = re.compile(r"""["']?proxyProtocol["']?\s*:""")
_KONG_FORMAT = re.compile(r"(\S+)\s+((?:escape=\w+\s+)?)'(.*)'\s*", re.DOTALL)


class Found(NamedTuple):
    """What was read of a controller: its settings, its log format, and the ConfigMap that they came from.

    `options` are such as `Controller` has.
    """

    settings: ProxySettings
    log_format: str | None = None
    config: Object | None = None
    options: Mapping[str, str] = MappingProxyType({})


def go_bool(value: str) -> bool | None:
    """Read a truth value as Go does; None where Go gives an error, and the default stays."""
    return True if value in _TRUE else False if value in _FALSE else None


def read_proxy(workload: Workload, objects: Mapping[str, Sequence[Object]]) -> Found:
    """Return how a controller learns its clients' addresses."""
    reader = _READERS.get(workload.kind)
    return reader(workload, objects) if reader else Found(ProxySettings())


def config_of(workload: Workload, objects: Mapping[str, Sequence[Object]]) -> Object | None:
    """Return the ConfigMap that a controller is pointed at by its arguments, or whose name its product prescribes."""
    if workload.kind == "cilium":
        wanted = [(workload.namespace, "cilium-config")]
    elif workload.kind == "contour":
        wanted = [(workload.namespace, "contour")]
    elif workload.kind == "istio":
        wanted = [("istio-system", "istio")]
    else:
        given = flags(workload.spec)
        named = given.get("configmap") or given.get("nginx-configmaps")
        if not named:
            return None
        namespace, _, name = named.rpartition("/")
        # $(POD_NAMESPACE) is what every chart writes there.
        wanted = [(workload.namespace if not namespace or namespace.startswith("$(") else namespace, name)]
    return next((item for item in objects["ConfigMap"] if identity(item) in wanted), None)


class _Reading:
    """Collects the settings of one controller and who says so."""

    def __init__(self, where: str = "default") -> None:
        self.where = where
        self.values: dict[str, Any] = {}
        self.sources: dict[str, str] = {}

    def set(self, name: str, value: Any, where: str | None = None) -> None:
        self.values[name] = value
        self.sources[name] = where or self.where

    def default(self, **values: Any) -> None:
        for name, value in values.items():
            if name not in self.values:
                self.set(name, value, "default")

    def settings(self) -> ProxySettings:
        return ProxySettings(**self.values, sources=self.sources)


def _title(item: Object) -> str:
    return f"{item.get('kind', 'ConfigMap')} {'/'.join(identity(item))}"


def _ingress_nginx(workload: Workload, objects: Mapping[str, Sequence[Object]]) -> Found:
    config = config_of(workload, objects)
    if config is None and ("configmap" in flags(workload.spec) or not containers(workload.spec)):
        return Found(ProxySettings())
    # Keys are matched whatever their case (mitchellh/mapstructure).
    data = {key.lower(): value for key, value in text_map(sub(config or {}, "data")).items()}
    reading = _Reading(_title(config) if config else "default")
    for key in ("use-forwarded-headers", "use-proxy-protocol", "enable-real-ip"):
        value = go_bool(data.get(key, "x"))
        if value is not None:
            reading.set(key.replace("-", "_"), value)
    if "proxy-real-ip-cidr" in data:
        reading.set("trusted", plain_cidrs(data["proxy-real-ip-cidr"].split(","))[0])
    reading.default(
        use_forwarded_headers=False,
        use_proxy_protocol=False,
        enable_real_ip=False,
        trusted=("0.0.0.0/0",),
        recursive=True,
    )
    if reading.values["use_proxy_protocol"] and not reading.values["use_forwarded_headers"]:
        reading.set("header", "proxy_protocol", reading.sources["use_proxy_protocol"])
    elif data.get("forwarded-for-header"):
        reading.set("header", data["forwarded-for-header"])
    reading.default(header="X-Forwarded-For")
    options = {key: data[key] for key in _OPTIONS if data.get(key)}
    if flags(workload.spec).get(SSL_PASSTHROUGH) in ("", "true"):
        options[SSL_PASSTHROUGH] = "true"
    return Found(reading.settings(), _nginx_format(data), config, options)


def _nginx_format(data: Mapping[str, str]) -> str | None:
    text_ = data.get("log-format-upstream", "").rstrip("\r\n")
    if not text_:
        return None
    for key in ("none", "json"):
        if go_bool(data.get(f"log-format-escape-{key}", "")):
            return f"escape={key} {text_}"
    return text_


def _f5(workload: Workload, objects: Mapping[str, Sequence[Object]]) -> Found:
    config = config_of(workload, objects)
    if config is None:
        return Found(ProxySettings())
    data = text_map(sub(config, "data"))
    reading = _Reading(_title(config))
    if (value := go_bool(data.get("proxy-protocol", "x"))) is not None:
        reading.set("use_proxy_protocol", value)
    if "set-real-ip-from" in data:
        reading.set("trusted", plain_cidrs(data["set-real-ip-from"].split(","))[0])
    if data.get("real-ip-header"):
        reading.set("header", data["real-ip-header"])
    if (value := go_bool(data.get("real-ip-recursive", "x"))) is not None:
        reading.set("recursive", value)
    _nginx_defaults(reading)
    log_format = " ".join(data.get("log-format", "").split("\n")).strip()
    escaping = data.get("log-format-escaping")
    return Found(
        reading.settings(),
        (f"escape={escaping} {log_format}" if escaping in ("json", "none") else log_format) or None,
        config,
    )


def _nginx_defaults(reading: _Reading) -> None:
    """Fill in what nginx's realip module does where it is not told, and what follows from what it is told.

    https://nginx.org/en/docs/http/ngx_http_realip_module.html
    """
    reading.default(use_proxy_protocol=False, trusted=(), header="X-Real-IP", recursive=False)
    trusted, header = reading.values["trusted"], reading.values["header"]
    reading.set("enable_real_ip", bool(trusted), reading.sources["trusted"])
    reading.set(
        "use_forwarded_headers", bool(trusted) and header.lower() != "proxy_protocol", reading.sources["trusted"]
    )


def _kong(workload: Workload, _: Mapping[str, Sequence[Object]]) -> Found:
    given = variables(workload.spec)
    who = f"pod {'/'.join(identity(workload.pod))}" if workload.pods else f"{workload.namespace}/{workload.name}"
    reading = _Reading()

    def value_of(*names: str) -> tuple[str | None, str]:
        for name in names:
            if name in given:
                return given[name], f"{name} of {who}"
        return None, "default"

    listed, where = value_of("KONG_TRUSTED_IPS", "KONG_NGINX_PROXY_SET_REAL_IP_FROM")
    if where != "default":
        reading.set("trusted", plain_cidrs((listed or "").split(","))[0], where)
    header, where = value_of("KONG_REAL_IP_HEADER", "KONG_NGINX_PROXY_REAL_IP_HEADER")
    if header:
        reading.set("header", header, where)
    recursive, where = value_of("KONG_REAL_IP_RECURSIVE", "KONG_NGINX_PROXY_REAL_IP_RECURSIVE")
    if recursive:
        reading.set("recursive", recursive.lower() in ("on", "true"), where)
    listen, where = value_of("KONG_PROXY_LISTEN")
    if listen:
        reading.set("use_proxy_protocol", "proxy_protocol" in listen.replace(",", " ").split(), where)
    _nginx_defaults(reading)
    return Found(reading.settings(), _kong_format(given))


def _kong_format(given: Mapping[str, str | None]) -> str | None:
    """Kong's proxy log is written by the format that its ``proxy_access_log`` names, if that is one of its own."""
    defined = _KONG_FORMAT.fullmatch(given.get("KONG_NGINX_HTTP_LOG_FORMAT") or "")
    used = (given.get("KONG_PROXY_ACCESS_LOG") or "").split()
    return defined[2] + defined[3] if defined and used[1:2] == [defined[1]] else None


def _fabric(_: Workload, objects: Mapping[str, Sequence[Object]]) -> Found:
    if len(objects["NginxProxy"]) != 1:
        return Found(ProxySettings())
    proxy = objects["NginxProxy"][0]
    rewrite = sub(proxy, "spec", "rewriteClientIP")
    reading = _Reading(_title(proxy))
    mode = text(rewrite, "mode")
    if mode:
        reading.set("use_proxy_protocol", mode == "ProxyProtocol")
        reading.set("header", "proxy_protocol" if mode == "ProxyProtocol" else "X-Forwarded-For")
        listed = (text(entry, "value") or "" for entry in dicts(rewrite.get("trustedAddresses")))
        reading.set("trusted", plain_cidrs(listed)[0])
    if isinstance(rewrite.get("setIPRecursively"), bool):
        reading.set("recursive", rewrite["setIPRecursively"])
    _nginx_defaults(reading)
    log = sub(proxy, "spec", "logging", "accessLog")
    log_format, escape = text(log, "format"), text(log, "escape")
    return Found(reading.settings(), f"escape={escape} {log_format}" if log_format and escape else log_format)


def _envoy_gateway(workload: Workload, objects: Mapping[str, Sequence[Object]]) -> Found:
    if not objects["ClientTrafficPolicy"] and not objects["Gateway"]:
        return Found(ProxySettings())
    own = labels(workload.pod)
    gateway = own.get("gateway.envoyproxy.io/owning-gateway-name")
    namespace = own.get("gateway.envoyproxy.io/owning-gateway-namespace")
    # A policy for one listener counts after one for the whole gateway: most of the traffic is the latter's.
    policies = (
        sorted(
            (bool(target.get("sectionName")), place, policy)
            for place, policy in enumerate(objects["ClientTrafficPolicy"])
            for target in (*dicts(sub(policy, "spec").get("targetRefs")), sub(policy, "spec", "targetRef"))
            if target.get("name") == gateway and identity(policy)[0] == namespace
        )
        if gateway
        else []
    )
    reading = _Reading()
    if policies:
        policy = policies[0][2]
        spec = sub(policy, "spec")
        reading.where = _title(policy)
        if "proxyProtocol" in spec or spec.get("enableProxyProtocol") is True:
            reading.set("use_proxy_protocol", value=True)
        detection = sub(spec, "clientIPDetection")
        forwarded = sub(detection, "xForwardedFor")
        if custom := text(sub(detection, "customHeader"), "name"):
            reading.set("header", custom)
            reading.set("use_forwarded_headers", value=True)
            reading.set("trusted", EVERYONE)
        elif forwarded:
            hops = number(forwarded, "numTrustedHops")
            cidrs = plain_cidrs(texts(forwarded.get("trustedCIDRs")))[0]
            reading.set("trusted_hops", hops)
            reading.set("trusted", cidrs)
            reading.set("recursive", bool(cidrs))
            reading.set("use_forwarded_headers", bool(hops or cidrs))
    _envoy_defaults(reading)
    return Found(reading.settings())


def _envoy_defaults(reading: _Reading) -> None:
    reading.default(use_forwarded_headers=False, use_proxy_protocol=False, trusted=(), trusted_hops=None)
    only_proxy = reading.values["use_proxy_protocol"] and not reading.values["use_forwarded_headers"]
    reading.default(header="proxy_protocol" if only_proxy else "X-Forwarded-For", recursive=False)


def _traefik(workload: Workload, _: Mapping[str, Sequence[Object]]) -> Found:
    options = traefik_options(workload.spec)
    options = {key: value for key, value in options.items() if key[0] not in ("traefik", "metrics")}
    reading = _Reading()
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
    reading = _Reading(_title(config))
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


def _cilium(workload: Workload, objects: Mapping[str, Sequence[Object]]) -> Found:
    config = config_of(workload, objects)
    if config is None:
        return Found(ProxySettings())
    data = text_map(sub(config, "data"))
    reading = _Reading(_title(config))
    proxied = [data.get(key) for key in ("enable-ingress-proxy-protocol", "enable-gateway-api-proxy-protocol")]
    reading.set("use_proxy_protocol", "true" in proxied)
    hops = [data.get(key, "") for key in ("ingress-default-xff-num-trusted-hops", "gateway-api-xff-num-trusted-hops")]
    most = max((int(each) for each in hops if each.isascii() and each.isdigit()), default=0)
    reading.set("trusted_hops", most)
    reading.set("use_forwarded_headers", most > 0)
    _envoy_defaults(reading)
    return Found(reading.settings(), None, config)


def _contour(workload: Workload, objects: Mapping[str, Sequence[Object]]) -> Found:
    config = config_of(workload, objects)
    reading = _Reading()
    if config is not None:
        reading.where = _title(config)
        _hops(reading, workload.kind, [text(sub(config, "data"), "contour.yaml") or ""])
    beside = [sub(item, "spec", "template", "spec") for item in objects["Deployment"] if is_contour(item, workload)]
    if any(flags(spec).get("use-proxy-protocol") in ("", "true") for spec in beside):
        reading.set("use_proxy_protocol", value=True, where=f"--use-proxy-protocol of {workload.namespace}/contour")
    if config is None and not beside:
        return Found(ProxySettings())
    _envoy_defaults(reading)
    return Found(reading.settings(), None, config)


def is_contour(item: Object, workload: Workload) -> bool:
    """Whether a Deployment is Contour itself, which tells the Envoys of a workload what to do."""
    return workload.kind == "contour" and identity(item) == (workload.namespace, "contour")


def _istio(workload: Workload, objects: Mapping[str, Sequence[Object]]) -> Found:
    config = config_of(workload, objects)
    own = text(sub(workload.pod, "metadata", "annotations"), ISTIO_ANNOTATION)
    reading = _Reading()
    if own is not None:
        reading.where = f"{ISTIO_ANNOTATION} of {workload.namespace}/{workload.name}"
    elif config is not None:
        reading.where = _title(config)
    else:
        return Found(ProxySettings())
    said = own or text(sub(config or {}, "data"), "mesh") or ""
    _hops(reading, workload.kind, [said])
    if _ISTIO_PROXY.search(said):
        reading.set("use_proxy_protocol", value=True)
    _envoy_defaults(reading)
    return Found(reading.settings(), None, config)


def _hops(reading: _Reading, kind: str, said: Iterable[str]) -> None:
    for each in said:
        if found := _HOPS[kind].search(each):
            reading.set("trusted_hops", int(found[1]))
            reading.set("use_forwarded_headers", int(found[1]) > 0)


def brief(kind: str, said: str) -> str:
    """Return of a piece of YAML or JSON only what `read_proxy` reads of it."""
    parts = [found[0].strip() for found in [_HOPS[kind].search(said)] if found]
    if kind == "istio" and _ISTIO_PROXY.search(said):
        parts.append("proxyProtocol: {}")
    return "\n".join(parts)


_READERS: dict[str, Callable[[Workload, Mapping[str, Sequence[Object]]], Found]] = {
    "ingress-nginx": _ingress_nginx,
    "kong": _kong,
    "f5-nginx": _f5,
    "nginx-gateway-fabric": _fabric,
    "envoy-gateway": _envoy_gateway,
    "traefik": _traefik,
    "haproxy": _haproxy,
    "cilium": _cilium,
    "contour": _contour,
    "istio": _istio,
}
