"""Write the sample logs beside this file: the same bytes every time, and what a reader must find in them.

=========  ============================================================================================================
cluster/   ingress-nginx on two of three nodes, externalTrafficPolicy Cluster, MetalLB in BGP mode, flannel with
           DirectRouting: a pod sees its own bridge (.1), the node in its subnet by InternalIP, the other by flannel.1
local/     the same cluster under Local with a third controller pod: real clients, halves by node, unequal by pod
cdn/       nginx behind Cloudflare, format ``main``: edge addresses, the client in X-Forwarded-For, a few go round it
kong/      Kong behind a proxying load balancer that begins to send PROXY protocol half-way, which Kong does not expect
=========  ============================================================================================================

Clients are drawn at random from blocks of large access providers, because documentation ranges count as nobody's. Who
had such an address at any time has nothing to do with these lines. Only the standard library is needed.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

START = datetime(2026, 11, 21, 9, tzinfo=UTC)
SECONDS = 50 * 60
HASH = "7c6f8b9d4d"

ACCESS_PROVIDERS = (
    "24.0.0.0/12", "49.36.0.0/14", "79.192.0.0/10", "90.0.0.0/10", "126.0.0.0/9", "177.32.0.0/12",
    "2409:8a00::/28", "2600:1700::/28", "2a02:8100::/28",
)  # fmt: skip
CLOUDFLARE = ("162.158.0.0/15", "172.64.0.0/13", "104.16.0.0/13", "2400:cb00::/32")
USER_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
    "okhttp/4.12.0", "curl/8.16.0", "python-requests/2.32.5", "Go-http-client/2.0", "-",
)  # fmt: skip
REQUESTS = (
    "GET /", "GET /", "GET /shop", "GET /shop/item/4711", "GET /shop/item/815?ref=mail", "POST /cart", "GET /cart",
    "GET /api/v1/items?page=2", "POST /api/v1/login", "GET /static/app.4f2a.js", "GET /static/app.4f2a.css",
    "GET /images/hero.webp", "GET /favicon.ico", r"GET /search?q=caf\xC3\xA9",
)  # fmt: skip
STATUSES = (200,) * 15 + (204, 302, 304, 404)
#: What nginx could not read as a request, as it writes it: SOCKS, a remote desktop, TLS, an empty line.
UNREADABLE = (
    (r"\x05\x01\x00", 150), (r"\x03\x00\x00/*\xE0\x00\x00\x00\x00\x00Cookie: mstshash=Administr", 150),
    (r"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03", 150), ("", 0),
)  # fmt: skip
UPSTREAMS = ("10.244.1.21:8080", "10.244.2.18:8080", "10.244.3.9:8080", "10.244.3.14:8080")
BANNER = """\
-------------------------------------------------------------------------------
NGINX Ingress controller
  Release:       v1.13.3
  Build:         93851f05e61d99eea49140c9be73499a3cb92ccc
  Repository:    https://github.com/kubernetes/ingress-nginx
  nginx version: nginx/1.27.1

-------------------------------------------------------------------------------

W1121 08:59:58.104512       7 client_config.go:667] Neither --kubeconfig nor --master was specified.
I1121 08:59:58.231077       7 main.go:205] "Creating API client" host="https://10.96.0.1:443"
I1121 08:59:59.871264       7 nginx.go:273] "Starting NGINX Ingress controller"
I1121 09:00:00.000913       7 controller.go:214] "Backend successfully reloaded"
"""


@dataclass
class Truth:
    """What a reader must find in one scenario; `left_out` and `stand_ins` count requests by the report's words."""

    lines: int = 0
    preserved: int = 0
    stand_ins: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    other: Counter[str] = field(default_factory=Counter)
    signals: Counter[str] = field(default_factory=Counter)
    by_pod: Counter[str] = field(default_factory=Counter)
    by_node: Counter[str] = field(default_factory=Counter)

    @property
    def considered(self) -> int:
        """The requests that the percentage is of."""
        return self.preserved + self.stand_ins.total()

    @property
    def requests(self) -> int:
        """All requests."""
        return self.considered + self.left_out.total()

    @property
    def preserved_pct(self) -> float:
        """The figure of the headline."""
        return 100 * self.preserved / self.considered


