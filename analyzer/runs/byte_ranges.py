"""One large log read in byte ranges, by many workers: what depends on the order of its lines is made up for afterwards.

A range is scanned and summed wherever there is a worker. Two things need the ranges before it: what rate limits reject
(requests are taken down, and limits asked about them in order, range by range), and what its first lines are that fit
no format (counts of pieces are kept and added in order). So the result is that of the log read from end to end.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from analyzer.errors import SourceError
from analyzer.parsing.detect import detect_head
from analyzer.parsing.layers import is_open, joins
from analyzer.runs.logs import Log, Work
from analyzer.runs.parts import Part, content_of
from analyzer.runs.rejects import Rejects
from analyzer.runs.run import Run
from analyzer.sources import open_source
from analyzer.sources.objects import Object
from analyzer.sources.reading import File, whole_cut
from analyzer.tables.address_table import new_address_table
from analyzer.tables.limited import LimitTable
from analyzer.tables.merge import LIMIT, frames_of, tables_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.parsing.detect import Known, Shape
    from analyzer.parsing.origin import Origin
    from analyzer.runs.parts import Job
    from analyzer.runs.piece_scan import Scanned
    from analyzer.sources import Source
    from analyzer.tables import Tables
    from analyzer.tables.limited import Asked

    #: A stream within its log: where its lines were written, and their format.
    Key = tuple[Origin, str]
    #: How limits stand at the end of a range: for each stream whether it has exact times, and its tables.
    Stands = dict[Key, tuple[bool, dict[str, pl.DataFrame]]]


@dataclass
class Range:
    """What a range of a log held; `pieces` are without their rows, and `asked` is by stream."""

    tables: Tables
    log: Log
    pieces: list[tuple[Shape, Scanned]]
    asked: dict[Key, list[Asked]]


class Answers(NamedTuple):
    """What limits made of the requests of a range: rejections, and counts by name."""

    rejected: pl.DataFrame
    totals: dict[str, int]


def ranges_of(source: Source, known: Known, size: int) -> list[Source]:
    """The parts of a log of about this size; the log itself where it cannot be read in parts."""
    whole = source.size or 0
    try:
        with closing(open_source(source)) as reader:
            shape = detect_head(reader.head, known)
            if not isinstance(reader, File | Object) or shape.layout is None or shape.document is not None:
                return [source]
            open_end = partial(is_open, shape.layers) if joins(shape.layers) else None
            cuts = [0]
            for at in range(size, whole - size // 2, size):
                end = whole_cut(reader.read_at, at, whole, open_end)
                if end is not None and cuts[-1] < end < whole:
                    cuts.append(end)
    except (SourceError, OSError):
        return [source]  # whoever reads it will say it
    if len(cuts) == 1:
        return [source]
    return [replace(source, part=part) for part in zip(cuts, [*cuts[1:], whole], strict=True)]


@dataclass
class _RangeRun(Run):
    """Keeps what pieces counted, to be added in order when the ranges before are known."""

    pieces: list[tuple[Shape, Scanned]] = field(default_factory=list)

    def add(self, work: Work, scanned: Scanned, rejects: Rejects) -> None:  # noqa: ARG002 - as `Run` has it
        self.fold_rows(work.log, scanned)
        scanned.rows = []
        self.pieces.append((work.shape, scanned))


def read_range(job: Job, source: Source) -> Range:
    """Read a part of a log."""
    log = Log(0, source)
    fold = job.folds.new()
    fold.put_limits_off()
    run = _RangeRun([log], job.known, fold, job.span, None, durations=job.folds.durations, go_on=not job.alone)
    with tempfile.TemporaryDirectory() as folder:
        run.read(1, os.path.join(folder, "rejects") if job.keep_rejected else None)
    log.reader = None
    asked = fold.asked()
    by_key = {key: asked[number] for key, number in log.streams.items() if number in asked}
    return Range(fold.tables(), log, run.pieces, by_key)


def without_requests(found: Range) -> Range:
    """The same, for whoever does not ask limits."""
    return replace(found, asked={})


def ask_limits(job: Job, stands: Stands | None, found: Range, *, last: bool) -> tuple[Answers, Stands]:
    """Ask limits about the requests of a range, which stand as after the one before."""
    before = stands or {}
    after: Stands = {}
    rejected: list[pl.DataFrame] = []
    totals: dict[str, int] = {}
    for key in [*before, *(key for key in found.asked if key not in before)]:
        table, asked = LimitTable(job.folds.limits, new_address_table(), None), found.asked.get(key, [])
        exact_times = before[key][0] if key in before else asked[0].exact_times
        if key in before:
            table.restore(0, before[key][1], exact_times=exact_times)
        for each in asked:
            table.ask(0, each)
        if last:
            table.close(0)
        else:
            after[key] = exact_times, table.state(0)
        rejected.append(table.take(*table.named()))
        for name, count in table.totals().items():
            totals[name] = totals.get(name, 0) + count
    return Answers(pl.concat(rejected) if rejected else found.tables.limits.clear(), totals), after


def joined(job: Job, first: int, ranges: list[Range], answers: list[Answers]) -> Part:
    """Make of the ranges of a log, which has the number `first`, what it is as a whole."""
    log = Log(first, replace(ranges[0].log.source, part=None), shape=ranges[0].log.shape)
    run = Run([log], job.known, job.folds.new(), job.span, None)
    run.keep_rejected = job.keep_rejected
    frames: dict[str, list[pl.DataFrame]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rejects") if job.keep_rejected else None
        with Rejects(path, []) as rejects:
            for found, answer in zip(ranges, answers, strict=True):
                if log.error is None:  # where a log breaks off, nothing behind it counts
                    _add(run, log, found, rejects)
                    _add_tables(frames, _numbers(run, log, found), found, answer)
        rejected = content_of(path) if path is not None else b""
    if not log.streams and log.error is None:
        run.stream(log, log.origin, "")
    tables = tables_of({name: pl.concat(parts) for name, parts in frames.items()})
    return Part(tables, [log], run.streams, run.samples, rejected)


def _add(run: Run, log: Log, found: Range, rejects: Rejects) -> None:
    for shape, scanned in found.pieces:
        run.count(log, shape, scanned, rejects)
    for name, lines in found.log.formats.items():
        log.formats[name] = log.formats.get(name, 0) + lines
    log.error = log.error or found.log.error
    log.bytes_read += found.log.bytes_read


def _numbers(run: Run, log: Log, found: Range) -> dict[int, int]:
    """The numbers of streams of the whole by those of a range; there is none for a range without a request."""
    return {number: run.stream(log, *key) for key, number in found.log.streams.items() if key[1]}


def _add_tables(
    frames: dict[str, list[pl.DataFrame]], numbers: Mapping[int, int], found: Range, answer: Answers
) -> None:
    for name, frame in frames_of(found.tables).items():
        if "source" in frame.columns:
            source = frame["source"].replace_strict(numbers, return_dtype=frame.schema["source"])
            frame = frame.with_columns(source)  # noqa: PLW2901
        frames.setdefault(name, []).append(frame)
    frames["limits"].append(answer.rejected)
    counts = {"name": [LIMIT + name for name in answer.totals], "count": list(answer.totals.values())}
    frames["totals"].append(pl.DataFrame(counts, schema=frames["totals"][0].schema))
