"""Whose cluster it is, which network its pods have, and how kube-proxy hands on what comes to a node.

Platforms are told by the scheme of ``spec.providerID`` and by node labels, which the providers' cloud controllers and
node images set: aws (eksctl, EKS), gce (GKE), azure (AKS), digitalocean, hcloud and hrobot, linode, openstack (OVH),
scaleway, k3s, kind. A managed service is told from a self-made cluster at the same provider by its labels or version.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from analyzer.addresses.cluster_objects import (
    Object,
    flags,
    identity,
    labels,
    part,
    ranges,
    sub,
    text,
    texts,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

#: Beginning of a node label -> platform; a managed service's own labels stand before its provider's scheme.
LABEL_PREFIXES = {
    "eks.amazonaws.com/": "eks",
    "alpha.eksctl.io/": "eks",
    "cloud.google.com/gke-": "gke",
    "kubernetes.azure.com/": "aks",
    "doks.digitalocean.com/": "digitalocean",
    "lke.linode.com/": "linode",
    "k8s.scaleway.com/": "scaleway",
    "k8s.ovh.net/": "ovh",
    "node.k8s.ovh/": "ovh",
    "node.openshift.io/": "openshift",
    "minikube.k8s.io/": "minikube",
    "microk8s.io/": "microk8s",
}
_PREFIXES = tuple(LABEL_PREFIXES)
_SCHEMES = {
    "aws": "aws", "gce": "gce", "azure": "azure", "digitalocean": "digitalocean", "hcloud": "hetzner",
    "hrobot": "hetzner", "linode": "linode", "openstack": "openstack", "scaleway": "scaleway", "k3s": "k3s",
    "kind": "kind", "vultr": "vultr", "ibm": "ibm", "vsphere": "vsphere", "exoscale": "exoscale", "oci": "oci",
    "alicloud": "alibaba", "upcloud": "upcloud", "ionos": "ionos", "metal3": "metal3",
}  # fmt: skip
_VERSIONS = {"-eks-": "eks", "-gke.": "gke", "+k3s": "k3s", "+rke2": "rke2"}
_CLOUDS_OF_VERSION = {"eks", "gke"}

#: Value of a pod's or DaemonSet's label ``k8s-app``, ``app`` or ``app.kubernetes.io/name`` -> network.
NETWORKS = {
    "cilium": "cilium",
    "anetd": "cilium",
    "calico-node": "calico",
    "canal": "canal",
    "flannel": "flannel",
    "kube-flannel": "flannel",
    "aws-node": "aws-vpc",
    "azure-cns": "azure",
    "kindnet": "kindnet",
    "weave-net": "weave",
    "kube-router": "kube-router",
    "antrea": "antrea",
    "ovnkube-node": "ovn-kubernetes",
    "kube-ovn-cni": "kube-ovn",
}
_NETWORK_NAMESPACES = frozenset({
    "kube-system", "calico-system", "kube-flannel", "cilium", "weave", "openshift-ovn-kubernetes",
})  # fmt: skip
NETWORK_LABELS = ("k8s-app", "app", "app.kubernetes.io/name")
FLANNEL = "flannel.alpha.coreos.com/backend-type"
"""An annotation of nodes that flannel's own agent sets, and k3s's built-in one."""

SYSTEM_CONFIGS = {
    "kube-proxy": "config.conf",
    "kube-proxy-config": "config",
    "kubeadm-config": "ClusterConfiguration",
}
"""ConfigMaps of kube-system that are read, and the key in which each holds YAML."""

_SYSTEM_PODS = ("kube-apiserver", "kube-controller-manager", "kube-proxy")
_MODE = re.compile(r"""(?m)^mode:[ \t]*["']?([a-z]*)""")
_CIDRS = {
    "pods": re.compile(r"""(?m)^\s*(?:clusterCIDR|podSubnet):[ \t]*["']?([0-9a-fA-F:./,]+)"""),
    "services": re.compile(r"""(?m)^\s*serviceSubnet:[ \t]*["']?([0-9a-fA-F:./,]+)"""),
}


def platform(nodes: Iterable[Object]) -> str | None:
    """Return the platform that most nodes speak of."""
    found = Counter(name for node in nodes if (name := _platform_of(node)))
    return found.most_common(1)[0][0] if found else None


