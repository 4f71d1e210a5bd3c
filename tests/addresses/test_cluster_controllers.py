"""Ingress controllers, the way to them and their settings, in clusters of the shape that providers give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import clusters
import pytest
from clusters import load, only

from analyzer.addresses.cluster_model import Controller, Lint, ProxySettings
from analyzer.addresses.cluster_settings import CONFIG_KEYS
from analyzer.addresses.ranges import to_text
from analyzer.errors import ClusterError
from analyzer.parsing.log_format import compile_format
from analyzer.rules import load_toml, rules_dir

if TYPE_CHECKING:
    from pathlib import Path

    from analyzer.addresses.cluster import Cluster


def nginx(folder: Path, **config: str) -> Controller:
    """Return ingress-nginx with a ConfigMap; ``_`` stands for ``-`` in its keys."""
    data = {key.replace("_", "-"): value for key, value in config.items()}
    return only(load(folder, clusters.ingress_nginx(("n1", "10.0.0.1"), config=data)))


def ranges(cluster: Cluster, kind: str) -> dict[str, str]:
    """Return the cluster's ranges of a kind: first address to rule."""
    return {to_text(rule.first): rule.rule for rule in cluster.networks() if rule.kind == kind}


@pytest.mark.parametrize(
    ("name", "platform", "cni", "mode", "kind"),
    [
        ("eks", "eks", "aws-vpc", "iptables", "ingress-nginx"),
        ("gke", "gke", "cilium", "cilium", "ingress-nginx"),
        ("aks", "aks", "azure", None, "kong"),
        ("k3s", "k3s", "flannel", None, "traefik"),
        ("kind", "kind", "kindnet", "ipvs", "envoy-gateway"),
        ("digitalocean", "digitalocean", "cilium", None, "ingress-nginx"),
        ("hetzner", "hetzner", "calico", None, "ingress-nginx"),
    ],
)
def test_what_kind_of_cluster(tmp_path: Path, name: str, platform: str, cni: str, mode: str | None, kind: str) -> None:
    """Platform, pod network, kube-proxy's mode and the one controller are told from the objects."""
    cluster = load(tmp_path, clusters.CLUSTERS[name]())
    assert (cluster.platform, cluster.cni, cluster.kube_proxy_mode) == (platform, cni, mode)
    assert only(cluster).kind == kind


def test_eks_service(tmp_path: Path) -> None:
    """The Service in front is the one for traffic, not the webhook's or the metrics', in the API's own words."""
    controller = only(load(tmp_path, clusters.eks()))
    assert (controller.namespace, controller.name) == ("ingress-nginx", "ingress-nginx-controller")
    assert [(pod.name[-5:], pod.node) for pod in controller.pods] == [
        ("0abcd", "ip-10-0-1-12.eu-central-1.compute.internal"),
        ("1abcd", "ip-10-0-2-31.eu-central-1.compute.internal"),
    ]
    (front,) = controller.services
    assert (front.name, front.type, front.load_balancer_class) == (
        "ingress-nginx-controller", "LoadBalancer", "service.k8s.aws/nlb",
    )  # fmt: skip
    assert (front.external_traffic_policy, front.health_check_node_port) == ("Local", 32123)
    assert front.annotations == {
        "service.beta.kubernetes.io/aws-load-balancer-type": "external",
        "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type": "instance",
    }
    assert front.selector == clusters.INGRESS_NGINX


def test_defaults_of_ingress_nginx(tmp_path: Path) -> None:
    """An empty ConfigMap is the controller's defaults, which trust everybody of IPv4 once something asks whom to."""
    settings = only(load(tmp_path, clusters.eks())).settings
    assert settings == ProxySettings(
        use_forwarded_headers=False, use_proxy_protocol=False, enable_real_ip=False, trusted=("0.0.0.0/0",),
        recursive=True, header="X-Forwarded-For",
        sources=dict.fromkeys(
            ("use_forwarded_headers", "use_proxy_protocol", "enable_real_ip", "trusted", "recursive", "header"),
            "default",
        ),
    )  # fmt: skip
    assert (settings.in_use, settings.trusts_everyone) == (False, True)


