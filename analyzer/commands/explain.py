"""`logscan explain`: what a finding means, and every fix."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from analyzer.commands import options
from analyzer.commands.app import app
from analyzer.commands.output import DONE, show
from analyzer.errors import UsageError


@app.command()
def explain(
    finding: Annotated[
        list[str] | None, typer.Argument(metavar="FINDING", help="What to explain; without any, all are listed.")
    ] = None,
    facts: Annotated[bool, typer.Option("--facts", help="List the facts that conditions are written over.")] = False,
    rules: options.Rules = None,
    format_: Annotated[
        options.DescriptionFormat, typer.Option("--format", help="How the answer is written.")
    ] = options.DescriptionFormat.TABLE,
) -> int:
    """List the findings, or say all of one. What it means, its evidence, every fix, with sources."""
    from analyzer.jobs import explain as job  # noqa: PLC0415
    from analyzer.report import write_answer  # noqa: PLC0415

    if facts and (finding or rules):
        raise UsageError("--facts: expected neither findings nor --rules with it")
    found = job.explain_facts() if facts else job.explain(finding or (), rules=rules or ())
    show(write_answer(found, "analyzer.report.explain_table", format_.value, sys.stdout))
    return DONE