class Visitor(NamedTuple):
    """Somebody who asks."""

    address: str
    user_agent: str


class Line(NamedTuple):
    """A line of a log, when it was written, and what it counts as: a truth's field and the key in it."""

    second: float
    text: str
    counts: str
    key: str = ""


class Pod(NamedTuple):
    """A controller pod."""

    name: str
    uid: str
    node: int
    address: str


def visitors(rng: Random, count: int) -> list[Visitor]:
    """Draw people and programs with an address each."""
    return [Visitor(draw(rng, rng.choice(ACCESS_PROVIDERS)), rng.choice(USER_AGENTS)) for _ in range(count)]


def draw(rng: Random, cidr: str) -> str:
    """Draw an address of a block."""
    network = ip_network(cidr)
    return str(ip_address(int(network.network_address) + rng.randrange(2, network.num_addresses - 1)))


def somebody(rng: Random, everybody: list[Visitor]) -> Visitor:
    """Choose who asks next: a few come often, most only once."""
    return everybody[int(len(everybody) * rng.random() ** 2)]


def clock(second: float) -> str:
    """Write a time as $time_local does."""
    return f"{START + timedelta(seconds=int(second)):%d/%b/%Y:%H:%M:%S} +0000"


def head(address: str, second: float, answered: tuple[str, int, int], user_agent: str) -> str:
    """Write the part of a line that all formats here have in common; `answered`: request, status, size."""
    request, status, size = answered
    return f'{address} - - [{clock(second)}] "{request}" {status} {size} "-" "{user_agent}"'


def answer(rng: Random, protocol: str) -> tuple[str, int, int]:
    """Draw a request, its status, and the bytes of the body that answered it."""
    status = rng.choice(STATUSES)
    return f"{rng.choice(REQUESTS)} {protocol}", status, 0 if status in (204, 304) else rng.randrange(200, 9000)


def ingress_line(rng: Random, address: str, second: float, user_agent: str, kind: str = "visit") -> str:
    """Write a line of ingress-nginx's default format."""
    request, status, size = answer(rng, "HTTP/2.0")
    took, upstream = rng.randrange(2, 90) / 1000, rng.choice(UPSTREAMS)
    length, request_id = rng.randrange(80, 700), f"{rng.getrandbits(128):032x}"
    tail = f"[shop-web-8080] [] {upstream} {size} {took:.3f} {status}"
    if kind == "probe":
        request, status, size, took, tail = "GET /healthz HTTP/1.1", 200, 0, 0.0, "[-] [] - - - -"
    elif kind == "unreadable":
        (request, size), status, length, tail = rng.choice(UNREADABLE), 400, 0, "[] [] - - - -"
    elif kind == "retried":
        other = UPSTREAMS[(UPSTREAMS.index(upstream) + 1) % len(UPSTREAMS)]
        tail = f"[shop-web-8080] [] {other}, {upstream} 0, {size} 0.001, {took:.3f} 502, {status}"
    elif kind == "error-page":
        status, size = 503, 512
        tail = f"[shop-web-8080] [] {upstream} : 127.0.0.1:8181 0 : {size} 0.000 : {took:.3f} 503 : 200"
    elif kind == "limited":
        status, size, took, tail = 503, 190, 0.0, "[shop-web-8080] [] - - - -"
    start = head(address, second, (request, status, size), user_agent)
    return f"{start} {length} {took:.3f} {tail} {request_id}"


def error_line(second: float, level: str, message: str, address: str) -> str:
    """Write a line of nginx's error log, which `kubectl logs` mixes with the access log."""
    at = f"{START + timedelta(seconds=int(second)):%Y/%m/%d %H:%M:%S}"
    request = 'request: "GET /shop HTTP/2.0", host: "shop.example"'
    return f"{at} [{level}] 31#31: *{1000 + int(second)} {message}, client: {address}, server: shop.example, {request}"


