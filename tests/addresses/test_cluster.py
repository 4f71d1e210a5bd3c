"""The cluster file in the shapes that kind, EKS, GKE and k3s give it, IPv4 and dual stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import polars as pl
import pytest

from analyzer.addresses.classify import Classifier
from analyzer.addresses.cluster import Cluster
from analyzer.addresses.ranges import parse_addresses, to_text
from analyzer.errors import ClusterError

if TYPE_CHECKING:
    from pathlib import Path

NO_SCHEDULE = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
API_SERVER = ["kube-apiserver", "--secure-port=6443", "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112"]


def node(name: str, *addresses: tuple[str, str], cidrs: tuple[str, ...] = (), **spec: Any) -> dict[str, Any]:
    """Make a Node as kubectl shows it."""
    ranges = {"podCIDR": cidrs[0], "podCIDRs": list(cidrs)} if cidrs else {}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux", "topology.kubernetes.io/zone": "eu-1a"}},
        "spec": {**ranges, "providerID": f"aws:///eu-1a/{name}", **spec},
        "status": {"addresses": [{"type": type_, "address": address} for type_, address in addresses]},
    }


def pod(name: str, node_name: str | None, *ips: str, namespace: str = "default", **more: Any) -> dict[str, Any]:
    """Make a Pod as kubectl shows it; `more` goes to its spec, but for `phase` and `labels`."""
    status: dict[str, Any] = {"phase": more.pop("phase", "Running"), "hostIP": "172.18.0.3"}
    if ips:
        status |= {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
    placed = {"nodeName": node_name} if node_name else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": more.pop("labels", {"app": name})},
        "spec": {"containers": [{"name": "main", "image": "web:1"}], **placed, **more},
        "status": status,
    }


def service(name: str, *cluster_ips: str, ingress: list[dict[str, str]] | None = None, **spec: Any) -> dict[str, Any]:
    """Make a Service as kubectl shows it, of type LoadBalancer where it has an ingress."""
    kind = {"type": "LoadBalancer" if ingress else "ClusterIP"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "ingress"},
        "spec": {"clusterIP": cluster_ips[0], "clusterIPs": list(cluster_ips), **kind, **spec},
        "status": {"loadBalancer": {"ingress": ingress} if ingress else {}},
    }


def load(folder: Path, *items: dict[str, Any], kind: str = "List") -> Cluster:
    """Write a cluster file and read it."""
    file = folder / "cluster.json"
    file.write_bytes(orjson.dumps({"apiVersion": "v1", "kind": kind, "metadata": {}, "items": items}))
    return Cluster.load(file)


def labels(cluster: Cluster, *texts: str) -> dict[str, tuple[str, str, str, str | None, bool]]:
    """Return what addresses are by the cluster: class, kind, rule, node, live pod."""
    frame = parse_addresses(pl.Series("address", texts)).to_frame()
    rows = Classifier((), cluster.networks()).label(frame).select("class", "kind", "rule", "node", "in_cluster").rows()
    return dict(zip(texts, rows, strict=True))


def kind_cluster(folder: Path) -> Cluster:
    """Make a dual-stack kind cluster: a tainted control plane, two workers, routes by podCIDR."""
    return load(
        folder,
        node("control", ("InternalIP", "172.18.0.2"), ("Hostname", "control"), cidrs=("10.244.0.0/24",),
             taints=[NO_SCHEDULE]),
        node("worker-1", ("InternalIP", "172.18.0.3"), ("InternalIP", "fc00:f853::3"), ("Hostname", "worker-1"),
             cidrs=("10.244.1.0/24", "fd00:10:244:1::/64")),
        node("worker-2", ("InternalIP", "172.18.0.4"), ("Hostname", "worker-2"), cidrs=("10.244.2.0/24",)),
        pod("kube-apiserver-control", "control", "172.18.0.2", namespace="kube-system", hostNetwork=True,
            containers=[{"name": "kube-apiserver", "command": API_SERVER}]),
        pod("controller-x", "worker-1", "10.244.1.7", "fd00:10:244:1::7", namespace="ingress"),
        pod("job-1", "worker-2", "10.244.2.9", phase="Succeeded"),
        service("controller", "10.96.4.4", "fd00:10:96::44", ingress=[{"ip": "198.51.100.20", "ipMode": "VIP"}]),
        service("headless", "None"),
    )  # fmt: skip


def test_kind_dual_stack(tmp_path: Path) -> None:
    """Nodes, masquerading gateways, live pods, the rest of a pod range and Services are told apart in both families."""
    found = labels(
        kind_cluster(tmp_path), "172.18.0.3", "fc00:f853::3", "10.244.1.0", "10.244.1.1", "10.244.1.2", "10.244.1.7",
        "fd00:10:244:1::", "fd00:10:244:1::1", "fd00:10:244:1::2", "fd00:10:244:1::7", "10.96.4.4", "10.96.4.5",
        "fd00:10:96::44", "fd00:10:96::1", "198.51.100.20",
    )  # fmt: skip
    of_node = ("node", "node", "cluster.json: node worker-1", "worker-1", False)
    gateway = ("node", "cni-gateway", "cluster.json: podCIDR of worker-1", "worker-1", False)
    rest = ("private", "pod", "cluster.json: podCIDR of worker-1", None, False)
    live = ("private", "pod", "cluster.json: pod ingress/controller-x", None, True)
    own = ("private", "service", "cluster.json: clusterIP of ingress/controller", None, False)
    assert found == {
        "172.18.0.3": of_node, "fc00:f853::3": of_node,
        "10.244.1.0": gateway, "10.244.1.1": gateway, "10.244.1.2": rest, "10.244.1.7": live,
        "fd00:10:244:1::": gateway, "fd00:10:244:1::1": gateway, "fd00:10:244:1::2": rest, "fd00:10:244:1::7": live,
        "10.96.4.4": own, "10.96.4.5": ("private", "service", "cluster.json: service range 10.96.0.0/16", None, False),
        "fd00:10:96::44": own,
        "fd00:10:96::1": ("private", "service", "cluster.json: service range fd00:10:96::/112", None, False),
        "198.51.100.20": ("lb", "cluster-lb", "cluster.json: load balancer of ingress/controller", None, False),
    }  # fmt: skip


def test_pods_that_are_no_callers(tmp_path: Path) -> None:
    """A pod that has ended gave its address back, and a hostNetwork pod's address is its node's."""
    found = labels(kind_cluster(tmp_path), "10.244.2.9", "172.18.0.2")
    assert found["10.244.2.9"][2:] == ("cluster.json: podCIDR of worker-2", None, False)
    assert found["172.18.0.2"][:3] == ("node", "node", "cluster.json: node control")


def test_host_network_pods_without_their_nodes(tmp_path: Path) -> None:
    """In a file without nodes a hostNetwork pod's address is still no pod's: many things on its node share it."""
    cluster = load(
        tmp_path,
        pod("proxy", "n1", "172.18.0.2", hostNetwork=True),
        pod("web", "n1", "10.244.0.2", hostNetwork=False),
    )
    found = labels(cluster, "172.18.0.2", "10.244.0.2")
    assert found["172.18.0.2"][2].startswith("networks/special-purpose.toml: rfc1918")
    assert found["10.244.0.2"][2] == "cluster.json: pod default/web"


def test_schedulable_nodes(tmp_path: Path) -> None:
    """A cordoned node or one whose taint keeps pods away is not schedulable; a mere preference does not count."""
    cluster = load(
        tmp_path,
        node("control", taints=[NO_SCHEDULE]),
        node("full", taints=[{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]),
        node("cordoned", unschedulable=True),
        node("soft", taints=[{"key": "spot", "effect": "PreferNoSchedule"}]),
        node("plain"),
    )
    assert cluster.node_names() == ["soft", "plain"]
    assert cluster.node_names(schedulable_only=False) == ["control", "full", "cordoned", "soft", "plain"]
    assert cluster.nodes[0].zone == "eu-1a"


def test_node_of_a_pod(tmp_path: Path) -> None:
    """A pod's node is found by namespace and name, ended pods too; a name that two nodes hold is ambiguous alone."""
    cluster = load(
        tmp_path,
        pod("a", "n1", "10.0.0.1"), pod("a", "n2", "10.0.0.2", namespace="other"),
        pod("b", "n1", "10.0.0.3"), pod("b", "n1", "10.0.0.4", namespace="other"),
        pod("done", "n2", phase="Failed"), pod("pending", None, phase="Pending"),
    )  # fmt: skip
    assert [cluster.node_of(namespace, "a") for namespace in ("default", "other", "none")] == ["n1", "n2", None]
    assert (cluster.node_of(None, "a"), cluster.node_of(None, "b")) == (None, "n1")
    assert (cluster.node_of("default", "done"), cluster.node_of("default", "pending")) == ("n2", None)
    assert cluster.node_of(None, "unheard-of") is None
    placed = [(each.namespace, each.name, each.node) for each in cluster.pods]
    assert placed[:2] == [("default", "a", "n1"), ("other", "a", "n2")]


