"""Of a cluster's objects what the analyzer reads, and nothing else: what `logscan snapshot` writes.

A cluster read from what is kept is the cluster read from the whole. A mask is the shape of an object with, in place of
each value that is read, the function that lets it pass. What no mask names is dropped: environment, arguments,
annotations and ConfigMaps hold passwords often enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analyzer.addresses import cluster_platform
from analyzer.addresses.cluster import KLIPPER, NODE_ADDRESSES, NODE_GATEWAYS, NODE_ZONES
from analyzer.addresses.cluster_controllers import LABEL_KEYS
from analyzer.addresses.cluster_envoy import ISTIO_ANNOTATION, brief, is_contour
from analyzer.addresses.cluster_lint import is_misspelt_variable, unknown_keys
from analyzer.addresses.cluster_objects import (
    WORKLOADS,
    Object,
    containers,
    dicts,
    flags,
    identity,
    labels,
    sub,
    text,
    text_map,
    variables,
)
from analyzer.addresses.cluster_services import ACTS_ON_CLIENTS, INGRESS_CLASS, SERVICE_ANNOTATIONS, backends
from analyzer.addresses.cluster_settings import CONFIG_KEYS, config_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from analyzer.addresses.cluster_controllers import Workload

_ADDRESSES = frozenset("0123456789abcdefABCDEF.:/, ")


def keep(objects: Mapping[str, Sequence[Object]], workloads: Sequence[Workload]) -> Iterator[Object]:
    """Yield the objects cut down to what is read of them; those of which nothing is read not at all.

    Parameters
    ----------
    objects
        Kind to objects.
    workloads
        The controllers among them, see `find_workloads`.
    """
    return _Keeping(objects, workloads).kept()


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | bool | int) else None


def _there(_: Any) -> str:
    """Of a label or annotation that it is there."""
    return ""


def _true(value: Any) -> bool | None:
    return value if value is True else None


def _address(value: Any) -> str | None:
    """Let an address, a CIDR or several of them pass; what is to hold one may hold anything."""
    return value if isinstance(value, str) and _ADDRESSES.issuperset(value) else None


def _addresses(value: Any) -> list[str] | None:
    return [entry for entry in value if _address(entry)] if isinstance(value, list) else None


def _scheme(value: Any) -> str | None:
    """Of a providerID the cloud; the rest names accounts and machines."""
    scheme, colon, _ = value.partition("://") if isinstance(value, str) else ("", "", "")
    return f"{scheme}://" if colon else None


def _only(keys: Iterable[str]) -> dict[str, Any]:
    return dict.fromkeys(keys, _plain)


def _platform_labels(value: Any) -> Object | None:
    """Of node labels the zones, and of those that speak of a platform the key."""
    if not isinstance(value, dict):
        return None
    kept = {key: value[key] for key in NODE_ZONES if isinstance(value.get(key), str)}
    return kept | {key: "" for key in value if key.startswith(tuple(cluster_platform.LABEL_PREFIXES))}


def _effects(value: Any) -> list[Object]:
    return [{"effect": effect} for taint in dicts(value) if (effect := text(taint, "effect"))]


_NAMED: Object = {"kind": _plain, "metadata": {"namespace": _plain, "name": _plain}}
_LB_STATUS: Object = {"loadBalancer": {"ingress": [{"ip": _address, "ipMode": _plain}]}}
_TARGET = {"name": _plain, "sectionName": _plain}
_NODE: Object = {
    "metadata": {
        "name": _plain,
        "labels": _platform_labels,
        "annotations": dict.fromkeys((*NODE_ADDRESSES, *NODE_GATEWAYS), _address) | {cluster_platform.FLANNEL: _there},
    },
    "spec": {
        "podCIDR": _address,
        "podCIDRs": _addresses,
        "unschedulable": _plain,
        "taints": _effects,
        "providerID": _scheme,
    },
    "status": {"addresses": [{"address": _address}], "nodeInfo": _only(["kubeletVersion"])},
}
_POD: Object = {
    "metadata": {"namespace": _plain, "name": _plain, "labels": {KLIPPER: _there}},
    "spec": {"nodeName": _plain, "hostNetwork": _true},
    "status": {"phase": _plain, "podIP": _address, "podIPs": [{"ip": _address}]},
}
_SERVICE: Object = {
    "metadata": _NAMED["metadata"],
    "spec": dict.fromkeys(("clusterIP", "loadBalancerIP"), _address)
    | dict.fromkeys(("clusterIPs", "externalIPs"), _addresses)
    | _only(["externalTrafficPolicy"]),
    "status": {"loadBalancer": {"ingress": [{"ip": _address}]}},
}
_FRONT: Object = {
    "metadata": _NAMED["metadata"] | {"annotations": _only(sorted(SERVICE_ANNOTATIONS))},
    "spec": _SERVICE["spec"]
    | _only(["type", "externalTrafficPolicy", "healthCheckNodePort", "loadBalancerClass"])
    | {"selector": text_map, "ports": [{"name": _plain}], "loadBalancerSourceRanges": _addresses},
    "status": _LB_STATUS,
}
_INGRESS: Object = {
    "metadata": _NAMED["metadata"]
    | {"annotations": _only([INGRESS_CLASS]) | dict.fromkeys(sorted(ACTS_ON_CLIENTS), _there)},
    "spec": _only(["ingressClassName"]),
    "status": {"loadBalancer": {"ingress": [{"ip": _address}]}},
}
_MASKS: dict[str, Object] = {
    "Node": _NODE,
    "IngressClass": _NAMED | {"spec": _only(["controller"])},
    "ServiceCIDR": _NAMED | {"spec": {"cidrs": _addresses}},
    "Gateway": _NAMED | {"spec": _only(["gatewayClassName"]), "status": {"addresses": [{"value": _address}]}},
    "ClientTrafficPolicy": _NAMED
    | {
        "spec": {
            "targetRef": _TARGET,
            "targetRefs": [_TARGET],
            "enableProxyProtocol": _plain,
            "proxyProtocol": lambda _: {},
            "clientIPDetection": {
                "xForwardedFor": {"numTrustedHops": _plain, "trustedCIDRs": _addresses},
                "customHeader": {"name": _plain},
            },
        }
    },
    "NginxProxy": _NAMED
    | {
        "spec": {
            "rewriteClientIP": {
                "mode": _plain,
                "setIPRecursively": _plain,
                "trustedAddresses": [_only(["type", "value"])],
            },
            "logging": {"accessLog": _only(["format", "escape"])},
        }
    },
    "CiliumNode": {
        "metadata": {"name": _plain},
        "spec": {"addresses": [{"type": _plain, "ip": _address}], "ipam": {"podCIDRs": _addresses}},
    },
}


class _Keeping:
    """The one pass over a cluster's objects."""

    def __init__(self, objects: Mapping[str, Sequence[Object]], workloads: Sequence[Workload]) -> None:
        self._objects = objects
        self._workloads = workloads
        self._pods = {id(pod): workload for workload in workloads for pod in workload.pods}
        self._templates = {id(workload.template): workload for workload in workloads if workload.template}
        self._system = {id(pod) for pod in cluster_platform.system_pods(objects["Pod"])}
        self._fronts = {id(item) for workload in workloads for item in workload.services}
        self._front_names = {identity(item) for workload in workloads for item in workload.services}
        self._configs = {id(config): each for each in workloads if (config := config_of(each, objects)) is not None}
        #: Labels that a Service selects a controller by.
        self._selected = {
            key for each in workloads for item in each.services for key in text_map(sub(item, "spec", "selector"))
        }

    def kept(self) -> Iterator[Object]:
        readers: dict[str, Callable[[Object], Object | None]] = {
            "Pod": self._pod,
            "Service": self._service,
            "EndpointSlice": self._slice,
            "ConfigMap": self._config,
            "Ingress": self._ingress,
        }
        readers |= dict.fromkeys(WORKLOADS, self._workload)
        for kind, items in self._objects.items():
            reader = readers.get(kind)
            for item in items:
                found = reader(item) if reader else _masked(_MASKS[kind], item)
                if found is not None:
                    yield {"kind": kind, **found}

    def _pod(self, item: Object) -> Object:
        found: Object = _masked(_POD, item) or {}
        workload = self._pods.get(id(item))
        if workload is not None:
            self._add_controller(found, item, workload)
        elif id(item) in self._system:
            found.setdefault("spec", {})["containers"] = [{"args": _arguments(sub(item, "spec"))}]
        if cluster_platform.network_of(item):
            _add_network_label(found, item)
        return found

    def _add_controller(self, found: Object, item: Object, workload: Workload) -> None:
        """Add to a pod or a template what tells a controller from other pods, and how it is set up."""
        own, spec = labels(item), sub(item, "spec")
        meta, kept = found.setdefault("metadata", {}), found.setdefault("spec", {})
        wanted = LABEL_KEYS | self._selected | {"pod-template-hash"}
        meta.setdefault("labels", {}).update({key: own[key] for key in own if key in wanted and _plain(own[key])})
        owners = dicts(sub(item, "metadata").get("ownerReferences"))
        if owners:
            meta["ownerReferences"] = [_masked(_only(["kind", "name", "controller"]), each) or {} for each in owners]
        if workload.kind == "istio" and (said := text(sub(item, "metadata", "annotations"), ISTIO_ANNOTATION)):
            meta["annotations"] = {ISTIO_ANNOTATION: brief("istio", said)}
        for part in ("initContainers", "containers"):
            named = [_masked(_only(["name", "image"]), each) or {} for each in dicts(spec.get(part))]
            if named:
                kept[part] = named
        if kept.get("containers"):
            kept["containers"][0] |= {"args": _arguments(spec), "env": _environment(spec)}

    def _workload(self, item: Object) -> Object | None:
        template = sub(item, "spec", "template")
        workload = self._templates.get(id(template))
        found: Object = _masked(_NAMED, item) or {}
        if workload is not None:
            cut: Object = {}
            self._add_controller(cut, template, workload)
            found["spec"] = {"template": cut}
        elif any(is_contour(item, each) for each in self._workloads):
            found["spec"] = {"template": {"spec": {"containers": [{"args": _arguments(sub(template, "spec"))}]}}}
        elif cluster_platform.network_of(item):
            _add_network_label(found, item)
        else:
            return None
        return found

    def _service(self, item: Object) -> Object:
        return _masked(_FRONT if id(item) in self._fronts else _SERVICE, item) or {}

    def _slice(self, item: Object) -> Object | None:
        """Endpoints are read where a Service in front of a controller selects nothing."""
        namespace, name = identity(item)[0], text(labels(item), "kubernetes.io/service-name")
        fronts = (front for each in self._workloads for front in each.services)
        if not any(
            identity(front) == (namespace, name) and not text_map(sub(front, "spec", "selector")) for front in fronts
        ):
            return None
        mask = {
            "metadata": _NAMED["metadata"] | {"labels": _only(["kubernetes.io/service-name"])},
            "endpoints": [{"targetRef": _only(["name"])}],
        }
        return _masked(mask, item) or {}

    def _config(self, item: Object) -> Object | None:
        workload = self._configs.get(id(item))
        namespace, name = identity(item)
        data = sub(item, "data")
        found: Object = _masked(_NAMED, item) or {}
        if workload is not None and workload.kind in ("contour", "istio"):
            found["data"] = {key: brief(workload.kind, value) for key, value in text_map(data).items() if key in _YAML}
        elif workload is not None:
            values, unknown = text_map(data), unknown_keys(workload, data)
            known = CONFIG_KEYS.get(workload.kind, ())
            kept = {key for key in data if key in unknown or (key in values and key.lower() in known)}
            found["data"] = {key: None if key in unknown else values[key] for key in data if key in kept}
        elif name == "cilium-config":
            found["data"] = {key: value for key, value in text_map(data).items() if key in CONFIG_KEYS["cilium"]}
        elif namespace == "kube-system" and name in cluster_platform.SYSTEM_CONFIGS:
            key = cluster_platform.SYSTEM_CONFIGS[name]
            found["data"] = {key: cluster_platform.brief(text(data, key) or "")}
        else:
            return None
        return found

    def _ingress(self, item: Object) -> Object:
        found: Object = _masked(_INGRESS, item) or {}
        if to_controllers := backends(item, self._front_names):
            paths = [{"backend": {"service": {"name": name}}} for name in to_controllers]
            found.setdefault("spec", {})["rules"] = [{"http": {"paths": paths}}]
        return found


