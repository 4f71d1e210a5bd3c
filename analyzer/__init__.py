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
    from analyzer.comparing import compare
    from analyzer.errors import LogscanError, LogscanWarning
    from analyzer.lazy import read, scan
    from analyzer.pipeline import analyze
    from analyzer.report.model import Report
    from analyzer.simulate import simulate_limit

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
    "analyze": "analyzer.pipeline",
    "classify": "analyzer.addresses.classify",
    "compare": "analyzer.comparing",
    "geo": "analyzer.addresses.geo",
    "read": "analyzer.lazy",
    "scan": "analyzer.lazy",
    "simulate_limit": "analyzer.simulate",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used: `logscan --help` must not wait for Polars."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
