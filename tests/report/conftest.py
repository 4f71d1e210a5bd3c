"""A report as the contract pictures it, and a way to vary it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from analyzer.findings.model import Finding, Fix
from analyzer.readings.geo import AutonomousSystem, Country, Geo
from analyzer.readings.preservation import AddressRow, ClassCount, Excluded, KindRow, Preservation
from analyzer.readings.rate_limit import RateLimit, Simulation
from analyzer.readings.skew import Group, Skew
from analyzer.readings.suggested_limits import Suggestion
from analyzer.readings.timeline import Point, Timeline
from analyzer.readings.trust import Forged, Hop, Trust
from analyzer.report.model import Input, RejectedSample, Report, SourceRow

START = datetime(2026, 11, 21, tzinfo=UTC)


def _input() -> Input:
    source = SourceRow("access.log", "ingress-nginx", "none", None, None, 801_486_229, 3_005_003, 3_004_991, 0, 12)
    return Input(
        sources=[source],
        bytes=source.bytes,
        lines=source.lines,
        parsed=source.parsed,
        rejected=0,
        other=12,
        first_time=START,
        last_time=START + timedelta(minutes=50),
        other_kinds={"error_log": 9, "controller": 3},
        elapsed_seconds=0.8123456,
    )


def _preservation() -> Preservation:
    gateways = [f"10.244.{node}.{last}" for node in (1, 2) for last in (0, 1)]
    return Preservation(
        requests=3_005_003,
        considered=3_000_700,
        preserved=447_112,
        preserved_pct=14.9003,
        recoverable_pct=None,
        verdict="not-preserved",
        excluded=Excluded(4210, 93, 0, 0),
        classes={
            "client": ClassCount(451_415, 447_112, 447_112, 199_203, 15.0221),
            "node": ClassCount(2_553_588, 2_553_588, 0, 9, 84.9779),
            "lb": ClassCount(0, 0, 0, 0, 0.0),
            "private": ClassCount(0, 0, 0, 0, 0.0),
            "unknown": ClassCount(0, 0, 0, 0, 0.0),
        },
        kinds=[
            KindRow("node", "cni-gateway", 1_702_330, 0, 56.7311, 6, gateways,
                    ["cluster.json: podCIDR of worker-1", "cluster.json: podCIDR of worker-2"]),
            KindRow("node", "node", 851_258, 0, 28.3686, 3, ["10.0.10.11", "10.0.10.14", "10.0.10.17"],
                    ["cluster.json: node worker-1"]),
            KindRow("client", "public", 447_112, 447_112, 14.9003, 199_203, [], []),
        ],
        addresses=[
            AddressRow("10.244.1.0", "node", "cni-gateway", "cluster.json: podCIDR of worker-1", 400_000, 266, None)
        ],
        suspicions=[],
    )  # fmt: skip


@pytest.fixture
def report() -> Report:
    """Return a report in which every section has something to say."""
    return Report(
        version="0.1.0",
        input=_input(),
        preservation=_preservation(),
        trust=Trust("spoofed", 3, [Hop(2, 3)], "the logged address of 3 requests is what the client wrote",
                    [Forged("1.1.1.1", "10.0.0.5", "1.1.1.1, 198.51.100.7", 3)], None),
        signals={"proxy_v1_to_plain_listener": 12, "broken_proxy_header": 0},
        skew=Skew(
            by="node",
            basis="serving",
            groups=[Group("worker-1", 51, 51.0, 2), Group("worker-2", 49, 49.0, 1)],
            unattributed=0,
            cv=0.02,
            max_over_mean=1.02,
            gini=0.01,
            idle=["worker-3"],
            verdict="even",
        ),
        geo=Geo(
            verdict="not-ready",
            locatable_pct=14.5,
            locatable_if_recovered_pct=None,
            database=[
                {
                    "file": "GeoLite2-Country.mmdb",
                    "type": "GeoLite2-Country",
                    "built": "2026-11-01T00:00:00Z",
                    "knows": ["country"],
                    "age_days": 20,
                }
            ],
            countries=[Country("DE", 300_000, 9.9977), Country("FR", 100_000, 3.3326)],
            asns=[AutonomousSystem(3320, "Deutsche Telekom AG", 200_000, 6.6651)],
        ),
        rate_limit=RateLimit(
            verdict="not-ready",
            keys=199_212,
            shared_keys=9,
            shared_key_pct=85.0997,
            simulations=[
                Simulation("ingress-nginx", "limit-rps: 5", 25, 3_000_700, 2_130_497, 71.0, 99.97, 2_100_490, 2145500),
                Simulation("ingress-nginx", "limit-rps: 100", 500, 3_000_700, 5, 0.0002, 100.0, 0, 9),
            ],
            suggested=Suggestion("ingress-nginx", 12),
        ),
        timeline=Timeline(
            60,
            [Point(START, 100, 100, 0, 0.0), Point(START + timedelta(minutes=1), 100, 80, 80, 100.0),
             Point(START + timedelta(minutes=2), 5, 0, 0, None)],
        ),
    )  # fmt: skip


@pytest.fixture
def finding() -> Finding:
    """Return what explains that addresses are lost."""
    return Finding(
        id="external-traffic-policy-cluster",
        severity="error",
        title="Nodes masquerade",
        because="externalTrafficPolicy is Cluster on web/front: nodes masquerade",
        share_pct=85.1,
        evidence={"node_pct": 85.1, "service": "web/front"},
        fixes=[
            Fix(
                platform="any", controller="ingress-nginx", load_balancer="any", text="Set the policy to Local",
                note=None,
                patch="helm upgrade x --set controller.service.externalTrafficPolicy=Local",
                verify="logscan analyze LOG", source="https://example.org/", recognised=True,
            )
        ],
    )  # fmt: skip


@pytest.fixture
def rejected_sample() -> RejectedSample:
    """Return a line that could not be read."""
    return RejectedSample("access.log", 17, "status is not a number", "1.2.3.4 - - [x] hello")


@pytest.fixture
def empty() -> Report:
    """Return the report of a log without a line."""
    classes = {name: ClassCount(0, 0, 0, 0, None) for name in ("client", "node", "lb", "private", "unknown")}
    nothing = Preservation(0, 0, 0, None, None, "unknown", Excluded(0, 0, 0, 0), classes, [], [], [])
    source = SourceRow("empty.log", None, None, None, None, 0, 0, 0, 0, 0)
    return Report(
        version="0.1.0",
        input=replace(
            _input(), sources=[source], bytes=0, lines=0, parsed=0, other=0, other_kinds={}, first_time=None,
            last_time=None, elapsed_seconds=None
        ),
        preservation=nothing,
        trust=Trust("cannot-tell", None, [], "no address of a visitor was logged", [], None),
        signals={},
        skew=Skew(None, None, [], 0, None, None, None, [], "unknown", "the sources name no node or pod"),
        geo=Geo("unknown", None, None, None, [], []),
        rate_limit=RateLimit("unknown", 0, 0, None, [], None),
        timeline=Timeline(60, []),
    )  # fmt: skip
