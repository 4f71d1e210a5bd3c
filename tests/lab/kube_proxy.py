"""The rules of kube-proxy's iptables mode, for one Service in front of an ingress controller.

Chains, marks and their order are those of kubernetes/kubernetes pkg/proxy/iptables/proxier.go; what the lab has no use
for is left out. Under Cluster all that comes from outside is marked and masqueraded, for a pod of the same node too;
under Local a node hands on to its own pods alone, and drops what comes where it has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.network import CLUSTER_IP, NODE_PORT, NODES, PODS, VIP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.network import Network


def serve(network: Network, policy: str, pods: Sequence[str], port: int) -> None:
    """Let every node hand on what comes to the Service to these pods, by an externalTrafficPolicy."""
    for node in NODES:
        local = [network.pod(pod) for pod in pods if PODS[pod][0] == node]
        rules = _rules([network.pod(pod) for pod in pods], local, policy, port, f"{network.pods}.0.0/16")
        network.run(node, ["iptables-restore"], rules)


def lead_through_svclb(network: Network) -> None:
    """Put k3s's service load balancer before the Service: a host port on every node, and a pod that masquerades.

    The pod's rules are those of k3s-io/klipper-lb's entry script; the host port is the CNI plugin portmap's.
    """
    hand_on = f"""*nat
-A PREROUTING -p tcp --dport 80 -j DNAT --to-destination {CLUSTER_IP}:80
-A POSTROUTING -d {CLUSTER_IP}/32 -p tcp -j MASQUERADE
COMMIT
"""
    for pod, (node, _) in PODS.items():
        if pod.startswith("svclb"):
            to_pod = (
                f"-A PREROUTING -d {NODES[node]}/32 -p tcp --dport 80 -j DNAT --to-destination {network.pod(pod)}:80"
            )
            network.run(pod, ["iptables-restore"], hand_on)
            network.run(node, ["iptables-restore", "--noflush"], f"*nat\n{to_pod}\nCOMMIT\n")


def _rules(pods: list[str], local: list[str], policy: str, port: int, cluster_cidr: str) -> str:
    front = f"-d {VIP}/32 -p tcp --dport 80"
    node_port = f"-m addrtype --dst-type LOCAL -p tcp --dport {NODE_PORT}"
    external = (
        ["-A KUBE-EXT -j KUBE-MARK-MASQ", "-A KUBE-EXT -j KUBE-SVC"]
        if policy == "Cluster"
        else [f"-A KUBE-EXT -s {cluster_cidr} -j KUBE-SVC", "-A KUBE-EXT -j KUBE-SVL"]
    )
    chains = [*_choice("KUBE-SVC", pods, port), *_choice("KUBE-SVL", local, port)]
    dropped = [] if policy == "Cluster" or local else [f"-A FORWARD {front} -j DROP", f"-A INPUT {node_port} -j DROP"]
    return "\n".join([
        "*filter", *dropped, "COMMIT", "*nat",
        ":KUBE-MARK-MASQ - [0:0]", ":KUBE-SVC - [0:0]", ":KUBE-SVL - [0:0]", ":KUBE-EXT - [0:0]",
        "-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000",
        f"-A PREROUTING {front} -j KUBE-EXT",
        f"-A PREROUTING -d {CLUSTER_IP}/32 -p tcp --dport 80 -j KUBE-SVC",
        f"-A PREROUTING {node_port} -j KUBE-EXT",
        *external, *chains,
        "-A POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
        "-A POSTROUTING -j MARK --xor-mark 0x4000",
        "-A POSTROUTING -j MASQUERADE --random-fully",
        "COMMIT", "",
    ])  # fmt: skip


def _choice(chain: str, pods: list[str], port: int) -> list[str]:
    """Each pod is as likely as any: the first of n is taken with 1/n, the next of the others with 1/(n-1)."""
    lines = []
    for at, pod in enumerate(pods):
        left = len(pods) - at
        by_chance = f" -m statistic --mode random --probability {1 / left:.10f}" if left > 1 else ""
        lines.append(f"-A {chain} -p tcp{by_chance} -j DNAT --to-destination {pod}:{port}")
    return lines
