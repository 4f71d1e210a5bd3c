"""What the controllers made of nginx are told about proxies in front of them, and the ``log_format`` they write.

Names and defaults: ingress-nginx: kubernetes/ingress-nginx docs/user-guide/nginx-configuration/configmap.md and
rootfs/etc/nginx/template/nginx.tmpl; Kong: developer.konghq.com/gateway/configuration; F5:
docs.nginx.com/nginx-ingress-controller (ConfigMap resource); NGINX Gateway Fabric: docs.nginx.com/nginx-gateway-fabric
(NginxProxy).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from analyzer.addresses.cluster_model import ProxySettings
from analyzer.addresses.cluster_objects import (
    SSL_PASSTHROUGH,
    Object,
    containers,
    dicts,
    flags,
    identity,
    plain_cidrs,
    sub,
    text,
    text_map,
    variables,
)
from analyzer.addresses.cluster_settings import Found, SettingsBuilder, config_of, go_bool, title

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analyzer.addresses.cluster_controllers import Workload

_OPTIONS = ("limit-req-status-code", "limit-conn-status-code", "whitelist-source-range")
"""Of ingress-nginx, those that act on clients by address: not how it learns the address."""

_KONG_FORMAT = re.compile(r"(\S+)\s+((?:escape=\w+\s+)?)'(.*)'\s*", re.DOTALL)


def ingress_nginx(workload: Workload, objects: Mapping[str, Sequence[Object]]) -> Found:
    """Read the ConfigMap that ``--configmap`` names."""
    config = config_of(workload, objects)
    if config is None and ("configmap" in flags(workload.spec) or not containers(workload.spec)):
        return Found(ProxySettings())
    # Keys are matched whatever their case (mitchellh/mapstructure).
    data = {key.lower(): value for key, value in text_map(sub(config or {}, "data")).items()}
    settings = SettingsBuilder(title(config) if config else "default")
    for key in ("use-forwarded-headers", "use-proxy-protocol", "enable-real-ip"):
        value = go_bool(data.get(key, "x"))
        if value is not None:
            settings.set(key.replace("-", "_"), value)
    if "proxy-real-ip-cidr" in data:
        settings.set("trusted", plain_cidrs(data["proxy-real-ip-cidr"].split(","))[0])
    settings.default(
        use_forwarded_headers=False,
        use_proxy_protocol=False,
        enable_real_ip=False,
        trusted=("0.0.0.0/0",),
        recursive=True,
    )
    if settings.values["use_proxy_protocol"] and not settings.values["use_forwarded_headers"]:
        settings.set("header", "proxy_protocol", settings.sources["use_proxy_protocol"])
    elif data.get("forwarded-for-header"):
        settings.set("header", data["forwarded-for-header"])
    settings.default(header="X-Forwarded-For")
    options = {key: data[key] for key in _OPTIONS if data.get(key)}
    if flags(workload.spec).get(SSL_PASSTHROUGH) in ("", "true"):
        options[SSL_PASSTHROUGH] = "true"
    return Found(settings.build(), _nginx_format(data), config, options)


def f5(settings: SettingsBuilder, data: Mapping[str, str]) -> str | None:
    """Read the ConfigMap of F5's NGINX Ingress Controller; return its log format."""
    if (value := go_bool(data.get("proxy-protocol", "x"))) is not None:
        settings.set("use_proxy_protocol", value)
    if "set-real-ip-from" in data:
        settings.set("trusted", plain_cidrs(data["set-real-ip-from"].split(","))[0])
    if data.get("real-ip-header"):
        settings.set("header", data["real-ip-header"])
    if (value := go_bool(data.get("real-ip-recursive", "x"))) is not None:
        settings.set("recursive", value)
    _nginx_defaults(settings)
    log_format = " ".join(data.get("log-format", "").split("\n")).strip()
    escaping = data.get("log-format-escaping")
    return (f"escape={escaping} {log_format}" if escaping in ("json", "none") else log_format) or None