def test_a_proxy_before_the_controller_is_known_by_that_alone(tmp_path: Path) -> None:
    """Of the Services that an Ingress routes to, those in front of a controller count; others are nobody's business."""
    items = clusters.gke()
    (edge,) = (item for item in items if item["kind"] == "Ingress" and item["metadata"]["name"] == "edge")
    path = {"path": "/shop", "backend": {"service": {"name": "shop", "port": {"number": 80}}}}
    edge["spec"].setdefault("rules", []).append({"http": {"paths": [path]}})
    assert [each.backends for each in only(load(tmp_path, items)).ingresses] == [("ingress-nginx-controller",)]


def test_gke_load_balancer_before_the_controller(tmp_path: Path) -> None:
    """An Ingress of another class that routes to the controller is a proxy before it, and its address a balancer's."""
    cluster = load(tmp_path, clusters.gke())
    controller = only(cluster)
    (edge,) = controller.ingresses
    assert (edge.name, edge.class_name, edge.backends) == ("edge", "gce", ("ingress-nginx-controller",))
    assert [to_text(number) for number in edge.lb_addresses] == ["34.120.1.2"]
    assert ranges(cluster, "cluster-lb") == {"34.120.1.2": "cluster.json: Ingress ingress-nginx/edge"}
    assert controller.settings.use_forwarded_headers is True
    assert controller.settings.sources["trusted"] == "ConfigMap ingress-nginx/ingress-nginx-controller"
    assert list(ranges(cluster, "trusted-proxy")) == ["130.211.0.0", "35.191.0.0", "34.120.1.2"]


def test_digitalocean_misspelt_keys(tmp_path: Path) -> None:
    """Keys that ingress-nginx does not know, and values that are no truth value to Go, are found and do not count."""
    controller = only(load(tmp_path, clusters.digitalocean()))
    assert controller.config_map == ("ingress-nginx", "ingress-nginx-controller")
    assert controller.lint == (
        Lint("unknown-key", "use-forward-headers",
             "use-forward-headers is not read by ingress-nginx, which reads use-forwarded-headers"),
        Lint("unknown-key", "compute-full-forward-for",
             "compute-full-forward-for is not read by ingress-nginx, which reads compute-full-forwarded-for"),
        Lint("bad-value", "enable-real-ip", 'enable-real-ip: expected "true" or "false", got "on"'),
    )  # fmt: skip
    settings = controller.settings
    assert (settings.use_forwarded_headers, settings.enable_real_ip) == (False, False)
    assert (settings.use_proxy_protocol, settings.header, settings.trusted) == (
        True, "proxy_protocol", ("10.114.0.0/20",),
    )  # fmt: skip


def test_cilium_without_ingress_is_no_controller(tmp_path: Path) -> None:
    """The agents of a pod network are no ingress controller; what Cilium knows of its nodes is taken."""
    cluster = load(tmp_path, clusters.digitalocean())
    assert [controller.kind for controller in cluster.controllers] == ["ingress-nginx"]
    assert ranges(cluster, "cni-gateway") == {"10.244.0.88": "cluster.json: overlay of pool-1-abc"}
    assert "10.244.0.0" in ranges(cluster, "pod")


def test_hetzner(tmp_path: Path) -> None:
    """Calico's tunnel is the node's gateway, and the only one; the log format is handed on ready to be compiled."""
    cluster = load(tmp_path, clusters.hetzner())
    controller = only(cluster)
    assert ranges(cluster, "cni-gateway") == {"10.233.72.128": "cluster.json: overlay of node-1"}
    assert controller.services[0].ip_modes == ("Proxy",)
    assert controller.log_format is not None
    assert controller.log_format.startswith('escape=json {"time"')
    assert set(compile_format(controller.log_format).columns) == {"time", "remote_addr", "status"}


