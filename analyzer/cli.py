"""The command line: options in, one call, an exit code out. No logic of its own.

Polars and all that needs it are imported by the commands that use them, so that ``--help`` answers at once.
"""

from __future__ import annotations

import gc
import os
import signal
import stat
import sys
import tempfile
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from analyzer.errors import LogscanError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.report.model import Report

DONE, GATE_MISSED, UNREADABLE, NOTHING_READ = range(4)


def _process(option: Any, process: Callable[[Any, Any], Any], context: Any, value: Any) -> Any:
    """Read a value; what may be wrong goes the way of Typer.

    That way is to import pydantic and to build a validator for each option, given or not: measured, a sixth of the
    processor time of a short run.
    """
    plain = value
    if value is not None and value is not option.default:
        plain = _plain(getattr(getattr(option, "type_descriptor", None), "annotation", None), value)
    if (plain is None and value is not None) or (option.required and not value):
        return process(context, value)
    return plain if option.callback is None else option.callback(context, option, plain)


def _plain(annotation: Any, value: Any) -> Any:
    """The value as Typer would read it, or None where Typer may refuse it."""
    if isinstance(value, list | tuple):
        items = [_plain(kind, item) for kind in get_args(annotation) for item in value]
        return None if None in items else items
    if not isinstance(value, str) or not isinstance(annotation, type):
        return value if annotation is bool and isinstance(value, bool) else None
    if annotation is int:
        return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else None
    if annotation is Path:
        return Path(value) if os.access(value, os.R_OK) or not os.path.exists(value) else None
    if issubclass(annotation, StrEnum):
        return annotation(value) if value in [*annotation] else None
    return value if annotation is str else None


def _read_plainly(options: list[Any]) -> list[Any]:
    for option in options:
        if "process_value" not in vars(option):
            option.process_value = partial(_process, option, option.process_value)
    return options


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> list[Any]:
        return _read_plainly(super().get_params(ctx))


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        return _read_plainly(super().get_params(ctx))


