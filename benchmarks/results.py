"""Samples -> the figures that people read: a table, the promises and whether they are kept, JSON."""

from __future__ import annotations

import dataclasses
import os
import platform
import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from measure import own_peak

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from measure import Sample
    from tools import Answer, Case

MEGABYTE = 1_000_000


@dataclass
class Result:
    """One case: its samples, its answers, and what went wrong or why it did not run.

    `size` is how many bytes of text its log holds.
    """

    case: Case
    lines: int
    samples: list[Sample] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    size: int = 0
    lost: int | None = None
    skipped: str | None = None
    failure: str | None = None

    @property
    def answer(self) -> Answer | None:
        """What it said of the log at last."""
        return self.answers[-1] if self.answers else None

    @property
    def rows_text(self) -> str:
        """How many rows it counted, where it says so."""
        return "" if self.answer is None or self.answer.rows is None else f"{self.answer.rows:,}"

    @property
    def trouble(self) -> str | None:
        """Why there are no samples."""
        if self.samples:
            return None
        return f"skipped: {self.skipped}" if self.skipped else f"failed: {self.failure}"

    @property
    def scale(self) -> float:
        """How often the log of this case goes into the log that the table is about."""
        return self.lines / self.case.lines if self.case.sliced else 1.0

    @property
    def wall(self) -> float:
        """Best wall time in seconds, for the whole log."""
        return min(sample.wall for sample in self.samples) * self.scale

    @property
    def median(self) -> float:
        """Median wall time in seconds, for the whole log."""
        return statistics.median(sample.wall for sample in self.samples) * self.scale

    @property
    def cpu(self) -> float:
        """Least processor time in seconds, for the whole log."""
        return min(sample.cpu for sample in self.samples) * self.scale

    @property
    def peak(self) -> int:
        """Highest peak memory in bytes, as measured and never scaled."""
        return max(sample.peak for sample in self.samples)

    @property
    def peak_text(self) -> str:
        """Peak memory in MB; a figure that is only the runner's own size is an upper bound."""
        bound = "<" if self.peak <= own_peak() else ""
        return f"{bound}{self.peak / MEGABYTE:.0f}"