def test_both_proxy_and_header(tmp_path: Path) -> None:
    """With PROXY and forwarded headers both, the header is what names the client, trusted of everybody by default."""
    settings = only(load(tmp_path, clusters.hetzner())).settings
    assert (settings.use_proxy_protocol, settings.header) == (True, "X-Forwarded-For")
    assert settings.trusts_everyone
    assert not ranges(load(tmp_path, clusters.hetzner()), "trusted-proxy")


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("use-forward-headers", "use-forwarded-headers"),
        ("use-forwarded-header", "use-forwarded-headers"),
        ("use_forwarded_headers", "use-forwarded-headers"),
        ("compute-full-forward-for", "compute-full-forwarded-for"),
        ("proxy-real-ip-cidrs", "proxy-real-ip-cidr"),
        ("proxy-protocol", "use-proxy-protocol"),
        ("set-real-ip-from", "proxy-real-ip-cidr"),
        ("log-format", "log-format-upstream"),
        ("something-else-entirely", None),
    ],
)
def test_unknown_keys(tmp_path: Path, key: str, near: str | None) -> None:
    """Every key that is not on the controller's list is unknown; what was meant is named if anything is near."""
    items = clusters.ingress_nginx(("n1", "10.0.0.1"), config={key: "true"})
    (found,) = only(load(tmp_path, items)).lint
    meant = f", which reads {near}" if near else ""
    assert found == Lint("unknown-key", key, f"{key} is not read by ingress-nginx{meant}")


@pytest.mark.parametrize(
    "key", ["Use-Forwarded-Headers", "use-geoip", "enable-opentracing", "global-auth-url", "plugins"]
)
def test_known_keys(tmp_path: Path, key: str) -> None:
    """Keys count whatever their case, and those of earlier versions are no misspelling."""
    items = clusters.ingress_nginx(("n1", "10.0.0.1"), config={key: "true"})
    controller = only(load(tmp_path, items))
    assert controller.lint == ()
    assert controller.settings.use_forwarded_headers is (key == "Use-Forwarded-Headers")


def test_the_list_of_keys() -> None:
    """The shipped list holds each key once, in order, with every key that is read, and guesses only keys of it."""
    table = load_toml(rules_dir() / "controllers" / "ingress-nginx.toml")
    for part in ("keys", "older"):
        assert table[part] == sorted(set(table[part]))
    assert set(CONFIG_KEYS["ingress-nginx"]) <= set(table["keys"])
    assert set(table["meant"].values()) <= set(table["keys"])
    assert set(table["keys"]).isdisjoint([*table["older"], *table["meant"]])


def test_what_a_trusted_range_may_be(tmp_path: Path) -> None:
    """Blanks and host bits are nginx's to take; a name is not known here and said to be none."""
    controller = nginx(tmp_path, proxy_real_ip_cidr=" 10.1.2.3/8,lb.example, 2001:db8::1", use_forwarded_headers="1")
    assert controller.settings.trusted == ("10.0.0.0/8", "2001:db8::1/128")
    assert [(each.kind, each.key) for each in controller.lint] == [("bad-value", "proxy-real-ip-cidr")]


def test_settings_that_are_not_in_use_trust_nobody(tmp_path: Path) -> None:
    """A trusted range makes nobody a proxy while nothing reads what it says; half of the internet is no proxy."""
    items = clusters.ingress_nginx(("n1", "10.0.0.1"), config={"proxy-real-ip-cidr": "10.0.0.0/8"})
    assert not ranges(load(tmp_path, items), "trusted-proxy")
    config = {"use-forwarded-headers": "true", "proxy-real-ip-cidr": "0.0.0.0/1,128.0.0.0/1"}
    assert not ranges(load(tmp_path, clusters.ingress_nginx(("n1", "10.0.0.1"), config=config)), "trusted-proxy")


def test_a_file_without_config_maps(tmp_path: Path) -> None:
    """Where the ConfigMap is not in the file nothing is known of it, which is not the defaults."""
    items = [item for item in clusters.eks() if item["kind"] != "ConfigMap"]
    controller = only(load(tmp_path, items))
    assert controller.settings == ProxySettings()
    assert (controller.log_format, controller.config_map, controller.lint) == (None, None, ())


def test_log_format_without_escape(tmp_path: Path) -> None:
    """The log format is as configured; a newline at its end, as YAML leaves it, is not of it."""
    assert nginx(tmp_path, log_format_upstream="$remote_addr $status\n").log_format == "$remote_addr $status"
    assert nginx(tmp_path, log_format_upstream="").log_format is None


def test_sidecar(tmp_path: Path) -> None:
    """A mesh's proxy in the controller's pods is named, as a native sidecar too."""
    items = clusters.ingress_nginx(("n1", "10.0.0.1"))
    items[0]["spec"]["initContainers"] = [{"name": "linkerd-proxy", "image": "cr.l5d.io/linkerd/proxy"}]
    assert only(load(tmp_path, items)).sidecars == ("linkerd",)


