"""The report as Markdown, for tickets and merge requests: GitHub's dialect, which others read.

What somebody else wrote stands in code spans, where neither markup nor HTML nor the name of a user means anything.
Charts and what is folded are left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from analyzer.report.chapters import document
from analyzer.report.document import Figure, Link, Paragraph, Patch, Quoted, Share, Table, Topic, visible
from analyzer.report.text import number, percentage, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analyzer.report.document import Cell, Document, Part, Verdict
    from analyzer.report.model import Report

_MARKUP = re.compile(r"[\\`*_\[\]<>|#~&$!]")
_LIST = re.compile(r"^(?:(\d+)(?=[.)](?:\s|$))|(?=[-+]))")


def render(report: Report) -> str:
    """Write a report."""
    return write(document(report))


def write(shown: Document) -> str:
    """Write a document."""
    headline = shown.headline
    blocks = [f"# {_words(headline.verdict.text)}: {_words(headline.text)}"]
    blocks += [f"**{_words(label)}:** {_words(text)}" for label, text in headline.lines.items()]
    for section in shown.sections:
        blocks.append(_heading(2, section.title, section.verdict))
        blocks += _parts(section.parts, 3)
    return "\n\n".join(blocks) + "\n"


def _parts(parts: Sequence[Part], level: int) -> Iterator[str]:
    for part in parts:
        if isinstance(part, Paragraph):
            yield _paragraph(part)
        elif isinstance(part, Table):
            yield _table(part)
        elif isinstance(part, Figure):
            yield _words(part.summary) + "."
        elif isinstance(part, Patch):
            yield f"{_words(part.label)}\n\n{_block(part.text)}"
        elif isinstance(part, Link):
            yield _link(part)
        elif isinstance(part, Topic):
            yield _heading(level, part.title, part.verdict)
            yield from _parts(part.parts, level + 1)


def _paragraph(paragraph: Paragraph) -> str:
    text = ""
    for part in paragraph.parts:
        # Two code spans side by side would be read as one.
        gap = " " if isinstance(part, Quoted) and text.endswith("`") else ""
        text += gap + (_code(part) if isinstance(part, Quoted) else _words(part))
    return _LIST.sub(r"\1\\", text)


def _heading(level: int, title: str, verdict: Verdict | None) -> str:
    return f"{'#' * level} {_words(title)}" + (f": {_words(verdict.text)}" if verdict else "")


def _table(table: Table) -> str:
    rule = ["--:" if place in table.numeric else "---" for place in range(len(table.columns))]
    rows = [[_words(column) for column in table.columns], rule, *([_cell(cell) for cell in row] for row in table.rows)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    more = f"\n\n{number(table.left_out)} more in the JSON report." if table.left_out else ""
    return f"{_words(table.caption)}:\n\n" + "\n".join(lines) + more


def _cell(cell: Cell) -> str:
    if isinstance(cell, Share):
        return _words(percentage(cell.pct))
    # A backslash before a pipe means something else to each reader of tables: the pipe itself is shown as an escape.
    return _code(cell).replace("|", r"\x7c") if isinstance(cell, Quoted) else _words(cell)


def _words(text: str) -> str:
    return _MARKUP.sub(lambda found: "\\" + found[0], visible(text))


def _code(text: str) -> str:
    text = visible(Quoted(text))
    if not text.strip():
        return ""
    fence = "`" * (_longest_run(text) + 1)
    pad = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _block(text: str) -> str:
    fence = "`" * max(_longest_run(text) + 1, 3)
    lines = "\n".join(printable(line) for line in text.splitlines())
    return f"{fence}\n{lines}\n{fence}"


def _link(link: Link) -> str:
    if urlsplit(link.href).scheme not in {"http", "https"}:
        return _words(link.text)
    return f"[{_words(link.text)}](<{quote(link.href, safe=':/?#[]@!$&()*+,;=%~-._')}>)"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
