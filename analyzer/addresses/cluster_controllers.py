"""Which workloads of a cluster are its ingress controllers, and which Services stand in front of them.

A controller is known by its image, else by the labels that its own chart or operator gives it; images are often
mirrored under other names, labels are often overridden, both seldom. Sources: the charts and manifests of
kubernetes/ingress-nginx, Kong/charts, traefik/traefik-helm-chart, haproxytech/helm-charts, haproxy-ingress/charts,
nginx/kubernetes-ingress and nginx/nginx-gateway-fabric, envoyproxy/gateway (owning-gateway labels of the data plane),
istio/istio (gateway injection), cilium/cilium, projectcontour/contour.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from analyzer.addresses.cluster_objects import (
    WORKLOADS,
    Object,
    containers,
    dicts,
    identity,
    labels,
    part,
    sub,
    text,
    text_map,
)
from analyzer.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: The end of an image's name, without registry and tag.
_IMAGES = {
    "ingress-nginx/controller": "ingress-nginx",
    "ingress-nginx/controller-chroot": "ingress-nginx",
    "ingress-nginx-controller": "ingress-nginx",
    "mirrored-ingress-nginx-controller": "ingress-nginx",
    "nginx-ingress-controller": "ingress-nginx",
    "nginx-ingress-controller-amd64": "ingress-nginx",
    "nginx-ingress-controller-arm64": "ingress-nginx",
    "nginx-ingress": "f5-nginx",
    "nginx-plus-ingress": "f5-nginx",
    "nginx-gateway-fabric/nginx": "nginx-gateway-fabric",
    "nginx-gateway-fabric/nginx-plus": "nginx-gateway-fabric",
    "kong": "kong",
    "kong-gateway": "kong",
    "traefik": "traefik",
    "mirrored-library-traefik": "traefik",
    "haproxytech/kubernetes-ingress": "haproxy",
    "haproxy-kubernetes-ingress": "haproxy",
    "haproxy-ingress": "haproxy",
    "emissary-ingress/emissary": "emissary",
    "emissary": "emissary",
    "datawire/aes": "emissary",
    "apisix": "apisix",
}
#: Labels, all of which a pod must have.
_LABELS: tuple[tuple[dict[str, str], str], ...] = (
    ({"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"}, "ingress-nginx"),
    ({"app": "nginx-ingress", "component": "controller"}, "ingress-nginx"),
    ({"app.kubernetes.io/name": "kong", "app.kubernetes.io/component": "app"}, "kong"),
    ({"app.kubernetes.io/name": "traefik"}, "traefik"),
    ({"app.kubernetes.io/name": "kubernetes-ingress"}, "haproxy"),
    ({"app.kubernetes.io/name": "haproxy-ingress"}, "haproxy"),
    ({"app.kubernetes.io/name": "contour", "app.kubernetes.io/component": "envoy"}, "contour"),
    ({"k8s-app": "cilium-envoy"}, "cilium"),
    ({"k8s-app": "cilium"}, "cilium"),
)
_OWNING = "gateway.envoyproxy.io/owning-gateway-name"
_OF_GATEWAY = "gateway.networking.k8s.io/gateway-name"
#: The first label of each rule, by key: what most pods fail at. Lists, for a label of a wrong type has no hash.
_FIRST = tuple(
    (first, [rule[first] for rule, _ in _LABELS if first in rule])
    for first in dict.fromkeys(next(iter(rule)) for rule, _ in _LABELS)
)
LABEL_KEYS = frozenset(key for rule, _ in _LABELS for key in rule) | {
    "istio",
    _OWNING,
    _OF_GATEWAY,
    "gateway.envoyproxy.io/owning-gateway-namespace",
}
"""Labels of pods that are read, besides those that a Service selects by."""

_MESHES = {"istio-proxy": "istio", "linkerd-proxy": "linkerd"}
_OF_REPLICAS = re.compile(r"-[a-z0-9]{6,10}-[a-z0-9]{5}$|-[a-z0-9]{5}$")
_INNER_PORT = re.compile(r"webhook|metrics|admin|manager|status|stats|prometheus|telemetry|health|probe")
_ENDED = ("Succeeded", "Failed")


@dataclass(slots=True)
class Workload:
    """A controller as the objects that make it; `template` is what its Deployment or DaemonSet would run."""

    kind: str
    namespace: str
    name: str
    pods: list[Object] = field(default_factory=list)
    template: Object = field(default_factory=dict)
    services: list[Object] = field(default_factory=list)

    @property
    def pod(self) -> Object:
        """What runs, or else what would."""
        return self.pods[0] if self.pods else self.template

    @property
    def spec(self) -> Object:
        """The pod's spec."""
        return sub(self.pod, "spec")


