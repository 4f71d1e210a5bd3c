"""A document on a terminal: its words and tables; charts by their summary, folds not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from rich.cells import cell_len

from analyzer.report.document import Figure, Link, Paragraph, Patch, Share, Table, Topic, visible
from analyzer.report.page import GAP, Page
from analyzer.report.text import percentage, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.report.document import Cell, Document, Part

_STYLES = {"good": "bold green", "warn": "bold yellow", "bad": "bold red", "plain": "bold"}


def render(shown: Document, stream: TextIO | None) -> str:
    """Write a document; a terminal is asked for its width and gets colours."""
    page = Page.to_fit(stream)
    verdict = shown.headline.verdict
    page.words(verdict.text.upper(), shown.headline.text, style=_STYLES[verdict.tone])
    for label, text in shown.headline.lines.items():
        page.words(label.lower(), visible(text))
    for section in shown.sections:
        page.blank()
        title = section.title if section.verdict is None else f"{section.title}: {section.verdict.text}"
        page.line("", label=title)
        _parts(page, section.parts)
    return page.write()


def _parts(page: Page, parts: Sequence[Part]) -> None:
    for part in parts:
        if isinstance(part, Paragraph):
            page.words("", "".join(map(visible, part.parts)), width=0)
        elif isinstance(part, Table):
            _table(page, part)
        elif isinstance(part, Figure):
            page.words("", f"{part.summary}.", width=0)
        elif isinstance(part, Patch):
            for line in part.text.splitlines():
                page.whole(line)
        elif isinstance(part, Link):
            page.whole(part.href)
        elif isinstance(part, Topic):
            page.line("", label=part.title)
            _parts(page, part.parts)


def _table(page: Page, part: Table) -> None:
    rows = [list(part.columns), *([_cell(cell) for cell in row] for row in part.rows)]
    widths = [max(cell_len(row[at]) for row in rows) for at in range(len(part.columns))]
    for index, row in enumerate(rows):
        cells = [_aligned(text, widths[at], right=at in part.numeric) for at, text in enumerate(row)]
        page.line(GAP.join(cells).rstrip(), "dim" if index == 0 else "")
    if part.left_out:
        page.line(f"{size(part.left_out, 'more row')}", "dim")


def _cell(cell: Cell) -> str:
    return f"{percentage(cell.pct)} %" if isinstance(cell, Share) else visible(cell)


def _aligned(text: str, width: int, *, right: bool) -> str:
    blanks = " " * (width - cell_len(text))
    return blanks + text if right else text + blanks
