"""What Local would do to a cluster: shares, nodes that stop, what is advised."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from clusters import eks, ingress_nginx, node

from analyzer.addresses.cluster import Cluster
from analyzer.jobs.analyze import analyze
from analyzer.jobs.plan import plan_local
from analyzer.readings.plan import ControllerPlan, plan

SAMPLES = Path(__file__).parents[2] / "sample_logs"
LB = {"ingress": [{"ip": "203.0.113.9"}], "externalTrafficPolicy": "Cluster"}


def planned(folder: Path, items: list[dict[str, Any]], traffic: dict[str, int] | None = None) -> ControllerPlan:
    """Plan the one controller of a cluster of such objects."""
    file = folder / "cluster.json"
    file.write_text(json.dumps({"kind": "List", "items": items}))
    [found] = plan(Cluster.load(file), traffic)
    return found


def cluster(*pods_on: int, front: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Nodes a, b, c ... with so many controller pods each."""
    names = "abcdefgh"[: len(pods_on)]
    places = [(name, f"10.1.{at}.{number}") for at, (name, pods) in enumerate(zip(names, pods_on, strict=True))
              for number in range(10, 10 + pods)]  # fmt: skip
    return [
        *(node(name, ("InternalIP", f"10.0.0.{at}")) for at, name in enumerate(names, 1)),
        *ingress_nginx(*places, front={**LB, **(front or {})}),
    ]


def test_an_even_balancer_gives_each_node_the_same(tmp_path: Path) -> None:
    """Two pods on one node share what one pod alone gets on the other: 25, 25 and 50 percent."""
    found = planned(tmp_path, cluster(2, 1))
    assert [(node.name, node.share_pct, node.pod_share_pct) for node in found.nodes] == [("a", 50, 25), ("b", 50, 50)]
    assert (found.basis, found.worst_over_mean, found.spare_pods) == ("even", 1.5, 0)
    assert "topologySpreadConstraints" in str(found.advice[0].patch)


def test_nodes_without_a_pod_stop(tmp_path: Path) -> None:
    """They are named, get nothing, and a DaemonSet is advised."""
    found = planned(tmp_path, cluster(1, 1, 0, 0))
    assert found.stopping == ["c", "d"]
    assert [node.share_pct for node in found.nodes] == [50, 50, 0, 0]
    assert [advice.patch for advice in found.advice if "DaemonSet" in advice.text] == ["controller:\n  kind: DaemonSet"]


def test_one_node_alone_is_a_single_point_of_failure(tmp_path: Path) -> None:
    """Two pods on one node are no more than one node."""
    found = planned(tmp_path, cluster(2, 0))
    assert "a alone would serve" in found.advice[0].text
    assert found.spare_pods == 1


def test_shares_of_the_traffic_seen(tmp_path: Path) -> None:
    """What entered by nodes that stop is not theirs any more."""
    found = planned(tmp_path, cluster(1, 1, 0), {"a": 300, "b": 100, "c": 600})
    assert [(node.name, node.share_pct) for node in found.nodes] == [("a", 75), ("b", 25), ("c", 0)]
    assert (found.basis, found.worst_over_mean) == ("traffic", 1.5)


def test_what_was_set_already_is_not_advised(tmp_path: Path) -> None:
    """Local with an even spread leaves the health-check port, by its number, and the drain."""
    found = planned(tmp_path, eks())
    assert (found.policy, found.health_check_node_port, found.stopping) == ("Local", 32123, [])
    assert not [advice for advice in found.advice if advice.patch]
    assert any("port 32123" in advice.text for advice in found.advice)


@pytest.mark.parametrize(
    ("front", "reason"),
    [
        ({"annotations": {"service.beta.kubernetes.io/aws-load-balancer-nlb-target-type": "ip"}}, "sends to pods"),
        ({"type": "ClusterIP", "ingress": None}, "no Service of type"),
    ],
)
def test_where_the_policy_decides_nothing(tmp_path: Path, front: dict[str, Any], reason: str) -> None:
    """No advice is given where it would change nothing, and why is said."""
    found = planned(tmp_path, cluster(1, 1, front=front))
    assert (found.applies, found.advice) == (False, [])
    assert reason in found.reason


def test_patches_can_be_pasted(tmp_path: Path) -> None:
    """A kubectl command is words for a shell, its patch is JSON and names the Service's own selector."""
    found = planned(tmp_path, cluster(2, 1))
    commands = [shlex.split(advice.patch) for advice in found.advice if (advice.patch or "").startswith("kubectl")]
    assert [command[:5] for command in commands] == [
        ["kubectl", "-n", "ingress-nginx", "patch", "deployment"],
        ["kubectl", "-n", "ingress-nginx", "patch", "service"],
    ]
    spread = json.loads(commands[0][-1])["spec"]["template"]["spec"]["topologySpreadConstraints"][0]
    assert spread["labelSelector"]["matchLabels"]["app.kubernetes.io/name"] == "ingress-nginx"
    assert json.loads(commands[1][-1]) == {"spec": {"externalTrafficPolicy": "Local"}}


def test_a_node_that_takes_no_new_pods_counts_with_those_it_has(tmp_path: Path) -> None:
    """A cordoned node serves as long as its pods are there; without one it is none that would stop."""
    items = cluster(1, 1, 0)
    for cordoned in (items[0], items[2]):
        cordoned["spec"]["unschedulable"] = True
        cordoned["metadata"]["labels"] = {"topology.kubernetes.io/zone": "z1"}
    found = planned(tmp_path, items)
    assert [(node.name, node.zone, node.share_pct) for node in found.nodes] == [("a", "z1", 50), ("b", None, 50)]
    assert found.stopping == []


def test_pods_without_a_node_are_pending(tmp_path: Path) -> None:
    """A pod that is not placed yet serves nothing, and is counted apart."""
    items = cluster(1, 1)
    waiting = next(item for item in items if item["kind"] == "Pod")
    del waiting["spec"]["nodeName"]
    found = planned(tmp_path, items)
    assert (found.pods, found.pending) == (1, 1)


def test_a_log_says_by_which_nodes_requests_enter() -> None:
    """With the log of the controller, shares are those of its nodes."""
    folder = SAMPLES / "local"
    [even] = plan_local(folder / "cluster.json").controllers
    [found] = plan_local(folder / "cluster.json", [folder]).controllers
    assert (even.basis, found.basis) == ("even", "traffic")
    groups = analyze(folder, cluster=folder / "cluster.json", by="node").skew.groups
    assert {node.name: node.share_pct for node in found.nodes if node.serves} == pytest.approx(
        {group.name: group.share_pct for group in groups}, abs=0.01
    )