def find_workloads(objects: Mapping[str, Sequence[Object]], wanted: Sequence[str] = ()) -> list[Workload]:
    """Return the controllers of a cluster.

    Parameters
    ----------
    objects
        Kind to objects.
    wanted
        ``NAMESPACE/NAME`` of workloads, Services or pods that are the controllers; empty is to search.

    Raises
    ------
    ClusterError
        Where nothing of a wanted name is in the file.
    """
    found = _named(objects, wanted) if wanted else _searched(objects)
    fronts = _Fronts(objects, {workload.namespace for workload in found})
    for workload in found:
        workload.services = fronts.of(workload)
    return found


def product(item: Object, images: dict[str, str | None]) -> str | None:
    """Return what kind of controller a pod or a pod template is; `images` remembers what was seen."""
    spec = item.get("spec")
    if not isinstance(spec, dict):
        return None
    listed = spec.get("containers")
    for container in listed if isinstance(listed, list) else ():
        image = container.get("image") if isinstance(container, dict) else None
        if isinstance(image, str):
            if image not in images:
                images[image] = _product_of_image(image)
            if kind := images[image]:
                return kind
    own = part(part(item, "metadata"), "labels")
    for key, values in _FIRST:
        if own.get(key) in values:
            break
    else:
        return _gateway(own, listed)
    for rule, kind in _LABELS:
        if all(own.get(key) == value for key, value in rule.items()):
            return kind
    return None


def _gateway(own: Object, listed: Any) -> str | None:
    """Return the product that a pod serves a Gateway of, by labels that its operator gives it."""
    if _OWNING in own:
        return "envoy-gateway"
    role = own.get("istio")
    if (isinstance(role, str) and role.startswith("ingress")) or _OF_GATEWAY in own:
        names = [container.get("name") for container in dicts(listed)]
        return "istio" if "istio-proxy" in names else None
    return None


def sidecars(workload: Workload) -> tuple[str, ...]:
    """Return the meshes whose proxy stands before the controller in its own pods; Istio's gateway is no sidecar."""
    names = [container.get("name") for container in containers(workload.spec)]
    meshes = dict.fromkeys(_MESHES[name] for name in names if isinstance(name, str) and name in _MESHES)
    return tuple(mesh for mesh in meshes if mesh != workload.kind)


def owner(item: Object) -> tuple[str, str]:
    """Return kind and name of the workload that a pod belongs to, by its references, else by its own name."""
    meta = sub(item, "metadata")
    name = text(meta, "name") or ""
    for reference in dicts(meta.get("ownerReferences")):
        if reference.get("controller") is not False and (owning := text(reference, "name")):
            if reference.get("kind") == "ReplicaSet":
                return "Deployment", owning.removesuffix(f"-{labels(item).get('pod-template-hash')}")
            return text(reference, "kind") or "", owning
    return "", _OF_REPLICAS.sub("", name)


def _product_of_image(image: str) -> str | None:
    path = image.partition("@")[0].split("/")
    path[-1] = path[-1].partition(":")[0]
    return _IMAGES.get("/".join(path[-2:])) or _IMAGES.get(path[-1])


def _searched(objects: Mapping[str, Sequence[Object]]) -> list[Workload]:
    images: dict[str, str | None] = {}
    found: dict[tuple[str, str], Workload] = {}
    for pod in objects["Pod"]:
        if (kind := product(pod, images)) and _lives(pod):
            owned_by, name = owner(pod)
            if owned_by != "Job":
                namespace = identity(pod)[0]
                found.setdefault((namespace, name), Workload(kind, namespace, name)).pods.append(pod)
    for item in _running(objects):
        template = sub(item, "spec", "template")
        if kind := product(template, images):
            key = identity(item)
            found.setdefault(key, Workload(kind, *key)).template = template
    return _without_idle_cilium(list(found.values()), objects)


def _without_idle_cilium(found: list[Workload], objects: Mapping[str, Sequence[Object]]) -> list[Workload]:
    """Cilium is a controller where it is told to be one, by its own Envoy pods if it has some, else by its agents."""
    cilium = [workload for workload in found if workload.kind == "cilium"]
    if not cilium:
        return found
    settings = next((sub(each, "data") for each in objects["ConfigMap"] if identity(each)[1] == "cilium-config"), None)
    if settings is None:
        enabled = any(_of_cilium(item) for item in objects["Service"])
    else:
        enabled = "true" in (settings.get("enable-ingress-controller"), settings.get("enable-gateway-api"))
    proxies = [workload for workload in cilium if labels(workload.pod).get("k8s-app") == "cilium-envoy"]
    kept = (proxies or cilium) if enabled else []
    return [workload for workload in found if workload.kind != "cilium" or workload in kept]


