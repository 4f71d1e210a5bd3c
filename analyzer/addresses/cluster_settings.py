"""What the readers of controllers share: which ConfigMap is read, how a truth value is, and who said what."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from analyzer.addresses.cluster_model import ProxySettings
from analyzer.addresses.cluster_objects import Object, flags, identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False", ""})


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


class SettingsBuilder:
    """Collects the settings of one controller and who says so."""

    def __init__(self, where: str = "default") -> None:
        self.where = where
        self.values: dict[str, Any] = {}
        self.sources: dict[str, str] = {}

    def set(self, name: str, value: Any, where: str | None = None) -> None:
        """Take a setting, and who says it."""
        self.values[name] = value
        self.sources[name] = where or self.where

    def default(self, **values: Any) -> None:
        """Fill in what nobody said."""
        for name, value in values.items():
            if name not in self.values:
                self.set(name, value, "default")

    def build(self) -> ProxySettings:
        """Return what was collected."""
        return ProxySettings(**self.values, sources=self.sources)


def title(item: Object) -> str:
    """Name an object as the source of a setting."""
    return f"{item.get('kind', 'ConfigMap')} {'/'.join(identity(item))}"
