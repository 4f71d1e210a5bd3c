"""From a log and a cluster file to findings, through the whole run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import clusters
import orjson
import pytest

from analyzer.jobs.analyze import analyze

if TYPE_CHECKING:
    from pathlib import Path

    from analyzer.report.model import Report

AGENTS = [f"Mozilla/5.0 (X11; Linux x86_64; rv:{number}.0) Gecko/20100101 Firefox/{number}.0" for number in range(90)]
LINE = (
    '{address} - - [21/Nov/2026:07:{minute:02}:09 +0000] "{request}" {status} 612 "-" "{agent}" 88 0.004 '
    "[{upstream}] [] {tried} 612 0.004 {status} 1c6f0d8a3b5e4c7d9e0f1a2b3c4d5e6f\n"
)
BROKEN = (
    '2026/11/21 07:08:09 [error] 31#31: *7 broken header: "{bytes}" while reading PROXY protocol, client: {address}, '
    "server: 0.0.0.0:80\n"
)
VISITORS = [f"{20 + 3 * number % 60}.{7 * number % 250}.{11 * number % 250}.{number}" for number in range(1, 150)]


def requests(*addresses: str, count: int = 200, minute: int = 8, request: str = "GET / HTTP/1.1") -> str:
    """Make lines of requests, the addresses by turns: many are a person each, few stand for many."""
    plain = request.startswith("GET")
    people = len(addresses) if len(addresses) > 20 else 89
    return "".join(
        LINE.format(
            address=addresses[number % len(addresses)], minute=minute, agent=AGENTS[number % people % 90],
            request=request,
            status=200 if plain else 400, upstream="web-80" if plain else "", tried="10.244.9.9:80" if plain else "-",
        )
        for number in range(count)
    )  # fmt: skip


def found(folder: Path, log: str, items: list[dict[str, Any]] | None = None, **options: Any) -> list[str]:
    """Return the ids that a log leads to."""
    return [each.id for each in report(folder, log, items, **options).findings]


def report(folder: Path, log: str, items: list[dict[str, Any]] | None = None, **options: Any) -> Report:
    """Read a log, with a cluster file of these objects."""
    (folder / "access.log").write_text(log)
    if items is not None:
        (folder / "cluster.json").write_bytes(orjson.dumps({"kind": "List", "items": items}))
        options["cluster"] = folder / "cluster.json"
    return analyze(folder / "access.log", **options)


def cluster(
    config: dict[str, str] | None = None, *places: tuple[str, str], annotations: dict[str, str] | None = None,
    platform: str = "", **front: Any,
) -> list[dict[str, Any]]:  # fmt: skip
    """Describe three nodes, and ingress-nginx behind a load balancer."""
    spec = {"externalTrafficPolicy": "Cluster", **front}
    return [
        *(
            clusters.node(f"worker-{at}", ("InternalIP", f"10.0.10.{at}"), cidrs=(f"10.244.{at}.0/24",),
                          provider_id=f"{platform}://x" if platform else "")
            for at in (1, 2, 3)
        ),
        *clusters.ingress_nginx(
            *(places or (("worker-1", "10.244.1.7"), ("worker-2", "10.244.2.7"), ("worker-3", "10.244.3.7"))),
            config=config,
            front={"annotations": annotations or {}, "ingress": [{"ip": "203.0.113.80"}], **spec},
        ),
    ]  # fmt: skip


NODES = ("10.0.10.1", "10.0.10.2", "10.0.10.3")
LOCAL = {"externalTrafficPolicy": "Local", "healthCheckNodePort": 32123}


def test_cluster_and_local(tmp_path: Path) -> None:
    """Nodes in the log and Cluster on the Service; visitors in the log and Local: nothing to say."""
    assert found(tmp_path, requests(*NODES), cluster()) == ["external-traffic-policy-cluster"]
    assert found(tmp_path, requests(*VISITORS), cluster(**LOCAL)) == []


def test_nodes_without_a_cluster_file(tmp_path: Path) -> None:
    """Declared nodes say that somebody masquerades; the policy is a guess, and said to be one."""
    read = report(tmp_path, requests(*NODES), node=["10.0.10.0/24"])
    assert [each.id for each in read.findings] == ["node-addresses-logged"]
    assert "most likely" in read.findings[0].because


def test_nodes_or_a_load_balancer(tmp_path: Path) -> None:
    """A few private addresses of several subnets are either, unless something tells: probes, or the cluster file."""
    few = ("10.0.12.33", "10.0.45.201", "10.0.77.9")
    log = requests(*few, count=600)
    read = report(tmp_path, log)
    assert [each.id for each in read.findings] == ["nodes-or-load-balancer"]
    assert read.findings[0].fixes[0].text.startswith("See whose they are")
    probes = "".join(
        LINE.format(address=address, minute=9, agent="ELB-HealthChecker/2.0", request="GET /healthz HTTP/1.1",
                    status=200, upstream="web-80", tried="10.244.9.9:80")
        for address in few
    )  # fmt: skip
    assert found(tmp_path, log + probes) == ["load-balancer-address-logged"]
    assert "nodes-or-load-balancer" not in found(tmp_path, log, cluster(**LOCAL))
    assert found(tmp_path, log, lb=["10.0.0.0/16"]) == ["load-balancer-address-logged"]


def test_two_proxies_that_name_visitors(tmp_path: Path) -> None:
    """Public addresses that X-Forwarded-For names many visitors behind are proxies, and no masquerading nodes."""
    layout = '$remote_addr [$time_local] "$request" $status "$http_user_agent" "$http_x_forwarded_for"'
    log = "".join(
        f'{edge} [21/Nov/2026:07:08:09 +0000] "GET / HTTP/1.1" 200 "{AGENTS[number % 89]}" '
        f'"{VISITORS[number % len(VISITORS)]}, {edge}"\n'
        for number in range(600)
        for edge in [("52.1.2.3", "18.7.6.5")[number % 2]]
    )
    assert "load-balancer-address-logged" in found(tmp_path, log, log_format=layout)


def test_gateways_of_ipv6_pods(tmp_path: Path) -> None:
    """The first address of a private IPv6 subnet, on which many stand, is a node's bridge, as .1 is."""
    assert found(tmp_path, requests("fd00:10:244:1::1", "fd00:10:244:2::1", count=600)) == ["node-addresses-logged"]


