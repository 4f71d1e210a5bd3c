"""Report: one model, and one module per format that writes it.

A format is loaded when it is asked for, so that a JSON report costs no terminal library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, TextIO

from analyzer.errors import UsageError

if TYPE_CHECKING:
    from analyzer.report.model import Report

FORMATS = {
    "table": "analyzer.report.table",
    "json": "analyzer.report.json",
    "json-line": "analyzer.report.json_line",
    "markdown": "analyzer.report.markdown",
    "html": "analyzer.report.html",
    "prometheus": "analyzer.report.prometheus",
}
"""Name of each format -> the module whose ``for_stream`` makes it."""


class Format(Protocol):
    """How a report is written: the whole of it as text that ends with a newline."""

    def render(self, report: Report) -> str:
        """Write `report`."""
        ...


def load_format(name: str, stream: TextIO | None = None) -> Format:
    """Load the format called `name`.

    Parameters
    ----------
    name
        A key of `FORMATS`.
    stream
        Where the text will go. A terminal is asked for its width and gets colours; a file, or None, gets neither.

    Raises
    ------
    UsageError
        If no format has this name.
    """
    if name not in FORMATS:
        msg = f'--format: expected {" or ".join(FORMATS)}, got "{name}"'
        raise UsageError(msg)
    made: Format = import_module(FORMATS[name]).for_stream(stream)
    return made
