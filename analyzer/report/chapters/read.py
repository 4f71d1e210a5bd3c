"""What was read, what was not, and what lines gave away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.report.chapters.timeline import moment
from analyzer.report.document import NUMBERS, Paragraph, Part, Quoted, Section, table
from analyzer.report.sections.read import other_lines
from analyzer.report.text import number, size

if TYPE_CHECKING:
    from analyzer.report.model import Input


SAMPLES = 10
"""Most lines that could not be read."""


def signals(signals: dict[str, int]) -> Section | None:
    """Write the chapter of what lines gave away of protocols."""
    rows = [[_spoken(name), number(count)] for name, count in signals.items() if count]
    if not rows:
        return None
    return Section("signals", "Signals", [table("What lines gave away", ("Signal", "Lines"), rows, numeric=NUMBERS)])


def read_input(read: Input) -> Section:
    """Write the chapter of the input."""
    said = (
        f"{size(read.lines, 'line')}: {number(read.parsed)} parsed, {number(read.rejected)} rejected, "
        f"{other_lines(read)}."
    )
    parts: list[Part] = [Paragraph((said,))]
    if read.first_time is not None and read.last_time is not None:
        parts.append(Paragraph((f"From {moment(read.first_time)} to {moment(read.last_time)} UTC.",)))
    if read.cluster is not None:
        parts.append(Paragraph(("Cluster file: ", Quoted(read.cluster))))
    sources = [
        [
            Quoted(row.uri),
            *(number(count) for count in (row.lines, row.parsed, row.rejected, row.other)),
            Quoted(row.format or "unknown"),
            Quoted(row.envelope or "none"),
            Quoted(row.node or "-"),
        ]
        for row in read.sources
    ]
    columns = ("Source", "Lines", "Parsed", "Rejected", "Other", "Format", "Envelope", "Node")
    parts.append(table("Sources", columns, sources, numeric=(1, 2, 3, 4)))
    failed = [[Quoted(row.uri), Quoted(row.error)] for row in read.sources if row.error is not None]
    if failed:
        parts.append(table("Sources that could not be read to their end", ("Source", "Error"), failed))
    if read.rejected_samples:
        samples = [
            [
                Quoted(row.uri if row.line is None else f"{row.uri}:{row.line}"),
                Quoted(row.reason),
                Quoted(row.text),
            ]
            for row in read.rejected_samples
        ]
        parts.append(
            table("Lines that could not be read, the first of them", ("Place", "Reason", "Text"), samples, most=SAMPLES)
        )
    return Section("input", "Input", parts)


def _spoken(name: str) -> str:
    words = [word.upper() if word in {"proxy", "tls"} else word for word in name.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])
