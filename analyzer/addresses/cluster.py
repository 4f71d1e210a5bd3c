"""The cluster file, ``kubectl get ... -o json`` or ``logscan snapshot``: what it says, and the address ranges it makes.

The Kubernetes API is never called here. What is read of the objects stands in the modules beside this one; which of it
`logscan snapshot` keeps, in `analyzer.addresses.cluster_keep`.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from analyzer.addresses import cluster_platform
from analyzer.addresses.cluster_controllers import find_workloads, sidecars
from analyzer.addresses.cluster_lint import lint
from analyzer.addresses.cluster_model import Controller, IngressFacts, Node, Pod, Service
from analyzer.addresses.cluster_objects import Object, by_kind, dicts, identity, numbers, part, ranges, sub, text, texts
from analyzer.addresses.cluster_proxy import read_proxy
from analyzer.addresses.cluster_services import entrances, service, service_facts
from analyzer.addresses.ranges import MAPPED, NetworkRule
from analyzer.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from analyzer.addresses.cluster_controllers import Workload

__all__ = ["Cluster", "Node", "Pod", "Service"]

_COMMAND = "kubectl get nodes,services,pods --all-namespaces -o json > cluster.json"
NODE_ZONES = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
"""Labels of nodes that hold their zone, the newer one first."""
KLIPPER = "svccontroller.k3s.cattle.io/svcname"
"""The label of the pods of k3s's service load balancer."""
NODE_ADDRESSES = ("k3s.io/internal-ip", "k3s.io/external-ip", "flannel.alpha.coreos.com/public-ip")
"""Annotations of nodes that hold an address of the node itself."""
NODE_GATEWAYS = (
    "projectcalico.org/IPv4IPIPTunnelAddr",
    "projectcalico.org/IPv4VXLANTunnelAddr",
    "projectcalico.org/IPv6VXLANTunnelAddr",
    "projectcalico.org/IPv4WireguardInterfaceAddr",
    "projectcalico.org/IPv6WireguardInterfaceAddr",
    "ovn.kubernetes.io/ip_address",
)
"""Annotations of nodes that hold the address of their overlay: Calico's tunnels, Kube-OVN's join network."""