def ingress(rng: Random, folder: Path, pods: list[Pod], shares: tuple[int, ...], policy: str) -> Truth:
    """Write the logs of controller pods; `shares` are the visits to each."""
    truth, everybody = Truth(), visitors(rng, 90)
    for pod, visits in zip(pods, shares, strict=True):
        bridge = f"10.244.{pod.node}.1"
        lines: list[Line] = []
        for number in range(visits):
            second, visitor = rng.random() * SECONDS, somebody(rng, everybody)
            address, counts, key = visitor.address, "preserved", ""
            if policy == "Cluster":
                address, key = masqueraded(pod.node, entry=1 + number % 3)
                counts = "stand_ins"
            kind = "retried" if number % 19 == 0 else "error-page" if number % 37 == 0 else "visit"
            lines.append(Line(second, ingress_line(rng, address, second, visitor.user_agent, kind), counts, key))
        if pod is pods[0]:
            address, key = masqueraded(pod.node, entry=3) if policy == "Cluster" else (everybody[-1].address, "")
            lines += burst(rng, address, counts="stand_ins" if key else "preserved", key=key)
        for number in range(8):
            second, address = (number + rng.random()) * SECONDS / 8, draw(rng, ACCESS_PROVIDERS[number % 6])
            if policy == "Cluster":
                address = masqueraded(pod.node, entry=1 + number % 3)[0]
            line = ingress_line(rng, address, second, "-", "unreadable")
            lines.append(Line(second, line, "left_out", "unparsed_request"))
        for number in range(10):
            second = 7 + number * SECONDS / 10
            line = ingress_line(rng, bridge, second, "kube-probe/1.34", "probe")
            lines.append(Line(second, line, "left_out", "health_probe"))
        for number in range(3):
            second = 100 + number * 900
            line = ingress_line(rng, "10.244.3.14", second, "Go-http-client/1.1")
            lines.append(Line(second, line, "left_out", "in_cluster"))
            message = "upstream response is buffered to a temporary file /tmp/nginx/proxy-temp/1"
            lines.append(Line(second, error_line(second, "warn", message, bridge), "other", "error-log"))
        name = f"ingress-nginx_{pod.name}_{pod.uid}/controller/0.log"
        write(folder / name, lines, truth, pod, banner=BANNER)
    return truth


def burst(rng: Random, address: str, counts: str, key: str) -> list[Line]:
    """Write what a script in a hurry leaves where limit-rps: 5 is set, as ngx_http_limit_req_module counts it."""
    lines: list[Line] = []
    second, excess = 1200.0, 0.0
    for _ in range(36):
        step = rng.randrange(10, 60) / 1000
        second += step
        kind, more = "visit", max(excess - 5 * step + 1, 0) if lines else 0.0
        if more > 25:
            kind, message = "limited", f'limiting requests, excess: {more:.3f} by zone "shop_web_rps"'
            lines.append(Line(second, error_line(second, "error", message, address), "signals", "limiting_requests"))
        else:
            excess = more
        lines.append(Line(second, ingress_line(rng, address, second, "python-requests/2.32.5", kind), counts, key))
    return lines


def masqueraded(own: int, entry: int) -> tuple[str, str]:
    """Return the address that a pod on node `own` sees of what entered on node `entry`, and its kind."""
    if entry == own:
        return f"10.244.{own}.1", "cni-gateway"
    return ("10.244.3.0", "cni-gateway") if entry == 3 else (f"10.0.1.1{entry}", "node")


def cdn(rng: Random, folder: Path) -> Truth:
    """Write nginx's log behind Cloudflare: what comes through the edge, and what found the origin by itself."""
    truth, everybody, lines = Truth(), visitors(rng, 80), []
    edges = [draw(rng, rng.choice(CLOUDFLARE)) for _ in range(40)]
    for number in range(210):
        second, visitor = rng.random() * SECONDS, somebody(rng, everybody)
        address, forwarded, counts, key = rng.choice(edges), visitor.address, "stand_ins", "cdn"
        if number % 30 == 0:
            address, forwarded, counts, key = visitor.address, "-", "preserved", ""
        elif number % 35 == 0:  # the edge appends to what the client claims
            forwarded = f"10.11.12.13, {visitor.address}"
        start = head(address, second, answer(rng, "HTTP/1.1"), visitor.user_agent)
        lines.append(Line(second, f'{start} "{forwarded}"', counts, key))
    for number in range(6):
        second, (request, size) = rng.random() * SECONDS, UNREADABLE[number % 4]
        start = head(draw(rng, ACCESS_PROVIDERS[number]), second, (request, 400, size), "-")
        lines.append(Line(second, f'{start} "-"', "left_out", "unparsed_request"))
    write(folder / "access.log", lines, truth)
    return truth