def test_eks(tmp_path: Path) -> None:
    """On EKS pods live in the subnets of the nodes: no podCIDR, an ExternalIP, a load balancer known by name alone."""
    cluster = load(
        tmp_path,
        node("ip-10-0-1-12.eu-central-1.compute.internal", ("InternalIP", "10.0.1.12"), ("ExternalIP", "18.156.3.4"),
             ("InternalDNS", "ip-10-0-1-12.eu-central-1.compute.internal"), ("Hostname", "10.0.1.12")),
        pod("web", "ip-10-0-1-12.eu-central-1.compute.internal", "10.0.1.77"),
        service("nlb", "172.20.33.7", ingress=[{"hostname": "k8s-x.elb.eu-central-1.amazonaws.com"}]),
    )  # fmt: skip
    name = "ip-10-0-1-12.eu-central-1.compute.internal"
    assert [to_text(number) for number in cluster.nodes[0].addresses] == ["10.0.1.12", "18.156.3.4"]
    found = labels(cluster, "10.0.1.12", "18.156.3.4", "10.0.1.77", "172.20.33.7", "10.0.1.0", "172.20.33.8")
    assert found["10.0.1.12"] == found["18.156.3.4"] == ("node", "node", f"cluster.json: node {name}", name, False)
    assert found["10.0.1.77"] == ("private", "pod", "cluster.json: pod default/web", None, True)
    assert found["172.20.33.7"][:2] == ("private", "service")
    rest = [found[text][2] for text in ("10.0.1.0", "172.20.33.8")]
    assert all(rule.startswith("networks/special-purpose.toml: rfc1918") for rule in rest)


