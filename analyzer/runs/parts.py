"""What workers of a cluster are given and give back: a run as it is sent, and what parts of it held."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import polars as pl
from polars import selectors

from analyzer.runs.piece_scan import SAMPLES
from analyzer.tables.merge import frames_of, tables_of

#: The tables that have rows for each address, and which of their columns are numbers.
_LARGE = ("addresses", "limits", "clients")
_NUMBERS = selectors.by_dtype(pl.UInt64)

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
    """What some logs held: their tables, with streams numbered from 0, and what a run knows beside them.

    It is sent with numbers in as few bytes as they need, half as many as they have: sending is what a sum waits for.
    """

    tables: Tables
    logs: list[Log]
    streams: list[Stream]
    samples: list[RejectedSample]
    rejected: bytes = field(default=b"", repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """What is sent."""
        wide = {name: getattr(self.tables, name) for name in _LARGE}
        narrow = {
            name: frame.with_columns(frame[column].shrink_dtype() for column in frame.select(_NUMBERS).columns)
            for name, frame in wide.items()
        }
        schemas = {name: frame.schema for name, frame in wide.items()}
        return {**self.__dict__, "tables": replace(self.tables, **narrow), "schemas": schemas}

    def __setstate__(self, sent: dict[str, Any]) -> None:
        """The same again."""
        schemas, tables = sent.pop("schemas"), sent["tables"]
        wide = {name: getattr(tables, name).cast(dict(schema)) for name, schema in schemas.items()}
        self.__dict__.update(sent, tables=replace(tables, **wide))


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
