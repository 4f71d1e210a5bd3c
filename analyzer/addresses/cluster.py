"""The cluster file, ``kubectl get ... -o json``, as nodes, pods and services, and the address ranges they make.

Fields that are missing are taken as absent: a snapshot may come from any version and any distribution, and may have
been cut down to what its owner wanted to hand out. Proxy settings (ConfigMaps, environment) are not read here, nor is
the Kubernetes API ever called.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from analyzer.addresses.ranges import NetworkRule, network_ranges, to_number
from analyzer.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_COMMAND = "kubectl get nodes,services,pods --all-namespaces -o json > cluster.json"
_ZONES = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
_KLIPPER = "svccontroller.k3s.cattle.io/svcname"
_SERVICE_RANGE = "--service-cluster-ip-range="


@dataclass(frozen=True, slots=True)
class Node:
    """A node; `schedulable` where an ordinary pod may be put on it: not cordoned, no taint that keeps pods away."""

    name: str
    addresses: tuple[int, ...]
    pod_cidrs: tuple[str, ...]
    schedulable: bool
    zone: str | None


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod; no `addresses` where it shares its node's (``hostNetwork``) or has ended, `node` None until placed.

    `balances` marks a pod of k3s's service load balancer (klipper): it hands on what comes to its node, and what it
    hands on bears its address.
    """

    namespace: str
    name: str
    node: str | None
    addresses: tuple[int, ...]
    balances: bool


@dataclass(frozen=True, slots=True)
class Service:
    """A Service's cluster addresses, and those that the world reaches it by."""

    namespace: str
    name: str
    cluster_addresses: tuple[int, ...]
    lb_addresses: tuple[int, ...]


@dataclass(frozen=True)
class Cluster:
    """What the cluster file says; `name` is the file's, as rules show it."""

    name: str
    nodes: tuple[Node, ...] = ()
    pods: tuple[Pod, ...] = ()
    services: tuple[Service, ...] = ()
    service_cidrs: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> Cluster:
        """Read a cluster file: a List of mixed kinds, a list of one kind, or a single object.

        Raises
        ------
        ClusterError
            Where the file cannot be read, is no JSON, or has no Node, Pod or Service in it.
        """
        with _no_collection():
            return cls._parse(path)

    @classmethod
    def _parse(cls, path: str | Path) -> Cluster:
        try:
            data = orjson.loads(Path(path).read_bytes())
        except OSError as error:
            raise _error(path, error.strerror or str(error)) from error
        except orjson.JSONDecodeError as error:
            raise _error(path, f"no JSON: {error}") from error
        if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
            raise _error(path, "JSON without a `kind`")
        found: dict[str, list[dict[str, Any]]] = {"Node": [], "Pod": [], "Service": []}
        for kind, item in _items(data):
            if kind in found:
                found[kind].append(item)
        if not any(found.values()):
            raise _error(path, f"kind {data['kind']} with none of them")
        return cls(
            name=Path(path).name,
            nodes=tuple(_node(item) for item in found["Node"]),
            pods=tuple(_pod(item) for item in found["Pod"]),
            services=tuple(_service(item) for item in found["Service"]),
            service_cidrs=tuple(dict.fromkeys(cidr for item in found["Pod"] for cidr in _service_cidrs(item))),
        )

    def networks(self) -> list[NetworkRule]:
        """Return the ranges of the cluster; of equal ones the more certain comes first, as `RangeTable` wants it.

        The first two addresses of a node's pod range are its bridge and its overlay device (``cni0``, ``flannel.1``):
        what masquerading leaves. A live pod that has one of them shows that this network does without.
        """
        rules = []
        for node in self.nodes:
            rule = f"{self.name}: node {node.name}"
            rules += [NetworkRule(n, n, "node", "node", rule, node=node.name) for n in node.addresses]
        for pod in self.pods:
            title = f"pod {pod.namespace}/{pod.name}"
            if pod.balances:
                rule = f"{self.name}: load balancer {title}"
                rules += [NetworkRule(n, n, "lb", "cluster-lb", rule, node=pod.node) for n in pod.addresses]
            else:
                rule = f"{self.name}: {title}"
                rules += [NetworkRule(n, n, "private", "pod", rule, in_cluster=True) for n in pod.addresses]
        for node in self.nodes:
            rule = f"{self.name}: podCIDR of {node.name}"
            for first, last in _ranges(node.pod_cidrs):
                for gateway in range(first, min(first + 1, last) + 1):
                    rules.append(NetworkRule(gateway, gateway, "node", "cni-gateway", rule, node=node.name))
                rules.append(NetworkRule(first, last, "private", "pod", rule))
        for service in self.services:
            title = f"{service.namespace}/{service.name}"
            rule = f"{self.name}: load balancer of {title}"
            rules += [NetworkRule(n, n, "lb", "cluster-lb", rule) for n in service.lb_addresses]
            rule = f"{self.name}: clusterIP of {title}"
            rules += [NetworkRule(n, n, "private", "service", rule) for n in service.cluster_addresses]
        for cidr in self.service_cidrs:
            rule = f"{self.name}: service range {cidr}"
            rules += [NetworkRule(*pair, "private", "service", rule) for pair in _ranges([cidr])]
        return rules

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


