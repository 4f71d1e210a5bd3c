"""What a cluster file says, as values: nodes, pods, Services, and the proxies at the cluster's edge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

EVERYONE = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True, slots=True)
class Node:
    """A node; `schedulable` where an ordinary pod may be put on it: not cordoned, no taint that keeps pods away.

    `gateways` are addresses of its overlay that the file names outright (``cilium_host``, Calico's tunnels).
    """

    name: str
    addresses: tuple[int, ...]
    pod_cidrs: tuple[str, ...]
    schedulable: bool
    zone: str | None
    gateways: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod; no `addresses` where it shares its node's (`host_network`) or has ended, `node` None until placed.

    `balances` marks a pod of k3s's service load balancer (klipper): it hands on what comes to its node, and what it
    hands on bears its address.
    """

    namespace: str
    name: str
    node: str | None
    addresses: tuple[int, ...]
    balances: bool
    host_network: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """A Service's cluster addresses, and those that the world reaches it by; `is_local` by its own traffic policy."""

    namespace: str
    name: str
    cluster_addresses: tuple[int, ...]
    lb_addresses: tuple[int, ...]
    is_local: bool = False


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """A Service in front of a controller, in the API's own words.

    `annotations` holds those keys alone that say how a load balancer treats the client's address. `ip_modes` are the
    modes of its load balancer's addresses (``VIP``, ``Proxy``), where given. `external_ips` and `source_ranges` say
    whether it has any.
    """

    namespace: str
    name: str
    type: str
    external_traffic_policy: str | None
    health_check_node_port: int | None
    annotations: Mapping[str, str] = field(hash=False)
    load_balancer_class: str | None
    ip_modes: tuple[str, ...]
    lb_addresses: tuple[int, ...]
    selector: Mapping[str, str] = field(hash=False)
    external_ips: bool = False
    source_ranges: bool = False


@dataclass(frozen=True, slots=True)
class IngressFacts:
    """An Ingress or Gateway and the addresses that it got; `controller` is what its class says.

    `backends` are the names of the Services in front of a controller that it routes to: another proxy before it.
    `acts_on_clients` are its annotations that limit or list clients by address.
    """

    kind: str
    namespace: str
    name: str
    class_name: str | None
    controller: str | None
    lb_addresses: tuple[int, ...]
    backends: tuple[str, ...]
    acts_on_clients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """How a controller finds out who its client is; None where the file does not say.

    Parameters
    ----------
    use_forwarded_headers
        A header of the request replaces the client's address, where the peer is trusted.
    use_proxy_protocol
        Connections begin with a PROXY header.
    enable_real_ip
        nginx's realip module is at work for another reason than these.
    trusted
        CIDRs, without host bits, whose word is taken.
    recursive
        The header is read from the right up to the first address that is not trusted, not just its last entry.
    header
        The header's name; ``proxy_protocol`` where the PROXY header alone counts.
    trusted_hops
        How many entries from the right are trusted, where that is how it is said (Envoy).
    proxy_trusted
        CIDRs that may send a PROXY header; empty is anybody.
    sources
        Field to who says so; ``default`` where nobody does.
    """

    use_forwarded_headers: bool | None = None
    use_proxy_protocol: bool | None = None
    enable_real_ip: bool | None = None
    trusted: tuple[str, ...] = ()
    recursive: bool | None = None
    header: str | None = None
    trusted_hops: int | None = None
    proxy_trusted: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def in_use(self) -> bool:
        """Whether anything may replace the address of the peer."""
        return bool(self.use_forwarded_headers or self.use_proxy_protocol or self.enable_real_ip)

    @property
    def trusts_everyone(self) -> bool:
        """Whether the whole of a family is trusted."""
        return not set(EVERYONE).isdisjoint(self.trusted)


@dataclass(frozen=True, slots=True)
class Lint:
    """A setting that the controller does not read as it is written.

    `kind` is ``unknown-key`` or ``bad-value``; `text` says it in a sentence, with what may have been meant.
    """

    kind: str
    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Controller:
    """A workload that visitors' requests enter by.

    Parameters
    ----------
    kind
        The product: ``ingress-nginx``, ``kong``, ``envoy-gateway``, ``traefik`` ...; ``other`` where it was named with
        ``--controller`` and is none of them.
    pods
        Those that run or are to run.
    services
        Those in front of the pods, the ones that reach outside first.
    log_format
        Its access log as an nginx ``log_format`` string, where one is set.
    config_map
        Namespace and name of the ConfigMap that it reads, where the file has it.
    ingresses
        Load balancers that an Ingress of another controller puts in front of this one.
    sidecars
        Meshes whose proxy stands in the pods: ``istio``, ``linkerd``.
    options
        Further settings that act on clients by address, or change what address is seen.
    """

    kind: str
    namespace: str
    name: str
    pods: tuple[Pod, ...]
    services: tuple[ServiceFacts, ...]
    settings: ProxySettings
    log_format: str | None = None
    config_map: tuple[str, str] | None = None
    lint: tuple[Lint, ...] = ()
    ingresses: tuple[IngressFacts, ...] = ()
    sidecars: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
