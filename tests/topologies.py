"""What may stand between visitors and an ingress controller, as scenarios of a simulated network.

`simulate` takes the name of a scenario, a number of requests and a seed, and writes the log that the controller would.
"""

from __future__ import annotations

import random
from ipaddress import ip_address
from typing import TYPE_CHECKING

from simulated_network import HOSTED, OCTETS, Actor, Log, Network

if TYPE_CHECKING:
    from collections.abc import Callable


# ---- scenarios -------------------------------------------------------------------------------------------------------


def _nodes(net: Network, count: int) -> list[str]:
    """Draw InternalIPs: from one subnet, or one for each of three zones."""
    rng = net.rng
    base = rng.choice(("10.0", "10.128", "172.31", "172.16", "192.168"))
    thirds = [rng.randrange(256) for _ in range(rng.choice((1, 1, 3)))]
    if base == "172.31":
        thirds = [rng.randrange(256) for _ in range(count)]
    found: set[str] = set()
    while len(found) < count:
        found.add(f"{base}.{rng.choice(thirds)}.{rng.randrange(4, 250)}")
    return sorted(found)


def _cluster_routed(net: Network) -> None:
    """Cluster policy, routed pods: other nodes by InternalIP, the own node by its bridge."""
    nodes = _nodes(net, net.rng.randrange(2, 15))
    net.world()
    net.route = net.spread("node", [f"10.244.{net.rng.randrange(30)}.1", *nodes[1:]])


def _cluster_overlay(net: Network) -> None:
    """Cluster policy over flannel: own bridge, and flannel.1 of the node where a request entered."""
    count = net.rng.randrange(2, 15)
    base = net.rng.choice(("10.244", "10.42"))
    net.world()
    net.route = net.spread("node", [f"{base}.0.1", *[f"{base}.{number}.0" for number in range(1, count)]])


def _cluster_probed(net: Network) -> None:
    """Cluster policy with kubelet's probes in the log, sent by one node that carries no visits among others."""
    nodes = _nodes(net, net.rng.randrange(3, 9))
    net.world()
    net.route = net.spread("node", nodes[1:])
    net.roles[nodes[0]] = "node"
    net.probes = [(nodes[0], "kube-probe/1.34", 10.0)]


def _cluster_public_nodes(net: Network) -> None:
    """Cluster policy on machines whose only address is public."""
    net.world()
    net.route = net.spread("node", [net.public(HOSTED) for _ in range(net.rng.randrange(3, 9))])


def _cluster_ipv6(net: Network) -> None:
    """Cluster policy with IPv6 nodes, unique local or global."""
    rng = net.rng
    net.world()
    base = rng.choice((0xFD00_0001_0002_0003, 0x2A01_04F8_0C0C_1234)) << 64
    net.route = net.spread(
        "node", [str(ip_address(base | rng.randrange(2, 2**16))) for _ in range(rng.randrange(2, 9))]
    )


def _cluster_api(net: Network) -> None:
    """Cluster policy, and only a handful of programs as clients."""
    net.agents = net.rng.sample(
        ("okhttp/4.12.0", "okhttp/5.1.0", "Dalvik/2.1.0", "axios/1.8.4", "Dart/3.8 (dart:io)"), 4
    )
    net.agent_weights = [1.0, 2.0, 2.6, 3.0]
    net.world(bots=False)
    net.route = net.spread("node", _nodes(net, net.rng.randrange(3, 8)))


def _local(net: Network) -> None:
    """Local policy: everybody by his own address, some scanners among them."""
    net.world()


def _probes(net: Network) -> None:
    """Local policy; the log holds probes of kubelets, which are nodes."""
    net.world()
    nodes = _nodes(net, 3)
    net.roles |= dict.fromkeys(nodes, "node")
    net.probes = [(node, "kube-probe/1.34", 10.0) for node in nodes]


def _zones(net: Network, count: int) -> list[str]:
    """Draw addresses of a load balancer: one or two in a subnet of each zone."""
    rng = net.rng
    base = rng.choice((f"10.{rng.randrange(256)}", "172.31"))
    step = rng.choice((1, 16, 32))
    return [f"{base}.{(number % 3) * step}.{rng.randrange(4, 250)}" for number in range(count)]


def _lb_l7(net: Network) -> None:
    """A load balancer that reads HTTP and whose X-Forwarded-For nobody reads."""
    net.world()
    addresses = _zones(net, net.rng.randrange(2, 7))
    net.route, net.forwards = net.spread("lb", addresses), True
    net.probes = [(address, "ELB-HealthChecker/2.0", 15.0) for address in addresses]


def _lb_l4(net: Network) -> None:
    """A load balancer that opens connections of its own, without health checks in the log."""
    net.world()
    net.route = net.spread("lb", _zones(net, net.rng.randrange(2, 7)))


def _lb_single(net: Network) -> None:
    """One private address of a load balancer for all the world."""
    net.world(bots=True)
    net.route = net.spread("lb", [net.rng.choice(("192.168.255.12", "10.0.9.5", "10.110.0.3"))])


