"""Small clusters out of network namespaces: the internet, a load balancer, a CDN, nodes with pods (see README.md).

Nothing is set up outside the namespaces: every interface is born in one of them and dies with it. Their names carry the
number of the process, so that what a killed run left behind is known and removed by the next.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from end_to_end.servers import PATH, missing, program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from end_to_end.servers import Command

_NAME = "logscan-lab"
#: What the balancers call the Service: by its address, or by a port that every node has.
VIP, NODE_PORT = "198.51.100.80", 30080
CLUSTER_IP = "10.96.0.10"
NODES = {"node-1": "10.0.1.11", "node-2": "10.0.1.12", "node-3": "10.0.1.13"}
#: The load balancer has an address in either of two zones; clients know it by its front.
BALANCERS, BALANCER_FRONT = ("10.0.1.21", "10.0.2.21"), "198.51.100.10"
#: A CDN's edges, in a range that Cloudflare publishes, and what clients know it by.
EDGES, CDN_FRONT = tuple(f"104.18.5.{at}" for at in range(1, 7)), "198.51.100.20"
_CDN = "10.0.1.31"
#: Google's health checks come from there.
GOOGLE_PROBE = "35.191.0.7"
#: First octets that visitors have, none of them in a published range of a proxy.
VISITORS = (31, 46, 62, 79, 81, 84, 88, 91, 93, 95, 109, 178, 212, 217)
VPN = "10.8.0.0/24"
#: The places of pods: two controllers may share node-2, one on node-1 is replaced, the application has no controller
#: beside it, and each node has a pod of the service load balancer.
PODS = {
    "controller-1": ("node-1", 10), "controller-2": ("node-2", 10), "controller-3": ("node-2", 11),
    "controller-4": ("node-1", 12), "application": ("node-3", 20),
    "svclb-1": ("node-1", 7), "svclb-2": ("node-2", 7), "svclb-3": ("node-3", 7),
}  # fmt: skip
_ROUTER = "10.0.1.1"
_VXLAN = "dstport 8472 nolearning"
_SETTINGS = (
    "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.default.send_redirects=0",
    "net.ipv4.conf.all.accept_redirects=0", "net.ipv4.fib_multipath_hash_policy=1",
)  # fmt: skip


class Network(NamedTuple):
    """A running network; `pods` are the first two octets of its pods' addresses."""

    prefix: str
    pods: str = "10.244"

    def pod(self, name: str) -> str:
        """Return the address of a pod."""
        node, last = PODS[name]
        return f"{self.pods}.{_number(node)}.{last}"

    def command(self, place: str, command: Command) -> Command:
        """Make the command that runs another in a namespace."""
        return ["ip", "netns", "exec", self.prefix + place, *command]

    def run(self, place: str, command: Command, text: str = "") -> str:
        """Run a command in a namespace and return what it prints."""
        return _run(self.command(place, command), text)

    def listens(self, place: str, port: int) -> Callable[[], None]:
        """Make a check whether something listens on a port there; it raises an OSError where nothing does."""

        def check() -> None:
            sockets = self.run(place, ["cat", "/proc/net/tcp"])
            if not re.search(rf":{port:04X} \S+ 0A ", sockets):
                raise OSError(port)

        return check

    def spread(self, *nodes: str) -> None:
        """Let a balancer that passes packets on, as BGP does, send those of the Service's address to these nodes."""
        hops = " ".join(f"nexthop via {NODES[node]}" for node in nodes)
        self.run("world", ["ip", "route", "replace", f"{VIP}/32", *hops.split()])

    def overlay(self, *, on: bool) -> None:
        """Take packets between the nodes' pods through VXLAN, as flannel does, or route them as they are."""
        for node in NODES:
            lines = []
            for other, address in NODES.items():
                if other != node:
                    gateway = f"{self.pods}.{_number(other)}.0"
                    by = f"via {gateway} dev flannel.1 onlink" if on else f"via {address}"
                    lines.append(f"route replace {gateway}/24 {by}")
            self.batch(node, lines)

    def batch(self, place: str, lines: list[str]) -> None:
        """Let `ip` do each of the lines in a namespace."""
        _run(["ip", "-n", self.prefix + place, "-batch", "-"], "\n".join(lines))


def require() -> None:
    """Skip where namespaces or the programs that fill them are missing."""
    if os.geteuid() != 0:
        missing("network namespaces need root")
    for name, package in (("ip", "iproute2"), ("bridge", "iproute2"), ("sysctl", "procps"), ("iptables", "iptables")):
        program(name, f"Debian: apt-get install {package}")
    _sweep()
    probe = Network(f"{_NAME}-{os.getpid()}-")
    rules = "*nat\n-A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE --random-fully\nCOMMIT\n"
    try:
        _run(["ip", "netns", "add", f"{probe.prefix}probe"])
        probe.run("probe", ["sysctl", "-qw", *_SETTINGS])
        probe.batch("probe", ["link add tunnel type vxlan id 1 dstport 8472"])
        probe.run("probe", ["iptables-restore"], rules)
    except subprocess.CalledProcessError as failed:
        missing(f"network namespaces do not work here: {failed.stderr.strip()}")
    finally:
        _delete([f"{probe.prefix}probe"])


