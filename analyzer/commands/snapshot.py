"""`logscan snapshot`: the cluster file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analyzer.commands import options
from analyzer.commands.app import app
from analyzer.commands.output import DONE, deliver, say


@app.command()
def snapshot(  # noqa: PLR0913, PLR0917 - what a user may say
    output: options.Output = None,
    context: Annotated[str | None, typer.Option(metavar="NAME", help="The context of the kubeconfig to use.")] = None,
    kubeconfig: Annotated[Path | None, typer.Option(metavar="FILE", help="The kubeconfig to use.")] = None,
    kubectl: Annotated[str, typer.Option(metavar="PATH", help="The kubectl to run.")] = "kubectl",
    controller: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMESPACE/NAME", help="An ingress controller: a workload, Service or pod. Repeatable."),
    ] = None,
    quiet: options.Quiet = False,
) -> int:
    """Write the cluster file for --cluster. Of what kubectl shows, the fields that are read, and never a secret."""
    from analyzer.jobs.snapshot import take  # noqa: PLC0415

    found = take(kubectl=kubectl, context=context, kubeconfig=kubeconfig, controllers=controller or ())
    deliver(found.text, output)
    if not quiet:
        say(f"snapshot: {found.summary()}")
    for each in found.missing:
        say(f"snapshot: left out: {each}")
    return DONE
