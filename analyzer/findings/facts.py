"""Facts: the columns that a finding's condition is written over, and the frame that holds them.

The frame has a row for each way in: a controller and the Service in front of it. What the log says is the same in every
row. Without a cluster file, or a controller in it, there is one row, in which what only a cluster file says is null. A
null makes no condition true.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from analyzer.findings.log_facts import log_facts

if TYPE_CHECKING:
    from analyzer.addresses.cluster import Cluster
    from analyzer.findings.log_facts import Read

_PCT, _COUNT, _TEXT, _BOOL, _TEXTS = pl.Float64(), pl.Int64(), pl.String(), pl.Boolean(), pl.List(pl.String)

FACTS: dict[str, tuple[pl.DataType, str]] = {
    # What the log says.
    "format": (_TEXT, "name of the format that reads most lines"),
    "is_application": (_BOOL, "the format is one of applications' servers: uvicorn, hypercorn"),
    "requests": (_COUNT, "requests"),
    "considered": (_COUNT, "requests less probes, unreadable ones, those of live pods and those without an address"),
    "preserved_pct": (_PCT, "share of considered requests with the visitor's own address"),
    "lost_pct": (_PCT, "share of considered requests without it"),
    "preserved_before_pct": (_PCT, "the same before the moment at which it changes most; null where it does not"),
    "preserved_after_pct": (_PCT, "and after it"),
    "preserved_end_pct": (_PCT, "the same after that moment, or of the whole log where there is none"),
    "changed_at": (_TEXT, "that moment"),
    "recoverable_pct": (_PCT, "share of requests whose visitor stands in another column; null where none is logged"),
    "client_pct": (_PCT, "share of considered requests on visitors' addresses"),
    "node_pct": (_PCT, "... on addresses of nodes"),
    "lb_pct": (_PCT, "... on addresses of load balancers and other proxies"),
    "private_pct": (_PCT, "... on private addresses that nothing explains"),
    "own_node_pct": (_PCT, "... on nodes' own addresses"),
    "cni_gateway_pct": (_PCT, "... on bridges and overlay devices of nodes (.0 and .1 of a podCIDR)"),
    "pod_pct": (_PCT, "... on addresses of a pod range that are no live pod"),
    "loopback_pct": (_PCT, "... on loopback addresses, whatever was inferred of them"),
    "istio_pct": (_PCT, "... on 127.0.0.6, which Istio's sidecar takes"),
    "cdn_pct": (_PCT, "... on published ranges of CDNs"),
    "cluster_lb_pct": (_PCT, "... on a Service's or Ingress's own load balancer addresses"),
    "gfe_pct": (_PCT, "... on Google's front ends"),
    "klipper_pct": (_PCT, "... on pods of k3s's service load balancer"),
    "trusted_proxy_pct": (_PCT, "... on addresses that the controller trusts as proxies"),
    "other_lb_pct": (_PCT, "... on load balancers that are none of the five before"),
    "unsettled_lb_pct": (_PCT, "... of those on private ones that were inferred and may be nodes: none sends probes"),
    "node_addresses": (_COUNT, "different addresses of nodes"),
    "lb_addresses": (_COUNT, "different addresses of load balancers and other proxies"),
    "private_addresses": (_COUNT, "different private addresses"),
    "top_address": (_TEXT, "the address with most considered requests"),
    "top_address_pct": (_PCT, "its share of them"),
    "top_address_is_public": (_BOOL, "it is none of the addresses for private and special use"),
    "top_address_agents": (_COUNT, "user agents on it, about; 266 is 266 or more"),
    "ipv6_pct": (_PCT, "share of considered requests on IPv6 addresses"),
    "preserved_ipv4_pct": (_PCT, "share preserved of those on IPv4 addresses"),
    "preserved_ipv6_pct": (_PCT, "share preserved of those on IPv6 addresses"),
    "controller_pod_pct": (_PCT, "share of all requests on addresses of the controllers' pods"),
    "trust_verdict": (_TEXT, "sound, exposed, spoofed or cannot-tell"),
    "trust_reason": (_TEXT, "why, in a sentence"),
    "forged_requests": (_COUNT, "requests whose logged address the client wrote; null where nothing shows it"),
    "shared_key_pct": (_PCT, "share of considered requests on addresses that many visitors share"),
    "shared_keys": (_COUNT, "such addresses"),
    "skew_by": (_TEXT, "what skew is measured over: node, zone, pod, source"),
    "skew_verdict": (_TEXT, "even, uneven or unknown"),
    "skew_fits": (_TEXT, "what explains the shares: even, by_pod, by_node, present; null where nothing does"),
    "skew_reason": (_TEXT, "the verdict in words"),
    "interruptions": (_COUNT, "times that a node or pod had no traffic while others had"),
    "skew_basis": (_TEXT, "serving: where requests were answered; entry: where they came in"),
    "max_over_mean": (_PCT, "requests of the busiest node, pod or source over the mean"),
    "top_group": (_TEXT, "the busiest node, pod or source"),
    "top_group_pct": (_PCT, "its share"),
    "silent_groups": (_TEXTS, "nodes or pods whose log is at hand and holds no considered request"),
    "replaced_pods": (_COUNT, "pods of the log that are of a controller and no longer in the cluster file"),
    "proxy_v1_to_plain_listener": (_COUNT, "requests that are a PROXY header of version 1"),
    "proxy_v2_to_plain_listener": (_COUNT, "requests that are a PROXY header of version 2"),
    "proxy_header_pct": (_PCT, "share of both in all requests"),
    "broken_headers": (_COUNT, "connections that began with something else than the PROXY header expected"),
    "empty_headers": (_COUNT, "connections that ended before a PROXY header, as TCP health checks do"),
    "broken_headers_of_pods": (_COUNT, "of the broken ones those from pods of the cluster file"),
    "broken_headers_of_nodes": (_COUNT, "... and those from nodes"),
    "limiting_requests": (_COUNT, "error-log lines of limit_req"),
    "limiting_connections": (_COUNT, "error-log lines of limit_conn"),
    # What the cluster file says.
    "cluster": (_TEXT, "name of the cluster file"),
    "platform": (_TEXT, "eks, gke, aks, digitalocean, k3s ...; aws, gce, azure where it is no managed cluster"),
    "cloud": (_TEXT, "the provider: aws, gcp, azure, or the platform itself"),
    "cni": (_TEXT, "the pod network: cilium, calico, flannel, aws-vpc ..."),
    "kube_proxy_mode": (_TEXT, "iptables, ipvs, nftables, or cilium where Cilium does its work"),
    "nodes": (_COUNT, "nodes that an ordinary pod may be put on"),
    "is_dual_stack": (_BOOL, "nodes have addresses of both families"),
    "controller": (_TEXT, "product: ingress-nginx, kong, envoy-gateway ...; from the log's format without a file"),
    "controller_name": (_TEXT, "namespace/name of the workload"),
    "namespace": (_TEXT, "its namespace"),
    "workload": (_TEXT, "its name"),
    "config_map": (_TEXT, "name of the ConfigMap that it reads, where the cluster file has it"),
    "config_map_namespace": (_TEXT, "its namespace, or the workload's"),
    "uses_host_network": (_BOOL, "its pods share their nodes' network"),
    "pods": (_COUNT, "its pods"),
    "nodes_with_pod": (_COUNT, "nodes that such a pod runs on"),
    "nodes_without_pod": (_COUNT, "schedulable nodes that none runs on"),
    "most_pods_on_node": (_COUNT, "pods on the node with most of them"),
    "least_pods_on_node": (_COUNT, "pods on the node with fewest, but one"),
    "service": (_TEXT, "namespace/name of the Service in front of it that reaches outside"),
    "service_namespace": (_TEXT, "its namespace"),
    "service_name": (_TEXT, "its name"),
    "service_type": (_TEXT, "LoadBalancer, NodePort, ClusterIP"),
    "external_traffic_policy": (_TEXT, "Cluster or Local; Cluster where a Service that reaches outside says nothing"),
    "health_check_node_port": (_TEXT, "the port that says whether a node has a pod of it"),
    "has_external_ips": (_BOOL, "the Service has externalIPs"),
    "has_source_ranges": (_BOOL, "the Service has loadBalancerSourceRanges"),
    "ip_mode": (_TEXT, "VIP or Proxy, as the load balancer's status says"),
    "load_balancer": (_TEXT, "aws-nlb-instance, aws-nlb-ip, gke-passthrough, hetzner, metallb, klipper, node-port ..."),
    "is_proxying": (_BOOL, "that load balancer puts its own address in the visitor's place"),
    "sends_proxy_protocol": (_BOOL, "it sends PROXY headers, by its annotations"),
    "local_elsewhere": (_TEXTS, "Services with the policy Local that stand before no controller"),
    "in_use": (_BOOL, "something may replace the peer's address: a header or the PROXY protocol"),
    "use_forwarded_headers": (_BOOL, "a header of the request may"),
    "use_proxy_protocol": (_BOOL, "a PROXY header is expected"),
    "real_ip_header": (_TEXT, "that header, or proxy_protocol"),
    "recursive": (_BOOL, "the header is read past trusted addresses"),
    "trusted": (_TEXTS, "CIDRs that may name the client"),
    "trusts_everyone": (_BOOL, "all of IPv4 or all of IPv6 is among them"),
    "trusts_all_ipv4": (_BOOL, "all of IPv4 is"),
    "trusts_all_ipv6": (_BOOL, "all of IPv6 is"),
    "trusted_hops": (_COUNT, "entries that are trusted from the right, where that is how it is said (Envoy)"),
    "sidecars": (_TEXTS, "meshes with a proxy in the controller's pods"),
    "ssl_passthrough": (_BOOL, "ingress-nginx runs with --enable-ssl-passthrough"),
    "limit_req_status_code": (_TEXT, "limit-req-status-code of ingress-nginx"),
    "limit_conn_status_code": (_TEXT, "limit-conn-status-code of ingress-nginx"),
    "limited_ingresses": (_COUNT, "Ingresses with a limit by address"),
    "connection_limits": (_COUNT, "those with limit-connections"),
    "allowlists": (_COUNT, "annotations of Ingresses that list addresses"),
    "has_allowlist": (_BOOL, "whitelist-source-range stands in the ConfigMap of ingress-nginx"),
    "unknown_keys": (_TEXTS, "settings that the controller does not know, in a sentence each"),
    "bad_values": (_TEXTS, "settings whose value it refuses, in a sentence each"),
    "has_controller": (_BOOL, "the cluster file has a controller; null without a file"),
}
"""Name of each fact to its dtype and meaning. Shares are percentages, 0 to 100."""

SCHEMA = {name: dtype for name, (dtype, _) in FACTS.items()}


def read_facts(read: Read, cluster: Cluster | None) -> pl.DataFrame:
    """Read the facts.

    Parameters
    ----------
    read
        What was read of the log.
    cluster
        The cluster file.

    Returns
    -------
    polars.DataFrame
        A row for each way in, at least one; columns and dtypes as in `FACTS`.
    """
    of_log = log_facts(read, cluster)
    ways: list[dict[str, Any]] = [{}]
    if cluster is not None:
        from analyzer.findings.cluster_facts import cluster_facts  # noqa: PLC0415 - reads what reads cluster files

        ways = cluster_facts(cluster, read)
    rows = [of_log | of_way for of_way in ways]
    return pl.DataFrame([{name: row.get(name) for name in SCHEMA} for row in rows], schema=SCHEMA, orient="row")
