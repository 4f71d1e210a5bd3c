"""What stands in front of a Service: which load balancer it is, and what that does to the visitor's address.

Told by the Service's annotations, its class and the platform, as each provider documents them; the sources stand at the
annotations in `analyzer.addresses.cluster_services` and at the fixes in ``rules/findings/``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from analyzer.addresses.cluster import Cluster
    from analyzer.addresses.cluster_model import Controller, ServiceFacts

CLOUDS = {"eks": "aws", "gke": "gcp", "gce": "gcp", "aks": "azure"}
"""Platform to provider, where their names differ."""
_BETA = "service.beta.kubernetes.io/"
_AWS = f"{_BETA}aws-load-balancer-"
_GOOGLE = ("gce", "gke", "networking.gke.io", "ingress.gke")
_NEG = "cloud.google.com/neg"
#: Load balancers inside the cluster that hand packets on as they are: beginnings of annotations, of classes.
_PASSING = (
    ("metallb", ("metallb.io/", "metallb.universe.tf/"), "metallb"),
    ("kube-vip", ("kube-vip.io/",), "kube-vip"),
    ("cilium", ("io.cilium/", "lbipam.cilium.io/"), "io.cilium"),
)


class Balancer(NamedTuple):
    """A load balancer.

    Parameters
    ----------
    name
        Its kind; None where nothing tells it.
    is_proxying
        Its own address stands in the visitor's place; None where that is not known.
    sends_proxy_protocol
        It sends PROXY headers; None where its annotations do not decide.
    """

    name: str | None = None
    is_proxying: bool | None = None
    sends_proxy_protocol: bool | None = None


def balancer(service: ServiceFacts, controller: Controller, cluster: Cluster) -> Balancer:
    """Return what stands in front of a Service of a controller."""
    before = _of_ingress(service, controller)
    if before is not None:
        return before
    if service.type != "LoadBalancer":
        return Balancer("node-port" if service.type == "NodePort" else None)
    annotations, class_ = service.annotations, service.load_balancer_class or ""
    for name, keys, classes in _PASSING:
        if class_.startswith(classes) or any(key.startswith(keys) for key in annotations):
            return Balancer(name, is_proxying=False, sends_proxy_protocol=False)
    if any(pod.balances for pod in cluster.pods):
        return Balancer("klipper", is_proxying=False, sends_proxy_protocol=False)
    reader = _READERS.get(CLOUDS.get(cluster.platform or "", cluster.platform or ""))
    return reader(annotations, class_) if reader else Balancer()


def _of_ingress(service: ServiceFacts, controller: Controller) -> Balancer | None:
    """Return the load balancer that an Ingress of a cloud's own puts before the Service; they read HTTP."""
    classes = {each.controller or each.class_name or "" for each in controller.ingresses}
    if any(name.startswith(_GOOGLE) for name in classes) or (
        service.type == "ClusterIP" and _NEG in service.annotations
    ):
        return Balancer("gclb", is_proxying=True, sends_proxy_protocol=False)
    if any("alb" in name for name in classes):
        return Balancer("aws-alb", is_proxying=True, sends_proxy_protocol=False)
    return None


def _aws(annotations: Mapping[str, str], class_: str) -> Balancer:
    type_ = annotations.get(f"{_AWS}type", "")
    target = annotations.get(f"{_AWS}nlb-target-type", "")
    attributes = _attributes(annotations.get(f"{_AWS}target-group-attributes", ""))
    asked = annotations.get(f"{_AWS}proxy-protocol") == "*"
    sends = asked or attributes.get("proxy_protocol_v2.enabled") == "true"
    keeps = attributes.get("preserve_client_ip.enabled")
    if type_ == "nlb-ip" or target == "ip":
        return Balancer("aws-nlb-ip", is_proxying=keeps != "true", sends_proxy_protocol=sends)
    if type_ == "external" or class_ == "service.k8s.aws/nlb":
        return Balancer("aws-nlb-instance", is_proxying=keeps == "false", sends_proxy_protocol=sends)
    if class_ == "eks.amazonaws.com/nlb":
        return Balancer("aws-nlb", sends_proxy_protocol=sends)
    if type_ == "nlb":  # the cloud controller's own, which has no attributes of target groups
        return Balancer("aws-nlb-in-tree", is_proxying=False, sends_proxy_protocol=False)
    return Balancer("aws-clb", is_proxying=True, sends_proxy_protocol=asked)