def test_gke(tmp_path: Path) -> None:
    """On GKE only ``podCIDR`` may be given, and Services say their address in every way that there is."""
    gke = node("gke-a-1", ("InternalIP", "10.128.0.5"), ("ExternalIP", ""))
    gke["spec"]["podCIDR"] = "10.4.2.0/24"
    balanced = service("web", "34.118.225.9", ingress=[{"ip": "35.246.1.2"}, {"ip": "2600:1900::9"}],
                       externalIPs=["192.0.2.50"], loadBalancerIP="35.246.1.3")  # fmt: skip
    found = labels(load(tmp_path, gke, balanced), "10.4.2.1", "10.4.2.9", "34.118.225.9", "35.246.1.2", "2600:1900::9",
                   "192.0.2.50", "35.246.1.3")  # fmt: skip
    assert found["10.4.2.1"][:2] == ("node", "cni-gateway")
    assert found["10.4.2.9"][:2] == ("private", "pod")
    assert found["34.118.225.9"][2] == "cluster.json: clusterIP of ingress/web"
    assert {found[text][:2] for text in list(found)[3:]} == {("lb", "cluster-lb")}


def test_k3s_load_balancer_pods(tmp_path: Path) -> None:
    """Klipper's pods pass on visitors under their own address: they are the load balancer, and name their node."""
    label = {"svccontroller.k3s.cattle.io/svcname": "traefik", "app": "svclb-traefik-1"}
    cluster = load(
        tmp_path,
        node("k3s-1", ("InternalIP", "192.168.5.15"), cidrs=("10.42.0.0/24",)),
        pod("svclb-traefik-1-abc", "k3s-1", "10.42.0.8", namespace="kube-system", labels=label),
        service("traefik", "10.43.9.9", ingress=[{"ip": "192.168.5.15"}]),
    )
    found = labels(cluster, "10.42.0.8", "192.168.5.15")
    rule = "cluster.json: load balancer pod kube-system/svclb-traefik-1-abc"
    assert found["10.42.0.8"] == ("lb", "cluster-lb", rule, "k3s-1", False)
    assert found["192.168.5.15"][:3] == ("node", "node", "cluster.json: node k3s-1")


