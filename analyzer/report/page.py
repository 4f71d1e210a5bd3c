"""A page of text lines for a terminal: they fit a width, and nothing that a log wrote can drive the terminal.

Every line passes `Page.line`, where text from logs loses control characters; rich adds colour and knows how wide a
character is, and its markup is never interpreted.
"""

from __future__ import annotations

import io
import os
import shutil
from typing import TYPE_CHECKING, TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from analyzer.report.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

INDENT = "  "
LABEL = 13
"""Columns of the label before a section."""
GAP = "   "


class Page:
    """Lines that fit a width; the one place where text becomes something a terminal reads.

    Parameters
    ----------
    width
        Columns to fit.
    color
        Whether to write colours.
    """

    def __init__(self, width: int = 80, *, color: bool = False) -> None:
        self.width = width
        self._color = color
        self._lines: list[Text] = []

    @classmethod
    def to_fit(cls, stream: TextIO | None) -> Page:
        """Make a page for where it will go: 80 columns without colour unless that is a terminal."""
        if stream is None or not stream.isatty():
            return cls()
        color = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return cls(min(max(shutil.get_terminal_size().columns, 40), 120), color=color)

    def line(self, text: str, style: str = "", *, label: str = "", label_style: str = "bold") -> None:
        """Add one line, cropped to the width."""
        label = INDENT + printable(label)
        text = _crop(text, self.width - cell_len(label))
        self._lines.append(Text.assemble((label, label_style), (text, style)))

    def section(self, label: str, parts: Iterable[str], gap: str = GAP, style: str = "") -> None:
        """Add parts side by side under a label, on as many lines as they need; a part wider than one is broken."""
        room = self.width - len(INDENT) - LABEL
        for index, line in enumerate(flow(broken(parts, room), room, gap)):
            self.line(line, style, label=f"{label if index == 0 else '':<{LABEL}}")

    def whole(self, text: str, style: str = "", *, label: str = "", width: int = LABEL) -> None:
        """Add one line as it is under a label of `width` columns, however long: broken, it could not be pasted."""
        self._lines.append(Text.assemble((f"{INDENT}{label:<{width}}", "bold"), (printable(text), style)))

    def words(self, label: str, text: str, style: str = "", *, label_style: str = "bold", width: int = LABEL) -> None:
        """Add a sentence under a label of `width` columns, broken between words."""
        lines = flow(text.split(" "), self.width - len(INDENT) - width, " ")
        for index, line in enumerate(lines or [""]):
            self.line(line, style, label=f"{label if index == 0 else '':<{width}}", label_style=label_style)

    @property
    def lines(self) -> list[Text]:
        """All lines so far."""
        return [*self._lines]

    def blank(self) -> None:
        """Add an empty line, unless there is one."""
        if self._lines and self._lines[-1].plain:
            self._lines.append(Text())

    def write(self) -> str:
        """Return the page as text, with one newline at the end."""
        file = io.StringIO()
        console = Console(
            file=file,
            width=self.width + 1,
            force_terminal=self._color,
            color_system="standard" if self._color else None,
            markup=False,
            emoji=False,
            highlight=False,
            legacy_windows=False,
        )
        for line in self._lines:
            console.print(line, no_wrap=True, overflow="ignore", crop=False)
        return "\n".join(line.rstrip() for line in file.getvalue().split("\n")).rstrip("\n") + "\n"


def first_that_fits(room: int, *variants: str) -> str:
    """Return the first of these that fits into `room` columns, else the last."""
    return next((variant for variant in variants if cell_len(printable(variant)) <= room), variants[-1])


def flow(parts: Iterable[str], width: int, gap: str) -> list[str]:
    """Put parts side by side on lines of at most `width` columns; a part that is wider has its own."""
    lines: list[str] = []
    for part in map(printable, filter(None, parts)):
        if lines and cell_len(lines[-1]) + len(gap) + cell_len(part) <= width:
            lines[-1] += gap + part
        else:
            lines.append(part)
    return lines


def broken(parts: Iterable[str], width: int) -> list[str]:
    """Break the parts that are wider than `width` columns between words."""
    return [
        line
        for part in parts
        for line in (flow(part.split(" "), width, " ") if cell_len(printable(part)) > width else [part])
    ]


def _crop(text: str, width: int) -> str:
    text = printable(text)
    return text if cell_len(text) <= width else set_cell_size(text, max(width - 3, 0)) + "..."
