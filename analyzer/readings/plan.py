"""What ``externalTrafficPolicy: Local`` would do to a cluster, read off its cluster file: no log is needed.

Under Local a node hands what it receives to its own controller pods alone, and a node without one fails the load
balancer's health check. A load balancer that spreads evenly over nodes then gives each pod ``1 / (nodes * pods on its
node)`` of all requests: https://kubernetes.io/docs/tutorials/services/source-ip/ and the API reference of
``externalTrafficPolicy``.
"""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.addresses.cluster import Cluster
    from analyzer.addresses.cluster_model import Controller, ServiceFacts

UNEVEN = 1.2
"""The busiest pod carries this many times the mean before spreading the pods is advised."""

_TARGET_TYPE = "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type"


@dataclass(frozen=True, slots=True)
class NodePlan:
    """A node under Local: its controller pods, and the share of requests that it and each of its pods would get.

    `serves` is False for a node without such a pod: it fails health checks and gets nothing.
    """

    name: str
    zone: str | None
    pods: int
    serves: bool
    share_pct: float
    pod_share_pct: float | None


@dataclass(frozen=True, slots=True)
class Advice:
    """Something to do, with the patch and who says so."""

    text: str
    patch: str | None
    source: str


@dataclass(frozen=True, slots=True)
class ControllerPlan:
    """What Local would do to one controller.

    Parameters
    ----------
    controller, kind, service, service_type, policy
        Who it is, and what stands in front of it now.
    applies
        Whether the policy decides anything here; `reason` says it in a sentence.
    basis
        ``even`` where the load balancer is taken to spread evenly over nodes, ``traffic`` where a log showed shares.
    nodes
        Every node that has a pod of it or could have one, those that serve first.
    stopping
        Nodes that take part now and would stop.
    pods, pending
        Pods that are placed, and those that wait for a node.
    worst_over_mean
        The share of the busiest pod over that of the mean; None without a pod.
    spare_pods
        How many pods the poorest serving node may lose before it goes dark.
    health_check_node_port
        Where load balancers ask whether a node has a pod; None until Local is set.
    advice
        What to do, the most needed first.
    """

    controller: str
    kind: str
    service: str | None
    service_type: str | None
    policy: str | None
    applies: bool
    reason: str
    basis: str
    nodes: list[NodePlan]
    stopping: list[str]
    pods: int
    pending: int
    worst_over_mean: float | None
    spare_pods: int
    health_check_node_port: int | None
    advice: list[Advice]


def plan(cluster: Cluster, traffic: Mapping[str, int] | None = None) -> list[ControllerPlan]:
    """Plan Local for every controller of a cluster.

    Parameters
    ----------
    cluster
        The cluster file.
    traffic
        Node to requests that entered by it, where a log showed them.
    """
    return [_of(controller, cluster, traffic or {}) for controller in cluster.controllers]


def _of(controller: Controller, cluster: Cluster, traffic: Mapping[str, int]) -> ControllerPlan:
    front = controller.services[0] if controller.services else None
    placed = Counter(pod.node for pod in controller.pods if pod.node is not None)
    entered = {name: traffic.get(name, 0) for name in placed}
    basis = "traffic" if sum(entered.values()) else "even"
    total = sum(entered.values())
    candidates = {node.name: node for node in cluster.nodes if node.schedulable or node.name in placed}
    nodes = []
    for name in [*placed, *(name for name in candidates if name not in placed)]:
        pods = placed[name]
        share = 0.0
        if pods:
            share = 100 * entered[name] / total if total else 100 / len(placed)
        zone = candidates[name].zone if name in candidates else None
        each = round(share / pods, 4) if pods else None
        nodes.append(NodePlan(name, zone, pods, pods > 0, round(share, 4), each))
    nodes.sort(key=lambda node: (not node.serves, -node.share_pct, node.name))
    number = sum(placed.values())
    worst = max((node.pod_share_pct or 0.0 for node in nodes), default=0.0) * number / 100
    applies, reason = _applies(controller, front)
    known = ControllerPlan(
        controller=f"{controller.namespace}/{controller.name}",
        kind=controller.kind,
        service=f"{front.namespace}/{front.name}" if front else None,
        service_type=front.type if front else None,
        policy=front.external_traffic_policy if front else None,
        applies=applies,
        reason=reason,
        basis=basis,
        nodes=nodes,
        stopping=[node.name for node in nodes if not node.serves] if applies else [],
        pods=number,
        pending=len(controller.pods) - number,
        worst_over_mean=round(worst, 4) if number else None,
        spare_pods=min(placed.values(), default=1) - 1,
        health_check_node_port=front.health_check_node_port if front else None,
        advice=[],
    )
    return replace(known, advice=_advice(known, controller, front)) if applies and front else known