class Promise(NamedTuple):
    """A figure, and the bound that it is held to; without one it only stands beside another."""

    text: str
    figure: float
    sense: str = ""
    bound: float | None = None

    @property
    def kept(self) -> bool | None:
        """Whether the bound is kept, where there is one."""
        if self.bound is None:
            return None
        return self.figure <= self.bound if self.sense == "at most" else self.figure >= self.bound

    def __str__(self) -> str:
        """Return the line that people read."""
        verdict = f" ({self.sense} {self.bound:g}: {'kept' if self.kept else 'MISSED'})" if self.sense else ""
        return f"{self.text}: {self.figure:.2f}{verdict}"


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table that can be read as it stands.

    A row that ends early holds a reason in place of figures, which may run over: it must not widen a column of numbers.
    """
    shown = [list(header), ["-" * 3] * len(header), *map(list, rows)]
    widths = [
        max(len(row[at]) for row in shown if at < len(row) and (len(row) == len(header) or at < len(row) - 1))
        for at in range(len(header))
    ]
    padded = [row + [""] * (len(header) - len(row)) for row in shown]
    return [f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in padded]


def table(results: Sequence[Result]) -> str:
    """Return the figures as an aligned table, which is Markdown as it stands."""
    walls = {result.case.name: result.wall for result in results if result.samples}
    header = [
        "tool", "what it computes", "lines read", "rows counted", "rows lost", "wall min s", "wall median s", "cpu s",
        "peak MB", "x wc", "x logscan",
    ]  # fmt: skip
    rows = []
    for result in results:
        start = [result.case.name, result.case.does, f"{result.case.lines:,}" if result.case.lines else ""]
        if result.trouble:
            rows.append([*start, result.trouble])
            continue
        star = r"\*" if result.case.sliced else ""
        compared = result.case.lines == result.lines or result.case.sliced
        rows.append([
            *start,
            result.rows_text,
            "" if result.lost is None else f"{result.lost:,}",
            *(f"{figure:.3f}{star}" for figure in (result.wall, result.median, result.cpu)),
            result.peak_text,
            *(f"{result.wall / walls[to]:.2f}" if compared and to in walls else "" for to in ("wc", "logscan")),
        ])  # fmt: skip
    sliced = sorted({result.case.lines for result in results if result.case.sliced and result.samples})
    notes = [f"\n\\* of the first {count:,} lines, scaled per line; memory is not scaled." for count in sliced]
    return "\n".join(aligned(header, rows) + notes)


def promises(results: Sequence[Result]) -> list[Promise]:
    """Return the promises that can be checked."""
    wall = {result.case.name: result.wall for result in results if result.samples}
    peak = {result.case.name: float(result.peak) for result in results if result.samples}
    lost = {result.case.name: float(result.lost) for result in results if result.lost is not None}
    net = {name: wall[name] - wall["logscan-start"] for name in wall if "logscan-start" in wall}
    ratios = (
        ("logscan / wc, wall", wall, "logscan", "wc", "at most", 10),
        ("duckdb / logscan, wall", wall, "duckdb", "logscan", "at least", 1.5),
        ("clickhouse / logscan, wall", wall, "clickhouse", "logscan", "at least", 3),
        ("polars / logscan, wall", wall, "polars", "logscan", "at least", 6),
        ("one thread / two, start-up taken off", net, "logscan-1-thread", "logscan-2-threads", "at least", 1.7),
        ("ten times the log, peak / peak", peak, "logscan-long", "logscan", "at most", 1.2),
        ("logscan --help / python -c pass, wall", wall, "logscan-help", "python-pass", "at most", 10),
    )
    found = [
        Promise(text, figures[one] / figures[other], sense, bound)
        for text, figures, one, other, sense, bound in ratios
        if one in figures and figures.get(other, 0.0) > 0
    ]
    if "logscan" in lost:
        found.append(Promise("logscan, rows lost", lost["logscan"], "at most", 0))
        found.append(Promise("logscan, peak MB", peak["logscan"] / MEGABYTE, "at most", 600))
    return found


def remarks(results: Sequence[Result], promised: Sequence[Promise]) -> list[str]:
    """Return the promises, then whatever went wrong, as Markdown list items."""
    failures = [f"- {result.case.name} FAILED: {result.failure}" for result in results if result.failure]
    return [f"- {promise}" for promise in promised] + failures


def machine(cores: int) -> dict[str, str]:
    """Say what the figures were measured on."""
    model = platform.processor() or platform.machine()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [line for line in information.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return {
        "processor": model,
        "processors used": str(cores),
        "memory": f"{memory / 1e9:.0f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "date": f"{datetime.now(tz=UTC):%Y-%m-%d}",
    }


def heading(facts: Mapping[str, str], versions: Mapping[str, str], command: str, log: str) -> str:
    """Return what the figures of the README stand under: machine, versions, log, command."""
    return "\n".join([
        f"- machine: {', '.join(f'{name} {value}' for name, value in facts.items())}",
        f"- versions: {', '.join(versions.values())}",
        f"- log: {log}",
        f"- command: `{command}`",
        "",
    ])  # fmt: skip


def as_json(results: Sequence[Result], promised: Sequence[Promise]) -> dict[str, Any]:
    """Return every raw sample, for `--json`."""
    return {
        "cases": [
            {
                "name": result.case.name,
                "does": result.case.does,
                "form": result.case.form,
                "lines": result.case.lines,
                "bytes": result.size,
                "samples": [dataclasses.asdict(sample) for sample in result.samples],
                "answers": [dataclasses.asdict(answer) for answer in result.answers],
                "lost": result.lost,
                "skipped": result.skipped,
                "failure": result.failure,
            }
            for result in results
        ],
        "promises": [
            {"text": each.text, "figure": each.figure, "sense": each.sense, "bound": each.bound, "kept": each.kept}
            for each in promised
        ],
    }
