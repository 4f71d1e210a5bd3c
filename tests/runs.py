"""Runs over logs as `analyze` makes them, with all that was read kept as it came instead of counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from analyzer.parsing.detect import Known
from analyzer.parsing.envelopes import load_envelopes
from analyzer.parsing.formats import load_formats
from analyzer.parsing.layers import name_of
from analyzer.runs.logs import Log
from analyzer.runs.run import Run
from analyzer.sources import Source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from analyzer.parsing.origin import Origin

KNOWN = Known([layout for format_ in load_formats() for layout in format_.layouts], load_envelopes())


class _Kept:
    """Stands where the fold does."""

    def __init__(self) -> None:
        self.rows: dict[int, list[pl.DataFrame]] = {}

    def prepare(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows

    def add(self, source: int, rows: pl.DataFrame, *, exact_times: bool) -> None:
        self.rows.setdefault(source, []).append(rows)

    def close_source(self, source: int) -> None:
        self.rows.setdefault(source, [])


class Ran(NamedTuple):
    """What a run made of one log.

    Attributes
    ----------
    log
        With its counts.
    streams
        The rows of each origin and format, in order.
    samples
        Physical line numbers and texts of the first rejected lines of the run.
    """

    log: Log
    streams: dict[tuple[Origin, str], pl.DataFrame]
    samples: list[tuple[int | None, str]]

    @property
    def envelope(self) -> str:
        """Document and envelopes as the report calls them."""
        parts = (self.log.shape.document, *(name_of([layer]) for layer in self.log.shape.layers))
        return "+".join(part for part in parts if part) or "none"

    @property
    def format(self) -> str | None:
        """The format of most lines."""
        return self.log.shape.layout.name if self.log.shape.layout else None

    @property
    def other(self) -> int:
        """Lines that tell of no request."""
        return sum(self.log.other.kinds.values())

    def facts(self) -> dict[str, Any]:
        """All that a report can depend on."""
        return {
            "counts": (self.log.lines, self.log.parsed, self.log.rejected),
            "other": dict(sorted(self.log.other.kinds.items())),
            "signals": self.log.other.signals,
            "formats": dict(sorted(self.log.formats.items())),
            "samples": self.samples,
            "error": self.log.error,
            "streams": {key: rows.rows() for key, rows in self.streams.items() if rows.height},
        }


def run_all(
    paths: Sequence[Path],
    *,
    workers: int = 1,
    rejects: Path | None = None,
    known: Known = KNOWN,
    span: tuple[datetime | None, datetime | None] = (None, None),
) -> list[Ran]:
    """Read logs in one run; of each no line is lost."""
    kept = _Kept()
    run = Run(
        [Log(number, Source(str(path))) for number, path in enumerate(paths)],
        known,
        fold=kept,  # type: ignore[arg-type]
        span=span,
        progress=None,
    )
    run.read(workers, rejects)
    samples = {uri: [(s.line, s.text) for s in run.samples if s.uri == uri] for uri in {s.uri for s in run.samples}}
    found = [
        Ran(log, {key: _joined(kept.rows[at]) for key, at in log.streams.items()}, samples.get(log.source.uri, []))
        for log in run.logs
    ]
    for ran in found:
        assert ran.log.lines == ran.log.parsed + ran.log.rejected + ran.other
    return found


def _joined(frames: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(frames, how="diagonal") if frames else pl.DataFrame()
