"""`logscan state`: what a state holds, and how it forgets."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from analyzer.commands import options
from analyzer.commands.app import Command, app
from analyzer.commands.output import DONE, say, show
from analyzer.errors import UsageError
from analyzer.jobs.times import as_length

states = typer.Typer(
    help="Say what a state of analyze --state holds, or let it forget.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(states, name="state")

Url = Annotated[str, typer.Argument(metavar="URL", help="The folder or bucket that --state names.")]


@states.command("show", cls=Command)
def show_state(
    url: Url,
    format_: Annotated[
        options.DescriptionFormat, typer.Option("--format", help="How the answer is written.")
    ] = options.DescriptionFormat.TABLE,
) -> int:
    """Say what a state holds: how many logs, of which days, how large, and what waits."""
    from analyzer.report.state import render  # noqa: PLC0415
    from analyzer.state.summary import summary  # noqa: PLC0415

    show(render(summary(url), format_.value, sys.stdout))
    return DONE


@states.command("forget", cls=Command)
def forget(
    url: Url,
    older_than: Annotated[
        str | None, typer.Option(metavar="TIME", help="Forget hours before so long ago, such as 30d.")
    ] = None,
    quiet: options.Quiet = False,
) -> int:
    """Let a state forget what is older; logs that are gone since are forgotten as well."""
    from analyzer.state.state import look_at, now, opened  # noqa: PLC0415

    age = as_length("--older-than", older_than)
    if age is None:
        raise UsageError("--older-than: expected a length of time such as 30d, got none")
    look_at(url)
    with opened(url, say) as state:
        rows, logs = state.forget(now() - age)
    if not quiet:
        say(f"{url}: forgot {rows:,} rows and {logs:,} logs")
    return DONE