def kong(rng: Random, folder: Path) -> Truth:
    """Write Kong's log: at half-time the load balancer begins each connection with a PROXY protocol header."""
    truth, everybody, lines = Truth(), visitors(rng, 80), []
    for number in range(200):
        second, visitor = rng.random() * SECONDS, somebody(rng, everybody)
        request_id = f'kong_request_id: "{rng.getrandbits(128):032x}"'
        if second < SECONDS / 2:
            start = head("10.0.9.5", second, answer(rng, "HTTP/1.1"), visitor.user_agent)
            lines.append(Line(second, f"{start} {request_id}", "stand_ins", "cluster-lb"))
        else:
            family, to = ("TCP6", "2001:db8:9::5") if ":" in visitor.address else ("TCP4", "198.51.100.40")
            request = f"PROXY {family} {visitor.address} {to} {rng.randrange(20000, 60000)} {(80, 443)[number % 2]}"
            start = head("10.0.9.5", second, (request, 400, 12), "-")
            lines.append(Line(second, f"{start} {request_id}", "signals", "proxy_v1_to_plain_listener"))
    for number in range(20):
        second, request_id = 3 + number * SECONDS / 20, f'kong_request_id: "{rng.getrandbits(128):032x}"'
        start = head("10.0.1.11", second, ("GET /status HTTP/1.1", 200, 0), "kube-probe/1.34")
        lines.append(Line(second, f"{start} {request_id}", "left_out", "health_probe"))
    write(folder / "access.log", lines, truth)
    return truth


def write(path: Path, lines: list[Line], truth: Truth, pod: Pod | None = None, banner: str = "") -> None:
    """Write a log in the order of time and count it."""
    for line in lines:
        if line.counts == "preserved":
            truth.preserved += 1
        else:
            getattr(truth, line.counts)[line.key] += 1
        if line.counts == "signals":
            # An error-log line, or a request that nginx could not read.
            where, key = ("other", "error-log") if line.key.startswith("limiting") else ("left_out", "unparsed_request")
            getattr(truth, where)[key] += 1
        if line.counts in ("preserved", "stand_ins") and pod is not None:
            truth.by_pod[pod.name] += 1
            truth.by_node[f"node-{pod.node}"] += 1
        truth.signals["tls_to_plain_listener"] += r'"\x16\x03' in line.text
    greeting = banner.splitlines()
    truth.other["blank"] += greeting.count("")
    truth.other["controller"] += len(greeting) - greeting.count("")
    truth.lines += len(greeting) + len(lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line.text}\n" for line in sorted(lines, key=lambda line: int(line.second)))
    path.write_text(banner + text, encoding="ascii", newline="\n")


def write_cluster(path: Path, items: list[dict[str, Any]]) -> None:
    """Write what ``kubectl get nodes,services,pods -A -o json`` shows of these."""
    data = {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items}
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="ascii", newline="\n")


def nodes(provider: str = "") -> list[dict[str, Any]]:
    """Describe three nodes, the third in a subnet of its own."""
    found = []
    for number, address in ((1, "10.0.1.11"), (2, "10.0.1.12"), (3, "10.0.2.13")):
        cidr = f"10.244.{number}.0/24"
        spec: dict[str, Any] = {"podCIDR": cidr, "podCIDRs": [cidr]}
        if provider:
            spec["providerID"] = f"{provider}{4001000 + number}"
        found.append({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": f"node-{number}",
                "labels": {"kubernetes.io/hostname": f"node-{number}", "topology.kubernetes.io/zone": f"zone-{number}"},
            },
            "spec": spec,
            "status": {
                "addresses": [
                    {"type": "InternalIP", "address": address}, {"type": "Hostname", "address": f"node-{number}"},
                ],
                "nodeInfo": {"kubeletVersion": "v1.34.2", "kubeProxyVersion": "", "operatingSystem": "linux"},
            },
        })  # fmt: skip
    return found


