"""The sample logs: made by their generator to the byte, and read by logscan as the generator says."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from command import logscan

if TYPE_CHECKING:
    from types import ModuleType

SAMPLES = Path(__file__).parents[1] / "sample_logs"
SCENARIOS = ("cluster", "local", "cdn", "kong")


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """Load the generator, which is a script and no part of the package."""
    spec = importlib.util.spec_from_file_location("sample_logs_generate", SAMPLES / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def truths(generator: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the generator knows about each scenario."""
    truths: dict[str, Any] = generator.generate(tmp_path_factory.mktemp("samples"))
    return truths


def content(folder: Path) -> dict[str, bytes]:
    """Return the files of all scenarios by their paths."""
    files = (path for name in SCENARIOS for path in (folder / name).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def analyze(scenario: str, *more: str) -> dict[str, Any]:
    """Return the report on a scenario, with its cluster file where it has one."""
    cluster = SAMPLES / scenario / "cluster.json"
    args = ["--cluster", str(cluster)] if cluster.exists() else []
    result = logscan("analyze", scenario, *args, "--format", "json", *more, cwd=SAMPLES)
    assert (result.status, result.stderr) == (0, "")
    return result.report


def test_the_generator_writes_the_committed_files(tmp_path: Path) -> None:
    """Run as a program it gives the committed files byte for byte, no more and no fewer, and they stay small."""
    subprocess.run([sys.executable, SAMPLES / "generate.py", "--output", tmp_path], check=True)
    made, committed = content(tmp_path), content(SAMPLES)
    assert sorted(made) == sorted(committed)
    assert [name for name in made if made[name] != committed[name]] == []
    assert sum(map(len, committed.values())) < 300_000


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_report_says_what_is_true(scenario: str, truths: dict[str, Any]) -> None:
    """Preservation, what was left out, what stood in, signals and other lines are those that were written."""
    truth, report = truths[scenario], analyze(scenario)
    read, found = report["input"], report["preservation"]
    assert read["rejected"] == 0
    assert (read["lines"], read["parsed"]) == (truth.lines, truth.requests)
    assert {kind: count for kind, count in read["other_kinds"].items() if count} == +truth.other
    assert (found["requests"], found["considered"]) == (truth.requests, truth.considered)
    assert found["preserved"] == truth.preserved
    assert found["preserved_pct"] == pytest.approx(truth.preserved_pct, abs=1e-4)
    assert {reason: count for reason, count in found["excluded"].items() if count} == +truth.left_out
    assert {row["kind"]: row["considered"] for row in found["kinds"] if row["class"] != "client"} == +truth.stand_ins
    assert {name: count for name, count in report["signals"].items() if count} == +truth.signals


def test_what_the_change_to_local_did(truths: dict[str, Any]) -> None:
    """Under Cluster no visitor keeps the address, under Local all do."""
    assert [analyze(scenario)["preservation"]["verdict"] for scenario in ("cluster", "local")] == [
        "not-preserved",
        "preserved",
    ]
    assert truths["cluster"].stand_ins.keys() == {"node", "cni-gateway"}


@pytest.mark.parametrize("scenario", ["cluster", "local"])
@pytest.mark.parametrize("by", ["node", "pod"])
def test_skew(scenario: str, by: str, truths: dict[str, Any]) -> None:
    """A node without a controller is idle, under Local two pods share a node's half; 300 requests prove neither."""
    skew = analyze(scenario, "--by", by)["skew"]
    truth = truths[scenario].by_node if by == "node" else truths[scenario].by_pod
    assert skew["basis"] == "serving"
    assert [group["name"] for group in skew["groups"]] == [name for name, _ in truth.most_common()] or by == "node"
    for group in skew["groups"]:
        assert group["share_pct"] == pytest.approx(100 * truth[group["name"]] / truth.total(), abs=1)
    assert (skew["verdict"], skew["reason"]) == ("unknown", "too few connections or clients for a verdict")
    if by == "node":
        assert skew["idle"] == ["node-3"]
        pods = {group["name"]: group["pods"] for group in skew["groups"]}
        assert pods == {"node-1": 1 if scenario == "cluster" else 2, "node-2": 1}


def test_forwarded_clients_behind_the_cdn() -> None:
    """The header of the CDN's log names many clients behind few edge addresses."""
    busiest = analyze("cdn")["preservation"]["addresses"][0]
    assert busiest["rule"] == "networks/cloudflare.toml: edge"
    assert busiest["forwarded_clients"] > 1
