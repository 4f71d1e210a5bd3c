"""`logscan compare`: what a change did."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analyzer.commands import options
from analyzer.commands.app import Command, app
from analyzer.commands.output import DONE, deliver
from analyzer.errors import UsageError

if TYPE_CHECKING:
    from analyzer.report.compare import Comparison
    from analyzer.report.layers import Layers


class ComparisonFormat(StrEnum):
    """How a comparison is written."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"


@app.command(cls=Command)
def compare(  # noqa: PLR0913, PLR0917 - what a user may say
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="BEFORE AFTER",
            help="Logs as analyze takes them, or reports saved with --format json; with --layers the logs of one path.",
        ),
    ],
    layers: Annotated[
        bool, typer.Option("--layers", help="Follow requests through the layers of one path, the outermost first.")
    ] = False,
    format_: Annotated[
        ComparisonFormat, typer.Option("--format", help="How the comparison is written.")
    ] = ComparisonFormat.TABLE,
    output: options.Output = None,
    cluster: options.ClusterFile = None,
    cluster_after: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The cluster file of after, where the change is in it.")
    ] = None,
    log_format: options.LogFormat = None,
    node: options.Node = None,
    lb: options.Lb = None,
    client: options.Client = None,
    private: options.Private = None,
    rules: options.Rules = None,
    geoip: options.GeoIp = None,
    by: options.By = None,
) -> int:
    """Compare two logs, or two saved reports. Shows what a change did to preservation, skew, geo and rate limits."""
    from analyzer.jobs import compare as job  # noqa: PLC0415
    from analyzer.report.compare import render  # noqa: PLC0415

    given: dict[str, Any] = {"node": node or (), "lb": lb or (), "client": client or (), "private": private or ()}
    given |= {"cluster": cluster, "log_format": log_format, "rules": rules or ()}
    found: Comparison | Layers
    if layers:
        if cluster_after or geoip or by:
            raise UsageError("--layers: expected neither --cluster-after, --geoip nor --by with it")
        found = job.compare_layers(source, **given)
    elif len(source) == 2:
        given |= {"geoip": geoip or (), "by": by.value if by else None}
        found = job.compare(source[0], source[1], cluster_after=cluster_after, **given)
    else:
        hint = "quote globs and name folders; more logs of one path are compared with --layers"
        raise UsageError(f"compare: expected BEFORE and AFTER, got {len(source)}", hint)
    deliver(render(found, format_.value, None if output else sys.stdout), output)
    return DONE