def pod(namespace: str, name: str, place: tuple[int, str], app: str, image: str) -> dict[str, Any]:
    """Describe a pod; `place`: the number of its node, and its address."""
    node, address = place
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/name": app}},
        "spec": {"nodeName": f"node-{node}", "containers": [{"name": app, "image": image}]},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
    }


def service(namespace: str, name: str, address: str, published: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """Describe a Service, of type LoadBalancer where it is published."""
    annotations = {"annotations": more.pop("annotations")} if "annotations" in more else {}
    ingress_of = [{"ip": ip, "ipMode": "VIP"} for ip in published]
    ports = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, **annotations},
        "spec": {
            "type": "LoadBalancer" if published else "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ports": ports,
            **more,
        },
        "status": {"loadBalancer": {"ingress": ingress_of} if published else {}},
    }


def web() -> list[dict[str, Any]]:
    """Describe what stands behind the controllers."""
    image = "registry.example/shop/web:5.2.1"
    found = [
        pod("shop", f"web-6d9f7c5b8-{ending}", (number, address.partition(":")[0]), "web", image)
        for ending, number, address in zip(("4kqzr", "9wx7t", "h2mfd", "tz5lc"), (1, 2, 3, 3), UPSTREAMS, strict=True)
    ]
    return [service("default", "kubernetes", "10.96.0.1"), service("shop", "web", "10.96.41.7"), *found]


def generate(folder: Path) -> dict[str, Truth]:
    """Write all scenarios into a folder and return what holds in each."""
    image = "registry.k8s.io/ingress-nginx/controller:v1.13.3"
    pods = [
        Pod(f"ingress-nginx-controller-{HASH}-{ending}", uid, node, address)
        for ending, uid, node, address in (
            ("8fj2w", "0f6b7e1c-52a9-4f0e-9a55-1c8f0f3c2d11", 1, "10.244.1.7"),
            ("zq4hx", "5d1c9a34-8e07-4b7b-b3c6-77a2e90b4f22", 2, "10.244.2.5"),
            ("k7n5v", "b82e4f60-3c1d-49d8-8f21-d4403e6a9c33", 1, "10.244.1.8"),
        )
    ]
    truths = {
        "cluster": ingress(Random(1), folder / "cluster", pods[:2], (110, 146), "Cluster"),
        "local": ingress(Random(2), folder / "local", pods, (40, 152, 76), "Local"),
        "cdn": cdn(Random(3), folder / "cdn"),
        "kong": kong(Random(4), folder / "kong"),
    }
    for policy, running in (("Cluster", pods[:2]), ("Local", pods)):
        local = {"healthCheckNodePort": 31254} if policy == "Local" else {}
        controller = service(
            "ingress-nginx", "ingress-nginx-controller", "10.96.118.20", ("198.51.100.20",),
            externalTrafficPolicy=policy, annotations={"metallb.io/ip-allocated-from-pool": "public"},
            selector={"app.kubernetes.io/name": "controller"}, **local,
        )  # fmt: skip
        described = [pod("ingress-nginx", one.name, (one.node, one.address), "controller", image) for one in running]
        write_cluster(folder / policy.lower() / "cluster.json", [*nodes(), *web(), controller, *described])
    proxy = service(
        "kong", "kong-kong-proxy", "10.96.77.3", ("198.51.100.40", "10.0.9.5"), externalTrafficPolicy="Local",
        healthCheckNodePort=30817, selector={"app.kubernetes.io/name": "proxy"},
        annotations={
            "load-balancer.hetzner.cloud/use-private-ip": "true",
            "load-balancer.hetzner.cloud/uses-proxyprotocol": "true",
        },
    )  # fmt: skip
    gateway = pod("kong", "kong-kong-5b7d9c8f6-q6t2s", (1, "10.244.1.30"), "proxy", "kong:3.9")
    write_cluster(folder / "kong" / "cluster.json", [*nodes("hcloud://"), *web(), proxy, gateway])
    return truths


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description="Write logscan's sample logs.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="default: beside this file")
    generate(parser.parse_args().output)


if __name__ == "__main__":
    main()
