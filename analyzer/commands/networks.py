"""`logscan networks`: what an address is, and by which rule."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from analyzer.commands import options
from analyzer.commands.app import app
from analyzer.commands.output import DONE, show
from analyzer.errors import UsageError


@app.command()
def networks(  # noqa: PLR0913, PLR0917 - what a user may say
    address: Annotated[
        list[str] | None,
        typer.Argument(metavar="ADDRESS|CIDR|FILE", help="What to say what it is; files with --update."),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="The files are published lists: write them as rules into --into.")
    ] = False,
    into: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where --update writes: a folder that --rules takes.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="How --update names the file it writes.")] = None,
    class_: Annotated[
        str | None, typer.Option("--class", metavar="CLASS", help="What a plain list of CIDRs is, such as lb.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="What kind of that it is, such as trusted-proxy.")
    ] = None,
    cluster: options.ClusterFile = None,
    node: options.Node = None,
    lb: options.Lb = None,
    client: options.Client = None,
    private: options.Private = None,
    rules: options.Rules = None,
    format_: Annotated[
        options.DescriptionFormat, typer.Option("--format", help="How the answer is written.")
    ] = options.DescriptionFormat.TABLE,
) -> int:
    """List the known networks, or say what an address is and why. With --update reads a newer list of ranges."""
    from analyzer.jobs import networks as job  # noqa: PLC0415
    from analyzer.jobs.given import Given  # noqa: PLC0415
    from analyzer.report import write_answer  # noqa: PLC0415

    sources_of_rules = {"cluster": cluster, "node": node, "lb": lb, "client": client, "private": private}
    given = [f"--{option}" for option, value in sources_of_rules.items() if value]
    for_update = {"--into": into, "--name": name, "--class": class_, "--kind": kind}
    given_for_update = [option for option, value in for_update.items() if value is not None]
    if update:
        if given or rules:
            raise UsageError(
                f"--update: expected no other rules, got {', '.join([*given, *['--rules'] * bool(rules)])}"
            )
        if not address or into is None:
            raise UsageError("--update: expected files to read, and --into DIR to write to")
        found = job.update_networks(address, into, name=name, class_=class_, kind=kind)
    elif given_for_update:
        raise UsageError(f"{', '.join(given_for_update)}: expected --update with it")
    elif address:
        known = Given(
            cluster=cluster,
            node=node or (),
            lb=lb or (),
            client=client or (),
            private=private or (),
            rules=rules or (),
        )
        found = job.explain_addresses(address, known)
    elif given:
        raise UsageError(f"{', '.join(given)}: expected addresses with it")
    else:
        found = job.list_networks(rules or ())
    show(write_answer(found, "analyzer.report.networks_table", format_.value, sys.stdout))
    return DONE
