"""The report as data: its field names are the keys of ``logscan.report/1`` (``schema.json`` beside this file).

Nothing is computed here, and importing this module loads neither polars nor a renderer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from analyzer.charts import Bars
from analyzer.findings.model import Findings
from analyzer.readings.reading import Reading, frame_of
from analyzer.report import write_report

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl

    from analyzer.readings.geo import Geo
    from analyzer.readings.preservation import Preservation
    from analyzer.readings.rate_limit import RateLimit
    from analyzer.readings.skew import Skew
    from analyzer.readings.timeline import Timeline
    from analyzer.readings.trust import Trust

SCHEMA = "logscan.report/1"


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One input and what its lines were: ``lines = parsed + rejected + other``.

    `format` and `envelope` are None where none was recognised. `format` reads most lines or is expected to; `formats`
    says how many lines each one read. Several envelopes are joined by ``+``, the outermost first;
    behind a comma stand those of other lines. `node` and `pod` are
    None where they are not known or not the same for all lines. `error` says what could not be read, None where all
    was.
    """

    uri: str
    format: str | None
    envelope: str | None
    node: str | None
    pod: str | None
    bytes: int
    lines: int
    parsed: int
    rejected: int
    other: int
    error: str | None = None
    formats: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RejectedSample:
    """A line that could not be read: its place (line numbers begin at 1), the reason, and its text as logged."""

    uri: str
    line: int | None
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class StateRow:
    """The state that a run added to (``--state``).

    `logs` are known to it; this run found `new` ones, some that had `grown`, and some that were `read_anew`.
    `waiting_bytes` stand behind the last whole line of logs. With a window the readings are of the hours from `since`
    on, and of what was read only this run's part is told; else `since` is None.
    """

    url: str
    generation: int
    logs: int
    new: int
    grown: int
    read_anew: int
    waiting_bytes: int
    since: datetime | None
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Input(Reading):
    """What was read: the sources, and their sums.

    With a `state` the sources are those of this run, and the sums those of all runs. `other_kinds` splits `other` by
    what the lines were. `cluster` is the name of the cluster file, None without one.
    """

    sources: list[SourceRow]
    bytes: int
    lines: int
    parsed: int
    rejected: int
    other: int
    first_time: datetime | None
    last_time: datetime | None
    rejected_samples: list[RejectedSample] = field(default_factory=list)
    other_kinds: dict[str, int] = field(default_factory=dict)
    elapsed_seconds: float | None = None
    cluster: str | None = None
    state: StateRow | None = None

    @property
    def frame(self) -> pl.DataFrame:
        """The sources, a row each."""
        return frame_of(self.sources, SourceRow)

    def plot(self) -> Bars:
        """Lines of the sources."""
        return Bars(title="Lines by source", frame=self.frame, name="uri", value="lines", unit="lines")


@dataclass(frozen=True, kw_only=True)
class Report:
    """All readings of one analysis."""

    schema: str = field(default=SCHEMA, init=False)
    version: str
    input: Input
    preservation: Preservation
    trust: Trust
    signals: dict[str, int]
    skew: Skew
    geo: Geo
    rate_limit: RateLimit
    timeline: Timeline
    findings: Findings = field(default_factory=Findings)

    def to_json(self) -> str:
        """Write the report as JSON, schema ``logscan.report/1``, with a newline at the end."""
        return write_report(self, "json")

    def to_html(self) -> str:
        """Write the report as one HTML page that needs nothing else and runs no script."""
        return write_report(self, "html")

    def to_markdown(self) -> str:
        """Write the report as Markdown."""
        return write_report(self, "markdown")

    def __repr__(self) -> str:  # noqa: D105 - says itself
        reading = self.preservation
        share = "-" if reading.preserved_pct is None else f"{reading.preserved_pct:.4g}"
        return f"<Report: {reading.verdict}, {share} % of {reading.considered} considered requests keep their address>"

    def _repr_html_(self) -> str:
        """Show the report in a notebook."""
        from analyzer.report.html import notebook  # noqa: PLC0415 - costs its import only where it is used

        return notebook(self)
