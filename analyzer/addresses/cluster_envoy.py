"""What the controllers made of Envoy are told about proxies in front of them.

Names and defaults: Envoy Gateway: gateway.envoyproxy.io (ClientTrafficPolicy); Cilium: docs.cilium.io (Ingress);
Contour: projectcontour.io/docs; Istio: istio.io (gateway network topology).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from analyzer.addresses.cluster_model import EVERYONE, ProxySettings
from analyzer.addresses.cluster_objects import (
    Object,
    dicts,
    flags,
    identity,
    labels,
    number,
    plain_cidrs,
    sub,
    text,
    texts,
)
from analyzer.addresses.cluster_settings import Found, SettingsBuilder, config_of, title

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analyzer.addresses.cluster_controllers import Workload

ISTIO_ANNOTATION = "proxy.istio.io/config"
_HOPS = {
    "contour": re.compile(r"""(?m)^\s*["']?num-trusted-hops["']?\s*:\s*(\d{1,3})\b"""),
    "istio": re.compile(r"""["']?numTrustedProxies["']?\s*:\s*(\d{1,3})\b"""),
}
_ISTIO_PROXY = re.compile(r"""["']?proxyProtocol["']?\s*:""")


def envoy_gateway(workload: Workload, objects: Mapping[str, Sequence[Object]]) -> Found:
    """Read the ClientTrafficPolicy of Envoy Gateway that stands for most of the traffic."""
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
    settings = SettingsBuilder()
    if policies:
        policy = policies[0][2]
        spec = sub(policy, "spec")
        settings.where = title(policy)
        if "proxyProtocol" in spec or spec.get("enableProxyProtocol") is True:
            settings.set("use_proxy_protocol", value=True)
        detection = sub(spec, "clientIPDetection")
        forwarded = sub(detection, "xForwardedFor")
        if custom := text(sub(detection, "customHeader"), "name"):
            settings.set("header", custom)
            settings.set("use_forwarded_headers", value=True)
            settings.set("trusted", EVERYONE)
        elif forwarded:
            hops = number(forwarded, "numTrustedHops")
            cidrs = plain_cidrs(texts(forwarded.get("trustedCIDRs")))[0]
            settings.set("trusted_hops", hops)
            settings.set("trusted", cidrs)
            settings.set("recursive", bool(cidrs))
            settings.set("use_forwarded_headers", bool(hops or cidrs))
    _envoy_defaults(settings)
    return Found(settings.build())


def cilium(settings: SettingsBuilder, data: Mapping[str, str]) -> None:
    """Read the ConfigMap of Cilium."""
    proxied = [data.get(key) for key in ("enable-ingress-proxy-protocol", "enable-gateway-api-proxy-protocol")]
    settings.set("use_proxy_protocol", "true" in proxied)
    hops = [data.get(key, "") for key in ("ingress-default-xff-num-trusted-hops", "gateway-api-xff-num-trusted-hops")]
    most = max((int(each) for each in hops if each.isascii() and each.isdigit()), default=0)
    settings.set("trusted_hops", most)
    settings.set("use_forwarded_headers", most > 0)
    _envoy_defaults(settings)


def contour(workload: Workload, objects: Mapping[str, Sequence[Object]]) -> Found:
    """Read Contour's ConfigMap and arguments."""
    config = config_of(workload, objects)
    settings = SettingsBuilder()
    if config is not None:
        settings.where = title(config)
        _hops(settings, workload.kind, text(sub(config, "data"), "contour.yaml") or "")
    beside = [sub(item, "spec", "template", "spec") for item in objects["Deployment"] if is_contour(item, workload)]
    if any(flags(spec).get("use-proxy-protocol") in ("", "true") for spec in beside):
        settings.set("use_proxy_protocol", value=True, where=f"--use-proxy-protocol of {workload.namespace}/contour")
    if config is None and not beside:
        return Found(ProxySettings())
    _envoy_defaults(settings)
    return Found(settings.build(), None, config)


def is_contour(item: Object, workload: Workload) -> bool:
    """Whether a Deployment is Contour itself, which tells the Envoys of a workload what to do."""
    return workload.kind == "contour" and identity(item) == (workload.namespace, "contour")


def istio(workload: Workload, objects: Mapping[str, Sequence[Object]]) -> Found:
    """Read the pod's annotation, else the mesh."""
    config = config_of(workload, objects)
    own = text(sub(workload.pod, "metadata", "annotations"), ISTIO_ANNOTATION)
    settings = SettingsBuilder()
    if own is not None:
        settings.where = f"{ISTIO_ANNOTATION} of {workload.namespace}/{workload.name}"
    elif config is not None:
        settings.where = title(config)
    else:
        return Found(ProxySettings())
    said = own or text(sub(config or {}, "data"), "mesh") or ""
    _hops(settings, workload.kind, said)
    if _ISTIO_PROXY.search(said):
        settings.set("use_proxy_protocol", value=True)
    _envoy_defaults(settings)
    return Found(settings.build(), None, config)


def brief(kind: str, said: str) -> str:
    """Return of a piece of YAML or JSON only what `read_proxy` reads of it."""
    hops = _HOPS[kind].search(said)
    parts = [hops[0].strip()] if hops else []
    if kind == "istio" and _ISTIO_PROXY.search(said):
        parts.append("proxyProtocol: {}")
    return "\n".join(parts)


def _hops(settings: SettingsBuilder, kind: str, said: str) -> None:
    if found := _HOPS[kind].search(said):
        settings.set("trusted_hops", int(found[1]))
        settings.set("use_forwarded_headers", int(found[1]) > 0)


def _envoy_defaults(settings: SettingsBuilder) -> None:
    settings.default(use_forwarded_headers=False, use_proxy_protocol=False, trusted=(), trusted_hops=None)
    only_proxy = settings.values["use_proxy_protocol"] and not settings.values["use_forwarded_headers"]
    settings.default(header="proxy_protocol" if only_proxy else "X-Forwarded-For", recursive=False)
