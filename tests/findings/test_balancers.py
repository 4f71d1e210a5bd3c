"""Load balancers in front of a Service: told by what each provider documents, and what they do to the address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from clusters import ingress_nginx, load, node, only

from analyzer.addresses.cluster_services import SERVICE_ANNOTATIONS
from analyzer.findings.balancers import Balancer, balancer

if TYPE_CHECKING:
    from pathlib import Path

BETA = "service.beta.kubernetes.io/"
AWS = f"{BETA}aws-load-balancer-"
PROVIDERS = ("aws", "azure", "digitalocean", "hcloud", "linode", "openstack", "scaleway", "vultr")
OUTSIDE: dict[str, Any] = {"ingress": [{"ip": "203.0.113.9"}]}
NLB_IP = {f"{AWS}type": "external", f"{AWS}nlb-target-type": "ip"}
NLB_INSTANCE = {f"{AWS}type": "external", f"{AWS}nlb-target-type": "instance"}


def attributes(said: str) -> dict[str, str]:
    """Attributes of a target group."""
    return {f"{AWS}target-group-attributes": said}


def told(folder: Path, provider: str, **front: Any) -> Balancer:
    """Read what stands before the only controller of a cluster at a provider."""
    nodes = [node("n1", ("InternalIP", "10.0.0.1"), provider_id=provider)]
    cluster = load(folder, [*nodes, *ingress_nginx(("n1", "10.1.0.1"), front={**OUTSIDE, **front})])
    controller = only(cluster)
    return balancer(controller.services[0], controller, cluster)


@pytest.mark.parametrize(
    ("provider", "annotations", "expected"),
    [
        ("aws:///eu-1a/i-1", {}, ("aws-clb", True, False)),
        ("aws:///eu-1a/i-1", {f"{AWS}proxy-protocol": "*"}, ("aws-clb", True, True)),
        ("aws:///eu-1a/i-1", {f"{AWS}type": "nlb"}, ("aws-nlb-in-tree", False, False)),
        ("aws:///eu-1a/i-1", NLB_IP, ("aws-nlb-ip", True, False)),
        ("aws:///eu-1a/i-1", NLB_IP | attributes("preserve_client_ip.enabled=true"), ("aws-nlb-ip", False, False)),
        (
            "aws:///eu-1a/i-1",
            NLB_IP | attributes("a=b, proxy_protocol_v2.enabled=True"),
            ("aws-nlb-ip", True, True),
        ),
        ("aws:///eu-1a/i-1", NLB_INSTANCE, ("aws-nlb-instance", False, False)),
        (
            "aws:///eu-1a/i-1",
            NLB_INSTANCE | attributes("preserve_client_ip.enabled=false"),
            ("aws-nlb-instance", True, False),
        ),
        ("gce://project/zone/n1", {}, ("gke-passthrough", False, False)),
        ("azure:///subscriptions/x", {}, ("azure", False, False)),
        ("azure:///subscriptions/x", {f"{BETA}azure-pls-proxy-protocol": "true"}, ("azure", True, True)),
        ("digitalocean://1", {}, ("digitalocean", None, False)),
        (
            "digitalocean://1",
            {f"{BETA}do-loadbalancer-type": "REGIONAL", f"{BETA}do-loadbalancer-enable-proxy-protocol": "true"},
            ("digitalocean", True, True),
        ),
        (
            "digitalocean://1",
            {f"{BETA}do-loadbalancer-type": "regional_network"},
            ("digitalocean-network", False, False),
        ),
        ("hcloud://1", {}, ("hetzner", True, None)),
        ("hcloud://1", {"load-balancer.hetzner.cloud/uses-proxyprotocol": "true"}, ("hetzner", True, True)),
        ("hcloud://1", {"load-balancer.hetzner.cloud/uses-proxyprotocol": "false"}, ("hetzner", True, False)),
        ("linode://1", {}, ("linode", True, None)),
        ("linode://1", {f"{BETA}linode-loadbalancer-default-proxy-protocol": "v2"}, ("linode", True, True)),
        ("linode://1", {f"{BETA}linode-loadbalancer-proxy-protocol": "none"}, ("linode", True, False)),
        ("openstack:///1", {"loadbalancer.openstack.org/proxy-protocol": "true"}, ("openstack", True, True)),
        ("openstack:///1", {"loadbalancer.openstack.org/proxy-protocol": "false"}, ("openstack", True, False)),
        (
            "scaleway://instance/1",
            {f"{BETA}scw-loadbalancer-proxy-protocol-v2": "true"},
            ("scaleway", True, True),
        ),
        ("scaleway://instance/1", {}, ("scaleway", True, False)),
        ("vultr://1", {f"{BETA}vultr-loadbalancer-proxy-protocol": "true"}, ("vultr", True, True)),
        ("aws:///eu-1a/i-1", {"metallb.io/address-pool": "a"}, ("metallb", False, False)),
        ("", {"io.cilium/lb-ipam-ips": "192.0.2.1"}, ("cilium", False, False)),
        ("", {}, (None, None, None)),
    ],
)
def test_what_annotations_say(
    provider: str, annotations: dict[str, str], expected: tuple[str | None, bool | None, bool | None], tmp_path: Path
) -> None:
    """Name, whether its own address stands in the visitor's place, and whether it sends PROXY headers."""
    assert told(tmp_path, provider, annotations=annotations) == Balancer(*expected)


@pytest.mark.parametrize("key", sorted(SERVICE_ANNOTATIONS))
def test_every_annotation_that_is_kept_says_something(key: str, tmp_path: Path) -> None:
    """With it, of some value at some provider, another load balancer is told than without: else it need not be read."""
    values = ("true", "*", "v1", "ip", "REGIONAL_NETWORK", "preserve_client_ip.enabled=false")
    cases = [
        (provider, more, front)
        for provider in PROVIDERS
        for more in ({}, NLB_INSTANCE)
        for front in ({}, {"type": "ClusterIP", "ingress": None})
    ]
    assert any(
        told(tmp_path, f"{provider}://1", annotations={**more, key: value}, **front)
        != told(tmp_path, f"{provider}://1", annotations=more, **front)
        for provider, more, front in cases
        for value in values
    )


@pytest.mark.parametrize(
    ("class_", "name"),
    [
        ("service.k8s.aws/nlb", "aws-nlb-instance"),
        ("eks.amazonaws.com/nlb", "aws-nlb"),
        ("metallb", "metallb"),
        ("kube-vip.io/kube-vip-class", "kube-vip"),
    ],
)
def test_a_class_of_load_balancers_decides(class_: str, name: str, tmp_path: Path) -> None:
    """``loadBalancerClass`` says who makes the load balancer, whatever the platform makes by default."""
    assert told(tmp_path, "aws:///eu-1a/i-1", loadBalancerClass=class_).name == name


def test_a_node_port_has_none_of_its_own(tmp_path: Path) -> None:
    """What somebody put before the nodes is not told by a cluster file."""
    assert told(tmp_path, "hcloud://1", ingress=None, type="NodePort") == Balancer("node-port")
    assert told(tmp_path, "hcloud://1", ingress=None, type="ClusterIP") == Balancer()