def _items(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield kind and object; the items of a ``PodList``, as the API itself answers, do not repeat their kind."""
    kind: str = data["kind"]
    if not kind.endswith("List"):
        yield kind, data
    for item in _dicts(data.get("items")):
        yield _text(item, "kind") or kind.removesuffix("List"), item


def _node(item: dict[str, Any]) -> Node:
    meta, spec = _dict(item, "metadata"), _dict(item, "spec")
    labels = _dict(meta, "labels")
    addresses = [_text(address, "address") for address in _dicts(_dict(item, "status").get("addresses"))]
    effects = {taint.get("effect") for taint in _dicts(spec.get("taints"))}
    return Node(
        name=_text(meta, "name") or "",
        addresses=_numbers(addresses),
        pod_cidrs=tuple(_texts(spec.get("podCIDRs")) or _texts([spec.get("podCIDR")])),
        schedulable=spec.get("unschedulable") is not True and effects.isdisjoint({"NoSchedule", "NoExecute"}),
        zone=next((zone for label in _ZONES if (zone := _text(labels, label))), None),
    )


def _pod(item: dict[str, Any]) -> Pod:
    meta, spec, status = _dict(item, "metadata"), _dict(item, "spec"), _dict(item, "status")
    addresses: tuple[int, ...] = ()
    if spec.get("hostNetwork") is not True and status.get("phase") not in ("Succeeded", "Failed"):
        listed = [_text(entry, "ip") for entry in _dicts(status.get("podIPs"))]
        addresses = _numbers([*listed, _text(status, "podIP")])
    return Pod(
        namespace=_text(meta, "namespace") or "default",
        name=_text(meta, "name") or "",
        node=_text(spec, "nodeName"),
        addresses=addresses,
        balances=_KLIPPER in _dict(meta, "labels"),
    )


def _service(item: dict[str, Any]) -> Service:
    meta, spec = _dict(item, "metadata"), _dict(item, "spec")
    ingress = _dicts(_dict(_dict(item, "status"), "loadBalancer").get("ingress"))
    published = [_text(entry, "ip") for entry in ingress]
    return Service(
        namespace=_text(meta, "namespace") or "default",
        name=_text(meta, "name") or "",
        cluster_addresses=_numbers([*_texts(spec.get("clusterIPs")), _text(spec, "clusterIP")]),
        lb_addresses=_numbers([*published, *_texts(spec.get("externalIPs")), _text(spec, "loadBalancerIP")]),
    )


def _service_cidrs(pod: dict[str, Any]) -> Iterator[str]:
    """Yield the Service ranges of a kube-apiserver pod; a managed control plane shows none."""
    if not (_text(_dict(pod, "metadata"), "name") or "").startswith("kube-apiserver"):
        return
    for container in _dicts(_dict(pod, "spec").get("containers")):
        for argument in (*_texts(container.get("command")), *_texts(container.get("args"))):
            if argument.startswith(_SERVICE_RANGE):
                yield from argument.removeprefix(_SERVICE_RANGE).split(",")


def _ranges(cidrs: Iterable[str]) -> Iterator[tuple[int, int]]:
    for cidr in cidrs:
        try:
            yield from network_ranges(cidr)
        except ValueError:
            continue


def _numbers(texts: Iterable[str | None]) -> tuple[int, ...]:
    """Return the addresses among texts, each once; a name (``ExternalDNS``) or ``None`` (headless) is none."""
    numbers = (to_number(text) for text in dict.fromkeys(texts) if text)
    return tuple(number for number in numbers if number is not None)


def _dict(item: dict[str, Any], key: str) -> dict[str, Any]:
    value = item.get(key)
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _text(item: dict[str, Any], key: str) -> str | None:
    value = item.get(key)
    return value if isinstance(value, str) and value else None


def _texts(value: Any) -> list[str]:
    return [entry for entry in value if isinstance(entry, str) and entry] if isinstance(value, list) else []
