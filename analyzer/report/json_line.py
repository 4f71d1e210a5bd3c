"""The report as JSON on one line, for what ships logs: the same document as ``--format json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from analyzer.report.json import to_json

if TYPE_CHECKING:
    from analyzer.report.model import Report


class JsonLineFormat:
    """Writes the whole report on one line."""

    def render(self, report: Report) -> str:
        """Write `report` with a newline at the end."""
        return to_json(report, indent=False)


def for_stream(stream: TextIO | None) -> JsonLineFormat:  # noqa: ARG001
    """Make the format; JSON is the same wherever it goes."""
    return JsonLineFormat()
