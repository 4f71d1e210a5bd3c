"""`logscan analyze`: the main job."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from analyzer.commands import options
from analyzer.commands.app import Command, app
from analyzer.commands.output import DONE, GATE_MISSED, NOTHING_READ, UNREADABLE, deliver, say, say_broken
from analyzer.errors import UsageError
from analyzer.jobs.times import as_length

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from analyzer.findings.model import Finding
    from analyzer.report.model import Report


@app.command(cls=Command)
def analyze(  # noqa: PLR0913, PLR0917 - what a user may say
    source: options.Sources,
    format_: options.ReportFormat = options.OutputFormat.TABLE,
    output: options.Output = None,
    cluster: options.ClusterFile = None,
    controller: options.Controller = None,
    log_format: options.LogFormat = None,
    node: options.Node = None,
    lb: options.Lb = None,
    client: options.Client = None,
    private: options.Private = None,
    rules: options.Rules = None,
    geoip: options.GeoIp = None,
    deny_country: options.DenyCountry = None,
    allow_country: options.AllowCountry = None,
    allowlist: options.Allowlist = None,
    since: options.Since = None,
    until: options.Until = None,
    by: options.By = None,
    limit_rps: options.LimitRps = None,
    limit_rpm: options.LimitRpm = None,
    limit_connections: options.LimitConnections = None,
    limit_burst_multiplier: options.LimitBurstMultiplier = 5,
    limit_allowlist: options.LimitAllowlist = None,
    limit_harm: options.LimitHarm = 0.1,
    kong_limit: options.KongLimit = None,
    kong_sliding_limit: options.KongSlidingLimit = None,
    envoy_limit: options.EnvoyLimit = None,
    top: options.Top = 20,
    rejects: options.Rejects = None,
    fail_under: options.FailUnder = None,
    fail_on: options.FailOn = None,
    state: options.State = None,
    window: options.Window = None,
    workers: options.Workers = None,
    cluster_engine: options.ClusterEngine = None,
    quiet: options.Quiet = False,
) -> int:
    """Read access logs and print whether client IPs are preserved."""
    _check_gates(fail_on or (), rules or ())
    hours = as_length("--window", window)
    if workers is not None:
        os.environ.setdefault("POLARS_MAX_THREADS", str(max(workers, 1)))
    from analyzer.jobs.analyze import analyze as run  # noqa: PLC0415
    from analyzer.jobs.progress import progress_bar  # noqa: PLC0415
    from analyzer.report import write_report  # noqa: PLC0415
    from analyzer.runs.rejects import is_one_of  # noqa: PLC0415

    # Polars' handler would have a read that Ctrl-C interrupts begin anew, and wait for the next line.
    signal.siginterrupt(signal.SIGINT, True)  # noqa: FBT003
    if not quiet:
        _note_portable_scanner()
    with progress_bar(quiet=quiet) as progress:
        report = run(
            source,
            cluster=cluster,
            controller=controller or (),
            log_format=log_format,
            node=node or (),
            lb=lb or (),
            client=client or (),
            private=private or (),
            rules=rules or (),
            geoip=geoip or (),
            deny_country=deny_country or (),
            allow_country=allow_country or (),
            allowlist=allowlist or (),
            since=since,
            until=until,
            by=by.value if by else None,
            limit_rps=limit_rps or (),
            limit_rpm=limit_rpm or (),
            limit_connections=limit_connections or (),
            limit_burst_multiplier=limit_burst_multiplier,
            limit_allowlist=limit_allowlist or (),
            limit_harm=limit_harm,
            kong_limit=kong_limit or (),
            kong_sliding_limit=kong_sliding_limit or (),
            envoy_limit=envoy_limit or (),
            top=top,
            rejects=rejects,
            state=state,
            window=hours,
            workers=workers,
            cluster_engine=cluster_engine,
            progress=progress,
            say=say,
        )
    read = [*source, *(row.uri for row in report.input.sources)]
    if output is not None and is_one_of(str(output), [*read, str(rejects or "-")]):
        raise UsageError(f"--output: expected a file that is not read or written otherwise, got {output}")
    for note in report.input.state.notes if report.input.state is not None else ():
        say(f"note: {note}")
    deliver(write_report(report, format_.value, None if output else sys.stdout), output)
    return _status(report, fail_under, fail_on or ())


def _note_portable_scanner() -> None:
    from analyzer.parsing.scanner import use_native  # noqa: PLC0415

    if not use_native():
        say("note: reading with the portable scanner, which is slower; reinstall with a C compiler for the native one")


def _check_gates(fail_on: Sequence[str], rules: Sequence[Path]) -> None:
    """A gate that no finding can miss is a mistake."""
    from analyzer.findings.model import SEVERITIES  # noqa: PLC0415
    from analyzer.findings.rules import chosen, load_findings  # noqa: PLC0415

    named = [name for name in fail_on if name not in SEVERITIES]
    known = load_findings(rules) if named else []
    for name in named:
        chosen(known, name, "--fail-on")


def _status(report: Report, fail_under: float | None, fail_on: Sequence[str]) -> int:
    """The exit code, with a line on stderr where it is not 0."""
    from analyzer.report.unread import nothing_read  # noqa: PLC0415

    if say_broken(report.input.sources):
        return UNREADABLE
    nothing_new = report.input.state is not None and not report.input.lines
    if report.input.parsed == 0 and not nothing_new:
        say(*nothing_read(report))
        return NOTHING_READ
    missed = list(_missed_gates(report, fail_under, fail_on))
    for gate in missed:
        say(*gate)
    return GATE_MISSED if missed else DONE


def _missed_gates(
    report: Report, fail_under: float | None, fail_on: Sequence[str]
) -> Iterator[tuple[str] | tuple[str, str]]:
    """What to say of each gate that was missed."""
    preserved = report.preservation.preserved_pct
    if fail_under is not None and (preserved is None or preserved < fail_under):
        got = "no request to judge" if preserved is None else f"{preserved:g} %"
        yield (f"--fail-under: expected at least {fail_under:g} % preserved, got {got}",)
    caught = [found.id for found in report.findings if _is_caught(found, fail_on)]
    if caught:
        yield f"--fail-on: expected no such finding, got {', '.join(caught)}", f"logscan explain {caught[0]}"


def _is_caught(found: Finding, fail_on: Sequence[str]) -> bool:
    from analyzer.findings.model import SEVERITIES  # noqa: PLC0415

    return found.id in fail_on or any(name in fail_on for name in SEVERITIES[SEVERITIES.index(found.severity) :])
