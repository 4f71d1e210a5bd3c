"""Two reports side by side: changes, caveats, findings."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

import analyzer as logscan
from analyzer.readings.comparison import Compared, compare_reports

SAMPLES = Path(__file__).parents[2] / "sample_logs"
Document = dict[str, Any]


@pytest.fixture(scope="module")
def cluster() -> Document:
    """The report of a log under Cluster."""
    report = logscan.analyze(SAMPLES / "cluster", cluster=SAMPLES / "cluster" / "cluster.json")
    document: Document = json.loads(report.to_json())
    document["findings"] = [_finding("a"), _finding("b")]
    return document


def _finding(id_: str) -> Document:
    return {"id": id_, "severity": "error", "title": id_.upper(), "evidence": {}, "fixes": []}


def changed(before: Document, after: Document) -> Compared:
    """Compare two documents."""
    return compare_reports(before, after, ("x.log", "y.log"))


def test_the_same_report_has_changed_nothing(cluster: Document) -> None:
    """No change is for better or worse, and every finding is still there."""
    found = changed(cluster, cluster)
    assert {change.better for change in found.changes} == {None}
    assert {change.change for change in found.changes} <= {0, None}
    assert {finding.state for finding in found.findings} == {"still"}


def test_changes_are_told_with_their_direction(cluster: Document) -> None:
    """More preserved is better, more of the requests on shared addresses is worse, a verdict has its rank."""
    after = deepcopy(cluster)
    after["preservation"]["preserved_pct"] = 97.5
    after["rate_limit"]["shared_key_pct"] = 100.0
    cluster = deepcopy(cluster)
    cluster["rate_limit"]["shared_key_pct"] = 99.0
    after["geo"]["verdict"] = "ready"
    after["trust"]["verdict"] = "spoofed"
    by_name = {(each.section, each.measure): each for each in changed(cluster, after).changes}
    preserved = by_name["preservation", "preserved"]
    assert (preserved.before, preserved.after, preserved.change, preserved.better) == (0.0, 97.5, 97.5, True)
    assert by_name["rate limit", "on shared addresses"].better is False
    assert by_name["geo", "verdict"].better is True
    assert by_name["trust", "verdict"].better is False


def test_findings_come_and_go(cluster: Document) -> None:
    """New ones come first."""
    after = deepcopy(cluster) | {"findings": [_finding("b"), _finding("c")]}
    assert [(each.state, each.id) for each in changed(cluster, after).findings] == [
        ("new", "c"), ("still", "b"), ("gone", "a"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("place", "value", "caveat"),
    [
        (("input", "sources", 0, "format"), "kong", "other log formats"),
        (("input", "cluster"), None, "a cluster file tells who is who before only"),
        (("version",), "0.0.1", "different versions"),
        (("preservation", "considered"), 7, "after there are only 7 requests"),
        (("input", "last_time"), "2026-11-21T13:00:00Z", "one log is much longer: 50 min and 4.0 h"),
    ],
)
def test_what_cannot_be_compared_is_said(cluster: Document, place: tuple[Any, ...], value: object, caveat: str) -> None:
    """Other formats, other means, few requests, other lengths each have a word."""
    before = deepcopy(cluster)
    before["preservation"]["considered"] = 10_000
    after = deepcopy(before)
    assert changed(before, after).caveats == []
    part: Any = after
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    assert any(caveat in each for each in changed(before, after).caveats)


def test_other_hours_of_the_day_are_said(cluster: Document) -> None:
    """The evening is not the morning, but the same hours of another day are."""
    after = deepcopy(cluster)
    after["input"] |= {"first_time": "2026-11-22T20:00:00Z", "last_time": "2026-11-22T20:50:00Z"}
    assert any("other hours" in each for each in changed(cluster, after).caveats)
    for first, last in ("09:30", "10:10"), ("08:40", "09:05"):
        after["input"] |= {"first_time": f"2026-11-22T{first}:00Z", "last_time": f"2026-11-22T{last}:00Z"}
        assert not any("other hours" in each for each in changed(cluster, after).caveats)


def test_skew_over_other_things_is_not_compared(cluster: Document) -> None:
    """Nodes are no pods."""
    after = deepcopy(cluster)
    after["skew"]["by"] = "pod" if cluster["skew"]["by"] == "node" else "node"
    assert not [change for change in changed(cluster, after).changes if change.section == "skew"]


def test_in_python_a_report_a_saved_one_and_a_log_are_all_the_same(cluster: Document, tmp_path: Path) -> None:
    """What is given makes no difference, and the changes are a frame."""
    report = logscan.analyze(SAMPLES / "local")
    (tmp_path / "local.json").write_text(report.to_json())
    sides = [report, tmp_path / "local.json", SAMPLES / "local"]
    frames = [logscan.compare(SAMPLES / "cluster", side).frame for side in sides]
    assert frames[0].equals(frames[1])
    assert frames[0].equals(frames[2])
    assert frames[0].row(0, named=True)["after"] == f"{report.preservation.preserved_pct:.1f}"
    assert "<table" in logscan.compare(report, report)._repr_html_()


def test_each_side_is_read_with_its_cluster_file(tmp_path: Path) -> None:
    """The file of the cluster is for both logs, unless that of the other side is given."""
    files = [tmp_path / "before.json", tmp_path / "after.json"]
    for file, name in zip(files, ("cluster", "local"), strict=True):
        file.write_bytes((SAMPLES / name / "cluster.json").read_bytes())
    sides = SAMPLES / "cluster", SAMPLES / "local"
    one = logscan.compare(*sides, cluster=files[0]).compared
    assert (one.before.cluster, one.after.cluster) == ("before.json", "before.json")
    two = logscan.compare(*sides, cluster=files[0], cluster_after=files[1]).compared
    assert (two.before.cluster, two.after.cluster) == ("before.json", "after.json")
