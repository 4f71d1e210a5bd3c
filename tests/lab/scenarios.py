"""The scenarios: what is set up, who comes, and what logscan must say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab import kube_proxy
from lab.network import BALANCER_FRONT, BALANCERS, GOOGLE_PROBE, NODES, VIP
from lab.programs import Controller

from analyzer.readings.trust import LOG_FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lab.lab import Lab

#: Requests of a scenario, and of one that only shows who is logged.
MANY, FEW = 900, 300
_BALANCERS = ",".join(f"{address}/32" for address in BALANCERS)
_CLOUDFLARE = "104.16.0.0/13"
_FRONT = {"addresses": (BALANCER_FRONT,)}
#: The format that logscan asks for, as a ConfigMap has it.
_DECIDING = {"log-format-upstream": LOG_FORMAT.removeprefix("escape=json "), "log-format-escape-json": "true"}
_TWO = ("controller-1", "controller-2")
_THEIR_NODES = ("node-1", "node-2")


@dataclass(frozen=True)
class Scenario:
    """A scenario.

    Attributes
    ----------
    play
        Sets it up and sends.
    preserved
        The percentage of visitors that keep their address, from and to; the scenario itself is checked by it. None is
        a log without visitors.
    findings
        What a report with the cluster file must find; it may find nothing else that is an error.
    alone
        The same without the cluster file; None is the same findings.
    stand_in
        The class of the addresses that stand for visitors, with the cluster file and without.
    trust
        The verdicts with the cluster file and without.
    recoverable
        The percentage of visitors whose address stands elsewhere in the log.
    signal
        What the log must give away of all requests that were no use.
    options
        More options of the command.
    pods
        The first two octets of the pods' addresses.
    """

    play: Callable[[Lab], None]
    preserved: tuple[float, float] | None
    findings: frozenset[str] = frozenset()
    alone: frozenset[str] | None = None
    stand_in: tuple[str, str] | None = None
    trust: tuple[str, str] = ("sound", "cannot-tell")
    recoverable: float | None = None
    signal: str | None = None
    options: tuple[str, ...] = ()
    pods: str = "10.244"


SCENARIOS: dict[str, Scenario] = {}


def _scenario(
    preserved: float | tuple[float, float] | None, *findings: str, alone: Iterable[str] | None = None, **more: Any
) -> Callable[[Callable[[Lab], None]], Callable[[Lab], None]]:
    span = (preserved, preserved) if isinstance(preserved, (int, float)) else preserved

    def register(play: Callable[[Lab], None]) -> Callable[[Lab], None]:
        without = None if alone is None else frozenset(alone)
        SCENARIOS[play.__name__] = Scenario(play, span, frozenset(findings), without, **more)
        return play

    return register


# ---- externalTrafficPolicy -------------------------------------------------------------------------------------------


@_scenario(0, "external-traffic-policy-cluster", stand_in=("node", "node"), alone={"node-addresses-logged"})
def cluster(lab: Lab) -> None:
    """Over an overlay the controllers see their own bridge, or the gateway of the node that a request entered by."""
    lab.serve("Cluster", *_TWO)
    lab.send(lab.visitors.visit(MANY))


@_scenario(0, "external-traffic-policy-cluster", stand_in=("node", "node"), alone={"node-addresses-logged"})
def cluster_routed(lab: Lab) -> None:
    """Without an overlay they see the nodes themselves."""
    lab.network.overlay(on=False)
    lab.serve("Cluster", *_TWO)
    lab.send(lab.visitors.visit(MANY))


@_scenario(
    0,
    "external-traffic-policy-cluster",
    "rate-limit-on-shared-addresses",
    stand_in=("node", "node"),
    recoverable=0,
    alone={"node-addresses-logged", "rate-limit-on-shared-addresses"},
)
def limited(lab: Lab) -> None:
    """A limit meant for one visitor rejects requests of all that come through a node."""
    lab.controller = Controller(settings=_DECIDING, limit_rps=5)
    lab.serve("Cluster", *_TWO)
    lab.send(lab.visitors.visit(MANY))


@_scenario(100)
def local_even(lab: Lab) -> None:
    """One controller on either of two nodes, and the balancer sends to them alone."""
    lab.in_cri = True
    lab.network.spread(*_THEIR_NODES)
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit(MANY))


@_scenario(100, "local-uneven-pods", alone=())
def local_uneven(lab: Lab) -> None:
    """Two controllers share a node: each gets half of what the one of the other node gets."""
    lab.in_cri = True
    lab.network.spread(*_THEIR_NODES)
    lab.serve("Local", *_TWO, "controller-3")
    lab.send(lab.visitors.visit(MANY))


@_scenario(0, "cni-masquerade", stand_in=("node", "node"), alone={"node-addresses-logged"})
def local_not_in_force(lab: Lab) -> None:
    """The Service says Local, and the nodes masquerade nevertheless."""
    lab.serve("Cluster", *_TWO)
    lab.policy = "Local"
    lab.send(lab.visitors.visit(MANY))


@_scenario((45, 55), "preservation-changed", stand_in=("node", "node"))
def switched_half_way(lab: Lab) -> None:
    """The policy is changed to Local while the log is written."""
    lab.network.spread(*_THEIR_NODES)
    lab.serve("Cluster", *_TWO)
    lab.send(lab.visitors.visit(MANY // 2))
    lab.pass_time(minutes=30)
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit(MANY // 2))


@_scenario(100, "local-rolling-update", alone=())
def rolling_update(lab: Lab) -> None:
    """Under Local a pod is replaced: until the balancer notices, what it sends to its node is lost."""
    lab.in_cri = True
    lab.network.spread(*_THEIR_NODES)
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit(MANY // 2))
    lab.pass_time(minutes=30)
    lab.stop("controller-1")
    lab.serve("Local", "controller-2")
    lab.send(lab.visitors.visit(20), patience=0.1)
    lab.serve("Local", "controller-2", "controller-4")
    lab.send(lab.visitors.visit(MANY // 2))


# ---- load balancers that terminate connections -----------------------------------------------------------------------


@_scenario(0, "load-balancer-address-logged", stand_in=("lb", "lb"), alone={"nodes-or-load-balancer"})
def balancer_not_read(lab: Lab) -> None:
    """A load balancer names the client in X-Forwarded-For, and the controller does not look."""
    lab.cluster = _FRONT
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit(MANY), lab.balance(_THEIR_NODES))


@_scenario(
    0,
    "load-balancer-address-logged",
    "recoverable-address",
    stand_in=("lb", "lb"),
    recoverable=100,
    trust=("sound", "sound"),
)
def balancer_not_read_but_logged(lab: Lab) -> None:
    """The same, with a log that has the header."""
    lab.cluster = _FRONT
    lab.controller = Controller(settings=_DECIDING)
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit(MANY), lab.balance(_THEIR_NODES))


@_scenario(100, trust=("sound", "sound"), recoverable=0)
def balancer_trusted(lab: Lab) -> None:
    """The controller trusts the balancer and nobody else: what clients claim is not believed."""
    lab.cluster = _FRONT
    settings = {"use-forwarded-headers": "true", "proxy-real-ip-cidr": _BALANCERS, **_DECIDING}
    lab.controller = Controller(settings=settings)
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit(MANY, forging=0.1), lab.balance(_THEIR_NODES))


@_scenario(100, "forged-addresses", trust=("spoofed", "spoofed"), recoverable=0)
def balancer_trusted_like_everybody(lab: Lab) -> None:
    """ingress-nginx's default trusts everybody once it reads the header: clients that forge are believed."""
    lab.cluster = _FRONT
    lab.controller = Controller(settings={"use-forwarded-headers": "true", **_DECIDING})
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit(MANY, forging=0.1), lab.balance(_THEIR_NODES))