def test_a_workload_without_pods(tmp_path: Path) -> None:
    """A Deployment is a controller before it has pods, but not when it is scaled to none."""
    items = [item for item in clusters.eks() if item["kind"] != "Pod"]
    controller = only(load(tmp_path, items))
    assert (controller.pods, len(controller.services)) == ((), 1)
    for item in items:
        if item["kind"] == "Deployment":
            item["spec"]["replicas"] = 0
    assert load(tmp_path, items).controllers == ()


def custom() -> list[dict[str, Any]]:
    """Make a proxy that no image or label gives away, behind a Service, beside an ordinary ingress-nginx."""
    return [
        *clusters.ingress_nginx(("n1", "10.0.0.1")),
        clusters.pod("edge-5c9d8f7b6-abcde", "n1", "10.0.0.5", namespace="web", labels={"app": "edge"},
                     image="mirror.example/proxy:1"),
        clusters.service("front", "10.96.0.9", namespace="web", selector={"app": "edge"}),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["web/edge", "web/front", "web/edge-5c9d8f7b6-abcde"])
def test_a_controller_that_is_named(tmp_path: Path, name: str) -> None:
    """A named workload, Service or pod is the controller, and the only one."""
    controller = only(load(tmp_path, custom(), name))
    assert controller.kind == "other"
    assert [each.name for each in controller.pods] == ["edge-5c9d8f7b6-abcde"]
    assert [each.name for each in controller.services] == ["front"]
    assert controller.settings == ProxySettings()


def test_a_named_controller_of_a_known_kind(tmp_path: Path) -> None:
    """A named controller that is known by its image is read as what it is."""
    assert only(load(tmp_path, custom(), "ingress-nginx/ingress-nginx-controller")).settings.recursive is True


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("web/none", "--controller web/none: expected a workload, Service or pod of the cluster, got none"),
        ("edge", "--controller: expected NAMESPACE/NAME, got 'edge'"),
        ("a/b/c", "--controller: expected NAMESPACE/NAME, got 'a/b/c'"),
        ("/x", "--controller: expected NAMESPACE/NAME, got '/x'"),
    ],
)
def test_a_controller_that_is_not_there(tmp_path: Path, name: str, message: str) -> None:
    """A name that is none or nothing's is an error, not an empty answer."""
    with pytest.raises(ClusterError) as error:
        load(tmp_path, custom(), name)
    assert str(error.value) == message


def test_service_without_a_selector(tmp_path: Path) -> None:
    """A Service that selects nothing is in front of the pods that its EndpointSlices name."""
    endpoints = {
        "kind": "EndpointSlice",
        "metadata": {"name": "s-1", "namespace": "ingress-nginx", "labels": {"kubernetes.io/service-name": "manual"}},
        "endpoints": [{"targetRef": {"kind": "Pod", "name": "ingress-nginx-controller-5d8c6-0abcd"}}],
    }
    items = [
        *clusters.ingress_nginx(("n1", "10.0.0.1")),
        clusters.service("manual", "10.96.9.9", namespace="ingress-nginx", type="NodePort"),
        endpoints,
    ]
    assert [each.name for each in only(load(tmp_path, items)).services] == ["manual", "ingress-nginx-controller"]


def test_odd_values_everywhere(tmp_path: Path) -> None:
    """Nulls and values of the wrong type in any place make nothing known, and no error."""
    for odd in (None, 5, "x", [], {}, [None], [{}], {"x": None}):
        items: list[dict[str, Any]] = [
            {"kind": kind, "metadata": {"labels": odd, "annotations": odd, "name": odd}, "spec": odd, "status": odd,
             "data": odd, "endpoints": odd}
            for kind in ("Node", "Pod", "Service", "EndpointSlice", "ConfigMap", "Deployment", "Ingress", "Gateway",
                         "IngressClass", "ServiceCIDR", "ClientTrafficPolicy", "NginxProxy", "CiliumNode")
        ]  # fmt: skip
        controller = clusters.pod("c-1", "n1", "10.0.0.1", image="kong:3", args=odd, command=odd)
        controller["spec"]["containers"].append({"env": odd, "image": odd, "name": odd})
        assert only(load(tmp_path, [*items, controller])).kind == "kong"
