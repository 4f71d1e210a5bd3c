"""The report as metrics for the textfile collector of Prometheus' node exporter.

Names, units and types follow https://prometheus.io/docs/practices/naming/: ratios from 0 to 1, seconds, bytes. Every
metric is a gauge of the last run, without a timestamp of its own; what is not known is left out, not 0. Labels are
bounded: at most `MOST` groups of skew are named, and no address, path or user agent is.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from analyzer.report.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from analyzer.report.model import Report

MOST = 50
"""Groups of skew that get a time series."""
_NAME = 200
_TRUST = ("sound", "exposed", "spoofed", "cannot-tell")
_SEVERITIES = ("error", "warning", "info")


def render(report: Report) -> str:
    """Write a report in the text format."""
    metrics = _Metrics()
    _run(metrics, report)
    _preservation(metrics, report)
    _readings(metrics, report)
    _findings(metrics, report)
    return metrics.text()


class _Metrics:
    def __init__(self) -> None:
        self._registry = CollectorRegistry()

    def one(self, name: str, help_: str, value: float | None) -> None:
        """A metric without labels, unless its value is not known."""
        if value is not None:
            Gauge(f"logscan_{name}", help_, registry=self._registry).set(value)

    def by(self, name: str, help_: str, label: str, values: Iterable[tuple[str, float | None]]) -> None:
        """A metric with one label; values that are not known are left out."""
        gauge = Gauge(f"logscan_{name}", help_, [label], registry=self._registry)
        for key, value in values:
            if value is not None:
                gauge.labels(printable(key, _NAME)).set(value)

    def text(self) -> str:
        """All of them."""
        return generate_latest(self._registry).decode()


def _ratio(pct: float | None) -> float | None:
    return None if pct is None else round(pct / 100, 6)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _run(metrics: _Metrics, report: Report) -> None:
    read = report.input
    metrics.by("build_info", "The version of logscan that wrote this.", "version", [(report.version, 1)])
    metrics.one("run_duration_seconds", "How long the last run took.", read.elapsed_seconds)
    metrics.one("run_end_timestamp_seconds", "When the last run ended.", round(time.time(), 3))
    metrics.one("input_bytes", "Bytes read, as stored.", read.bytes)
    lines = (("parsed", read.parsed), ("rejected", read.rejected), ("other", read.other))
    metrics.by("input_lines", "Lines read, by what they were.", "result", lines)
    failed = sum(source.error is not None for source in read.sources)
    sources = (("read", len(read.sources) - failed), ("unreadable", failed))
    metrics.by("input_sources", "Sources, by whether they could be read.", "result", sources)
    metrics.one("log_start_timestamp_seconds", "Time of the first request.", _seconds(read.first_time))
    metrics.one("log_end_timestamp_seconds", "Time of the last request.", _seconds(read.last_time))


def _preservation(metrics: _Metrics, report: Report) -> None:
    reading = report.preservation
    metrics.one("requests_considered", "Requests that count for the preserved ratio.", reading.considered)
    metrics.one("requests_preserved", "Requests whose logged address is the visitor's own.", reading.preserved)
    metrics.one("preserved_ratio", "Preserved over considered requests.", _ratio(reading.preserved_pct))
    recoverable = _ratio(reading.recoverable_pct)
    metrics.one("recoverable_ratio", "Requests whose lost client stands elsewhere in the log.", recoverable)
    classes = reading.classes.items()
    requests = ((name, each.requests) for name, each in classes)
    metrics.by("requests", "Requests by the class of their remote address.", "class", requests)
    addresses = ((name, each.addresses) for name, each in classes)
    metrics.by("addresses", "Remote addresses by class.", "class", addresses)
    excluded = reading.excluded
    reasons = ("health_probe", "unparsed_request", "in_cluster", "unknown")
    left_out = ((reason, getattr(excluded, reason)) for reason in reasons)
    metrics.by("requests_excluded", "Requests that do not count, by reason.", "reason", left_out)


def _readings(metrics: _Metrics, report: Report) -> None:
    verdicts = ((verdict, float(verdict == report.trust.verdict)) for verdict in _TRUST)
    metrics.by("trust_verdict", "1 for the verdict on trust, 0 for the others.", "verdict", verdicts)
    metrics.one("requests_forged", "Requests whose logged address the client wrote.", report.trust.forged_requests)
    metrics.by("signals", "What lines gave away of protocols and limits.", "signal", report.signals.items())
    skew = report.skew
    if skew.by is not None:
        spread = [(skew.by, skew.max_over_mean)]
        metrics.by("skew_max_over_mean", "Requests of the busiest group over the mean.", "by", spread)
        metrics.by("skew_variation", "Coefficient of variation over the groups.", "by", [(skew.by, skew.cv)])
        shares = ((group.name, _ratio(group.share_pct)) for group in skew.groups[:MOST])
        metrics.by(f"skew_{skew.by}_share_ratio", f"Share of requests by {skew.by}.", skew.by, shares)
    metrics.one("geo_locatable_ratio", "Requests that can be located.", _ratio(report.geo.locatable_pct))
    shared = _ratio(report.rate_limit.shared_key_pct)
    metrics.one("rate_limit_shared_key_ratio", "Requests on addresses that stand for many.", shared)
    metrics.one("rate_limit_keys", "Addresses that a limit by address would count.", report.rate_limit.keys)


def _findings(metrics: _Metrics, report: Report) -> None:
    counts = [(name, float(sum(found.severity == name for found in report.findings))) for name in _SEVERITIES]
    metrics.by("findings", "Findings by severity.", "severity", counts)
    metrics.by("finding", "1 for each finding there is.", "id", ((found.id, 1.0) for found in report.findings))
