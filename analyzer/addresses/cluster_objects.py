"""Access to what ``kubectl get -o json`` writes: objects by kind, and fields that may be missing or of a wrong type.

Fields that are missing are taken as absent: a file may come from any version and any distribution, and may have been
cut down to what its owner wanted to hand out.
"""

from __future__ import annotations

import ipaddress
import re
from socket import AF_INET, inet_pton
from typing import TYPE_CHECKING, Any

from analyzer.addresses.ranges import MAPPED, network_ranges, to_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Object = dict[str, Any]

_NOTHING: Object = {}
WORKLOADS = ("Deployment", "DaemonSet", "StatefulSet")
KINDS = (
    "Node", "Pod", "Service", "EndpointSlice", "ConfigMap", *WORKLOADS, "Ingress", "IngressClass", "ServiceCIDR",
    "Gateway", "ClientTrafficPolicy", "NginxProxy", "CiliumNode",
)  # fmt: skip
"""Every kind that is read."""

SSL_PASSTHROUGH = "enable-ssl-passthrough"
"""The argument of ingress-nginx that puts a TCP proxy of its own before nginx's TLS listener."""
#: Arguments that are read, and no others, of whatever program; those of Traefik in lower case, as it reads them.
_FLAGS = frozenset({
    "configmap", "nginx-configmaps", "service-cluster-ip-range", "cluster-cidr", "proxy-mode", "use-proxy-protocol",
    SSL_PASSTHROUGH,
})  # fmt: skip
_SWITCHES = frozenset({"use-proxy-protocol", SSL_PASSTHROUGH})
TRAEFIK_OPTION = re.compile(r"entrypoints\.([^.]+)\.(forwardedheaders|proxyprotocol)\.(trustedips|insecure)")

KONG_VARIABLES = frozenset({
    "KONG_TRUSTED_IPS", "KONG_REAL_IP_HEADER", "KONG_REAL_IP_RECURSIVE", "KONG_PROXY_LISTEN",
    "KONG_NGINX_PROXY_REAL_IP_HEADER", "KONG_NGINX_PROXY_REAL_IP_RECURSIVE", "KONG_NGINX_PROXY_SET_REAL_IP_FROM",
    "KONG_PROXY_ACCESS_LOG", "KONG_NGINX_HTTP_LOG_FORMAT",
})  # fmt: skip
"""https://developer.konghq.com/gateway/configuration/: each setting of kong.conf as KONG_ and its name."""
_TRAEFIK_VARIABLE = re.compile(r"TRAEFIK_ENTRYPOINTS_([^_]+)_(FORWARDEDHEADERS|PROXYPROTOCOL)_(TRUSTEDIPS|INSECURE)")


def by_kind(data: Object) -> dict[str, list[Object]]:
    """Sort the objects of a List of mixed kinds, a list of one kind, or a single object."""
    found: dict[str, list[Object]] = {kind: [] for kind in KINDS}
    kind: str = data["kind"]
    inner = kind.removesuffix("List")
    # The items of a PodList, as the API itself answers, do not repeat their kind.
    for item in dicts(data.get("items")) if kind.endswith("List") else [data]:
        own = item.get("kind") or inner
        if isinstance(own, str) and own in found:
            found[own].append(item)
    return found


def identity(item: Object) -> tuple[str, str]:
    """Return namespace and name."""
    meta = sub(item, "metadata")
    return text(meta, "namespace") or "default", text(meta, "name") or ""


def labels(item: Object) -> Object:
    """Return the labels of an object."""
    return sub(item, "metadata", "labels")


def containers(pod_spec: Object) -> list[Object]:
    """Return the containers of a pod's spec, those first that run beside it from the start (native sidecars)."""
    return [*dicts(pod_spec.get("initContainers")), *dicts(pod_spec.get("containers"))]