def namespaces() -> list[str]:
    """Return the names of all namespaces of labs, whoever runs them."""
    listed = _run(["ip", "netns", "list"]).splitlines()
    return [line.split()[0] for line in listed if line.startswith(f"{_NAME}-")]


@contextmanager
def running(pods: str = "10.244") -> Iterator[Network]:
    """Set a network up, and take it down again whatever happens."""
    network = Network(f"{_NAME}-{os.getpid()}-{pods.replace('.', '-')}-", pods)
    places = ["world", "lb", "cdn", *NODES, *PODS]
    try:
        _run(["ip", "-batch", "-"], "\n".join(f"netns add {network.prefix}{place}" for place in places))
        for place in places:
            network.run(place, ["sysctl", "-qw", *_SETTINGS])
            network.batch(place, ["link set lo up"])
        _set_up(network)
        yield network
    finally:
        _delete(network.prefix + place for place in places)


def _set_up(network: Network) -> None:
    network.batch("world", [
        "link add lan type bridge", "link set lan up", f"address add {_ROUTER}/24 dev lan",
        *(f"route add local {first}.0.0.0/8 dev lo" for first in VISITORS),
        f"route add local {VPN} dev lo", f"route add local {GOOGLE_PROBE}/32 dev lo",
    ])  # fmt: skip
    for place, address in {"lb": BALANCERS[0], "cdn": _CDN, **NODES}.items():
        _connect(network, place, "world", "lan")
        network.batch(place, [f"address add {address}/24 dev eth0", "link set eth0 up",
                              f"route add default via {_ROUTER}"])  # fmt: skip
    network.batch("lb", [f"address add {each}/32 dev lo" for each in (BALANCERS[1], BALANCER_FRONT)])
    network.batch("cdn", [f"address add {each}/32 dev lo" for each in (*EDGES, CDN_FRONT)])
    network.batch("world", [
        *(f"route add {each}/32 via {BALANCERS[0]}" for each in (BALANCERS[1], BALANCER_FRONT)),
        *(f"route add {each}/32 via {_CDN}" for each in (*EDGES, CDN_FRONT)),
    ])  # fmt: skip
    for node in NODES:
        _set_up_node(network, node)
    for pod, (node, _) in PODS.items():
        # A pod knows nobody beside it: what it answers passes the node, whose rules turn it back.
        _connect(network, pod, node, "cni0")
        gateway = f"{network.pods}.{_number(node)}.1"
        network.batch(pod, [f"address add {network.pod(pod)}/32 dev eth0", "link set eth0 up",
                            f"route add default via {gateway} dev eth0 onlink"])  # fmt: skip
    network.overlay(on=True)


def _set_up_node(network: Network, node: str) -> None:
    number = _number(node)
    others = [(_number(other), address) for other, address in NODES.items() if other != node]
    network.batch(node, [
        "link add cni0 type bridge", "link set cni0 up", f"address add {network.pods}.{number}.1/24 dev cni0",
        f"link add flannel.1 address {_mac(number)} type vxlan id 1 local {NODES[node]} dev eth0 {_VXLAN}",
        f"address add {network.pods}.{number}.0/32 dev flannel.1", "link set flannel.1 up",
        *(f"neighbour add {network.pods}.{other}.0 lladdr {_mac(other)} dev flannel.1 nud permanent"
          for other, _ in others),
    ])  # fmt: skip
    for other, address in others:
        network.run(node, ["bridge", "fdb", "append", _mac(other), "dev", "flannel.1", "dst", address])


def _connect(network: Network, place: str, bridge_place: str, bridge: str) -> None:
    """Give a namespace an `eth0` whose other end is on a bridge of another."""
    port = place[:15]
    inside = network.prefix + place
    network.batch(bridge_place, [
        f"link add {port} type veth peer name eth0 netns {inside}", f"link set {port} master {bridge} up",
    ])  # fmt: skip


def _sweep() -> None:
    """Delete the namespaces of runs that were killed, and of none that still runs."""
    owners = {name: name.removeprefix(f"{_NAME}-").partition("-")[0] for name in namespaces()}
    _delete(name for name, owner in owners.items() if not os.path.exists(f"/proc/{owner}"))


def _delete(names: Iterable[str]) -> None:
    for name in names:
        with suppress(subprocess.CalledProcessError):
            _run(["ip", "netns", "delete", name])


def _number(node: str) -> int:
    return int(node[-1])


def _mac(number: int) -> str:
    return f"02:00:0a:00:01:{number:02x}"


def _run(command: Command, text: str = "") -> str:
    name, *arguments = map(str, command)
    done = subprocess.run(
        [shutil.which(name, path=PATH) or name, *arguments], input=text, capture_output=True, text=True, check=True,
        timeout=30, env={"PATH": PATH},
    )  # fmt: skip
    return done.stdout
