"""The same run on a Dask cluster: a task reads some logs into tables of their own, and the tables are summed in a tree.

A task is a few sources that stand together, or a range of a large plain one (`byte_ranges`). What comes out is the same
as on one machine, to the last number. A task has no effect but its result, so Dask does again what a lost worker had.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from importlib import import_module
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from analyzer._version import __version__
from analyzer.errors import LogscanError, UsageError
from analyzer.runs.byte_ranges import ask_limits, joined, ranges_of, read_range, without_requests
from analyzer.runs.logs import Log
from analyzer.runs.parts import Job, Part, add_up, content_of
from analyzer.runs.rejects import Rejects
from analyzer.runs.run import Run
from analyzer.runs.threads import thread_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from analyzer.parsing.detect import Known
    from analyzer.report.model import RejectedSample
    from analyzer.sources import Source
    from analyzer.tables import Folds, Tables

#: Stored bytes and sources of a task at most: so many that its result, up to tens of MB, costs little beside it.
_TASK_BYTES, _TASK_SOURCES = 512 << 20, 1000
#: Bytes of a part of a source at least: what depends on the parts before costs some tasks more.
_RANGE_BYTES = 64 << 20
#: Tasks that there are for each thread of the cluster at least, so that all end at about the same time.
_TASKS_EACH = 4
#: Results that a task sums, and that are left to be summed here, no more than one of each worker: one task more would
#: send the whole once more.
_SUMMED, _SUMMED_HERE = 8, 4
#: How long a scheduler and its first worker are waited for.
_WAIT_SECONDS = 10


class Task(NamedTuple):
    """Sources that are read together, and the number of the first."""

    first: int
    sources: list[Source]

    @property
    def size(self) -> int:
        """Stored bytes."""
        return sum(source.size or 0 for source in self.sources)

    def ranges(self, known: Known, size: int) -> list[Source]:
        """Parts of this size of its only source; none where there are several, or it cannot be read in parts."""
        if len(self.sources) > 1 or self.size < 2 * size:
            return []
        parts = ranges_of(self.sources[0], known, size)
        return parts if len(parts) > 1 else []


def read_on_cluster(
    engine: str,
    run: Run,
    folds: Folds,
    *,
    workers: int | None,
    rejects: str | os.PathLike[str] | None,
) -> Tables:
    """Do a run on a cluster: its logs, streams and samples are then as after `Run.read`; return the tables.

    Parameters
    ----------
    engine
        ``dask://HOST:PORT`` of a scheduler, or ``dask`` for workers on this machine.
    folds
        How a task makes its fold.
    workers
        How many processes, on this machine.

    Raises
    ------
    LogscanError
        Where there is no such cluster, its workers cannot do the work, or a run on one machine would fail.
    """
    sources = [log.source for log in run.logs]
    job = Job(run.known, folds, run.span, len(sources) == 1, rejects is not None)
    with (
        Rejects(rejects, [source.uri for source in sources]) as rejects_file,
        connected(engine, workers, sources) as client,
        failures_told(engine, sources),
    ):
        part = _sum_up(client, job, sources, rejects_file, run.progress)
    run.logs, run.streams = part.logs, part.streams
    run.samples = named_here(part.logs, part.samples, sources)
    return part.tables


@contextmanager
def connected(engine: str, workers: int | None, sources: Sequence[Source]) -> Iterator[Any]:
    """A client of the cluster that can read these sources."""
    address = _address(engine, workers)
    if any(source.uri == "-" for source in sources):
        raise UsageError("--cluster-engine: expected logs that the workers can read, got standard input")
    with ExitStack() as stack:
        client = _connect(stack, engine, address, workers)
        stack.enter_context(client.as_current())
        yield client


@contextmanager
def failures_told(engine: str, sources: Sequence[Source]) -> Iterator[None]:
    """Say in one line what went wrong on the cluster, with the names that sources have here."""
    try:
        yield
    except LogscanError as error:
        message = str(error)
        for source in sources:
            message = message.replace(source_there(source).uri, source.uri)
        raise type(error)(message, error.hint) from None
    except Exception as error:  # noqa: BLE001 - whatever the library raises, the cluster failed
        raise _failure(engine, error) from None


def named_here(
    logs: Sequence[Log], samples: Sequence[RejectedSample], sources: Sequence[Source]
) -> list[RejectedSample]:
    """Give logs that were read there the sources of this machine; return their samples with such names."""
    names = {log.source.name: source.name for log, source in zip(logs, sources, strict=True)}
    for log, source in zip(logs, sources, strict=True):
        log.source = source
    return [replace(sample, uri=names[sample.uri]) for sample in samples]


def _address(engine: str, workers: int | None) -> str | None:
    """The address of the scheduler; None for a cluster of our own."""
    if engine == "dask":
        return None
    kind, found, place = engine.partition("://")
    host, colon, port = place.rpartition(":")
    if kind != "dask" or not found or not host or not colon or not port.isdecimal():
        raise UsageError(f"--cluster-engine: expected dask or dask://HOST:PORT, got {engine!r}")
    if workers is not None:
        raise UsageError("--workers: expected a number of workers with dask, not with a cluster that has its own")
    return f"tcp://{place}"


def _connect(stack: ExitStack, engine: str, address: str | None, workers: int | None) -> Any:
    """A client of the cluster, closed with the stack."""
    try:
        dask = _distributed()
    except ImportError:
        raise UsageError(
            f"--cluster-engine {engine}: expected Dask, found it not installed",
            hint="pip install '.[dask]' in logscan's source folder installs it",
        ) from None
    if address is None:
        cluster = dask.LocalCluster(
            n_workers=thread_count(workers),
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",  # without one it takes a port of its own choice on all addresses
            env={"POLARS_MAX_THREADS": "1"},
            silence_logs=50,
        )
        return stack.enter_context(closing(dask.Client(stack.enter_context(closing(cluster)), set_as_default=False)))
    try:
        client = stack.enter_context(closing(dask.Client(address, timeout=_WAIT_SECONDS, set_as_default=False)))
    except OSError:
        raise UsageError(
            f"--cluster-engine: expected a Dask scheduler at {address}, found none",
            hint="dask scheduler starts one, dask worker ADDRESS its workers",
        ) from None
    try:
        client.wait_for_workers(1, timeout=_WAIT_SECONDS)
    except TimeoutError:
        raise UsageError(
            f"--cluster-engine: expected workers at {address}, found none", hint=f"dask worker {address} starts one"
        ) from None
    return client


def _distributed() -> Any:
    """The library, which has no types."""
    return import_module("distributed")


def bytes_of_task(sources: Sequence[Source], threads: int) -> int:
    """Stored bytes of a task at most."""
    return min(_TASK_BYTES, sum(source.size or 0 for source in sources) // (_TASKS_EACH * max(threads, 1)))


def tasks_of(sources: Sequence[Source], threads: int) -> list[Task]:
    """The sources in order, put together to tasks."""
    share = _TASKS_EACH * max(threads, 1)
    bytes_each = bytes_of_task(sources, threads)
    sources_each = min(_TASK_SOURCES, -(-len(sources) // share))
    tasks: list[Task] = []
    size = 0
    for number, source in enumerate(sources):
        there = source_there(source)
        stored = source.size or 0
        if tasks and size + stored <= bytes_each and len(tasks[-1].sources) < sources_each:
            tasks[-1].sources.append(there)
            size += stored
        else:
            tasks.append(Task(number, [there]))
            size = stored
    return tasks


def source_there(source: Source) -> Source:
    """A source as workers know it: a file by its whole path."""
    return source if source.in_bucket else replace(source, uri=os.path.abspath(source.uri))


def _sum_up(
    client: Any, job: Job, sources: Sequence[Source], rejects: Rejects, progress: Callable[[int], object] | None
) -> Part:
    """Submit the tasks and the tree of sums; take what comes back."""
    threads_of = client.nthreads()
    tasks = tasks_of(sources, sum(threads_of.values()))
    size = max(_RANGE_BYTES, bytes_of_task(sources, sum(threads_of.values())))
    shared = share(client, job)
    sizes: dict[str, int] = {}
    parts = []
    for task in tasks:
        ranges = task.ranges(job.known, size)
        found = _in_ranges(client, shared, task, ranges, sizes) if ranges else _whole(client, shared, task, sizes)
        parts.append(found)
    sums = parts
    while len(sums) > min(_SUMMED_HERE, len(threads_of)):
        sums = [client.submit(add_up, sums[at : at + _SUMMED], pure=False) for at in range(0, len(sums), _SUMMED)]
    if rejects.wanted:
        for task, part in zip(tasks, parts, strict=True):
            rejects.write(client.submit(_rejected, part, pure=False).result(), task.first)
    coming = _distributed().as_completed(parts)
    del parts  # a result is kept no longer than somebody asks for it
    for part in coming:
        if part.status == "finished" and progress is not None:
            progress(sizes[part.key])
    return add_up(client.gather(sums))


def _whole(client: Any, shared: Any, task: Task, sizes: dict[str, int]) -> Any:
    """Have the sources of a task read; note its size."""
    part = client.submit(_read, shared, task, pure=False)
    sizes[part.key] = task.size
    return part


def _in_ranges(client: Any, shared: Any, task: Task, ranges: Sequence[Source], sizes: dict[str, int]) -> Any:
    """Have the only source of a task read in these parts; note its size."""
    stands, slim, answers = None, [], []
    for number, source in enumerate(ranges, 1):
        found = client.submit(read_range, shared, source, pure=False)
        asked = client.submit(ask_limits, shared, stands, found, last=number == len(ranges), pure=False, priority=1)
        answers.append(client.submit(itemgetter(0), asked, pure=False, priority=1))
        stands = client.submit(itemgetter(1), asked, pure=False, priority=1)
        slim.append(client.submit(without_requests, found, pure=False, priority=1))
    part = client.submit(joined, shared, task.first, slim, answers, pure=False, priority=1)
    sizes[part.key] = task.size
    return part


def share(client: Any, job: Job) -> Any:
    """The job, for tasks. It is pickled here and loaded by a task: what was only scattered is lost with its worker."""
    return client.submit(_load, __version__, pickle.dumps(job), pure=False)


def _load(version: str, job: bytes) -> Job:
    if version != __version__:
        raise UsageError(f"--cluster-engine: expected workers with logscan {version}, found {__version__}")
    loaded: Job = pickle.loads(job)  # noqa: S301 - from the client, which may run anything here
    return loaded


def _read(job: Job, task: Task) -> Part:
    """Read the logs of a task; runs on a worker."""
    logs = [Log(task.first + at, source) for at, source in enumerate(task.sources)]
    fold = job.folds.new()
    run = Run(logs, job.known, fold, job.span, progress=None, durations=job.folds.durations, go_on=not job.alone)
    with tempfile.TemporaryDirectory() as folder:
        rejects = os.path.join(folder, "rejects") if job.keep_rejected else None
        run.read(1, rejects)
        rejected = content_of(rejects) if rejects is not None else b""
    for log in logs:
        log.reader = None
    return Part(fold.tables(), logs, run.streams, run.samples, rejected)


def _rejected(part: Part) -> bytes:
    return part.rejected


def _failure(engine: str, error: Exception) -> LogscanError:
    """What went wrong on the cluster, in one line."""
    said = str(error).partition("\n")[0]
    if isinstance(error, _distributed().KilledWorker):
        return UsageError(
            f"--cluster-engine {engine}: the workers of a task died, each time that it was tried",
            hint="their logs say why; a worker needs about 1 GB of memory for each of its threads",
        )
    if isinstance(error, ModuleNotFoundError) or "deserialize" in said:
        return UsageError(
            f"--cluster-engine {engine}: expected logscan {__version__} with its extras on the workers: {said}"
        )
    return UsageError(f"--cluster-engine {engine}: the cluster failed: {type(error).__name__}: {said}")