@_scenario(100, "forwarded-headers-from-everyone", trust=("exposed", "cannot-tell"), alone=())
def kong_trusts_everybody(lab: Lab) -> None:
    """Kong as its guide sets it up, with forging clients that its log cannot show."""
    lab.cluster = _FRONT
    lab.controller = Controller("kong", {
        "KONG_TRUSTED_IPS": "0.0.0.0/0,::/0", "KONG_REAL_IP_HEADER": "X-Forwarded-For", "KONG_REAL_IP_RECURSIVE": "on",
    })  # fmt: skip
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit(MANY, forging=0.1), lab.balance(_THEIR_NODES))


@_scenario(
    0,
    "load-balancer-address-logged",
    "recoverable-address",
    stand_in=("lb", "lb"),
    trust=("sound", "sound"),
    recoverable=100,
)
def envoy_without_trusted_hops(lab: Lab) -> None:
    """Envoy logs who connects unless it is told how many proxies stand in front."""
    lab.cluster = _FRONT
    lab.controller = Controller("envoy-gateway")
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit(MANY), lab.balance(_THEIR_NODES))


@_scenario(100, trust=("sound", "sound"), recoverable=0)
def envoy_with_trusted_hops(lab: Lab) -> None:
    """Told of one, it logs the client, whatever that claims."""
    lab.cluster = _FRONT
    lab.controller = Controller("envoy-gateway", {"clientIPDetection": {"xForwardedFor": {"numTrustedHops": 1}}})
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit(MANY, forging=0.1), lab.balance(_THEIR_NODES))