@dataclass(frozen=True)
class Cluster:
    """What the cluster file says; `name` is the file's, as rules show it.

    `pod_cidrs` and `service_cidrs` are ranges of the whole cluster. `platform` is such as ``eks`` or ``k3s``, `cni`
    such as ``cilium`` or ``flannel``, `kube_proxy_mode` such as ``ipvs``, each None where nothing shows it.
    """

    name: str
    nodes: tuple[Node, ...] = ()
    pods: tuple[Pod, ...] = ()
    services: tuple[Service, ...] = ()
    service_cidrs: tuple[str, ...] = ()
    pod_cidrs: tuple[str, ...] = ()
    ingresses: tuple[IngressFacts, ...] = ()
    controllers: tuple[Controller, ...] = ()
    platform: str | None = None
    cni: str | None = None
    kube_proxy_mode: str | None = None

    @classmethod
    def load(cls, path: str | Path, controllers: Iterable[str] = ()) -> Cluster:
        """Read a cluster file: a List of mixed kinds, a list of one kind, or a single object.

        Parameters
        ----------
        path
            The file.
        controllers
            ``NAMESPACE/NAME`` of the workloads, Services or pods that are the ingress controllers. Without any they
            are those that the file names, if `logscan snapshot` was told, else those found by labels and images.

        Raises
        ------
        ClusterError
            Where the file cannot be read, is no JSON, or has no Node, Pod or Service in it; where there is no such
            controller.
        """
        with _no_collection():
            return cls._parse(path, tuple(controllers))

    @classmethod
    def _parse(cls, path: str | Path, controllers: Sequence[str]) -> Cluster:
        try:
            data = orjson.loads(Path(path).read_bytes())
        except OSError as error:
            raise _error(path, error.strerror or str(error)) from error
        except orjson.JSONDecodeError as error:
            raise _error(path, f"no JSON: {error}") from error
        if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
            raise _error(path, "JSON without a `kind`")
        objects = by_kind(data)
        if not any(objects[kind] for kind in ("Node", "Pod", "Service")):
            raise _error(path, f"kind {data['kind']} with none of them")
        wanted = controllers or texts(sub(data, "logscan").get("controllers"))
        return cls.of(Path(path).name, objects, find_workloads(objects, wanted))

    @classmethod
    def of(cls, name: str, objects: Mapping[str, Sequence[Object]], workloads: Sequence[Workload]) -> Cluster:
        """Make a cluster of kind to objects and of its controllers."""
        pods = [_pod(item) for item in objects["Pod"]]
        system = cluster_platform.system_pods(objects["Pod"])
        pod_cidrs, service_cidrs = cluster_platform.cluster_cidrs(objects, system)
        ingresses = entrances(objects, {identity(item) for each in workloads for item in each.services})
        places = {id(item): place for place, item in enumerate(objects["Pod"])} if workloads else {}
        return cls(
            name=name,
            nodes=_nodes(objects),
            pods=tuple(pods),
            services=tuple(service(item) for item in objects["Service"]),
            service_cidrs=service_cidrs,
            pod_cidrs=pod_cidrs,
            ingresses=ingresses,
            controllers=tuple(
                _controller(workload, [pods[places[id(item)]] for item in workload.pods], objects, ingresses)
                for workload in workloads
            ),
            platform=cluster_platform.platform(objects["Node"]),
            cni=cluster_platform.network(objects),
            kube_proxy_mode=cluster_platform.kube_proxy_mode(objects, system),
        )

    def networks(self) -> list[NetworkRule]:
        """Return the ranges of the cluster; of equal ones the more certain comes first, as `RangeTable` wants it.

        The first two addresses of a node's pod range are its bridge and its overlay device (``cni0``, ``flannel.1``):
        what masquerading leaves. A live pod that has one of them shows that this network does without, and a node that
        names its overlay's address has no other.
        """
        rules: list[NetworkRule] = []
        for node in self.nodes:
            rule = f"{self.name}: node {node.name}"
            rules += [NetworkRule(n, n, "node", "node", rule, node=node.name) for n in node.addresses]
        rules += self._pod_rules()
        for entry in self.services:
            title = f"{entry.namespace}/{entry.name}"
            rule = f"{self.name}: load balancer of {title}"
            rules += [NetworkRule(n, n, "lb", "cluster-lb", rule) for n in entry.lb_addresses]
            rule = f"{self.name}: clusterIP of {title}"
            rules += [NetworkRule(n, n, "private", "service", rule) for n in entry.cluster_addresses]
        for entrance in self.ingresses:
            rule = f"{self.name}: {entrance.kind} {entrance.namespace}/{entrance.name}"
            rules += [NetworkRule(n, n, "lb", "cluster-lb", rule) for n in entrance.lb_addresses]
        for kind, cidrs in (("service", self.service_cidrs), ("pod", self.pod_cidrs)):
            for cidr in cidrs:
                rule = f"{self.name}: {kind} range {cidr}"
                rules += [NetworkRule(*pair, "private", kind, rule) for pair in ranges([cidr])]
        return rules + list(self._trusted())

    def _pod_rules(self) -> Iterator[NetworkRule]:
        for pod in self.pods:
            if pod.balances:
                rule = f"{self.name}: load balancer pod {pod.namespace}/{pod.name}"
                yield from (NetworkRule(n, n, "lb", "cluster-lb", rule, node=pod.node) for n in pod.addresses)
            else:
                rule = f"{self.name}: pod {pod.namespace}/{pod.name}"
                yield from (NetworkRule(n, n, "private", "pod", rule, in_cluster=True) for n in pod.addresses)
        for node in self.nodes:
            rule = f"{self.name}: overlay of {node.name}"
            yield from (NetworkRule(n, n, "node", "cni-gateway", rule, node=node.name) for n in node.gateways)
            rule = f"{self.name}: podCIDR of {node.name}"
            for first, last in ranges(node.pod_cidrs):
                for gateway in () if node.gateways else range(first, min(first + 1, last) + 1):
                    yield NetworkRule(gateway, gateway, "node", "cni-gateway", rule, node=node.name)
                yield NetworkRule(first, last, "private", "pod", rule)

    def _trusted(self) -> Iterator[NetworkRule]:
        """Yield the proxies that a controller trusts, where it does not trust everybody."""
        for controller in self.controllers:
            settings = controller.settings
            if not settings.in_use:
                continue
            for field, cidrs in (("trusted", settings.trusted), ("proxy_trusted", settings.proxy_trusted)):
                pairs = [(cidr, pair) for cidr in cidrs for pair in ranges([cidr])]
                if any(_is_half_of_all(*pair) for _, pair in pairs):
                    continue
                rule = f"{self.name}: trusted by {controller.kind}, {settings.sources.get(field, 'default')}"
                for cidr, pair in pairs:
                    yield NetworkRule(*pair, "lb", "trusted-proxy", f"{rule}: {cidr}")

    def node_names(self, *, schedulable_only: bool = True) -> list[str]:
        """Return the names of the nodes in the file's order."""
        return [node.name for node in self.nodes if node.schedulable or not schedulable_only]

    def node_of(self, namespace: str | None, pod: str) -> str | None:
        """Return the node of a pod, None where it is not known or, without a namespace, ambiguous."""
        nodes = self._nodes_of_pods.get(pod, {})
        if namespace is not None:
            return nodes.get(namespace)
        return next(iter(nodes.values())) if len(set(nodes.values())) == 1 else None

    @cached_property
    def _nodes_of_pods(self) -> dict[str, dict[str, str | None]]:
        nodes: dict[str, dict[str, str | None]] = {}
        for pod in self.pods:
            nodes.setdefault(pod.name, {})[pod.namespace] = pod.node
        return nodes


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector still: over 100,000 pods it would walk the growing heap for half of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _error(path: str | Path, got: str) -> ClusterError:
    message = f"{path}: expected Nodes, Pods and Services as kubectl writes them, got {got}"
    return ClusterError(message, f"run: {_COMMAND}")