app = typer.Typer(
    name="logscan",
    cls=_Group,
    help="Are client IPs preserved? Reads the access logs of Kubernetes ingress controllers and says.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class OutputFormat(StrEnum):
    """How a report is written."""

    TABLE = "table"
    JSON = "json"


class DescriptionFormat(StrEnum):
    """How `logscan formats` writes."""

    TABLE = "table"
    JSON = "json"


class GroupBy(StrEnum):
    """What skew is measured over."""

    NODE = "node"
    POD = "pod"
    SOURCE = "source"


def main() -> None:
    """Run the command; every error that a user can mend is one line on stderr and status 2."""
    _run_fast()
    if sys.stderr is None:  # closed: what is said goes nowhere, and no log is opened in its place
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open to the end
    try:
        if sys.stdout is None:
            raise UsageError("standard output: cannot be written: it is closed")
        status = app(sys.argv[1:] or ["--help"], standalone_mode=False)
        sys.stdout.flush()
    except LogscanError as error:
        _say(str(error), error.hint)
        status = UNREADABLE
    except TyperException as error:
        message = error.format_message().rstrip(".").replace("Value error, ", "")
        _say(message, "logscan --help lists commands and options")
        status = UNREADABLE
    except BrokenPipeError:
        status = _reader_left()
    except OSError as error:
        _drop_output()
        _say(f"{error.filename or 'standard output'}: {error.strerror or error}")
        status = UNREADABLE
    except SystemExit as leaving:
        # Typer makes status 1 of a broken pipe.
        if not isinstance(leaving.__context__, BrokenPipeError):
            raise
        status = _reader_left()
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    gc.freeze()  # the search for garbage at the end would take longer than many a run
    sys.exit(status if isinstance(status, int) else DONE)


def _run_fast() -> None:
    """What a process may do that runs one command and ends: measured, a fifth of the processor time of a short run."""
    # Imports and frames make no garbage in cycles that would be worth looking for.
    gc.disable()
    # Polars' allocator gives memory back after half a second, and takes it anew, page by page, for the next frames.
    os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:10000,muzzy_decay_ms:10000")


def _reader_left() -> int:
    """Whoever reads the output has what was wanted."""
    _drop_output()
    return DONE


def _drop_output() -> None:
    """Let go of what is still buffered, which must not fail at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _say(message: str, hint: str | None = None) -> None:
    from analyzer.report.text import printable  # noqa: PLC0415

    with suppress(OSError):  # nobody to tell
        print(f"logscan: {printable(message)}", file=sys.stderr)
        if hint:
            print(f"  hint: {printable(hint)}", file=sys.stderr)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if not wanted:
        return
    from importlib.metadata import version  # noqa: PLC0415

    from analyzer import __version__  # noqa: PLC0415
    from analyzer.native import SCANNER  # noqa: PLC0415

    scanner = "native" if SCANNER is not None and os.environ.get("LOGSCAN_SCANNER") != "portable" else "portable"
    print(f"logscan {__version__} ({scanner} scanner, Polars {version('polars')})")
    raise typer.Exit


@app.callback()
def logscan(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Are client IPs preserved? Reads the access logs of Kubernetes ingress controllers and says."""


@app.command(cls=_Command)
def analyze(  # noqa: PLR0913, PLR0917 - what a user may say
    source: Annotated[list[str], typer.Argument(help="A file, a glob, a directory, or - for standard input.")],
    format_: Annotated[OutputFormat, typer.Option("--format", help="How the report is written.")] = OutputFormat.TABLE,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the report there instead of stdout, whole or not at all."),
    ] = None,
    cluster: Annotated[
        Path | None,
        typer.Option(
            help="What `logscan snapshot` or `kubectl get ... -A -o json` wrote, to tell nodes from visitors."
        ),
    ] = None,
    controller: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMESPACE/NAME", help="An ingress controller of the cluster file. Repeatable."),
    ] = None,
    log_format: Annotated[
        str | None,
        typer.Option(help="An nginx log_format string or the name of a known format. Detected where not given."),
    ] = None,
    node: Annotated[
        list[str] | None, typer.Option(metavar="CIDR", help="These addresses are nodes. Repeatable.")
    ] = None,
    lb: Annotated[
        list[str] | None, typer.Option(metavar="CIDR", help="These addresses are load balancers. Repeatable.")
    ] = None,
    client: Annotated[
        list[str] | None, typer.Option(metavar="CIDR", help="These addresses are visitors. Repeatable.")
    ] = None,
    private: Annotated[
        list[str] | None, typer.Option(metavar="CIDR", help="These addresses are private. Repeatable.")
    ] = None,
    rules: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="A folder with more rules. Repeatable.")
    ] = None,
    geoip: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", envvar="LOGSCAN_GEOIP", help="A country or ASN database (.mmdb). Repeatable."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only requests from this time on, such as 2026-11-21T07:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only requests before this time.")] = None,
    by: Annotated[GroupBy | None, typer.Option(help="What skew is measured over.")] = None,
    limit_rps: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="Try ingress-nginx's limit-rps: N beside the shipped limits. Repeatable."),
    ] = None,
    limit_burst_multiplier: Annotated[
        int, typer.Option(metavar="N", help="ingress-nginx's limit-burst-multiplier.")
    ] = 5,
    top: Annotated[int, typer.Option(metavar="N", help="How many rows a list shows; 0 is all.")] = 20,
    rejects: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every line that could not be read there, byte for byte.")
    ] = None,
    fail_under: Annotated[
        float | None,
        typer.Option(metavar="PCT", min=0, max=100, help="Exit with 1 when fewer percent are preserved."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Threads; default: the processors this process may use.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.")] = False,
) -> int:
    """Read access logs and print whether client IPs are preserved."""
    span = _time("--since", since), _time("--until", until)
    if workers is not None:
        os.environ.setdefault("POLARS_MAX_THREADS", str(max(workers, 1)))
    from analyzer.pipeline import analyze as run  # noqa: PLC0415
    from analyzer.progress import progress_bar  # noqa: PLC0415
    from analyzer.rejects import is_one_of  # noqa: PLC0415

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
            since=span[0],
            until=span[1],
            by=by.value if by else None,
            limit_rps=limit_rps or (),
            limit_burst_multiplier=limit_burst_multiplier,
            top=top,
            rejects=rejects,
            workers=workers,
            progress=progress,
        )
    if output is not None and is_one_of(str(output), [*(row.uri for row in report.input.sources), str(rejects or "-")]):
        raise UsageError(f"--output: expected a file that is not read or written otherwise, got {output}")
    _write(report, format_.value, output)
    return _status(report, fail_under)


