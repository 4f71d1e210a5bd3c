"""A document: what the HTML, Markdown and notebook reports say, before any of them writes it.

Writers know nothing of readings, and chapters (`analyzer.report.chapters`) nothing of markup. Text that a log, a file
name, a cluster or a rule file wrote is `Quoted`, so that a writer can show it as what it is. Every text may be hostile:
writers make it safe.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from analyzer.report.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.charts import Lines

Tone = Literal["good", "warn", "bad", "plain"]
TONES: dict[str, Tone] = {
    "preserved": "good",
    "partly": "warn",
    "not-preserved": "bad",
    "ready": "good",
    "not-ready": "bad",
    "even": "good",
    "uneven": "warn",
    "sound": "good",
    "exposed": "warn",
    "spoofed": "bad",
    "error": "bad",
    "warning": "warn",
}
"""The tone of each verdict and severity that is not plain."""

MOST_ROWS = 40
"""Longest list of a document: the JSON report has the whole of it."""
LONGEST = 120
"""Longest quoted text of a document, in characters."""
LONGEST_WORDS = 500
"""Longest of any other text but a patch."""
LONGEST_PATCH = 2000
"""Longest patch: names of a cluster file may make one as long as they are."""
NARROW = 4
"""Most columns of a table that fit a telephone."""
LONG = 24
"""Text in a cell that is longer has a line of its own there."""
NUMBERS = range(1, 10)
"""Places of numbers in a table of names and numbers."""


class Quoted(str):
    """Text that somebody else wrote: an address, a name, a line of a log."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Share:
    """A percentage, which a writer may draw; `tone` is that of a bar.

    A bar is long in proportion to 100, or to `largest`, the largest of those that are drawn under each other.
    """

    pct: float | None
    tone: Tone = "plain"
    largest: float | None = None


Cell = str | Share


@dataclass(frozen=True, slots=True)
class Verdict:
    """One or two words, and how to take them."""

    text: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Sentences; quoted parts stand among the others."""

    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a caption.

    `numeric` are the places of the columns of numbers, which come early: a telephone shows the first columns.
    `left_out` rows are not shown.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: frozenset[int] = frozenset()
    left_out: int = 0

    @property
    def wide(self) -> bool:
        """Whether a telephone has no room for it."""
        return len(self.columns) > NARROW or any(
            isinstance(cell, str) and len(cell) > LONG for row in self.rows for cell in row[1:]
        )


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart, and in words what it shows."""

    plot: Lines
    summary: str


@dataclass(frozen=True, slots=True)
class Patch:
    """Text to copy: a command, a manifest, a line of configuration."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Link:
    """A source to read."""

    text: str
    href: str


@dataclass(frozen=True, slots=True)
class Fold:
    """What only a few want to see: a writer that cannot fold it leaves it out."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class Topic:
    """A part of a section with a heading of its own."""

    title: str
    verdict: Verdict | None
    parts: Sequence[Part]


Part = Paragraph | Table | Figure | Patch | Link | Fold | Topic


@dataclass(frozen=True, slots=True)
class Section:
    """A section; `name` is what a link within the document calls it."""

    name: str
    title: str
    parts: Sequence[Part]
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict, the number behind it, and lines such as why and what next by their label.

    `stack` are the shares that make up the whole, by name.
    """

    verdict: Verdict
    text: str
    lines: dict[str, str]
    stack: dict[str, Share] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report."""

    title: str
    headline: Headline
    sections: Sequence[Section]


def visible(text: str) -> str:
    """Make a text safe to show: no invisible character, and no more of a long one than a reader takes in.

    A long quoted text loses its middle: the end of a path says which file it is.
    """
    if not isinstance(text, Quoted):
        return printable(text, LONGEST_WORDS)
    shown = printable(text[: LONGEST + 1] + text[max(LONGEST + 1, len(text) - LONGEST) :])
    half = (LONGEST - 3) // 2
    return shown if len(shown) <= LONGEST else f"{shown[:half]}...{shown[-half:]}"


def sentence(text: str) -> str:
    """Make a sentence of a clause; a name such as ``externalTrafficPolicy`` stays what it is."""
    first = text.partition(" ")[0]
    return f"{text[:1].upper() if first.islower() else text[:1]}{text[1:]}."


def to_copy(label: str, text: str) -> Part:
    """Make a patch; of one that is too long nothing is shown, for a part of it must not be pasted."""
    if len(text) > LONGEST_PATCH:
        return Paragraph((f"{label} The text is too long for here: the JSON report has it.",))
    return Patch(label, text)


def table(
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    numeric: Sequence[int] = (),
    most: int = MOST_ROWS,
) -> Table:
    """Make a table of at most so many rows; `numeric` are the places of the columns of numbers."""
    left_out = max(len(rows) - most, 0)
    return Table(caption, columns, rows[:most], frozenset(numeric), left_out)