def test_a_live_pod_shows_that_the_first_address_is_no_gateway(tmp_path: Path) -> None:
    """Where a running pod has the first address of a pod range, the network has no bridge there."""
    cluster = load(tmp_path, node("n1", cidrs=("10.1.0.0/24",)), pod("web", "n1", "10.1.0.1"))
    found = labels(cluster, "10.1.0.0", "10.1.0.1")
    assert found["10.1.0.0"][1] == "cni-gateway"
    assert found["10.1.0.1"] == ("private", "pod", "cluster.json: pod default/web", None, True)


def test_a_pod_range_of_one_address(tmp_path: Path) -> None:
    """A pod range ends where it ends: the address behind a /32 is not the node's gateway."""
    found = labels(load(tmp_path, node("n1", cidrs=("10.1.0.4/32",))), "10.1.0.4", "10.1.0.5")
    assert found["10.1.0.4"][1] == "cni-gateway"
    assert found["10.1.0.5"][1] == "rfc1918"


@pytest.mark.parametrize("kind", ["PodList", "List"])
def test_a_list_of_one_kind(tmp_path: Path, kind: str) -> None:
    """The API's own lists, whose items do not repeat their kind, are read as kubectl's are."""
    item = pod("web", "n1", "10.0.0.1")
    if kind == "PodList":
        del item["kind"]
    assert load(tmp_path, item, kind=kind).node_of("default", "web") == "n1"


def test_a_single_object(tmp_path: Path) -> None:
    """One object alone, as ``kubectl get node NAME -o json`` writes it, is a cluster file too."""
    file = tmp_path / "node.json"
    file.write_bytes(orjson.dumps(node("n1", ("InternalIP", "10.0.0.1"))))
    assert labels(Cluster.load(str(file)), "10.0.0.1")["10.0.0.1"][2] == "node.json: node n1"


def test_missing_and_odd_fields_are_absent(tmp_path: Path) -> None:
    """Objects cut down to almost nothing, nulls and values of the wrong type are read as far as they go."""
    cluster = load(
        tmp_path,
        {"kind": "Node"},
        {"kind": "Node", "metadata": None, "spec": {"podCIDRs": ["10.0.0.1/8", 5], "taints": None},
         "status": {"addresses": 3}},
        {"kind": "Node", "metadata": {"name": "ok", "labels": []},
         "status": {"addresses": [None, {"address": "10.9.9.9"}]}},
        {"kind": "Pod", "metadata": {"name": "p", "labels": None}, "spec": None,
         "status": {"podIPs": [{}, {"ip": None}]}},
        {"kind": "Service", "spec": {"clusterIPs": None, "clusterIP": "None"}, "status": {"loadBalancer": None}},
        {"kind": "ConfigMap", "data": {}},
        {},
    )  # fmt: skip
    assert cluster.node_names() == ["", "", "ok"]
    assert [rule.rule for rule in cluster.networks()] == ["cluster.json: node ok"]
    assert cluster.node_of("default", "p") is None


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"apiVersion: v1\nkind: List\n", "no JSON: "),
        (b"", "no JSON: "),
        (b"\xff\xfe{}", "no JSON: "),
        (b"[1, 2]", "JSON without a `kind`"),
        (b'{"kind": 5}', "JSON without a `kind`"),
        (b'{"kind": "List", "items": []}', "kind List with none of them"),
        (b'{"kind": "List", "items": {"kind": "Node"}}', "kind List with none of them"),
        (b'{"kind": "ConfigMap", "data": {}}', "kind ConfigMap with none of them"),
    ],
)
def test_what_is_no_cluster_file(tmp_path: Path, content: bytes, got: str) -> None:
    """A file that kubectl did not write is an error that names the file and hints at the command."""
    file = tmp_path / "c.json"
    file.write_bytes(content)
    with pytest.raises(ClusterError) as error:
        Cluster.load(file)
    assert str(error.value).startswith(f"{file}: expected Nodes, Pods and Services as kubectl writes them, got {got}")
    assert error.value.hint == "run: kubectl get nodes,services,pods --all-namespaces -o json > cluster.json"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file and a folder are errors that say so."""
    with pytest.raises(ClusterError, match="got No such file or directory"):
        Cluster.load(tmp_path / "missing.json")
    with pytest.raises(ClusterError, match="got Is a directory"):
        Cluster.load(tmp_path)
