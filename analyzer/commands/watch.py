"""`logscan watch`: the readings of the last minutes, while the log grows."""

from __future__ import annotations

import gc
import os
import sys
from enum import StrEnum
from typing import Annotated

import typer

from analyzer.commands import options
from analyzer.commands.app import Command, app
from analyzer.commands.output import DONE, NOTHING_READ, say, show
from analyzer.errors import UsageError
from analyzer.jobs.times import as_length


class WatchFormat(StrEnum):
    """How what is watched is written."""

    TABLE = "table"
    JSON = "json"


@app.command(cls=Command)
def watch(  # noqa: PLR0913, PLR0917 - what a user may say
    source: Annotated[list[str], typer.Argument(help="A file, a glob, a directory, or - for standard input.")],
    format_: Annotated[
        WatchFormat, typer.Option("--format", help="A view of the terminal, or lines of JSON.")
    ] = WatchFormat.TABLE,
    window: Annotated[str, typer.Option(metavar="TIME", help="How much counts, such as 5m or 1h.")] = "5m",
    interval: Annotated[str, typer.Option(metavar="SECONDS", help="How often to look, 0.2 to 60.")] = "1",
    cluster: options.ClusterFile = None,
    controller: options.Controller = None,
    log_format: options.LogFormat = None,
    node: options.Node = None,
    lb: options.Lb = None,
    client: options.Client = None,
    private: options.Private = None,
    rules: options.Rules = None,
    by: options.By = None,
    top: options.Top = 20,
) -> int:
    """Follow logs that grow, and show the last minutes of them."""
    gc.enable()  # a command that ends does without (`analyzer.cli`); this one may run for weeks
    # Polars' allocator, which reads this when it is loaded, is to give memory back and not only to offer it.
    os.environ.setdefault("_RJEM_MALLOC_CONF", "muzzy_decay_ms:0")
    length = as_length("--window", window)
    every = _seconds(interval)
    from analyzer.commands import live  # noqa: PLC0415
    from analyzer.jobs.given import Given  # noqa: PLC0415
    from analyzer.jobs.watch import watch as begin  # noqa: PLC0415
    from analyzer.report.watch import as_json, as_line  # noqa: PLC0415

    if "-" in source and sys.stdin is not None and sys.stdin.isatty():
        raise UsageError(
            "-: expected a log on standard input, got a terminal", hint="kubectl logs -f ... | logscan watch -"
        )
    given = Given(
        cluster=cluster,
        controller=controller or (),
        log_format=log_format,
        node=node or (),
        lb=lb or (),
        client=client or (),
        private=private or (),
        rules=rules or (),
    )
    seconds = length.total_seconds() if length is not None else 0
    watching = begin(source, given, window=seconds, by=by.value if by else None, top=top)
    try:
        if format_ is WatchFormat.TABLE and live.has_screen():
            last = live.show_screen(watching, every)
            show(as_line(last))  # what was seen last stays on the terminal
        else:
            last = live.show_lines(watching, every, as_json if format_ is WatchFormat.JSON else as_line)
    finally:
        watching.close()
    if last.ended and not last.report.input.parsed:
        say("no line of the input could be read as any known log format", "logscan formats FILE says what a log is")
        return NOTHING_READ
    return DONE


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.2 <= seconds <= 60:
        raise UsageError(f"--interval: expected seconds from 0.2 to 60, got {text!r}")
    return seconds
