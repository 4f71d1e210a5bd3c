"""A progress bar, where somebody watches: on a terminal, or in a notebook."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """Give a function that takes the bytes read since the last call, or None where no terminal shows stderr."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        DownloadColumn,
        Progress,
        SpinnerColumn,
        TimeElapsedColumn,
        TransferSpeedColumn,
    )

    columns = (SpinnerColumn(), DownloadColumn(), TransferSpeedColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda size: bar.update(task, advance=size)


@contextmanager
def notebook_bar(given: Callable[[int], object] | None) -> Iterator[Callable[[int], object] | None]:
    """Give `given`, or where that is None and a notebook runs this, a function that moves a bar there.

    The bar is tqdm's, with its widget where ipywidgets is installed; without tqdm there is none.
    """
    if given is not None or not _in_notebook() or find_spec("tqdm") is None:
        yield given
        return
    if find_spec("ipywidgets") is None:
        from tqdm.std import tqdm  # type: ignore[import-untyped]  # noqa: PLC0415
    else:
        from tqdm.notebook import tqdm  # type: ignore[import-untyped]  # noqa: PLC0415
    # On stdout: what stood on stderr leaves a red strip behind.
    with tqdm(desc="reading", unit="B", unit_scale=True, leave=False, delay=1, file=sys.stdout) as bar:
        yield bar.update


def _in_notebook() -> bool:
    """Whether a notebook's kernel runs this, which has loaded IPython."""
    ipython = sys.modules.get("IPython")
    return getattr(ipython and ipython.get_ipython(), "kernel", None) is not None