def test_visitors_behind_nat64(tmp_path: Path) -> None:
    """In the well-known prefix of NAT64 a visitor's IPv4 address stands whole: all of them are no subnet of proxies."""
    translated = [f"64:ff9b::{address}" for address in VISITORS]
    read = report(tmp_path, requests(*translated, count=600))
    assert (read.preservation.preserved_pct, list(read.findings)) == (100.0, [])


def test_local_and_nodes_all_the_same(tmp_path: Path) -> None:
    """Nodes' own addresses despite Local have another reason, and so have bridges."""
    assert found(tmp_path, requests(*NODES), cluster(**LOCAL)) == ["masqueraded-despite-local"]
    assert found(tmp_path, requests("10.244.1.1", "10.244.2.0"), cluster(**LOCAL)) == ["cni-masquerade"]


def test_a_switch_half_way(tmp_path: Path) -> None:
    """A change in the log is told with its moment, and what is mended is not found fault with."""
    log = "".join(requests(*NODES, count=50, minute=minute) for minute in range(10))
    log += "".join(requests(*VISITORS, count=50, minute=minute) for minute in range(10, 20))
    read = report(tmp_path, log, cluster(**LOCAL))
    assert [each.id for each in read.findings] == ["preservation-changed"]
    assert read.findings[0].evidence["changed_at"] == "2026-11-21T07:10:00Z"


def test_local_on_another_service(tmp_path: Path) -> None:
    """Local on the Service of an application does nothing, and is named."""
    other = clusters.service("web", "10.96.0.77", namespace="shop", selector={"app": "web"}, type="NodePort",
                             externalTrafficPolicy="Local")  # fmt: skip
    read = report(tmp_path, requests(*NODES), [*cluster(), other])
    assert [each.id for each in read.findings] == ["external-traffic-policy-cluster", "local-on-another-service"]
    assert read.findings[1].evidence["local_elsewhere"] == ["shop/web"]