def _is_half_of_all(first: int, last: int) -> bool:
    """Whether a range is so wide that it is no statement about proxies: half of a family, as some write all of it."""
    return last - first >= (1 << 31) - 1 if first >= MAPPED and last < MAPPED << 1 else last - first >= (1 << 127) - 1


def _nodes(objects: Mapping[str, Sequence[Object]]) -> tuple[Node, ...]:
    """Read the nodes, and what Cilium knows of them: its own pod ranges, and the address of ``cilium_host``."""
    cilium = {text(sub(item, "metadata"), "name"): sub(item, "spec") for item in objects["CiliumNode"]}
    nodes = []
    for item in objects["Node"]:
        node = _node(item)
        if spec := cilium.get(node.name):
            listed = dicts(spec.get("addresses"))
            inner = numbers(text(each, "ip") for each in listed if text(each, "type") == "CiliumInternalIP")
            cidrs = texts(sub(spec, "ipam").get("podCIDRs"))
            node = replace(
                node,
                gateways=tuple(dict.fromkeys((*node.gateways, *inner))),
                pod_cidrs=tuple(dict.fromkeys((*node.pod_cidrs, *cidrs))),
            )
        nodes.append(node)
    return tuple(nodes)


def _node(item: Object) -> Node:
    meta, spec = sub(item, "metadata"), sub(item, "spec")
    own, annotations = sub(meta, "labels"), sub(meta, "annotations")
    addresses = [text(address, "address") for address in dicts(sub(item, "status").get("addresses"))]
    for key in NODE_ADDRESSES:
        addresses += (text(annotations, key) or "").split(",")
    effects = {text(taint, "effect") for taint in dicts(spec.get("taints"))}
    return Node(
        name=text(meta, "name") or "",
        addresses=numbers(addresses),
        pod_cidrs=tuple(texts(spec.get("podCIDRs")) or texts([spec.get("podCIDR")])),
        schedulable=spec.get("unschedulable") is not True and effects.isdisjoint({"NoSchedule", "NoExecute"}),
        zone=next((zone for label in NODE_ZONES if (zone := text(own, label))), None),
        gateways=numbers(text(annotations, key) for key in NODE_GATEWAYS),
    )


def _pod(item: Object) -> Pod:
    meta, spec, status = part(item, "metadata"), part(item, "spec"), part(item, "status")
    addresses: tuple[int, ...] = ()
    shared = spec.get("hostNetwork") is True
    if not shared and status.get("phase") not in ("Succeeded", "Failed"):
        listed = [entry.get("ip") for entry in dicts(status.get("podIPs"))]
        listed.append(status.get("podIP"))
        addresses = numbers(listed)
    return Pod(
        text(meta, "namespace") or "default",
        text(meta, "name") or "",
        text(spec, "nodeName"),
        addresses,
        KLIPPER in part(meta, "labels"),
        shared,
    )


def _controller(
    workload: Workload,
    pods: Sequence[Pod],
    objects: Mapping[str, Sequence[Object]],
    ingresses: Iterable[IngressFacts],
) -> Controller:
    found = read_proxy(workload, objects)
    services = tuple(service_facts(item) for item in workload.services)
    names = {each.name for each in services}
    return Controller(
        kind=workload.kind,
        namespace=workload.namespace,
        name=workload.name,
        pods=tuple(pods),
        services=services,
        settings=found.settings,
        log_format=found.log_format,
        config_map=None if found.config is None else identity(found.config),
        lint=lint(workload, found.config),
        ingresses=tuple(
            each for each in ingresses if each.namespace == workload.namespace and not names.isdisjoint(each.backends)
        ),
        sidecars=sidecars(workload),
        options=dict(found.options),
    )
