"""Work on several threads, results in order."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from analyzer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

Item = TypeVar("Item")
Result = TypeVar("Result")


def thread_count(workers: int | None) -> int:
    """How many threads read: so many, or as many as this process may use processors."""
    if workers is not None and workers < 1:
        raise UsageError(f"--workers: expected at least 1, got {workers}")
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return workers or processors


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[tuple[Item, Result], None, None]:
    """Yield each item with what the function makes of it, in order, on so many threads.

    The calling thread is one of them: where the next result is not ready, it works on an item that no other thread has
    begun. At most ``workers + 2`` items are in flight. When it is closed no thread works any more.
    """
    if workers == 1:
        for item in items:
            yield item, function(item)
        return
    coming = iter(items)
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    threads = ThreadPoolExecutor(workers - 1)
    try:
        while True:
            for item in islice(coming, workers + 2 - len(waiting)):
                waiting.append((item, threads.submit(function, item)))
            if not waiting:
                return
            if waiting[0][1].done() or not _work_along(function, waiting):
                item, future = waiting.popleft()
                yield item, future.result()
    finally:
        threads.shutdown(cancel_futures=True)


def _work_along(function: Callable[[Item], Result], waiting: deque[tuple[Item, Future[Result]]]) -> bool:
    """Do the first item that no thread has begun; False where all are under way."""
    for at, (item, future) in enumerate(waiting):
        if future.cancel():
            done: Future[Result] = Future()
            try:
                done.set_result(function(item))
            except Exception as error:  # noqa: BLE001 - raised where the result is asked for
                done.set_exception(error)
            waiting[at] = (item, done)
            return True
    return False
