"""The way of a log through the program: sources to frames to tables to readings to the report."""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.addresses.asns import load_asns
from analyzer.errors import LogscanWarning, UsageError
from analyzer.findings.evaluate import usable_findings
from analyzer.jobs.given import Given, logs_named, names_of, several, time_span
from analyzer.jobs.given_limits import GivenLimits
from analyzer.jobs.judging import Judge, WasRead
from analyzer.jobs.progress import notebook_bar
from analyzer.readings.geo_rules import GeoRules
from analyzer.readings.suggested_limits import HARMED_PCT
from analyzer.runs.logs import Log
from analyzer.runs.run import Run
from analyzer.runs.threads import thread_count
from analyzer.sources import find
from analyzer.tables import Folds
from analyzer.tables.limits import BURST_MULTIPLIER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime, timedelta

    from analyzer.addresses.cluster import Cluster
    from analyzer.addresses.geo import GeoDatabase
    from analyzer.jobs.given import Span
    from analyzer.readings.skew import By
    from analyzer.report.model import Report


def analyze(  # noqa: PLR0913 - the options of the command line
    source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    cluster: Cluster | str | os.PathLike[str] | None = None,
    controller: Iterable[str] = (),
    log_format: str | None = None,
    node: Iterable[str] = (),
    lb: Iterable[str] = (),
    client: Iterable[str] = (),
    private: Iterable[str] = (),
    rules: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
    geoip: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
    deny_country: Iterable[str] = (),
    allow_country: Iterable[str] = (),
    allowlist: Iterable[str] = (),
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    by: By | None = None,
    limit_rps: int | Iterable[int] = (),
    limit_rpm: int | Iterable[int] = (),
    limit_connections: int | Iterable[int] = (),
    limit_burst_multiplier: int = BURST_MULTIPLIER,
    limit_allowlist: Iterable[str] = (),
    limit_harm: float = HARMED_PCT,
    kong_limit: Iterable[str] = (),
    kong_sliding_limit: Iterable[str] = (),
    envoy_limit: Iterable[str] = (),
    top: int = 20,
    rejects: str | os.PathLike[str] | None = None,
    state: str | os.PathLike[str] | None = None,
    window: timedelta | None = None,
    workers: int | None = None,
    cluster_engine: str | None = None,
    progress: Callable[[int], object] | None = None,
    say: Callable[[str], object] | None = None,
) -> Report:
    """Read access logs and say whether client IPs are preserved in them.

    What may be given more than once may be one value, too.

    Parameters
    ----------
    source
        A file, a glob, a directory, ``-`` for standard input, a URL (``s3://``, ``gs://``, ``az://``, ``file://``), or
        several of them. ``{:%Y/%m/%d/%H}`` in a name is a date, of which only those of the span are looked for.
    cluster
        What ``logscan snapshot`` or ``kubectl get ... -A -o json`` wrote, as a file or loaded. A log format that a
        controller in it is set to is tried before the known ones.
    controller
        ``NAMESPACE/NAME`` of the ingress controllers, where the cluster file does not tell them by labels and images.
    log_format
        An nginx ``log_format`` string or the name of a known format; detected for each source where not given.
    node, lb, client, private
        CIDRs that are so whatever any rule says.
    rules
        Folders with more rules, read after the shipped ones.
    geoip
        MMDB files with countries or ASNs.
    deny_country, allow_country
        Country codes of a rule to try: reject these, or let only these in. They need a database of countries.
    allowlist
        CIDRs of a rule to try: let only these in.
    since, until
        Only requests in this half-open range of time count, as datetimes or as text (``"2026-11-21T07:00Z"``, or how
        long ago: ``"24h"``). A time without a zone is UTC.
    by
        What skew is read by: ``node``, ``zone``, ``pod`` or ``source``; chosen by what is known where not given.
    limit_rps
        Limits in requests per second to try beside the shipped grid.
    limit_rpm, limit_connections
        ingress-nginx's limits in requests per minute and in requests in progress; with limits of other kinds they are
        tried alone, and together as on one Ingress.
    limit_burst_multiplier
        ingress-nginx's ``limit-burst-multiplier``.
    limit_allowlist
        CIDRs that no limit is for: ``limit-allowlist``.
    limit_harm
        The limit that is suggested rejects fewer percent of the visitors.
    kong_limit
        Kong's ``rate-limiting``: ``"minute:100"``, or several windows at once as ``"second:5,minute:100"``; by policy,
        ``local`` in each log, ``cluster`` and ``redis`` over all logs.
    kong_sliding_limit
        Kong's ``rate-limiting-advanced`` with sliding windows, in seconds or by name: ``"60:100"``; so, too.
    envoy_limit
        Envoy Gateway's local rate limit: ``"second:10"`` for each client address, ``"second:10/route"`` for a route.
    top
        How many addresses, countries and groups a list shows; 0 is all.
    rejects
        A file to write the lines to that could not be read, byte for byte.
    state
        A folder, or the URL of a bucket, that says what was read before and keeps what is read now: only what is new
        is read, and the report is of all that the state holds.
    window
        With a state: only its last hours count, so long; of names with dates no others are looked for, but two days.
    workers
        Threads that scan, or processes with ``dask``; default: the processors that this process may use.
    cluster_engine
        ``dask://HOST:PORT`` has the workers of that Dask scheduler read the logs, ``dask`` processes on this machine;
        whoever calls that from a script keeps the call behind ``if __name__ == "__main__"``.
    progress
        Called with the number of bytes after each piece of the input; a notebook shows a bar where it is not given.
    say
        Called with what one should know while it runs: that a run waits for another one. Where it is not given, a
        `LogscanWarning` names each source that could not be read to its end.

    Raises
    ------
    LogscanError
        For options that cannot be meant and files that cannot be read. Of several sources one that cannot be read, or
        that breaks off half-way, is no error: the report says so.
    """
    begun = time.perf_counter()
    given = Given(
        cluster=cluster,
        controller=controller,
        log_format=log_format,
        node=node,
        lb=lb,
        client=client,
        private=private,
        rules=rules,
    )
    limits = GivenLimits(
        rps=several(int, limit_rps),
        rpm=several(int, limit_rpm),
        connections=several(int, limit_connections),
        burst_multiplier=limit_burst_multiplier,
        allowlist=several(str, limit_allowlist),
        kong=several(str, kong_limit),
        kong_sliding=several(str, kong_sliding_limit),
        envoy=several(str, envoy_limit),
    )
    classifier = given.classifier()
    folds = Folds(classifier, limits.tried(), limits.allowed())
    judge = Judge(
        classifier=classifier,
        finding_rules=usable_findings(given.rules),
        cluster=given.cluster,
        by=by,
        top=top,
        limits=folds.limits,
        limit_harm=limit_harm,
        geo_rules=GeoRules.given(*(several(str, each) for each in (deny_country, allow_country, allowlist))),
        database=_open_geo([Path(file) for file in names_of(geoip)]),
        asn_classes=load_asns(given.rules),
    )
    span = time_span(since, until)
    _check_state(state, span, window)
    threads = thread_count(workers)
    if window is not None:
        from analyzer.runs.increment import listed_for  # noqa: PLC0415 - only with a state

        span = listed_for(window)
    sources, known = find(logs_named(source), span), given.formats()
    read: WasRead
    with notebook_bar(progress) as watched:
        if state is not None:
            from analyzer.runs.increment import Settings, made_with, read_increment  # noqa: PLC0415 - only with a state

            read = read_increment(
                os.fspath(state),
                sources,
                known,
                Settings(
                    folds=folds,
                    allowlist=limits.allowlist,
                    made_with=made_with(classifier, log_format, given.rules),
                ),
                window=window,
                workers=workers,
                cluster_engine=cluster_engine,
                rejects=rejects,
                progress=watched,
                say=say or (lambda _: None),
            )
            tables = read.tables()
        else:
            fold = folds.new()
            logs = [Log(number, found) for number, found in enumerate(sources)]
            read = Run(logs, known, fold, span, watched, durations=folds.durations)
            if cluster_engine is not None:
                from analyzer.runs.scale_out import read_on_cluster  # noqa: PLC0415 - only where it is wanted

                tables = read_on_cluster(cluster_engine, read, folds, workers=workers, rejects=rejects)
            else:
                read.read(threads, rejects)
                tables = fold.tables()
    report = judge.judge(read, tables, begun).report
    for source_row in report.input.sources if say is None else ():
        if source_row.error is not None:
            warnings.warn(f"{source_row.uri}: {source_row.error}", LogscanWarning, stacklevel=2)
    return report


def _check_state(state: str | os.PathLike[str] | None, span: Span, window: timedelta | None) -> None:
    """Whether these go together."""
    if state is not None and span != (None, None):
        raise UsageError("--since, --until: expected no --state with it", hint="--window takes hours of a state")
    if state is None and window is not None:
        raise UsageError("--window: expected a --state with it", hint="--since takes a part of what is read now")


def _open_geo(files: list[Path]) -> GeoDatabase | None:
    if not files:
        return None
    from analyzer.addresses.geo import GeoDatabase  # noqa: PLC0415 - costs its import only where it is used

    return GeoDatabase.open(files)
