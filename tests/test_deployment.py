"""What the documentation ships for a cluster: manifests that Kubernetes accepts, rules and panels over real metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

import analyzer as logscan
from analyzer.commands import analyze
from analyzer.findings.rules import load_findings
from analyzer.jobs.snapshot import OPTIONAL, RESOURCES
from analyzer.report import write_report
from analyzer.sources.buckets import parse_url

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MANIFESTS = [
    (file.name, manifest)
    for file in sorted((DOCS / "kubernetes").glob("*.yaml"))
    for manifest in yaml.safe_load_all(file.read_text())
]


@pytest.fixture(scope="module")
def metrics() -> set[str]:
    """Names of all metrics that a report of a sample has."""
    folder = ROOT / "sample_logs" / "local"
    text = write_report(logscan.analyze(folder, cluster=folder / "cluster.json"), "prometheus")
    return {family.name for family in text_string_to_metric_families(text)}


@pytest.mark.parametrize(("name", "manifest"), MANIFESTS)
def test_manifests_are_what_kubernetes_takes(name: str, manifest: dict[str, Any]) -> None:
    """Every object fits the schema of the newest Kubernetes, with no field that it does not know."""
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def containers() -> list[dict[str, Any]]:
    """All containers of all manifests."""
    specs = []
    for _, manifest in MANIFESTS:
        spec = manifest.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec).get("template", {}).get("spec", {})
        specs += [*spec.get("initContainers", ()), *spec.get("containers", ())]
    return specs


def test_containers_are_locked_down() -> None:
    """Read-only root, no privileges, limits: as a platform team would want them."""
    assert len(containers()) == 3
    for container in containers():
        locked = container["securityContext"]
        assert locked["readOnlyRootFilesystem"]
        assert locked["allowPrivilegeEscalation"] is False
        assert locked["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]


def test_commands_in_manifests_have_only_options_that_there_are() -> None:
    """A renamed option breaks no CronJob in silence."""
    known = {f"--{name.replace('_', '-')}" for name in analyze.analyze.__annotations__}
    known |= {"--format", "--output", "--limit-whitelist"}
    for container in containers():
        words = " ".join(container["args"])
        assert {option.split("=")[0] for option in re.findall(r"--[a-z-]+", words)} <= known


def test_the_state_needs_no_volume_and_is_no_log() -> None:
    """The CronJob keeps its state in a bucket, outside of the prefix that it reads."""
    [job] = [manifest for _, manifest in MANIFESTS if manifest["kind"] == "CronJob"]
    spec = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert all("emptyDir" in volume for volume in spec["volumes"])
    logs, *options = spec["containers"][0]["args"][1:]
    [state] = [option.removeprefix("--state=") for option in options if option.startswith("--state=")]
    assert parse_url(state) is not None
    assert not state.startswith(logs)


def test_the_role_reads_what_a_snapshot_reads_and_nothing_else() -> None:
    """One rule for each resource; no secret, no verb but reading."""
    [role] = [manifest for _, manifest in MANIFESTS if manifest["kind"] == "ClusterRole"]
    granted = {
        f"{resource}.{group}" if group else resource
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert granted == {*RESOURCES, *OPTIONAL}
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get", "list"}


def expressions() -> list[str]:
    """All queries of the alert rules and of the dashboard."""
    rules = yaml.safe_load((DOCS / "monitoring" / "alerts.yaml").read_text())
    dashboard = json.loads((DOCS / "monitoring" / "dashboard.json").read_text())
    return [rule["expr"] for group in rules["groups"] for rule in group["rules"]] + [
        target["expr"] for panel in dashboard["panels"] for target in panel["targets"]
    ]


def test_queries_name_metrics_and_findings_that_there_are(metrics: set[str]) -> None:
    """No alert waits for a metric that is never written."""
    ids = {rule.id for rule in load_findings()}
    sometimes = {"logscan_recoverable_ratio"}
    for expression in expressions():
        assert set(re.findall(r"logscan_\w+", expression)) <= metrics | sometimes
        assert set(re.findall(r'id="([^"]+)"', expression)) <= ids


def test_the_image_runs_as_nobody() -> None:
    """The last stage has a user, by number, and logscan as its command."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert "USER 65532:65532" in lines
    assert lines[-1] == 'ENTRYPOINT ["logscan"]'