def kong(workload: Workload, _: Mapping[str, Sequence[Object]]) -> Found:
    """Read Kong's environment."""
    given = variables(workload.spec)
    who = f"pod {'/'.join(identity(workload.pod))}" if workload.pods else f"{workload.namespace}/{workload.name}"
    settings = SettingsBuilder()

    def value_of(*names: str) -> tuple[str | None, str]:
        for name in names:
            if name in given:
                return given[name], f"{name} of {who}"
        return None, "default"

    listed, where = value_of("KONG_TRUSTED_IPS", "KONG_NGINX_PROXY_SET_REAL_IP_FROM")
    if where != "default":
        settings.set("trusted", plain_cidrs((listed or "").split(","))[0], where)
    header, where = value_of("KONG_REAL_IP_HEADER", "KONG_NGINX_PROXY_REAL_IP_HEADER")
    if header:
        settings.set("header", header, where)
    recursive, where = value_of("KONG_REAL_IP_RECURSIVE", "KONG_NGINX_PROXY_REAL_IP_RECURSIVE")
    if recursive:
        settings.set("recursive", recursive.lower() in ("on", "true"), where)
    listen, where = value_of("KONG_PROXY_LISTEN")
    if listen:
        settings.set("use_proxy_protocol", "proxy_protocol" in listen.replace(",", " ").split(), where)
    _nginx_defaults(settings)
    return Found(settings.build(), _kong_format(given))


def fabric(_: Workload, objects: Mapping[str, Sequence[Object]]) -> Found:
    """Read the NginxProxy of NGINX Gateway Fabric, where there is one."""
    if len(objects["NginxProxy"]) != 1:
        return Found(ProxySettings())
    proxy = objects["NginxProxy"][0]
    rewrite = sub(proxy, "spec", "rewriteClientIP")
    settings = SettingsBuilder(title(proxy))
    mode = text(rewrite, "mode")
    if mode:
        settings.set("use_proxy_protocol", mode == "ProxyProtocol")
        settings.set("header", "proxy_protocol" if mode == "ProxyProtocol" else "X-Forwarded-For")
        listed = (text(entry, "value") or "" for entry in dicts(rewrite.get("trustedAddresses")))
        settings.set("trusted", plain_cidrs(listed)[0])
    if isinstance(rewrite.get("setIPRecursively"), bool):
        settings.set("recursive", rewrite["setIPRecursively"])
    _nginx_defaults(settings)
    log = sub(proxy, "spec", "logging", "accessLog")
    log_format, escape = text(log, "format"), text(log, "escape")
    return Found(settings.build(), f"escape={escape} {log_format}" if log_format and escape else log_format)


def _nginx_format(data: Mapping[str, str]) -> str | None:
    text_ = data.get("log-format-upstream", "").rstrip("\r\n")
    if not text_:
        return None
    for key in ("none", "json"):
        if go_bool(data.get(f"log-format-escape-{key}", "")):
            return f"escape={key} {text_}"
    return text_


def _kong_format(given: Mapping[str, str | None]) -> str | None:
    """Kong's proxy log is written by the format that its ``proxy_access_log`` names, if that is one of its own."""
    defined = _KONG_FORMAT.fullmatch(given.get("KONG_NGINX_HTTP_LOG_FORMAT") or "")
    used = (given.get("KONG_PROXY_ACCESS_LOG") or "").split()
    return defined[2] + defined[3] if defined and used[1:2] == [defined[1]] else None


def _nginx_defaults(settings: SettingsBuilder) -> None:
    """Fill in what nginx's realip module does where it is not told, and what follows from what it is told.

    https://nginx.org/en/docs/http/ngx_http_realip_module.html
    """
    settings.default(use_proxy_protocol=False, trusted=(), header="X-Real-IP", recursive=False)
    trusted, header = settings.values["trusted"], settings.values["header"]
    settings.set("enable_real_ip", bool(trusted), settings.sources["trusted"])
    settings.set(
        "use_forwarded_headers", bool(trusted) and header.lower() != "proxy_protocol", settings.sources["trusted"]
    )