@app.command()
def formats(
    name: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME|SOURCE]...", help="A known format or envelope, or a source as analyze takes it."),
    ] = None,
    format_: Annotated[
        DescriptionFormat, typer.Option("--format", help="How the answer is written.")
    ] = DescriptionFormat.TABLE,
    log_format: Annotated[
        str | None, typer.Option(metavar="STRING|NAME", help="Try an nginx log_format string, or a known format.")
    ] = None,
    rules: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="More rules, read after the shipped ones. Repeatable.")
    ] = None,
) -> int:
    """List the known log formats and envelopes, or say what a log is, why, and what it lacks."""
    from analyzer.describe import describe  # noqa: PLC0415
    from analyzer.report.description import render  # noqa: PLC0415

    signal.siginterrupt(signal.SIGINT, True)  # noqa: FBT003 - as in analyze
    found = describe(name or (), log_format=log_format, rules=rules or ())
    _show(render(found, format_.value, sys.stdout))
    broken = [source for source in found.sources if source.error]
    for source in broken:
        _say(f"{'standard input' if source.uri == '-' else source.uri}: {source.error}")
    if broken:
        return UNREADABLE
    if found.sources and not any(source.parsed for source in found.sources):
        is_empty = not any(source.lines for source in found.sources)
        got = "got an empty input" if is_empty else "got none that a known format reads"
        _say(f"expected access-log lines, {got}")
        return NOTHING_READ
    return DONE


@app.command()
def networks(  # noqa: PLR0913, PLR0917 - what a user may say
    address: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ADDRESS|CIDR|FILE]...", help="What to say what it is; files with --update."),
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
    cluster: Annotated[Path | None, typer.Option(metavar="FILE", help="The cluster file, as for analyze.")] = None,
    node: Annotated[list[str] | None, typer.Option(metavar="CIDR", help="As for analyze. Repeatable.")] = None,
    lb: Annotated[list[str] | None, typer.Option(metavar="CIDR", help="As for analyze. Repeatable.")] = None,
    client: Annotated[list[str] | None, typer.Option(metavar="CIDR", help="As for analyze. Repeatable.")] = None,
    private: Annotated[list[str] | None, typer.Option(metavar="CIDR", help="As for analyze. Repeatable.")] = None,
    rules: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="A folder with more rules. Repeatable.")
    ] = None,
    format_: Annotated[
        DescriptionFormat, typer.Option("--format", help="How the answer is written.")
    ] = DescriptionFormat.TABLE,
) -> int:
    """List the known networks, say what an address is and why, or read a newer list of ranges."""
    from analyzer import networks_view  # noqa: PLC0415
    from analyzer.report.networks import render  # noqa: PLC0415

    options = {"cluster": cluster, "node": node, "lb": lb, "client": client, "private": private}
    given = [f"--{option}" for option, value in options.items() if value]
    for_update = {"--into": into, "--name": name, "--class": class_, "--kind": kind}
    given_for_update = [option for option, value in for_update.items() if value is not None]
    if update:
        if given or rules:
            raise UsageError(
                f"--update: expected no other rules, got {', '.join([*given, *['--rules'] * bool(rules)])}"
            )
        if not address or into is None:
            raise UsageError("--update: expected files to read, and --into DIR to write to")
        found = networks_view.update_networks(address, into, name=name, class_=class_, kind=kind)
    elif given_for_update:
        raise UsageError(f"{', '.join(given_for_update)}: expected --update with it")
    elif address:
        found = networks_view.explain_addresses(
            address,
            cluster=cluster,
            node=node or (),
            lb=lb or (),
            client=client or (),
            private=private or (),
            rules=rules or (),
        )
    elif given:
        raise UsageError(f"{', '.join(given)}: expected addresses with it")
    else:
        found = networks_view.list_networks(rules or ())
    _show(render(found, format_.value, sys.stdout))
    return DONE


