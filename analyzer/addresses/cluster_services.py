"""The Services, Ingresses and Gateways that traffic enters by, and which of their annotations say anything about it.

Annotations, by whose controller reads them: kubernetes-sigs/aws-load-balancer-controller
docs/guide/service/annotations.md and kubernetes/cloud-provider-aws; cloud.google.com/kubernetes-engine/docs (load
balancer parameters); cloud-provider-azure.sigs.k8s.io/topics/loadbalancer; digitalocean-cloud-controller-manager
docs/controllers/services/annotations.md; hcloud-cloud-controller-manager docs/reference/load_balancer_annotations.md;
linode-cloud-controller-manager docs/configuration/annotations.md; OVH's guides and cloud-provider-openstack;
scaleway-cloud-controller-manager docs/loadbalancer-annotations.md; others likewise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.addresses.cluster_model import IngressFacts, Service, ServiceFacts
from analyzer.addresses.cluster_objects import (
    Object,
    dicts,
    identity,
    number,
    numbers,
    sub,
    text,
    text_map,
    texts,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

_BETA = "service.beta.kubernetes.io/"
SERVICE_ANNOTATIONS = frozenset({
    *(f"{_BETA}aws-load-balancer-{key}" for key in (
        "type", "nlb-target-type", "proxy-protocol", "target-group-attributes",
    )),
    "cloud.google.com/neg",
    f"{_BETA}azure-pls-proxy-protocol",
    f"{_BETA}do-loadbalancer-type", f"{_BETA}do-loadbalancer-enable-proxy-protocol",
    "load-balancer.hetzner.cloud/uses-proxyprotocol",
    f"{_BETA}linode-loadbalancer-default-proxy-protocol", f"{_BETA}linode-loadbalancer-proxy-protocol",
    f"{_BETA}ovh-loadbalancer-proxy-protocol", "loadbalancer.openstack.org/proxy-protocol",
    f"{_BETA}scw-loadbalancer-proxy-protocol-v1", f"{_BETA}scw-loadbalancer-proxy-protocol-v2",
    f"{_BETA}vultr-loadbalancer-proxy-protocol",
    "metallb.io/address-pool", "metallb.universe.tf/address-pool", "metallb.io/ip-allocated-from-pool",
    "metallb.universe.tf/ip-allocated-from-pool", "kube-vip.io/loadbalancerIPs",
    "io.cilium/lb-ipam-ips", "lbipam.cilium.io/ips",
})  # fmt: skip
"""Annotations of Services that are read: who balances the load, and whether it sends PROXY headers."""
INGRESS_CLASS = "kubernetes.io/ingress.class"
ACTS_ON_CLIENTS = frozenset(
    f"nginx.ingress.kubernetes.io/{key}"
    for key in (
        "limit-rps", "limit-rpm", "limit-connections", "whitelist-source-range", "allowlist-source-range",
        "denylist-source-range",
    )
)  # fmt: skip
"""Annotations of Ingresses that limit or list clients by address.

https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations/
"""


def service(item: Object) -> Service:
    """Return a Service's addresses."""
    spec = sub(item, "spec")
    namespace, name = identity(item)
    return Service(
        namespace=namespace,
        name=name,
        cluster_addresses=numbers([*texts(spec.get("clusterIPs")), text(spec, "clusterIP")]),
        lb_addresses=numbers([*_published(item), *texts(spec.get("externalIPs")), text(spec, "loadBalancerIP")]),
        is_local=spec.get("externalTrafficPolicy") == "Local",
    )


def service_facts(item: Object) -> ServiceFacts:
    """Return what a Service in front of a controller says of the way to it."""
    spec = sub(item, "spec")
    plain = service(item)
    return ServiceFacts(
        namespace=plain.namespace,
        name=plain.name,
        type=text(spec, "type") or "ClusterIP",
        external_traffic_policy=text(spec, "externalTrafficPolicy"),
        health_check_node_port=number(spec, "healthCheckNodePort") or None,
        annotations=known_annotations(item),
        load_balancer_class=text(spec, "loadBalancerClass"),
        ip_modes=tuple(dict.fromkeys(mode for entry in _ingress(item) if (mode := text(entry, "ipMode")))),
        lb_addresses=plain.lb_addresses,
        selector=text_map(spec.get("selector")),
        external_ips=bool(texts(spec.get("externalIPs"))),
        source_ranges=bool(texts(spec.get("loadBalancerSourceRanges"))),
    )


def known_annotations(item: Object) -> dict[str, str]:
    """Return the annotations of a Service that say how a load balancer treats the client's address."""
    own = text_map(sub(item, "metadata", "annotations"))
    return {key: value for key, value in own.items() if key in SERVICE_ANNOTATIONS}


def entrances(
    objects: Mapping[str, Sequence[Object]], fronts: AbstractSet[tuple[str, str]]
) -> tuple[IngressFacts, ...]:
    """Return the Ingresses and Gateways; `fronts` are the Services in front of controllers."""
    classes = {identity(item)[1]: text(sub(item, "spec"), "controller") for item in objects["IngressClass"]}
    found = []
    for item in objects["Ingress"]:
        namespace, name = identity(item)
        annotations = sub(item, "metadata", "annotations")
        class_name = text(sub(item, "spec"), "ingressClassName") or text(annotations, INGRESS_CLASS)
        controller = classes.get(class_name) if class_name else None
        addresses = numbers(_published(item))
        acting = tuple(sorted(ACTS_ON_CLIENTS.intersection(annotations)))
        found.append(
            IngressFacts("Ingress", namespace, name, class_name, controller, addresses, backends(item, fronts), acting)
        )
    for item in objects["Gateway"]:
        listed = dicts(sub(item, "status").get("addresses"))
        addresses = numbers(text(entry, "value") for entry in listed)
        class_name = text(sub(item, "spec"), "gatewayClassName")
        found.append(IngressFacts("Gateway", *identity(item), class_name, None, addresses, ()))
    return tuple(found)


def backends(item: Object, fronts: AbstractSet[tuple[str, str]]) -> tuple[str, ...]:
    """Return the names of the Services that an Ingress routes to, as far as they are in front of a controller."""
    spec, namespace = sub(item, "spec"), identity(item)[0]
    paths = [path for rule in dicts(spec.get("rules")) for path in dicts(sub(rule, "http").get("paths"))]
    named = [
        text(sub(each, "service"), "name")
        for each in (sub(spec, "defaultBackend"), *(sub(path, "backend") for path in paths))
    ]
    return tuple(name for name in dict.fromkeys(named) if name and (namespace, name) in fronts)


def _ingress(item: Object) -> list[Object]:
    return dicts(sub(item, "status", "loadBalancer").get("ingress"))


def _published(item: Object) -> list[str | None]:
    return [text(entry, "ip") for entry in _ingress(item)]
