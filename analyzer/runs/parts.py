"""What workers of a cluster are given and give back: a run as it is sent, and what parts of it held."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from analyzer.runs.piece_scan import SAMPLES
from analyzer.tables.merge import frames_of, tables_of

if TYPE_CHECKING:
    from datetime import datetime

    from analyzer.parsing.detect import Known
    from analyzer.report.model import RejectedSample
    from analyzer.runs.logs import Log
    from analyzer.runs.run import Stream
    from analyzer.tables import Folds, Tables


@dataclass(frozen=True, slots=True)
class Job:
    """What all tasks of a run share. `alone` says that there is but one source, whose failure is the run's."""

    known: Known
    folds: Folds
    span: tuple[datetime | None, datetime | None]
    alone: bool
    keep_rejected: bool


@dataclass
class Part:
    """What some logs held: their tables, with streams numbered from 0, and what a run knows beside them."""

    tables: Tables
    logs: list[Log]
    streams: list[Stream]
    samples: list[RejectedSample]
    rejected: bytes = field(default=b"", repr=False)


def add_up(parts: list[Part]) -> Part:
    """Make one of parts that stand together; streams keep their order."""
    frames: dict[str, list[pl.DataFrame]] = {}
    first = 0
    for part in parts:
        for name, frame in frames_of(part.tables).items():
            numbered = frame.with_columns(pl.col("source") + first) if "source" in frame.columns else frame
            frames.setdefault(name, []).append(numbered)
        first += len(part.streams)
    return Part(
        tables_of({name: pl.concat(found) for name, found in frames.items()}),
        [log for part in parts for log in part.logs],
        [stream for part in parts for stream in part.streams],
        [sample for part in parts for sample in part.samples][:SAMPLES],
    )


def content_of(path: str) -> bytes:
    """The bytes of a file."""
    with open(path, "rb") as file:
        return file.read()
