"""What ``logscan compare`` says of two reports, as data (``logscan.compare/1``) and as a document."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, TextIO

from analyzer.charts import Bars
from analyzer.readings.reading import Reading, frame_of
from analyzer.report.document import Cell, Document, Headline, Paragraph, Part, Quoted, Section, Tone, Verdict, table
from analyzer.report.json import to_json
from analyzer.report.layers import document as layers_document
from analyzer.report.text import number, percentage, period

if TYPE_CHECKING:
    import polars as pl

    from analyzer.readings.comparison import Change, Compared, Side, Value
    from analyzer.report.layers import Layers

SCHEMA = "logscan.compare/1"
_WRITERS = {"markdown": ("analyzer.report.markdown", "write"), "html": ("analyzer.report.html", "page")}
_SECTIONS = ("preservation", "trust", "skew", "geo", "rate limit", "signals")


@dataclass(frozen=True, kw_only=True)
class Comparison(Reading):
    """Two reports side by side; see `analyzer.readings.comparison`."""

    schema: str = field(default=SCHEMA, init=False)
    version: str
    compared: Compared

    @property
    def frame(self) -> pl.DataFrame:
        """The changes, a row each; ``before`` and ``after`` as text, ``change`` as a number."""
        rows = [_Row(*_texts(change)) for change in self.compared.changes]
        return frame_of(rows, _Row)

    def plot(self) -> Bars:
        """By how many points each percentage changed."""
        rows = [
            _Points(f"{change.section}: {change.measure}", change.change, _WAYS[change.better])
            for change in self.compared.changes
            if change.unit == "%" and change.change is not None
        ]
        return Bars(
            title="What the change did", frame=frame_of(rows, _Points), name="measure", value="points", unit="points",
            by="change",
        )  # fmt: skip

    def to_json(self) -> str:
        """Write it as JSON."""
        return to_json(self)

    def __repr__(self) -> str:  # noqa: D105 - says itself
        kept = (_texts(change) for change in self.compared.changes if change.measure == "preserved")
        return "<Comparison: " + "".join(f"preserved {row[2]} % before, {row[3]} % after" for row in kept) + ">"

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from analyzer.report.html import fragment  # noqa: PLC0415 - costs its import only where it is used

        return fragment(document(self))


@dataclass(frozen=True, slots=True)
class _Row:
    section: str
    measure: str
    before: str
    after: str
    change: float | None
    better: bool | None


@dataclass(frozen=True, slots=True)
class _Points:
    measure: str
    points: float
    change: str


_WAYS = {True: "for the better", False: "for the worse", None: "neither"}


def _texts(change: Change) -> tuple[str, str, str, str, float | None, bool | None]:
    texts = _value(change.before, change.unit), _value(change.after, change.unit)
    return change.section, change.measure, *texts, change.change, change.better


def render(found: Comparison | Layers, format_name: str, stream: TextIO | None = None) -> str:
    """Write a comparison, of reports or of layers, as ``table``, ``json``, ``markdown`` or ``html``.

    `stream` is where it will go.
    """
    if format_name == "json":
        return to_json(found)
    shown = document(found) if isinstance(found, Comparison) else layers_document(found)
    if format_name in _WRITERS:
        module, name = _WRITERS[format_name]
        written: str = getattr(import_module(module), name)(shown)
        return written
    from analyzer.report.document_table import render as table_of  # noqa: PLC0415 - JSON costs no terminal library

    return table_of(shown, stream)


def document(comparison: Comparison) -> Document:
    """Say it in words and tables."""
    compared = comparison.compared
    sections = [_sides(compared), _findings(compared)]
    for name in _SECTIONS:
        changes = [change for change in compared.changes if change.section == name]
        if changes:
            sections.append(_changes(name, changes))
    return Document("What did the change do?", _headline(compared), [each for each in sections if each is not None])


def _headline(compared: Compared) -> Headline:
    first = compared.changes[0] if compared.changes else None
    if first is None or first.measure != "preserved" or first.change is None:
        return Headline(Verdict("Cannot tell", "warn"), "one of the two has no request to judge", _lines(compared))
    words: tuple[str, Tone] = {True: ("Better", "good"), False: ("Worse", "bad"), None: ("The same", "plain")}[
        first.better
    ]  # type: ignore[assignment]
    text = f"{_value(first.before, '%')} % of visitors kept their IP, now {_value(first.after, '%')} %"
    if first.change:
        text += f" ({first.change:+.1f} points)"
    return Headline(Verdict(*words), text, _lines(compared))


def _lines(compared: Compared) -> dict[str, str]:
    lines = {}
    for state, label in (("new", "New"), ("gone", "Gone")):
        ids = [each.id for each in compared.findings if each.state == state]
        if ids:
            lines[label] = ", ".join(ids)
    if compared.caveats:
        lines["But"] = "; ".join(compared.caveats)
    return lines


def _sides(compared: Compared) -> Section:
    rows: list[list[Cell]] = [
        [when, number(side.considered), Quoted(side.name), ", ".join(side.formats) or "-", _period(side)]
        for when, side in (("before", compared.before), ("after", compared.after))
    ]
    columns = ("", "Requests", "Read", "Format", "Time")
    return Section("sides", "What is compared", [table("Before and after", columns, rows, numeric=(1,))])


def _period(side: Side) -> str:
    if side.first_time is None or side.last_time is None:
        return "-"
    return period(side.first_time, side.last_time)


def _findings(compared: Compared) -> Section | None:
    if not compared.findings:
        return None
    rows: list[list[Cell]] = [[each.state, each.severity, each.id, each.title] for each in compared.findings]
    return Section("findings", "Findings", [table("Findings", ("", "Severity", "Id", "Title"), rows)])


def _changes(name: str, changes: list[Change]) -> Section:
    rows: list[list[Cell]] = [
        [change.measure, _value(change.before, change.unit), _value(change.after, change.unit), _difference(change)]
        for change in changes
    ]
    parts: list[Part] = [table(name.capitalize(), ("", "Before", "After", "Change"), rows, numeric=(1, 2, 3))]
    worse = [change.measure for change in changes if change.better is False]
    if worse:
        parts.insert(0, Paragraph((f"Worse: {', '.join(worse)}.",)))
    return Section(name.replace(" ", "-"), name.capitalize(), parts)


def _value(value: Value, unit: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value.replace("-", " ")
    if unit == "%":
        return percentage(value)
    return number(value) if isinstance(value, int) else f"{value:.2f}"


def _difference(change: Change) -> str:
    if change.change is None:
        return "" if change.before == change.after else "changed"
    if not change.change:
        return "="
    if change.unit == "%":
        return f"{change.change:+.1f}"
    return f"{change.change:+,}" if isinstance(change.after, int) else f"{change.change:+.2f}"
