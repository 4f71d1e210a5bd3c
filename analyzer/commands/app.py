"""The Typer app that the commands hang on, and how it reads values without a validator for each."""

from __future__ import annotations

import os
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from collections.abc import Callable


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


class Command(TyperCommand):
    """A command that reads its values plainly."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its options."""
        return _read_plainly(super().get_params(ctx))


app = typer.Typer(
    name="logscan",
    cls=_Group,
    help="Are client IPs preserved? Reads the access logs of Kubernetes ingress controllers and says.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