def _applies(controller: Controller, front: ServiceFacts | None) -> tuple[bool, str]:
    if controller.kind == "cilium":
        return False, "Cilium's own proxy keeps the client's address under both policies: leave it as it is"
    if front is None or front.type not in ("LoadBalancer", "NodePort"):
        if controller.pods and all(pod.host_network for pod in controller.pods):
            return False, "its pods listen on their nodes' own addresses: no Service stands between"
        return False, "no Service of type LoadBalancer or NodePort stands in front of it"
    if front.annotations.get(_TARGET_TYPE) == "ip":
        return False, "its load balancer sends to pods, not to nodes: the policy decides nothing"
    if front.external_traffic_policy == "Local":
        return True, "Local is set already: this is how it works now"
    return True, "Cluster is set: nodes masquerade, and hand on to pods anywhere"


def _advice(known: ControllerPlan, controller: Controller, front: ServiceFacts) -> list[Advice]:
    serving = [node for node in known.nodes if node.serves]
    if not serving:
        return [Advice("no pod of the controller is placed: under Local nothing would be served", None, _SOURCE_IP)]
    found = []
    if len(serving) == 1:
        text = f"{serving[0].name} alone would serve, and without it everything is down: run a second pod elsewhere"
        scale = _kubectl(controller.namespace, "scale", "deployment", controller.name, "--replicas", "2")
        found.append(Advice(text, scale, _SOURCE_IP))
    if known.worst_over_mean is not None and known.worst_over_mean > UNEVEN:
        text = (
            f"the busiest pod would get {known.worst_over_mean:.2f} times the mean: spread the pods evenly over nodes"
        )
        found.append(Advice(text, _spread(controller, front.selector), _TOPOLOGY))
    if known.stopping:
        text = "a DaemonSet has a pod on every node, so that none stops serving and all get the same"
        found.append(Advice(text, _DAEMONSET.get(known.kind), _TOPOLOGY))
    port = known.health_check_node_port
    named = f"port {port}" if port else "the healthCheckNodePort, which Kubernetes chooses with the policy,"
    found.append(Advice(f"open {named} of every node to the load balancer's probes (HTTP, /healthz)", None, _HEALTH))
    text = (
        "a node whose last pod terminates fails its health check, and hands on to that pod until it is gone "
        "(Kubernetes 1.28): give pods a preStop delay longer than the load balancer takes to notice"
    )
    found.append(Advice(text, None, _TERMINATION))
    if known.policy != "Local":
        patch = orjson.dumps({"spec": {"externalTrafficPolicy": "Local"}}).decode()
        switch = _kubectl(front.namespace, "patch", "service", front.name, "-p", patch)
        found.append(Advice("then switch, and see with logscan analyze what it did", switch, _SOURCE_IP))
    return found


_SOURCE_IP = "https://kubernetes.io/docs/tutorials/services/source-ip/"
_HEALTH = (
    "https://kubernetes.io/docs/tasks/access-application-cluster/create-external-load-balancer/"
    "#preserving-the-client-source-ip"
)
_TOPOLOGY = "https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/"
_TERMINATION = "https://www.kubernetes.dev/resources/keps/1669/"

#: Helm values by kind of controller, of the charts ingress-nginx/ingress-nginx and traefik/traefik.
_DAEMONSET = {"ingress-nginx": "controller:\n  kind: DaemonSet", "traefik": "deployment:\n  kind: DaemonSet"}


def _spread(controller: Controller, selector: Mapping[str, str]) -> str:
    constraint = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": dict(selector)},
    }
    patch = {"spec": {"template": {"spec": {"topologySpreadConstraints": [constraint]}}}}
    return _kubectl(controller.namespace, "patch", "deployment", controller.name, "-p", orjson.dumps(patch).decode())


def _kubectl(namespace: str, *words: str) -> str:
    return shlex.join(("kubectl", "-n", namespace, *words))