def test_external_ips(tmp_path: Path) -> None:
    """ExternalIPs are masqueraded under both policies."""
    assert "external-ips" in found(tmp_path, requests(*NODES), cluster(externalIPs=["198.51.100.7"], **LOCAL))


def test_cilium(tmp_path: Path) -> None:
    """Cilium in kube-proxy's place has its own answer, and Cilium Ingress another one."""
    config = clusters.config_map("kube-system", "cilium-config", {"kube-proxy-replacement": "true"})
    log = requests(*NODES, count=120) + requests(*VISITORS, count=80)
    assert found(tmp_path, log, [*cluster(), config]) == ["cilium-kube-proxy-replacement"]
    ingress = [
        *cluster()[:3],
        clusters.config_map("kube-system", "cilium-config", {"enable-ingress-controller": "true"}),
        clusters.pod("cilium-abcde", "worker-1", "10.0.10.1", namespace="kube-system", labels={"k8s-app": "cilium"}),
        clusters.service("cilium-ingress", "10.96.4.4", namespace="kube-system", ingress=[{"ip": "203.0.113.80"}],
                         externalTrafficPolicy="Cluster"),
    ]  # fmt: skip
    assert found(tmp_path, log, ingress) == ["cilium-ingress"]


def test_k3s(tmp_path: Path) -> None:
    """The addresses of svclb pods are k3s's load balancer."""
    read = report(tmp_path, requests("10.42.0.8", "10.42.0.1"), clusters.k3s())
    assert read.findings[0].id == "klipper-masquerade"
    assert read.findings[0].fixes[0].controller == "traefik"


@pytest.mark.parametrize(
    ("platform", "annotations", "first"),
    [
        ("hcloud", {}, "load-balancer.hetzner.cloud/uses-proxyprotocol=true"),
        ("linode", {}, "linode-loadbalancer-default-proxy-protocol=v2"),
        ("scaleway", {}, "scw-loadbalancer-proxy-protocol-v2=true"),
        ("openstack", {}, "loadbalancer.openstack.org/proxy-protocol=v2"),
        (
            "digitalocean",
            {"service.beta.kubernetes.io/do-loadbalancer-type": "REGIONAL"},
            "do-loadbalancer-enable-proxy",
        ),
        ("vultr", {}, "vultr-loadbalancer-proxy-protocol=true"),
        ("aws", {}, "aws-load-balancer-proxy-protocol='*'"),
    ],
)
@pytest.mark.parametrize("policy", ["Cluster", "Local"])
def test_load_balancers_that_are_proxies(
    tmp_path: Path, platform: str, annotations: dict[str, str], first: str, policy: str
) -> None:
    """Under both policies the answer is the PROXY protocol, with the annotation of this cloud."""
    items = cluster(annotations=annotations, platform=platform, externalTrafficPolicy=policy)
    read = report(tmp_path, requests(*(NODES if policy == "Cluster" else ("10.0.99.5",))), items, lb=["10.0.99.0/24"])
    assert [each.id for each in read.findings] == ["proxying-load-balancer"]
    assert first in (read.findings[0].fixes[0].patch or "")
    assert read.findings[0].fixes[0].recognised
    silent = found(tmp_path, requests(*VISITORS), items)
    assert silent == []


@pytest.mark.parametrize(
    ("platform", "annotations", "source"),
    [
        ("gce", {}, "cloud.google.com"),
        ("azure", {}, "cloud-provider-azure"),
        ("digitalocean", {"service.beta.kubernetes.io/do-loadbalancer-type": "REGIONAL_NETWORK"}, "digitalocean"),
        ("aws", {"service.beta.kubernetes.io/aws-load-balancer-type": "external"}, "aws-load-balancer-controller"),
        ("aws", {"service.beta.kubernetes.io/aws-load-balancer-type": "nlb"}, "cloud-provider-aws"),
        ("", {"metallb.io/ip-allocated-from-pool": "public"}, "metallb.io"),
    ],
)
def test_load_balancers_that_pass_packets_through(
    tmp_path: Path, platform: str, annotations: dict[str, str], source: str
) -> None:
    """The answer is Local, with what is special of this load balancer first."""
    read = report(tmp_path, requests(*NODES), cluster(annotations=annotations, platform=platform))
    assert [each.id for each in read.findings] == ["external-traffic-policy-cluster"]
    assert source in (read.findings[0].fixes[0].source or "")


