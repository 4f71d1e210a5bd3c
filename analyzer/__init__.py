"""Say whether client IPs are preserved on their way into a Kubernetes cluster, from its access logs.

Import it as ``import analyzer as logscan``. `analyze` reads access logs into a `Report`; `scan` and `read` make Polars
frames of them. `classify` and `geo` say of any column of addresses what they are and where, `simulate_limit` what a
rate limit would have done to it. `Cluster` is what a kubectl dump tells of a cluster.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from analyzer._version import __version__

if TYPE_CHECKING:
    from analyzer.addresses.classify import classify
    from analyzer.addresses.cluster import Cluster
    from analyzer.addresses.geo import geo
    from analyzer.errors import LogscanError, LogscanWarning
    from analyzer.jobs.analyze import analyze
    from analyzer.jobs.compare import compare
    from analyzer.jobs.scan import read, scan
    from analyzer.jobs.simulate import simulate_limit
    from analyzer.report.model import Report

__all__ = [
    "Cluster",
    "LogscanError",
    "LogscanWarning",
    "Report",
    "__version__",
    "analyze",
    "classify",
    "compare",
    "geo",
    "read",
    "scan",
    "simulate_limit",
]

_HOMES = {
    "Cluster": "analyzer.addresses.cluster",
    "LogscanError": "analyzer.errors",
    "LogscanWarning": "analyzer.errors",
    "Report": "analyzer.report.model",
    "analyze": "analyzer.jobs.analyze",
    "classify": "analyzer.addresses.classify",
    "compare": "analyzer.jobs.compare",
    "geo": "analyzer.addresses.geo",
    "read": "analyzer.jobs.scan",
    "scan": "analyzer.jobs.scan",
    "simulate_limit": "analyzer.jobs.simulate",
}


def __dir__() -> list[str]:
    """The public names, for completion, which those not loaded yet are as well."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    """Load a public name when it is first used: `logscan --help` must not wait for Polars."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