def _lb_skewed(net: Network) -> None:
    """Three zones, of which one has most of the traffic."""
    net.world()
    net.route = net.spread("lb", _zones(net, 3), evenness=1.2)


def _lb_public(net: Network) -> None:
    """The load balancer appends its own public address to the header, and that is what realip finds."""
    net.world(bots=True)
    net.route = net.spread("lb", [net.public(HOSTED)])


def _lb_and_vpn(net: Network) -> None:
    """Public visitors through a load balancer's private addresses, employees by addresses of the VPN."""
    net.world(0.6, bots=True)
    net.vpn(0.4, net.rng.randrange(15, 300))
    entry = net.spread("lb", _zones(net, net.rng.randrange(2, 5)))
    private = net.groups[-1].actors
    employees = {actor.address for actor in private}
    net.route = lambda visit: None if visit.actor.address in employees else entry(visit)


def _proxy_protocol(net: Network) -> None:
    """PROXY protocol on both sides: the load balancer's address stands only on what could not be read."""
    net.world(bots=True)
    net.unread = net.spread("lb", _zones(net, net.rng.randrange(2, 5)))


def _proxy_one_side(net: Network) -> None:
    """The load balancer sends PROXY headers to a controller that expects none."""
    net.world()
    net.route, net.announces = net.spread("lb", _zones(net, net.rng.randrange(2, 5))), lambda _: True


def _cdn_published(net: Network) -> None:
    """Cloudflare's edges, and a few who found the origin by themselves."""
    rng = net.rng
    edges = [f"{rng.choice(('162.158', '172.68', '172.70', '104.23'))}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
             for _ in range(60)]  # fmt: skip
    net.world()
    _behind(net, "cdn", edges)


def _cdn_unpublished(net: Network) -> None:
    """Edges of a network that publishes no list: some subnets with many addresses."""
    rng = net.rng
    subnets = [net.public(HOSTED).rpartition(".")[0] for _ in range(rng.randrange(1, 8))]
    edges = [f"{subnet}.{host}" for subnet in subnets for host in rng.sample(range(1, 255), rng.randrange(4, 20))]
    net.world()
    _behind(net, "cdn", edges)


def _behind(net: Network, role: str, edges: list[str], evenness: float = 0.6) -> None:
    entry = net.spread(role, edges, evenness)
    net.forwards = True
    round_it = {actor.address for group in net.groups for actor in group.actors if net.rng.random() < 0.02}
    net.route = lambda visit: None if visit.actor.address in round_it else entry(visit)


def _klipper(net: Network) -> None:
    """k3s: the address of a svclb pod on each node."""
    net.world()
    count = net.rng.randrange(1, 6)
    net.route = net.spread("node", [f"10.42.{number}.{net.rng.randrange(2, 60)}" for number in range(count)])


def _sidecar(net: Network) -> None:
    """A mesh's sidecar in the controller's pod."""
    net.world()
    net.route = net.spread("sidecar", [net.rng.choice(("127.0.0.6", "127.0.0.1"))])


def _gclb(net: Network) -> None:
    """Google's front ends."""
    rng = net.rng
    net.world()
    fronts = [f"{rng.choice(('35.191.8', '35.191.11', '130.211.1'))}.{rng.randrange(1, 255)}" for _ in range(20)]
    net.route, net.forwards = net.spread("lb", fronts), True
    net.probes = [(front, "GoogleHC/1.0", 5.0) for front in fronts[:5]]


def _office_public(net: Network) -> None:
    """Companies among visitors that come by themselves."""
    net.world(0.6)
    net.offices(0.4, [net.public() for _ in range(net.rng.randrange(2, 15))])


