"""What the cluster file says, as facts: a row for each controller and Service in front of it that the log may be of."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from analyzer.addresses.cluster_services import ACTS_ON_CLIENTS
from analyzer.addresses.ranges import MAPPED
from analyzer.findings.balancers import CLOUDS, balancer

if TYPE_CHECKING:
    from analyzer.addresses.cluster import Cluster
    from analyzer.addresses.cluster_model import Controller, ServiceFacts
    from analyzer.findings.log_facts import Read

_REACH_OUTSIDE = ("LoadBalancer", "NodePort")
_SHOWN = 20


def cluster_facts(cluster: Cluster, read: Read) -> list[dict[str, Any]]:
    """Return the facts that the cluster file has, a row for each way in, at least one."""
    of_cluster = _cluster(cluster)
    rows = [
        of_cluster | _controller(controller, cluster) | _service(service, controller, cluster)
        for controller in _of_the_log(cluster, read)
        for service in _ways_in(controller)
    ]
    return rows or [of_cluster]


def _of_the_log(cluster: Cluster, read: Read) -> list[Controller]:
    """Return the controllers whose log was read: by its pods, else by its format, else any of them."""
    logged = set(read.streams.select("namespace", "pod").iter_rows())
    by_pod = [each for each in cluster.controllers if any((pod.namespace, pod.name) in logged for pod in each.pods)]
    by_format = [each for each in cluster.controllers if each.kind == read.product]
    return by_pod or by_format or list(cluster.controllers)


def _ways_in(controller: Controller) -> list[ServiceFacts | None]:
    outer = [service for service in controller.services if service.type in _REACH_OUTSIDE]
    # A ClusterIP is a way in where another load balancer reaches the pods through it.
    return [*(outer or controller.services[:1])] or [None]


def _cluster(cluster: Cluster) -> dict[str, Any]:
    platform = cluster.platform
    families = {number >> 32 == MAPPED >> 32 for node in cluster.nodes for number in node.addresses}
    fronts = {(each.namespace, each.name) for controller in cluster.controllers for each in controller.services}
    local = [
        f"{each.namespace}/{each.name}"
        for each in cluster.services
        if each.is_local and (each.namespace, each.name) not in fronts
    ]
    acting = Counter(key.rpartition("/")[2] for ingress in cluster.ingresses for key in ingress.acts_on_clients)
    limited = [each for each in cluster.ingresses if any("/limit-" in key for key in each.acts_on_clients)]
    return {
        "cluster": cluster.name,
        "platform": platform,
        "cloud": CLOUDS.get(platform or "", platform),
        "cni": cluster.cni,
        "kube_proxy_mode": cluster.kube_proxy_mode,
        "nodes": len(cluster.node_names()),
        "is_dual_stack": len(families) > 1,
        "local_elsewhere": local[:_SHOWN],
        "limited_ingresses": len(limited),
        "connection_limits": acting["limit-connections"],
        "allowlists": sum(acting[key.rpartition("/")[2]] for key in ACTS_ON_CLIENTS if key.endswith("-source-range")),
        "has_controller": bool(cluster.controllers),
    }


def _controller(controller: Controller, cluster: Cluster) -> dict[str, Any]:
    settings, options = controller.settings, controller.options
    config_namespace, config_map = controller.config_map or (controller.namespace, None)
    known = bool(settings.sources)
    placed = Counter(pod.node for pod in controller.pods if pod.node is not None)
    schedulable = cluster.node_names()
    return {
        "controller": controller.kind,
        "controller_name": f"{controller.namespace}/{controller.name}",
        "namespace": controller.namespace,
        "workload": controller.name,
        "config_map": config_map,
        "config_map_namespace": config_namespace,
        "uses_host_network": bool(controller.pods) and all(pod.host_network for pod in controller.pods),
        "pods": len(controller.pods),
        "nodes_with_pod": len(placed),
        "nodes_without_pod": sum(name not in placed for name in schedulable),
        "most_pods_on_node": max(placed.values(), default=0),
        "least_pods_on_node": min(placed.values(), default=0),
        "in_use": settings.in_use if known else None,
        "use_forwarded_headers": settings.use_forwarded_headers,
        "use_proxy_protocol": settings.use_proxy_protocol,
        "real_ip_header": settings.header,
        "recursive": settings.recursive,
        "trusted": list(settings.trusted) if known else None,
        "trusts_everyone": settings.trusts_everyone if known else None,
        "trusts_all_ipv4": "0.0.0.0/0" in settings.trusted if known else None,
        "trusts_all_ipv6": "::/0" in settings.trusted if known else None,
        "trusted_hops": settings.trusted_hops,
        "sidecars": list(controller.sidecars),
        "ssl_passthrough": "enable-ssl-passthrough" in options,
        "limit_req_status_code": options.get("limit-req-status-code"),
        "limit_conn_status_code": options.get("limit-conn-status-code"),
        "has_allowlist": "whitelist-source-range" in options,
        "unknown_keys": [each.text for each in controller.lint if each.kind == "unknown-key"][:_SHOWN],
        "bad_values": [each.text for each in controller.lint if each.kind == "bad-value"][:_SHOWN],
    }


def _service(service: ServiceFacts | None, controller: Controller, cluster: Cluster) -> dict[str, Any]:
    if service is None:
        return {}
    policy, port = service.external_traffic_policy, service.health_check_node_port
    found = balancer(service, controller, cluster)
    return {
        "service": f"{service.namespace}/{service.name}",
        "service_namespace": service.namespace,
        "service_name": service.name,
        "service_type": service.type,
        "external_traffic_policy": policy or ("Cluster" if service.type in _REACH_OUTSIDE else None),
        "health_check_node_port": port and str(port),
        "has_external_ips": service.external_ips,
        "has_source_ranges": service.source_ranges,
        "ip_mode": service.ip_modes[0] if service.ip_modes else None,
        "load_balancer": found.name,
        "is_proxying": found.is_proxying,
        "sends_proxy_protocol": found.sends_proxy_protocol,
    }
