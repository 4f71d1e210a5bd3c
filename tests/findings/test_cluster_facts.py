"""What the cluster file says, as facts that conditions are written over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import clusters
import polars as pl
import pytest
from clusters import ingress_nginx, load, node

from analyzer.findings.cluster_facts import cluster_facts

if TYPE_CHECKING:
    from pathlib import Path

FRONT = {"ingress": [{"ip": "203.0.113.9"}]}
NODES = [node(name, ("InternalIP", f"10.0.0.{at}")) for at, name in enumerate("abc", 1)]


def facts(
    folder: Path, items: list[dict[str, Any]], *pods: tuple[str, str], product: str | None = None
) -> list[dict[str, Any]]:
    """The rows of facts, for a log of these pods and of this product."""
    streams = pl.DataFrame(list(pods), schema={"namespace": pl.String, "pod": pl.String}, orient="row")
    return cluster_facts(load(folder, items), SimpleNamespace(streams=streams, product=product))  # type: ignore[arg-type]


def test_where_pods_are(tmp_path: Path) -> None:
    """Nodes with and without a pod, and how many are on one at most and at least."""
    items = [*NODES, *ingress_nginx(("a", "10.1.0.1"), ("a", "10.1.0.2"), ("b", "10.1.1.1"), front=FRONT)]
    [row] = facts(tmp_path, items)
    assert {name: row[name] for name in ("nodes", "pods", "nodes_with_pod", "nodes_without_pod")} == {
        "nodes": 3, "pods": 3, "nodes_with_pod": 2, "nodes_without_pod": 1,
    }  # fmt: skip
    assert (row["most_pods_on_node"], row["least_pods_on_node"]) == (2, 1)
    assert (row["service_type"], row["external_traffic_policy"]) == ("LoadBalancer", "Cluster")


@pytest.mark.parametrize(("hosts", "uses"), [(0, False), (1, False), (2, True)])
def test_the_host_network_is_that_of_all_pods(hosts: int, uses: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """A roll-out half-way is not on the host network yet."""
    items = [*NODES, *ingress_nginx(("a", "10.0.0.1"), ("b", "10.0.0.2"), front=FRONT)]
    for pod in [item for item in items if item["kind"] == "Pod"][:hosts]:
        pod["spec"]["hostNetwork"] = True
    [row] = facts(tmp_path, items)
    assert row["uses_host_network"] is uses


def test_the_controller_is_that_of_the_log(tmp_path: Path) -> None:
    """Pods tell it, else the format of the log; where neither does, all controllers may be it."""
    items = [*clusters.aks(), *ingress_nginx(("a", "10.1.0.1"), front=FRONT)]
    everyone = facts(tmp_path, items)
    assert {row["controller"] for row in everyone} == {"kong", "ingress-nginx"}
    assert {row["controller"] for row in facts(tmp_path, items, product="kong")} == {"kong"}
    pod = ("ingress-nginx", "ingress-nginx-controller-5d8c6-0abcd")
    assert {row["controller"] for row in facts(tmp_path, items, pod, product="kong")} == {"ingress-nginx"}


def test_a_cluster_without_a_controller_is_one_row(tmp_path: Path) -> None:
    """What is known of the cluster is known without one."""
    [row] = facts(tmp_path, NODES)
    assert (row["nodes"], row["has_controller"], row.get("controller")) == (3, False, None)
