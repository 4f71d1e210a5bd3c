"""`logscan formats`: what is known, and what a log is."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from analyzer.commands import options
from analyzer.commands.app import app
from analyzer.commands.output import DONE, NOTHING_READ, UNREADABLE, say, say_broken, show


@app.command()
def formats(
    name: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME|SOURCE", help="A known format or envelope, or a source as analyze takes it."),
    ] = None,
    format_: Annotated[
        options.DescriptionFormat, typer.Option("--format", help="How the answer is written.")
    ] = options.DescriptionFormat.TABLE,
    log_format: Annotated[
        str | None, typer.Option(metavar="STRING|NAME", help="Try an nginx log_format string, or a known format.")
    ] = None,
    rules: options.Rules = None,
) -> int:
    """List the known formats and envelopes, or say what a log is. Also why, and what it lacks."""
    from analyzer.jobs.formats import describe  # noqa: PLC0415
    from analyzer.report import write_answer  # noqa: PLC0415

    signal.siginterrupt(signal.SIGINT, True)  # noqa: FBT003 - as in analyze
    found = describe(name or (), log_format=log_format, rules=rules or ())
    show(write_answer(found, "analyzer.report.formats_table", format_.value, sys.stdout))
    if say_broken(found.sources):
        return UNREADABLE
    if found.sources and not any(source.parsed for source in found.sources):
        is_empty = not any(source.lines for source in found.sources)
        got = "got an empty input" if is_empty else "got none that a known format reads"
        say(f"expected access-log lines, {got}")
        return NOTHING_READ
    return DONE
