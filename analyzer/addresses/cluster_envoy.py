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
    text_map,
    texts,
)
from analyzer.addresses.cluster_settings import Found, Reading, config_of, title

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
    reading = Reading()
    if policies:
        policy = policies[0][2]
        spec = sub(policy, "spec")
        reading.where = title(policy)
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


def cilium(workload: Workload, objects: Mapping[str, Sequence[Object]]) -> Found:
    """Read the ConfigMap of Cilium."""
    config = config_of(workload, objects)
    if config is None:
        return Found(ProxySettings())
    data = text_map(sub(config, "data"))
    reading = Reading(title(config))
    proxied = [data.get(key) for key in ("enable-ingress-proxy-protocol", "enable-gateway-api-proxy-protocol")]
    reading.set("use_proxy_protocol", "true" in proxied)
    hops = [data.get(key, "") for key in ("ingress-default-xff-num-trusted-hops", "gateway-api-xff-num-trusted-hops")]
    most = max((int(each) for each in hops if each.isascii() and each.isdigit()), default=0)
    reading.set("trusted_hops", most)
    reading.set("use_forwarded_headers", most > 0)
    _envoy_defaults(reading)
    return Found(reading.settings(), None, config)


def contour(workload: Workload, objects: Mapping[str, Sequence[Object]]) -> Found:
    """Read Contour's ConfigMap and arguments."""
    config = config_of(workload, objects)
    reading = Reading()
    if config is not None:
        reading.where = title(config)
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


def istio(workload: Workload, objects: Mapping[str, Sequence[Object]]) -> Found:
    """Read the pod's annotation, else the mesh."""
    config = config_of(workload, objects)
    own = text(sub(workload.pod, "metadata", "annotations"), ISTIO_ANNOTATION)
    reading = Reading()
    if own is not None:
        reading.where = f"{ISTIO_ANNOTATION} of {workload.namespace}/{workload.name}"
    elif config is not None:
        reading.where = title(config)
    else:
        return Found(ProxySettings())
    said = own or text(sub(config or {}, "data"), "mesh") or ""
    _hops(reading, workload.kind, [said])
    if _ISTIO_PROXY.search(said):
        reading.set("use_proxy_protocol", value=True)
    _envoy_defaults(reading)
    return Found(reading.settings(), None, config)


def brief(kind: str, said: str) -> str:
    """Return of a piece of YAML or JSON only what `read_proxy` reads of it."""
    parts = [found[0].strip() for found in [_HOPS[kind].search(said)] if found]
    if kind == "istio" and _ISTIO_PROXY.search(said):
        parts.append("proxyProtocol: {}")
    return "\n".join(parts)


def _hops(reading: Reading, kind: str, said: Iterable[str]) -> None:
    for each in said:
        if found := _HOPS[kind].search(each):
            reading.set("trusted_hops", int(found[1]))
            reading.set("use_forwarded_headers", int(found[1]) > 0)


def _envoy_defaults(reading: Reading) -> None:
    reading.default(use_forwarded_headers=False, use_proxy_protocol=False, trusted=(), trusted_hops=None)
    only_proxy = reading.values["use_proxy_protocol"] and not reading.values["use_forwarded_headers"]
    reading.default(header="proxy_protocol" if only_proxy else "X-Forwarded-For", recursive=False)