def _office_private(net: Network) -> None:
    """An internal site: branch offices behind private addresses, employees on the VPN."""
    rng = net.rng
    net.offices(
        0.5,
        [
            f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.choice((1, 254, 10))}"
            for _ in range(rng.randrange(1, 6))
        ],
    )
    net.vpn(0.5, max(15, net.requests // 60))


def _offices_only(net: Network) -> None:
    """An internal site with nobody but branch offices."""
    rng = net.rng
    count = rng.randrange(2, 6)
    net.offices(1.0, [f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.choice((1, 254, 10))}" for _ in range(count)])


def _companies_only(net: Network) -> None:
    """A portal whose users are a few companies with a public address each."""
    net.offices(1.0, [net.public(HOSTED) for _ in range(net.rng.randrange(2, 9))])


def _campus(net: Network) -> None:
    """Most visitors sit in a handful of public subnets, with an address each."""
    rng = net.rng
    subnets = [
        f"{rng.choice(HOSTED)}.{rng.randrange(256)}.{third}" for third in rng.sample(range(256), rng.randrange(2, 9))
    ]
    count = min(200 * len(subnets), max(12, round(net.requests / rng.uniform(5, 25))))
    hosts = rng.sample([f"{subnet}.{host}" for subnet in subnets for host in range(1, 255)], count)
    net.add("person", [Actor(host, net.devices()) for host in hosts], 0.8, "office")
    net.world(0.2)


def _office_peered(net: Network) -> None:
    """A public site under Local, its company's network peered with the cluster's."""
    rng = net.rng
    net.world(0.75)
    net.offices(
        0.25,
        [f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(2, 255)}" for _ in range(rng.randrange(1, 4))],
    )


def _vpn(net: Network) -> None:
    """An internal site: everybody by a private address of his own."""
    net.vpn(1.0, max(20, net.requests // 40))


def _vpn_and_public(net: Network) -> None:
    """Visitors by their own addresses, public and private."""
    net.world(0.6)
    net.vpn(0.4, max(20, net.requests // 80))


def _carrier(net: Network) -> None:
    """One or two carriers' NATs among direct visitors."""
    net.world(0.7)
    net.carriers(0.3, [net.public(OCTETS) for _ in range(net.rng.choice((1, 1, 2)))])


def _carrier_pool(net: Network) -> None:
    """A carrier with a pool of NAT addresses in one subnet."""
    net.world(0.7, bots=True)
    subnet = net.public(OCTETS).rpartition(".")[0]
    net.carriers(0.3, [f"{subnet}.{host}" for host in net.rng.sample(range(1, 255), net.rng.randrange(3, 13))])


def _bots(net: Network) -> None:
    """More crawlers and scanners than people."""
    net.world(0.5)
    net.bots(0.5)


def _monitoring(net: Network) -> None:
    """Direct visitors, and monitoring from private addresses."""
    net.world(0.85)
    net.monitors(0.15, net.rng.randrange(1, 5))


def _partly_masked(net: Network) -> None:
    """An eBPF datapath: local backends see the client, the others the node where a request entered."""
    net.world()
    entry = net.spread("node", _nodes(net, net.rng.randrange(2, 7)))
    share = net.rng.uniform(0.3, 0.8)
    net.route = lambda visit: entry(visit) if net.rng.random() < share else None


def _to_local(net: Network) -> None:
    """Cluster becomes Local half-way."""
    net.world()
    entry = net.spread("node", _nodes(net, net.rng.randrange(2, 9)))
    net.route = lambda visit: entry(visit) if visit.elapsed < 0.5 else None


def _to_proxy_protocol(net: Network) -> None:
    """The controller learns to read the load balancer's PROXY headers half-way."""
    net.world()
    entry = net.spread("lb", _zones(net, net.rng.randrange(2, 5)))
    net.route, net.unread = lambda visit: entry(visit) if visit.elapsed < 0.5 else None, entry


def _from_cdn(net: Network) -> None:
    """A network with unpublished edges is switched off half-way."""
    _cdn_unpublished(net)
    edged = net.route
    net.forwards = False
    net.route = lambda visit: edged(visit) if visit.elapsed < 0.5 else None


SCENARIOS: dict[str, Callable[[Network], None]] = {
    "cluster-routed": _cluster_routed,
    "cluster-overlay": _cluster_overlay,
    "cluster-probed": _cluster_probed,
    "cluster-public-nodes": _cluster_public_nodes,
    "cluster-ipv6": _cluster_ipv6,
    "cluster-api": _cluster_api,
    "local": _local,
    "local-probes": _probes,
    "local-bots": _bots,
    "local-monitoring": _monitoring,
    "lb-l7": _lb_l7,
    "lb-l4": _lb_l4,
    "lb-single": _lb_single,
    "lb-skewed": _lb_skewed,
    "lb-public": _lb_public,
    "lb-and-vpn": _lb_and_vpn,
    "proxy-protocol": _proxy_protocol,
    "proxy-one-side": _proxy_one_side,
    "cdn-published": _cdn_published,
    "cdn-unpublished": _cdn_unpublished,
    "klipper": _klipper,
    "sidecar": _sidecar,
    "gclb": _gclb,
    "office-public": _office_public,
    "office-private": _office_private,
    "office-peered": _office_peered,
    "offices-only": _offices_only,
    "companies-only": _companies_only,
    "campus": _campus,
    "vpn": _vpn,
    "vpn-and-public": _vpn_and_public,
    "carrier": _carrier,
    "carrier-pool": _carrier_pool,
    "partly-masked": _partly_masked,
    "to-local": _to_local,
    "to-proxy-protocol": _to_proxy_protocol,
    "from-cdn": _from_cdn,
}


def simulate(name: str, requests: int, seed: int) -> Log:
    """Write the log of a scenario: the same bytes for the same name, size and seed.

    Parameters
    ----------
    name
        One of `SCENARIOS`.
    requests
        How many lines.
    seed
        Also decides, with the name, whether X-Forwarded-For is logged: every third log has it.
    """
    rng = random.Random(f"{name} {requests} {seed}")
    net = Network(rng, requests, with_forwarded=rng.random() < 1 / 3)
    SCENARIOS[name](net)
    return net.write(name)