def flags(pod_spec: Object) -> dict[str, str]:
    """Return the arguments that are read, of all containers, without their dashes."""
    found: dict[str, str] = {}
    for container in containers(pod_spec):
        words = [*texts(container.get("command")), *texts(container.get("args"))]
        for place, word in enumerate(words):
            if not word.startswith("-"):
                continue
            name, equals, value = word.lstrip("-").partition("=")
            if TRAEFIK_OPTION.fullmatch(name.lower()):
                name = name.lower()
            elif name not in _FLAGS:
                continue
            after = words[place + 1 : place + 2]
            switch = name in _SWITCHES or name.endswith(".insecure")
            if not equals and not switch and after and not after[0].startswith("-"):
                value = after[0]
            found[name] = value
    return found


def variables(pod_spec: Object) -> dict[str, str | None]:
    """Return the environment variables that are read, of all containers; None where a value comes from elsewhere."""
    found: dict[str, str | None] = {}
    for container in containers(pod_spec):
        for variable in dicts(container.get("env")):
            name = text(variable, "name")
            if name is not None and (name in KONG_VARIABLES or _TRAEFIK_VARIABLE.fullmatch(name)):
                value = variable.get("value")
                found[name] = value if isinstance(value, str) else None if "valueFrom" in variable else ""
    return found


def traefik_options(pod_spec: Object) -> dict[tuple[str, str, str], str]:
    """Return (entry point, section, option) to value, of arguments and environment, as Traefik spells them."""
    found = {}
    for name, value in variables(pod_spec).items():
        if value is not None and (match := _TRAEFIK_VARIABLE.fullmatch(name)):
            found[match[1].lower(), match[2].lower(), match[3].lower()] = value
    for name, value in flags(pod_spec).items():
        if match := TRAEFIK_OPTION.fullmatch(name):
            found[match[1], match[2], match[3]] = value
    return found


def ranges(cidrs: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield the ranges of CIDRs; what is none is left out."""
    for cidr in cidrs:
        try:
            yield from network_ranges(cidr)
        except ValueError:
            continue


def plain_cidrs(listed: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return CIDRs without host bits, as proxies take them, and the texts that are no CIDR (names, ``unix:``)."""
    good: list[str] = []
    bad: list[str] = []
    for entry in (part.strip() for part in listed):
        if not entry:
            continue
        try:
            good.append(str(ipaddress.ip_network(entry, strict=False)))
        except ValueError:
            bad.append(entry)
    return tuple(dict.fromkeys(good)), tuple(bad)


def numbers(listed: Iterable[Any]) -> tuple[int, ...]:
    """Return the addresses among texts, each once; a name (``ExternalDNS``) or ``None`` (headless) is none."""
    found: list[int] = []
    before = None
    for entry in listed:
        if entry == before or not isinstance(entry, str):
            continue
        before = entry
        try:
            read = MAPPED | int.from_bytes(inet_pton(AF_INET, entry))  # five times as fast as `ipaddress`
        except (OSError, ValueError):
            other = to_number(entry)
            if other is None:
                continue
            read = other
        if read not in found:
            found.append(read)
    return tuple(found)


def sub(item: Object, *keys: str) -> Object:
    """Return the object inside an object, an empty one where there is none."""
    for key in keys:
        value = item.get(key)
        if not isinstance(value, dict):
            return {}
        item = value
    return item


def part(item: Object, key: str) -> Object:
    """Return what `sub` does of one key; for loops over all pods."""
    value = item.get(key)
    return value if isinstance(value, dict) else _NOTHING


def dicts(value: Any) -> list[Object]:
    """Return the objects of a list."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def text(item: Object, key: str) -> str | None:
    """Return a text that is not empty."""
    value = item.get(key)
    return value if isinstance(value, str) and value else None


def texts(value: Any) -> list[str]:
    """Return the texts of a list that are not empty."""
    return [entry for entry in value if isinstance(entry, str) and entry] if isinstance(value, list) else []


def number(item: Object, key: str) -> int | None:
    """Return a whole number."""
    value = item.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def text_map(value: Any) -> dict[str, str]:
    """Return the entries of an object whose values are texts."""
    if not isinstance(value, dict):
        return {}
    return {key: entry for key, entry in value.items() if isinstance(entry, str)}