@_scenario(0, "cdn-edge-logged", stand_in=("lb", "lb"))
def cdn_edge(lab: Lab) -> None:
    """A CDN's edges stand for the visitors."""
    lab.network.spread(*_THEIR_NODES)
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit(MANY), lab.distribute())


@_scenario(100)
def cdn_trusted(lab: Lab) -> None:
    """Kong trusts the CDN's ranges."""
    lab.network.spread(*_THEIR_NODES)
    lab.controller = Controller("kong", {
        "KONG_TRUSTED_IPS": _CLOUDFLARE, "KONG_REAL_IP_HEADER": "X-Forwarded-For", "KONG_REAL_IP_RECURSIVE": "on",
    })  # fmt: skip
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit(MANY, forging=0.1), lab.distribute())


# ---- PROXY protocol --------------------------------------------------------------------------------------------------


@_scenario(100)
def proxy_v1(lab: Lab) -> None:
    """Both sides speak it: the client is kept even under Cluster."""
    lab.cluster = _FRONT
    lab.controller = Controller(settings={"use-proxy-protocol": "true"})
    lab.serve("Cluster", *_TWO)
    lab.send(lab.visitors.visit(MANY), lab.balance(NODES, "send-proxy", mode="tcp"))


@_scenario(100)
def proxy_v2(lab: Lab) -> None:
    """The same with Kong, version 2 and Local."""
    lab.cluster = _FRONT
    lab.controller = Controller("kong", {
        "KONG_PROXY_LISTEN": "0.0.0.0:8000 proxy_protocol", "KONG_REAL_IP_HEADER": "proxy_protocol",
        "KONG_TRUSTED_IPS": "10.0.0.0/8",
    })  # fmt: skip
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit(MANY), lab.balance(_THEIR_NODES, "send-proxy-v2", mode="tcp"))


@_scenario(None, "proxy-protocol-not-read", signal="proxy_v1_to_plain_listener")
def proxy_v1_not_read(lab: Lab) -> None:
    """The balancer sends it, and the controller takes it for a request."""
    lab.cluster = _FRONT
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit(FEW), lab.balance(_THEIR_NODES, "send-proxy", mode="tcp"))


@_scenario(None, "proxy-protocol-not-read", signal="proxy_v2_to_plain_listener")
def proxy_v2_not_read(lab: Lab) -> None:
    """The same with version 2, to Kong."""
    lab.cluster = _FRONT
    lab.controller = Controller("kong")
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit(FEW), lab.balance(_THEIR_NODES, "send-proxy-v2", mode="tcp"))


