"""A run over what is new of logs, into cells: its streams go on where they were left, and tell how they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.runs.run import Run
from analyzer.state.files import unpacked
from analyzer.tables.cells import Cells

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from analyzer.parsing.detect import Known
    from analyzer.runs.logs import Log
    from analyzer.tables import Folds


def increment_run(
    logs: list[Log], known: Known, folds: Folds, progress: Callable[[int], object] | None
) -> tuple[Run, Cells]:
    """The run, and what it fills."""

    def saved(stream: int) -> dict[str, pl.DataFrame] | None:
        log = run.streams[stream].log
        key = next(key for key, number in log.streams.items() if number == stream)
        return {part: unpacked(frame) for part, frame in log.left[key].items()} if key in log.left else None

    cells = Cells(folds, saved=saved, goes_on=lambda stream: run.streams[stream].log.may_go_on)
    run = Run(logs, known, cells, (None, None), progress, durations=folds.durations, go_on=True)
    return run, cells