def _named(objects: Mapping[str, Sequence[Object]], wanted: Sequence[str]) -> list[Workload]:
    images: dict[str, str | None] = {}
    found = []
    for entry in wanted:
        namespace, slash, name = entry.partition("/")
        if not (slash and namespace and name) or "/" in name:
            raise ClusterError(f"--controller: expected NAMESPACE/NAME, got {entry!r}")
        pods = [pod for pod in objects["Pod"] if identity(pod)[0] == namespace and _lives(pod)]
        templates = [sub(item, "spec", "template") for item in _running(objects) if identity(item) == (namespace, name)]
        selected = [
            selector
            for item in objects["Service"]
            if identity(item) == (namespace, name) and (selector := text_map(sub(item, "spec", "selector")))
        ]
        own = [pod for pod in pods if name in (owner(pod)[1], identity(pod)[1])]
        own = own or [pod for pod in pods if any(_selects(selector, labels(pod)) for selector in selected)]
        if not own and not templates:
            raise ClusterError(f"--controller {entry}: expected a workload, Service or pod of the cluster, got none")
        workload = Workload("other", namespace, name, own, templates[0] if templates else {})
        workload.kind = product(workload.pod, images) or "other"
        found.append(workload)
    return found


def _lives(pod: Object) -> bool:
    return part(pod, "status").get("phase") not in _ENDED


def _running(objects: Mapping[str, Sequence[Object]]) -> Iterator[Object]:
    for kind in WORKLOADS:
        for item in objects[kind]:
            if sub(item, "spec").get("replicas") != 0:
                yield item


class _Fronts:
    """The Services of some namespaces and the pods behind them."""

    def __init__(self, objects: Mapping[str, Sequence[Object]], namespaces: set[str]) -> None:
        self._services = [item for item in objects["Service"] if identity(item)[0] in namespaces]
        self._cilium = [item for item in objects["Service"] if _of_cilium(item)]
        self._targets: dict[tuple[str, str], set[str]] = {}
        for item in objects["EndpointSlice"]:
            namespace = identity(item)[0]
            service = text(labels(item), "kubernetes.io/service-name")
            if namespace in namespaces and service is not None:
                named = (text(sub(entry, "targetRef"), "name") for entry in dicts(item.get("endpoints")))
                self._targets.setdefault((namespace, service), set()).update(name for name in named if name)

    def of(self, workload: Workload) -> list[Object]:
        """Return the Services in front of a workload, those that reach outside first."""
        if workload.kind == "cilium":
            # Cilium takes the traffic of these out of the datapath; they select nothing.
            return sorted(self._cilium, key=_outermost)
        pods = {identity(pod)[1] for pod in workload.pods}
        sets = [labels(pod) for pod in workload.pods] or [labels(workload.template)]
        found = []
        for item in self._services:
            if identity(item)[0] != workload.namespace or _is_inner(item):
                continue
            selector = text_map(sub(item, "spec", "selector"))
            if selector:
                chosen = any(_selects(selector, own) for own in sets)
            else:
                chosen = not pods.isdisjoint(self._targets.get(identity(item), ()))
            if chosen:
                found.append(item)
        return sorted(found, key=_outermost)


def _selects(selector: Mapping[str, str], own: Mapping[str, Any]) -> bool:
    return all(own.get(key) == value for key, value in selector.items())


def _outermost(item: Object) -> tuple[int, tuple[str, str]]:
    type_ = text(sub(item, "spec"), "type")
    rank = {"LoadBalancer": 0, "NodePort": 1}.get(type_ or "", 2)
    return rank, identity(item)


def _is_inner(item: Object) -> bool:
    """Whether a Service serves metrics, webhooks and the like alone; every chart has such beside the real one."""
    ports = [str(port.get("name") or "") for port in dicts(sub(item, "spec").get("ports"))]
    return bool(ports) and all(_INNER_PORT.search(port) for port in ports)


def _of_cilium(item: Object) -> bool:
    name = identity(item)[1]
    return name == "cilium-ingress" or name.startswith(("cilium-ingress-", "cilium-gateway-"))