def _platform_of(node: Object) -> str | None:
    own = labels(node)
    telling = [label for label in own if label.startswith(_PREFIXES)]
    for prefix, name in LABEL_PREFIXES.items() if telling else ():
        if any(label.startswith(prefix) for label in telling):
            return name
    version = text(sub(node, "status", "nodeInfo"), "kubeletVersion") or ""
    built = next((name for part, name in _VERSIONS.items() if part in version), None)
    if built in _CLOUDS_OF_VERSION:
        return built
    provider = text(sub(node, "spec"), "providerID") or ""
    scheme, colon, _ = provider.partition("://")
    return (_SCHEMES.get(scheme, scheme) if colon else None) or built


def network(objects: Mapping[str, Sequence[Object]]) -> str | None:
    """Return the name of the pod network's plugin."""
    for kind in ("DaemonSet", "Pod"):
        for item in objects[kind]:
            if name := network_of(item):
                return name
    for node in objects["Node"]:
        if FLANNEL in sub(node, "metadata", "annotations"):
            return "flannel"
    return None


def network_of(item: Object) -> str | None:
    """Return the network plugin that a pod or DaemonSet is of."""
    if text(part(item, "metadata"), "namespace") not in _NETWORK_NAMESPACES:
        return None
    own = labels(item)
    for key in NETWORK_LABELS:
        value = own.get(key)
        if isinstance(value, str) and value in NETWORKS:
            return NETWORKS[value]
    return None


def kube_proxy_mode(objects: Mapping[str, Sequence[Object]], system: Iterable[Object]) -> str | None:
    """Return ``iptables``, ``ipvs``, ``nftables``, or ``cilium`` where Cilium does its work; None if not seen."""
    for item in objects["ConfigMap"]:
        replaced = sub(item, "data").get("kube-proxy-replacement")
        if identity(item)[1] == "cilium-config" and replaced in ("true", "strict"):
            return "cilium"
    for item in system:
        if mode := flags(sub(item, "spec")).get("proxy-mode"):
            return mode
    for said in _said(objects, ("kube-proxy", "kube-proxy-config")):
        if found := _MODE.search(said):
            return found[1] or "iptables"  # Linux's default is written as an empty text
    return None


def cluster_cidrs(
    objects: Mapping[str, Sequence[Object]], system: Iterable[Object]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the ranges of all pods and of all Services, as far as a control plane shows them."""
    pods: list[str] = []
    services = [cidr for item in objects["ServiceCIDR"] for cidr in texts(sub(item, "spec").get("cidrs"))]
    for item in system:
        given = flags(sub(item, "spec"))
        pods += given.get("cluster-cidr", "").split(",")
        services += given.get("service-cluster-ip-range", "").split(",")
    for said in _said(objects, SYSTEM_CONFIGS):
        pods += [cidr for match in _CIDRS["pods"].finditer(said) for cidr in match[1].split(",")]
        services += [cidr for match in _CIDRS["services"].finditer(said) for cidr in match[1].split(",")]
    return _good(pods), _good(services)


def brief(said: str) -> str:
    """Return of a system ConfigMap's YAML only what is read of it."""
    mode = _MODE.search(said)
    lines = [f'mode: "{mode[1]}"'] if mode else []
    for key, expression in (("podSubnet", _CIDRS["pods"]), ("serviceSubnet", _CIDRS["services"])):
        lines += [f"{key}: {match[1]}" for match in expression.finditer(said)]
    return "\n".join(lines)


def system_pods(pods: Iterable[Object]) -> list[Object]:
    """Return a pod of each part of the control plane and of kube-proxy; a managed control plane shows none."""
    found: dict[str, Object] = {}
    for pod in pods:
        meta = pod.get("metadata")
        name = meta.get("name") if isinstance(meta, dict) else None
        if isinstance(name, str) and name.startswith("kube-"):
            for part in _SYSTEM_PODS:
                if name.startswith(part):
                    found.setdefault(part, pod)
    return list(found.values())


def _said(objects: Mapping[str, Sequence[Object]], names: Iterable[str]) -> Iterator[str]:
    for item in objects["ConfigMap"]:
        namespace, name = identity(item)
        if namespace == "kube-system" and name in names and (said := text(sub(item, "data"), SYSTEM_CONFIGS[name])):
            yield said


def _good(cidrs: Iterable[str]) -> tuple[str, ...]:
    return tuple(cidr for cidr in dict.fromkeys(cidrs) if cidr and any(ranges([cidr])))
