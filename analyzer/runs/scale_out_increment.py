"""A run with a state on a Dask cluster: workers read what is new of logs, and it is written down here, in order.

A task is some whole logs that stand together. Its result is the cells of their tables, and how their streams stand;
what was read is committed while other tasks are still at work, as on one machine.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from analyzer.runs.increment_run import increment_run
from analyzer.runs.parts import Job, content_of
from analyzer.runs.piece_scan import SAMPLES
from analyzer.runs.rejects import Rejects
from analyzer.runs.scale_out import connected, failures_told, named_here, share, tasks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from analyzer.report.model import RejectedSample
    from analyzer.runs.logs import Log
    from analyzer.runs.run import Run, Stream
    from analyzer.runs.scale_out import Task
    from analyzer.tables import Folds
    from analyzer.tables.cells import Cells, Left

#: Tasks under way for each thread of the cluster at most: their results wait for those before them.
_TASKS_EACH = 4


@dataclass
class _Part:
    """What some logs held, with streams numbered from 0."""

    frames: dict[str, pl.DataFrame]
    left: dict[int, Left]
    logs: list[Log]
    streams: list[Stream]
    samples: list[RejectedSample]
    rejected: bytes


def read_on_cluster(  # noqa: PLR0913 - a run, what it fills, and whom it tells
    engine: str,
    run: Run,
    cells: Cells,
    folds: Folds,
    closed: Callable[..., object],
    *,
    workers: int | None,
    rejects: str | os.PathLike[str] | None,
) -> None:
    """Do an `increment_run` on a cluster; `closed` is told of its logs as they are over.

    Raises
    ------
    LogscanError
        As `analyzer.runs.scale_out.read_on_cluster`, and what `closed` raises. What was committed before counts.
    """
    logs, run.logs = run.logs, []
    sources = [log.source for log in logs]
    job = Job(run.known, folds, run.span, alone=False, keep_rejected=rejects is not None)
    with Rejects(rejects, [source.uri for source in sources]) as rejects_file, ExitStack() as stack:
        if not logs:
            return  # whether there is a cluster or not
        client = stack.enter_context(connected(engine, workers, sources))
        threads = sum(client.nthreads().values())
        shared = share(client, job)
        tasks = deque(tasks_of(sources, threads))
        under_way: deque[tuple[Task, Any]] = deque()
        while tasks or under_way:
            while tasks and len(under_way) < _TASKS_EACH * threads:
                task = tasks.popleft()
                there = [
                    replace(log, source=source)
                    for log, source in zip(logs[task.first : task.first + len(task.sources)], task.sources, strict=True)
                ]
                under_way.append((task, client.submit(_read, shared, there, pure=False)))
            task, coming = under_way.popleft()
            here = sources[task.first : task.first + len(task.sources)]
            with failures_told(engine, here):
                part: _Part = coming.result()
            del coming  # its result is kept no longer than somebody asks for it
            rejects_file.write(part.rejected, task.first)
            _add(run, cells, part, named_here(part.logs, part.samples, here))
            closed(*part.logs)
            if run.progress is not None:
                run.progress(sum(log.bytes_read for log in part.logs))


def _add(run: Run, cells: Cells, part: _Part, samples: Sequence[RejectedSample]) -> None:
    """Add a part to the run, whose streams come before."""
    first = len(run.streams)
    run.logs += part.logs
    run.streams += part.streams
    run.samples += samples[: SAMPLES - len(run.samples)]
    for log in part.logs:
        log.streams = {key: number + first for key, number in log.streams.items()}
    cells.add_taken(
        {name: _numbered(frame, first) for name, frame in part.frames.items()},
        {number + first: left._replace(pending=_numbered(left.pending, first)) for number, left in part.left.items()},
    )


def _numbered(frame: pl.DataFrame, first: int) -> pl.DataFrame:
    numbers = [name for name in ("stream", "source") if name in frame.columns]
    return frame.with_columns(pl.col(*numbers) + first)


def _read(job: Job, logs: list[Log]) -> _Part:
    """Read logs; runs on a worker."""
    run, cells = increment_run(logs, job.known, job.folds, None)
    with tempfile.TemporaryDirectory() as folder:
        rejects = os.path.join(folder, "rejects") if job.keep_rejected else None
        run.read(1, rejects)
        rejected = content_of(rejects) if rejects is not None else b""
    for log in logs:
        log.reader = None
    frames, left = cells.take()
    return _Part(frames, left, logs, run.streams, run.samples, rejected)
