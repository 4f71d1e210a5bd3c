"""The cluster as kubectl would show it at the end of a scenario."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from clusters import INGRESS_NGINX, config_map, node, pod, service, workload
from lab.network import CLUSTER_IP, NODES, PODS, VIP

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lab.network import Network
    from lab.programs import Controller

_KONG = {"app.kubernetes.io/name": "kong", "app.kubernetes.io/component": "app"}
_ENVOY = {
    "gateway.envoyproxy.io/owning-gateway-name": "eg",
    "gateway.envoyproxy.io/owning-gateway-namespace": "web",
    "app.kubernetes.io/name": "envoy",
}
_NAMESPACES = {"ingress-nginx": "ingress-nginx", "kong": "kong", "envoy-gateway": "envoy-gateway-system"}
_WORKLOADS = {"ingress-nginx": "ingress-nginx-controller", "kong": "kong-kong", "envoy-gateway": "envoy-web-eg-1"}


def pod_name(place: str, controller: Controller | None = None) -> tuple[str, str, str]:
    """Return namespace, pod and container of a place."""
    if controller is None:
        return ("default", "shop-6f7d-a1b2c", "web") if place == "application" else ("kube-system", place, "lb-port-80")
    container = {"ingress-nginx": "controller", "kong": "proxy", "envoy-gateway": "envoy"}[controller.product]
    name = f"{_WORKLOADS[controller.product]}-5d8c6-{place.replace('controller-', 'abcd')}"
    return _NAMESPACES[controller.product], name, container


def log_of(logs: Path, place: str, controller: Controller | None = None) -> Path:
    """Return where the kubelet keeps the log of a pod."""
    namespace, name, container = pod_name(place, controller)
    return logs / f"{namespace}_{name}_0f6b7e1c-52a9-4f0e-9a55-1c8f0f3c2d11" / container / "0.log"


def write_cluster(
    path: Path,
    network: Network,
    controller: Controller,
    pods: Sequence[str],
    policy: str,
    *,
    scheme: str = "",
    annotations: dict[str, str] | None = None,
    addresses: Sequence[str] = (VIP,),
) -> None:
    """Write what ``kubectl get -A -o json`` would.

    Parameters
    ----------
    pods
        The places of the controller's pods.
    scheme
        Of the nodes' ``providerID``, which tells the platform; none is a cluster of one's own.
    annotations
        Of the controller's Service.
    addresses
        Its load balancer's; none is a NodePort.
    """
    fleet = [
        node(
            name, ("InternalIP", address), ("Hostname", name), cidrs=(f"{network.pods}.{name[-1]}.0/24",),
            provider_id=f"{scheme}://{name}" if scheme else "",
            version="v1.33.1+k3s1" if scheme == "k3s" else "v1.33.1",
            annotations={"flannel.alpha.coreos.com/backend-type": "vxlan"},
        )
        for name, address in NODES.items()
    ]  # fmt: skip
    application = pod(pod_name("application")[1], PODS["application"][0], network.pod("application"), name="web")
    svclb = {"svccontroller.k3s.cattle.io/svcname": _WORKLOADS[controller.product]}
    helpers = [
        pod(pod_name(place)[1], PODS[place][0], network.pod(place), namespace="kube-system", labels=svclb,
            image="rancher/klipper-lb:v0.4.13", name="lb-port-80")
        for place in PODS
        if place.startswith("svclb") and scheme == "k3s"
    ]  # fmt: skip
    front: dict[str, Any] = {"externalTrafficPolicy": policy, "annotations": annotations}
    if addresses:
        front["ingress"] = [{"ip": address, "ipMode": "VIP"} for address in addresses]
    else:
        front["type"] = "NodePort"
    if policy == "Local" and addresses:
        front["healthCheckNodePort"] = 32123
    items = [*fleet, application, *helpers, *_controller(network, controller, pods, front)]
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1))


def _controller(
    network: Network, controller: Controller, pods: Sequence[str], front: dict[str, Any]
) -> list[dict[str, Any]]:
    product, settings = controller.product, controller.settings
    namespace = _NAMESPACES[product]
    labels: dict[str, str]
    container: dict[str, Any]
    if product == "ingress-nginx":
        labels = INGRESS_NGINX
        container = {
            "image": "registry.k8s.io/ingress-nginx/controller:v1.13.0",
            "args": ["/nginx-ingress-controller", "--configmap=$(POD_NAMESPACE)/ingress-nginx-controller"],
        }
        more = [config_map(namespace, "ingress-nginx-controller", settings), _ingress(controller.limit_rps)]
    elif product == "kong":
        labels = _KONG
        environment = [{"name": name, "value": value} for name, value in settings.items()]
        container = {"image": "kong/kong-gateway:3.10", "env": environment}
        more = []
    else:
        labels = _ENVOY
        container = {"image": "docker.io/envoyproxy/envoy:distroless-v1.34"}
        more = _gateway(settings)
    made = []
    for place in pods:
        _, name, container_name = pod_name(place, controller)
        owner = ("ReplicaSet", f"{_WORKLOADS[product]}-5d8c6")
        made.append(pod(name, PODS[place][0], network.pod(place), namespace=namespace, owner=owner, name=container_name,
                        labels={**labels, "pod-template-hash": "5d8c6"}, **container))  # fmt: skip
    deployment = workload("Deployment", made[0], _WORKLOADS[product])
    return [*made, deployment, *more,
            service(_WORKLOADS[product], CLUSTER_IP, namespace=namespace, selector=labels, **front)]  # fmt: skip


def _ingress(limit_rps: int | None) -> dict[str, Any]:
    annotations = {"nginx.ingress.kubernetes.io/limit-rps": str(limit_rps)} if limit_rps else {}
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "shop", "port": {"number": 8080}}}}
    return {
        "kind": "Ingress",
        "metadata": {"name": "shop", "namespace": "default", "annotations": annotations},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": "shop.example.org", "http": {"paths": [path]}}]},
    }


def _gateway(policy: dict[str, Any]) -> list[dict[str, Any]]:
    target = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "eg"}
    found: list[dict[str, Any]] = [
        {"kind": "Gateway", "metadata": {"name": "eg", "namespace": "web"}, "spec": {"gatewayClassName": "eg"}}
    ]
    if policy:
        meta = {"name": "client-ip", "namespace": "web"}
        found.append({"kind": "ClientTrafficPolicy", "metadata": meta, "spec": {"targetRefs": [target], **policy}})
    return found