_YAML = ("contour.yaml", "mesh")


def _add_network_label(found: Object, item: Object) -> None:
    own = labels(item)
    kept = {key: own[key] for key in cluster_platform.NETWORK_LABELS if text(own, key) in cluster_platform.NETWORKS}
    found.setdefault("metadata", {}).setdefault("labels", {}).update(kept)


def _arguments(spec: Object) -> list[str]:
    return [f"--{name}={value}" if value else f"--{name}" for name, value in flags(spec).items()]


def _environment(spec: Object) -> list[Object]:
    found: list[Object] = []
    for name, value in variables(spec).items():
        found.append({"name": name, "valueFrom": {}} if value is None else {"name": name, "value": value})
    named = [text(variable, "name") for each in containers(spec) for variable in dicts(each.get("env"))]
    return found + [{"name": each} for each in dict.fromkeys(named) if each and is_misspelt_variable(each)]


def _masked(mask: Any, value: Any) -> Any:
    """Return what of a value passes a mask, None where nothing does."""
    if callable(mask):
        return mask(value)
    if isinstance(mask, list):
        kept = [found for entry in dicts(value) if (found := _masked(mask[0], entry)) is not None]
        return kept or None
    if not isinstance(value, dict):
        return None
    found = {key: cut for key in mask if key in value and (cut := _masked(mask[key], value[key])) is not None}
    return found or None