def test_bare_node_port(tmp_path: Path) -> None:
    """A Service of type NodePort that says nothing has Cluster."""
    items = cluster(type="NodePort", externalTrafficPolicy=None)
    read = report(tmp_path, requests(*NODES), items)
    assert [each.id for each in read.findings] == ["external-traffic-policy-cluster"]
    assert "bare NodePort" in read.findings[0].fixes[0].text


def test_nlb_targets(tmp_path: Path) -> None:
    """Ip targets lose the address by default, and do not with the attribute; PROXY v2 and Local is warned of."""
    beta = "service.beta.kubernetes.io/aws-load-balancer-"
    ip = {f"{beta}type": "external", f"{beta}nlb-target-type": "ip"}
    log = requests("10.0.99.5", "10.0.98.7")
    assert found(tmp_path, log, cluster(annotations=ip, platform="aws"), lb=["10.0.98.0/23"]) == ["aws-nlb-ip-target"]
    kept = {**ip, f"{beta}target-group-attributes": "preserve_client_ip.enabled=true"}
    assert found(tmp_path, requests(*VISITORS), cluster(annotations=kept, platform="aws")) == []
    both = {f"{beta}type": "external", f"{beta}proxy-protocol": "*"}
    items = cluster({"use-proxy-protocol": "true"}, annotations=both, platform="aws", **LOCAL)
    assert found(tmp_path, requests(*VISITORS), items) == ["aws-nlb-proxy-with-local"]


def test_google_front_ends(tmp_path: Path) -> None:
    """Front ends in the log mean that the header is not read, whatever else the cluster file says."""
    log = requests("35.191.12.3", "130.211.2.9")
    assert found(tmp_path, log) == ["google-front-end-logged"]
    assert found(tmp_path, log, clusters.gke()) == ["trusted-proxy-logged"]
    assert "google-front-end-logged" not in found(tmp_path, requests(*VISITORS), clusters.gke())


def test_load_balancers_that_read_http(tmp_path: Path) -> None:
    """An ALB or a Google load balancer that an Ingress puts in front: the answer is X-Forwarded-For."""
    for platform, class_name, name in (("aws", "alb", "ALB"), ("gce", "gce", "Google")):
        front = {
            "kind": "Ingress",
            "metadata": {"name": "edge", "namespace": "ingress-nginx"},
            "spec": {
                "ingressClassName": class_name,
                "defaultBackend": {"service": {"name": "ingress-nginx-controller"}},
            },
        }
        items = [*cluster(type="NodePort", platform=platform), front]
        read = report(tmp_path, requests(*NODES), items)
        assert [each.id for each in read.findings] == ["proxying-load-balancer"]
        assert name in read.findings[0].fixes[0].text
        assert "use-forwarded-headers" in (read.findings[0].fixes[0].patch or "")


def test_eks_auto_mode(tmp_path: Path) -> None:
    """An NLB of which nothing says how its targets are is not guessed at."""
    items = cluster(platform="aws", loadBalancerClass="eks.amazonaws.com/nlb")
    read = report(tmp_path, requests(*NODES), items)
    assert [each.id for each in read.findings] == ["external-traffic-policy-cluster"]
    assert read.findings[0].evidence["service"] == "ingress-nginx/ingress-nginx-controller"


def test_one_public_address(tmp_path: Path) -> None:
    """The load balancer's own public address for everybody."""
    assert "balancer-public-address-logged" in found(tmp_path, requests("34.120.1.2"))
    assert "balancer-public-address-logged" not in found(tmp_path, requests(*VISITORS))