@app.command()
def snapshot(  # noqa: PLR0913, PLR0917 - what a user may say
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write there, whole or not at all.")
    ] = None,
    context: Annotated[str | None, typer.Option(metavar="NAME", help="The context of the kubeconfig to use.")] = None,
    kubeconfig: Annotated[Path | None, typer.Option(metavar="FILE", help="The kubeconfig to use.")] = None,
    kubectl: Annotated[str, typer.Option(metavar="PATH", help="The kubectl to run.")] = "kubectl",
    controller: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMESPACE/NAME", help="An ingress controller: a workload, Service or pod. Repeatable."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes on stderr.")] = False,
) -> int:
    """Write the cluster file for --cluster: of what kubectl shows, the fields that are read, and never a secret."""
    from analyzer.snapshot import take  # noqa: PLC0415

    found = take(kubectl=kubectl, context=context, kubeconfig=kubeconfig, controllers=controller or ())
    if output is None:
        _show(found.text)
    else:
        _write_text(found.text, output)
    if not quiet:
        _say(f"snapshot: {found.summary()}")
    for each in found.missing:
        _say(f"snapshot: left out: {each}")
    return DONE


def _time(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option}: expected a time such as 2026-11-21T07:00:00Z, got {text!r}") from None


def _note_portable_scanner() -> None:
    from analyzer.parsing.scanner import use_native  # noqa: PLC0415

    if not use_native():
        _say("note: reading with the portable scanner, which is slower; reinstall with a C compiler for the native one")


def _write(report: Report, format_name: str, output: Path | None) -> None:
    from analyzer.report import load_format  # noqa: PLC0415

    if output is None:
        _show(load_format(format_name, sys.stdout).render(report))
        return
    _write_text(load_format(format_name).render(report), output)


def _write_text(text: str, output: Path) -> None:
    try:
        if output.exists() and not output.is_file():  # a pipe or a device stays what it is
            output.write_text(text, encoding="utf-8")
        else:
            _write_whole(text, Path(os.path.realpath(output)))
    except OSError as error:
        raise UsageError(f"{output}: cannot be written: {error.strerror}") from None


def _show(text: str) -> None:
    if isinstance(sys.stdout, TextIOWrapper):
        encoding = None if sys.stdout.isatty() else "utf-8"
        sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace")
    sys.stdout.write(text)
    sys.stdout.flush()


def _write_whole(text: str, output: Path) -> None:
    """Write a file beside it and rename that; a file that was there keeps its permissions."""
    handle, unfinished = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(unfinished, stat.S_IMODE(output.stat().st_mode) if output.exists() else 0o666 & ~_umask())
        os.replace(unfinished, output)
    except BaseException:
        os.unlink(unfinished)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _status(report: Report, fail_under: float | None) -> int:
    """The exit code, with a line on stderr where it is not 0."""
    broken = [row for row in report.input.sources if row.error]
    for row in broken:
        _say(f"{'standard input' if row.uri == '-' else row.uri}: {row.error}")
    if broken:
        return UNREADABLE
    if report.input.parsed == 0:
        _say(*_nothing_read(report))
        return NOTHING_READ
    preserved = report.preservation.preserved_pct
    if fail_under is not None and (preserved is None or preserved < fail_under):
        got = "no request to judge" if preserved is None else f"{preserved:g} %"
        _say(f"--fail-under: expected at least {fail_under:g} % preserved, got {got}")
        return GATE_MISSED
    return DONE


def _nothing_read(report: Report) -> tuple[str, str]:
    if report.input.lines == 0:
        return "expected access-log lines, got an empty input", "is the log written to another place, or just rotated?"
    if any(row.format for row in report.input.sources):
        return "no line of the input fits --log-format", "leave it out to have the format detected"
    return (
        "no line of the input could be read as any known log format",
        "give the log_format of your configuration with --log-format",
    )