def _attributes(said: str) -> dict[str, str]:
    pairs = (entry.partition("=") for entry in said.split(","))
    return {key.strip(): value.strip().lower() for key, _, value in pairs}


def _gcp(_: Mapping[str, str], __: str) -> Balancer:
    return Balancer("gke-passthrough", is_proxying=False, sends_proxy_protocol=False)


def _azure(annotations: Mapping[str, str], _: str) -> Balancer:
    sends = annotations.get(f"{_BETA}azure-pls-proxy-protocol") == "true"
    return Balancer("azure", is_proxying=sends, sends_proxy_protocol=sends)


def _digitalocean(annotations: Mapping[str, str], _: str) -> Balancer:
    type_ = annotations.get(f"{_BETA}do-loadbalancer-type", "").upper()
    if type_ == "REGIONAL_NETWORK":
        return Balancer("digitalocean-network", is_proxying=False, sends_proxy_protocol=False)
    sends = annotations.get(f"{_BETA}do-loadbalancer-enable-proxy-protocol") == "true"
    return Balancer("digitalocean", is_proxying=True if type_ else None, sends_proxy_protocol=sends)


def _hetzner(annotations: Mapping[str, str], _: str) -> Balancer:
    said = annotations.get("load-balancer.hetzner.cloud/uses-proxyprotocol")
    # Unsaid, the cloud controller's own environment decides.
    return Balancer("hetzner", is_proxying=True, sends_proxy_protocol=None if said is None else said == "true")


def _linode(annotations: Mapping[str, str], _: str) -> Balancer:
    keys = ("linode-loadbalancer-default-proxy-protocol", "linode-loadbalancer-proxy-protocol")
    said = [annotations[f"{_BETA}{key}"] for key in keys if f"{_BETA}{key}" in annotations]
    # Unsaid, an annotation of a single port may.
    return Balancer("linode", is_proxying=True, sends_proxy_protocol=said[0] in ("v1", "v2") if said else None)


def _openstack(annotations: Mapping[str, str], _: str) -> Balancer:
    keys = (f"{_BETA}ovh-loadbalancer-proxy-protocol", "loadbalancer.openstack.org/proxy-protocol")
    return Balancer("openstack", is_proxying=True, sends_proxy_protocol=_any_set(annotations, keys))


def _ovh(annotations: Mapping[str, str], class_: str) -> Balancer:
    return _openstack(annotations, class_)._replace(name="ovh")


def _scaleway(annotations: Mapping[str, str], _: str) -> Balancer:
    keys = (f"{_BETA}scw-loadbalancer-proxy-protocol-{version}" for version in ("v1", "v2"))
    return Balancer("scaleway", is_proxying=True, sends_proxy_protocol=_any_set(annotations, keys))


def _any_set(annotations: Mapping[str, str], keys: Iterable[str]) -> bool:
    return any(annotations.get(key, "false") != "false" for key in keys)


def _vultr(annotations: Mapping[str, str], _: str) -> Balancer:
    sends = annotations.get(f"{_BETA}vultr-loadbalancer-proxy-protocol") == "true"
    return Balancer("vultr", is_proxying=True, sends_proxy_protocol=sends)


_READERS = {
    "aws": _aws,
    "gcp": _gcp,
    "azure": _azure,
    "digitalocean": _digitalocean,
    "hetzner": _hetzner,
    "linode": _linode,
    "openstack": _openstack,
    "ovh": _ovh,
    "scaleway": _scaleway,
    "vultr": _vultr,
}