def test_cdn(tmp_path: Path) -> None:
    """Edges of a CDN."""
    assert found(tmp_path, requests("104.16.0.1", "172.64.3.4", "162.158.9.9")) == ["cdn-edge-logged"]


def test_trusted_and_untrusted_proxies(tmp_path: Path) -> None:
    """A proxy that is not in the list, and one that is and sends nothing."""
    reading = {"use-forwarded-headers": "true", "proxy-real-ip-cidr": "10.9.0.0/16"}
    assert found(tmp_path, requests("10.0.99.5"), cluster(reading, **LOCAL), lb=["10.0.99.0/24"]) == [
        "peer-not-trusted"
    ]
    assert found(tmp_path, requests("10.9.0.5"), cluster(reading, **LOCAL)) == ["trusted-proxy-logged"]
    assert found(tmp_path, requests(*VISITORS), cluster(reading, **LOCAL)) == []


def test_trust(tmp_path: Path) -> None:
    """Everybody trusted is warned of; with the PROXY protocol beside it, it is an error."""
    everybody = {"use-forwarded-headers": "true"}
    assert found(tmp_path, requests(*VISITORS), cluster(everybody, **LOCAL)) == ["forwarded-headers-from-everyone"]
    both = {**everybody, "use-proxy-protocol": "true"}
    hetzner = {"load-balancer.hetzner.cloud/uses-proxyprotocol": "true"}
    items = cluster(both, annotations=hetzner, platform="hcloud")
    assert found(tmp_path, requests(*VISITORS), items) == ["proxy-and-forwarded-headers"]
    sound = {**both, "proxy-real-ip-cidr": "104.16.0.0/13"}
    assert found(tmp_path, requests(*VISITORS), cluster(sound, annotations=hetzner, platform="hcloud")) == []


def test_proxy_protocol_on_one_side(tmp_path: Path) -> None:
    """Sent and not read, version 1 and 2; expected and not sent; health checks; the short cut from inside."""
    v1 = requests("10.0.99.5", request="PROXY TCP4 203.0.113.9 10.0.0.1 4444 80")
    v2 = requests("10.0.99.5", request="\\x00")
    for log in (v1, v2):
        assert "proxy-protocol-not-read" in found(tmp_path, log)
    plain = "".join(BROKEN.format(bytes="GET / HTTP/1.1", address=address) for address in VISITORS)
    assert found(tmp_path, plain) == ["proxy-protocol-not-sent"]
    checks = BROKEN.format(bytes="", address="10.0.99.5") * 20
    assert found(tmp_path, requests(*VISITORS) + checks) == ["proxy-protocol-health-checks"]
    hetzner = {"load-balancer.hetzner.cloud/uses-proxyprotocol": "true"}
    items = cluster({"use-proxy-protocol": "true"}, annotations=hetzner, platform="hcloud")
    inside = BROKEN.format(bytes="GET / HTTP/1.1", address="10.244.1.99") * 20
    assert found(tmp_path, requests(*VISITORS) + inside, items) == ["proxy-protocol-hairpin"]
    assert found(tmp_path, requests(*VISITORS), items) == []


def test_settings_of_both_ends_disagree(tmp_path: Path) -> None:
    """The cluster file alone shows that one end has the PROXY protocol and the other has not."""
    sends = {"load-balancer.hetzner.cloud/uses-proxyprotocol": "true"}
    assert "proxy-protocol-not-read" in found(tmp_path, "", cluster(annotations=sends, platform="hcloud"))
    reads = cluster({"use-proxy-protocol": "true"}, platform="gce")
    assert "proxy-protocol-not-sent" in found(tmp_path, "", reads)
    both = cluster({"use-proxy-protocol": "true"}, annotations=sends, platform="hcloud")
    assert found(tmp_path, "", both) == []


