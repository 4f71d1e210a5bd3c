"""``logscan plan``: the cluster file, and a log where there is one, to what Local would do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from analyzer._version import __version__
from analyzer.addresses.cluster import Cluster
from analyzer.readings.plan import plan
from analyzer.report.plan import Plan
from analyzer.report.unread import require_read

if TYPE_CHECKING:
    from collections.abc import Iterable


def plan_local(
    cluster: Cluster | str | os.PathLike[str],
    source: Iterable[str | os.PathLike[str]] = (),
    *,
    controller: Iterable[str] = (),
) -> Plan:
    """Say what ``externalTrafficPolicy: Local`` would do.

    Parameters
    ----------
    cluster
        The cluster file, or what was loaded of it.
    source
        Logs of the controller: where they name nodes, the shares are those of the traffic.
    controller
        ``NAMESPACE/NAME`` of the controllers, where labels and images do not tell.

    Raises
    ------
    LogscanError
        Where the file or a log cannot be read, or no line of the logs.
    """
    known = cluster if isinstance(cluster, Cluster) else Cluster.load(os.fspath(cluster), list(controller))
    sources = [os.fspath(each) for each in source]
    traffic: dict[str, int] = {}
    if sources:
        from analyzer.jobs.analyze import analyze  # noqa: PLC0415 - reads no log without one

        report = analyze(sources, cluster=known, by="node", top=1, say=lambda _: None)
        require_read(report, ", ".join(sources))
        traffic = {group.name: group.requests for group in report.skew.groups}
    return Plan(version=__version__, cluster=known.name, platform=known.platform, controllers=plan(known, traffic))
