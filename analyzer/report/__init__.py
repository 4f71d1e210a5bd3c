"""Report: one model, and one module per format that writes it.

The module is loaded when it is asked for, so that a JSON report costs no terminal library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, TextIO

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
"""Name of each format -> the module whose ``render`` writes it."""


def write_report(report: Report, format_name: str, stream: TextIO | None = None) -> str:
    """Write a report as text that ends with a newline.

    Parameters
    ----------
    report
        What to write.
    format_name
        A key of `FORMATS`.
    stream
        Where the text will go. ``table`` asks a terminal for its width and gives it colours; a file, or None, gets
        neither.

    Raises
    ------
    UsageError
        If no format has this name.
    """
    if format_name not in FORMATS:
        raise UsageError(f'--format: expected {" or ".join(FORMATS)}, got "{format_name}"')
    module = import_module(FORMATS[format_name])
    written: str = module.render(report, stream) if format_name == "table" else module.render(report)
    return written


def write_answer(answer: object, table: str, format_name: str, stream: TextIO | None = None) -> str:
    """Write what a command says that is no report, with a newline at the end.

    `table` names the module whose ``render`` writes it as ``table``; any answer can be written as ``json``.
    """
    if format_name == "json":
        from analyzer.report.json import to_json  # noqa: PLC0415 - a table needs none

        return to_json(answer)
    written: str = import_module(table).render(answer, stream)
    return written