def test_loopback(tmp_path: Path) -> None:
    """Loopback is a sidecar where there is one, the passthrough proxy where it runs, else something in the pod."""
    log = requests("127.0.0.1")
    assert found(tmp_path, log) == ["loopback-logged"]
    assert found(tmp_path, requests("127.0.0.6")) == ["mesh-sidecar"]
    items = cluster(**LOCAL)
    for item in items:
        for container in item["spec"].get("containers", []) if item["kind"] == "Pod" else ():
            if container["name"] == "controller":
                container["args"].append("--enable-ssl-passthrough")
    assert found(tmp_path, log, items) == ["ssl-passthrough"]
    for item in items:
        if item["kind"] == "Pod" and item["metadata"]["namespace"] == "ingress-nginx":
            item["spec"]["containers"].append({"name": "linkerd-proxy", "image": "linkerd/proxy"})
    assert found(tmp_path, log, items) == ["mesh-sidecar"]


def test_an_application_that_logs_the_controller(tmp_path: Path) -> None:
    """Uvicorn's log with the controller's pods, with and without a cluster file; with visitors it is sound."""
    line = 'INFO:     {}:0 - "GET / HTTP/1.1" 200 OK\n'
    pods = "".join(line.format(f"10.244.{number % 3 + 1}.7") for number in range(200))
    assert found(tmp_path, pods, cluster(**LOCAL)) == ["application-logs-proxy"]
    assert found(tmp_path, pods) == ["application-logs-proxy"]
    assert found(tmp_path, "".join(line.format(address) for address in VISITORS), cluster(**LOCAL)) == []


def test_kong(tmp_path: Path) -> None:
    """Kong trusts the load balancer and reads the wrong header."""
    items = clusters.aks()
    environment = items[2]["spec"]["containers"][0]["env"]
    for variable in environment:
        if variable["name"] == "KONG_REAL_IP_HEADER":
            variable["value"] = "X-Real-IP"
    ids = found(tmp_path, requests("10.224.7.7"), items)
    assert "kong-real-ip-header" in ids
    assert "misspelt-setting" in ids
    assert "kong-not-recursive" in found(tmp_path, requests("10.224.7.7"), clusters.aks())


def test_families(tmp_path: Path) -> None:
    """Lost on IPv6 alone."""
    log = requests(*VISITORS, count=150) + requests("2001:db8:99::5", count=50)
    assert "one-address-family" in found(tmp_path, log, lb=["2001:db8:99::/64"])
    six = [f"2a00:1450:{number:x}::1" for number in range(50)]
    assert "one-address-family" not in found(tmp_path, requests(*VISITORS) + requests(*six))


def test_pods_under_local(tmp_path: Path) -> None:
    """One pod, unequal pods, nodes without one."""
    one = cluster(None, ("worker-1", "10.244.1.7"), **LOCAL)
    assert found(tmp_path, requests(*VISITORS), one) == ["local-single-replica", "local-nodes-without-pod"]
    uneven = cluster(None, ("worker-1", "10.244.1.7"), ("worker-1", "10.244.1.8"), ("worker-2", "10.244.2.7"), **LOCAL)
    assert found(tmp_path, requests(*VISITORS), uneven) == ["local-uneven-pods", "local-nodes-without-pod"]


def pods_logs(folder: Path, shares: dict[str, int]) -> Path:
    """Write logs as the kubelet names them, one for each pod of the controller."""
    for pod, count in shares.items():
        path = folder / "pods" / f"ingress-nginx_{pod}_0f6b7e1c-52a9-4f0e-9a55-1c8f0f3c2d11" / "controller"
        path.mkdir(parents=True)
        lines = (requests(*VISITORS, count=count) or "NGINX Ingress controller\n").splitlines(keepends=True)
        (path / "0.log").write_text("".join(f"2026-11-21T07:08:09.000000001Z stdout F {line}" for line in lines))
    return folder / "pods"


