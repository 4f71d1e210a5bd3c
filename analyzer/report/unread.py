"""What to say where logs could not be read, and for whom that is an error.

`logscan analyze` reports on whatever it could read. What puts logs side by side, or plans by them, needs them whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.errors import NothingReadError, SourceError

if TYPE_CHECKING:
    from analyzer.report.model import Report


def nothing_read(report: Report) -> tuple[str, str]:
    """Why no line could be read, and what to do about it."""
    if report.input.lines == 0:
        return "expected access-log lines, got an empty input", "is the log written to another place, or just rotated?"
    if any(row.format for row in report.input.sources):
        return "no line of the input fits --log-format", "leave it out to have the format detected"
    return (
        "no line of the input could be read as any known log format",
        "give the log_format of your configuration with --log-format",
    )


def require_read(report: Report, name: str) -> None:
    """Raise where a log of `report` broke off, or none has a line that could be read.

    Raises
    ------
    SourceError
        Of the first log that could not be read to its end.
    NothingReadError
        With the name of the logs.
    """
    for row in report.input.sources:
        if row.error:
            raise SourceError(f"{row.uri}: {row.error}")
    if not report.input.parsed:
        message, hint = nothing_read(report)
        raise NothingReadError(f"{name}: {message}", hint)
