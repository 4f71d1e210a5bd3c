"""The report as metrics."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from analyzer.readings.skew import Group
from analyzer.report import write_report
from analyzer.report.prometheus import MOST

if TYPE_CHECKING:
    from analyzer.report.model import Report

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(report: Report) -> Samples:
    """What Prometheus reads of it."""
    text = write_report(report, "prometheus")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    """The value of one time series."""
    return found[f"logscan_{name}", frozenset(labels.items())]


def test_numbers_are_those_of_the_report(report: Report) -> None:
    """Percentages are ratios, classes and reasons are labels, the verdict on trust is one of four."""
    found = samples(report)
    assert value(found, "preserved_ratio") == pytest.approx(0.149003)
    assert value(found, "requests_considered") == 3_000_700
    assert value(found, "requests", **{"class": "node"}) == 2_553_588
    assert value(found, "requests_excluded", reason="health_probe") == 4210
    assert value(found, "input_lines", result="other") == 12
    assert value(found, "trust_verdict", verdict="spoofed") == 1
    assert value(found, "trust_verdict", verdict="sound") == 0
    assert value(found, "skew_node_share_ratio", node="worker-1") == pytest.approx(0.51)
    assert value(found, "build_info", version="0.1.0") == 1


def test_sources_that_could_not_be_read_are_counted(report: Report) -> None:
    """A source that broke off is no longer counted as read."""
    whole = report.input.sources[0]
    read = replace(report.input, sources=[whole, whole, replace(whole, error="broke off")])
    found = samples(replace(report, input=read))
    assert value(found, "input_sources", result="read") == 2
    assert value(found, "input_sources", result="unreadable") == 1


def test_every_metric_has_help_a_type_and_a_unit_that_prometheus_knows(report: Report) -> None:
    """Every metric is a gauge with a help text; none counts in percent or milliseconds, and none has a timestamp."""
    families = list(text_string_to_metric_families(write_report(report, "prometheus")))
    assert {family.type for family in families} == {"gauge"}
    assert all(family.documentation for family in families)
    assert not [family.name for family in families if family.name.endswith(("_pct", "_percent", "_ms", "_total"))]
    assert all(sample.timestamp is None for family in families for sample in family.samples)


def test_what_is_not_known_has_no_time_series(empty: Report) -> None:
    """No request is no ratio, and no 0."""
    found = samples(empty)
    assert not [name for name, _ in found if name in {"logscan_preserved_ratio", "logscan_log_end_timestamp_seconds"}]
    assert value(found, "requests_considered") == 0


def test_labels_are_bounded_and_safe(report: Report) -> None:
    """Ten thousand pods are no ten thousand time series, and a name cannot break out of its label."""
    hostile = 'pod"} 1\nlogscan_preserved_ratio 1\n#\x1b'
    groups = [replace(report.skew.groups[0], name=f"{hostile}{number}") for number in range(10_000)]
    assert isinstance(groups[0], Group)
    found = samples(replace(report, skew=replace(report.skew, groups=groups)))
    assert sum(name == "logscan_skew_node_share_ratio" for name, _ in found) == MOST
    assert value(found, "preserved_ratio") == pytest.approx(0.149003)