def test_what_logs_of_pods_show(tmp_path: Path) -> None:
    """A node that gets nothing, one that gets all, and pods that are gone."""
    name = "ingress-nginx-controller-5d8c6-{}abcd".format

    def ids(folder: str, items: list[dict[str, Any]], **shares: int) -> list[str]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "cluster.json").write_bytes(orjson.dumps({"kind": "List", "items": items}))
        logs = pods_logs(tmp_path / folder, {name(key[1:]): count for key, count in shares.items()})
        return [each.id for each in analyze(logs, cluster=tmp_path / folder / "cluster.json").findings]

    assert ids("even", cluster(**LOCAL), p0=100, p1=100, p2=100) == []
    silent = ids("silent", cluster(**LOCAL), p0=100, p1=100, p2=0)
    assert silent == ["health-check-node-port"]
    metallb = cluster(annotations={"metallb.io/ip-allocated-from-pool": "a"}, **LOCAL)
    assert ids("leader", metallb, p0=200, p1=0, p2=0) == ["metallb-one-node"]
    assert ids("rolled", cluster(**LOCAL), p0=100, p1=100, p2=100, p7=90)[-1:] == ["local-rolling-update"]


def test_replaced_pods_leave_their_placement_open(tmp_path: Path) -> None:
    """A cluster file of after an update does not say that the pods of before were placed unevenly."""
    places = [("worker-1", "10.244.1.7"), ("worker-1", "10.244.1.8"), ("worker-2", "10.244.2.7")]
    (tmp_path / "cluster.json").write_bytes(orjson.dumps({"kind": "List", "items": cluster(None, *places, **LOCAL)}))
    name = "ingress-nginx-controller-5d8c6-{}abcd".format
    shares = {name(0): 220, name(1): 20, name(2): 420, name(7): 240}
    report = analyze(pods_logs(tmp_path, shares), cluster=tmp_path / "cluster.json")
    assert (report.skew.verdict, report.skew.unattributed) == ("unknown", 240)
    ids = [each.id for each in report.findings]
    assert "local-rolling-update" in ids
    assert "local-uneven-pods" not in ids


def ingress(**annotations: str) -> dict[str, Any]:
    """Describe an Ingress with annotations of ingress-nginx."""
    own = {f"nginx.ingress.kubernetes.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return {"kind": "Ingress", "metadata": {"name": "shop", "namespace": "shop", "annotations": own}, "spec": {}}


def test_limits_and_lists(tmp_path: Path) -> None:
    """Limits and lists by address are warned of where addresses are shared, not where they are visitors' own."""
    acting = [ingress(limit_rps="5"), ingress(whitelist_source_range="10.0.0.0/8")]
    ids = found(tmp_path, requests(*NODES), [*cluster(), *acting])
    assert ids[1:] == ["allowlist-on-shared-addresses", "rate-limit-on-shared-addresses"]
    assert found(tmp_path, requests(*VISITORS), [*cluster(**LOCAL), *acting]) == []
    ranges = cluster(loadBalancerSourceRanges=["198.51.100.0/24"])
    assert found(tmp_path, requests(*NODES), ranges)[1:] == ["allowlist-on-shared-addresses"]


def test_settings(tmp_path: Path) -> None:
    """Misspelt keys, values that are none, and the two codes of limits; what to paste names the ConfigMap."""
    config = {"use-forward-headers": "true", "enable-real-ip": "on", "limit-req-status-code": "429"}
    findings = report(tmp_path, requests(*VISITORS), cluster(config, **LOCAL)).findings
    assert [each.id for each in findings] == ["bad-setting-value", "limit-status-codes", "misspelt-setting"]
    edit = "kubectl -n ingress-nginx edit configmap ingress-nginx-controller"
    assert [findings[place].fixes[0].patch for place in (0, 2)] == [edit, edit]
    right = {"limit-req-status-code": "429", "limit-conn-status-code": "429"}
    assert found(tmp_path, requests(*VISITORS), cluster(right, **LOCAL)) == []


def test_a_cluster_without_a_controller(tmp_path: Path) -> None:
    """Where no controller is found in the file, its name is asked for."""
    items = cluster()[:3]
    assert found(tmp_path, requests(*NODES), items) == ["node-addresses-logged", "controller-not-recognised"]


def test_the_log_chooses_the_controller(tmp_path: Path) -> None:
    """With two controllers in the cluster a log is held against the one that wrote it."""
    kong = clusters.aks()[2:4]
    assert found(tmp_path, requests(*VISITORS), [*cluster(**LOCAL), *kong]) == []