@_scenario(100, "proxy-protocol-not-sent", signal="broken_proxy_header")
def proxy_no_longer_sent(lab: Lab) -> None:
    """The controller expects it and the balancer stops sending it: from then on there is nothing but errors."""
    lab.cluster = _FRONT
    lab.controller = Controller(settings={"use-proxy-protocol": "true"})
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit(FEW), lab.balance(_THEIR_NODES, "send-proxy-v2", mode="tcp"))
    lab.stop("lb")
    lab.send(lab.visitors.visit(FEW), lab.balance(_THEIR_NODES, mode="tcp"))


@_scenario(None, "proxy-protocol-not-sent", signal="broken_proxy_header")
def proxy_never_sent(lab: Lab) -> None:
    """It was never sent: the log holds no request at all."""
    lab.network.spread(*_THEIR_NODES)
    lab.controller = Controller(settings={"use-proxy-protocol": "true"})
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit(FEW))


@_scenario(100, "proxy-protocol-hairpin", signal="broken_proxy_header", alone=())
def proxy_and_a_hairpin(lab: Lab) -> None:
    """A pod calls the Service by its public address: kube-proxy takes the short way, past whoever would send PROXY."""
    lab.cluster = _FRONT
    lab.controller = Controller(settings={"use-proxy-protocol": "true"})
    lab.serve("Cluster", *_TWO)
    lab.send(lab.visitors.visit(MANY), lab.balance(NODES, "send-proxy-v2", mode="tcp"))
    lab.call("application", 20)


# ---- others ----------------------------------------------------------------------------------------------------------


@_scenario(0, "klipper-masquerade", pods="10.42", stand_in=("lb", "node"), alone={"node-addresses-logged"})
def klipper(lab: Lab) -> None:
    """K3s's service load balancer masquerades on every node, into files of the container runtime."""
    lab.in_cri = True
    lab.cluster = {"scheme": "k3s", "addresses": tuple(NODES.values())}
    lab.serve("Cluster", *_TWO)
    kube_proxy.lead_through_svclb(lab.network)
    for address in NODES.values():
        lab.send(lab.visitors.visit(MANY // 3), (address, 80))


@_scenario(None, "application-logs-proxy")
def uvicorn_without_trusted_proxies(lab: Lab) -> None:
    """Uvicorn trusts 127.0.0.1 alone, and logs the controllers' pods."""
    lab.network.spread(*_THEIR_NODES)
    lab.serve_with_uvicorn()
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit(MANY))


@_scenario(100)
def uvicorn_with_trusted_proxies(lab: Lab) -> None:
    """Told to trust the pods, it logs the client."""
    lab.network.spread(*_THEIR_NODES)
    lab.serve_with_uvicorn("--forwarded-allow-ips", f"{lab.network.pods}.0.0/16")
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit(MANY))


@_scenario(100)
def health_probes(lab: Lab) -> None:
    """The kubelet, two clouds and a pod call beside the visitors; none of them is one."""
    lab.network.spread(*_THEIR_NODES)
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit(MANY))
    for place, node in zip(_TWO, _THEIR_NODES, strict=True):
        bridge = f"{lab.network.pods}.{node[-1]}.1"
        lab.probe(bridge, "kube-probe/1.33", 60, (lab.network.pod(place), lab.controller.port), node)
    for address in BALANCERS:
        lab.probe(address, "ELB-HealthChecker/2.0", 60, (VIP, 80), "lb")
    lab.probe(GOOGLE_PROBE, "GoogleHC/1.0", 60, (VIP, 80))
    lab.call("application", 40)


@_scenario(100, options=("--client", "10.8.0.0/24"))
def vpn_clients(lab: Lab) -> None:
    """Visitors with addresses of a private network, declared as such."""
    lab.network.spread(*_THEIR_NODES)
    lab.serve("Local", *_TWO)
    lab.send(lab.visitors.visit_from([f"10.8.0.{at}" for at in range(20, 100)], MANY))
