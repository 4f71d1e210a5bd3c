"""`logscan plan`: what Local would do, before it is done."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from analyzer.commands import options
from analyzer.commands.app import app
from analyzer.commands.output import DONE, show


@app.command()
def plan(
    cluster: Annotated[
        Path, typer.Option(metavar="FILE", help="What `logscan snapshot` or `kubectl get ... -A -o json` wrote.")
    ],
    source: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE", help="Logs of the controller: the shares are those of their traffic."),
    ] = None,
    controller: options.Controller = None,
    format_: Annotated[
        options.DescriptionFormat, typer.Option("--format", help="How the answer is written.")
    ] = options.DescriptionFormat.TABLE,
) -> int:
    """Say what externalTrafficPolicy: Local would do to a cluster. Shares, nodes that stop, what to mend before."""
    from analyzer.jobs.plan import plan_local  # noqa: PLC0415
    from analyzer.report.plan import render  # noqa: PLC0415

    show(render(plan_local(cluster, source or (), controller=controller or ()), format_.value, sys.stdout))
    return DONE
