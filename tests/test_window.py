"""The last minutes of what is watched: old parts go, addresses stay few, and sums are those of one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from analyzer.addresses.classify import Classifier, declared
from analyzer.addresses.ranges import parse_addresses
from analyzer.jobs import window as windows
from analyzer.jobs.window import Window
from analyzer.parsing.detect import Known
from analyzer.runs.logs import Log
from analyzer.runs.run import Run
from analyzer.sources import Source
from analyzer.tables import Fold

if TYPE_CHECKING:
    import pytest

CLASSIFIER = Classifier(declared(node=["10.0.0.0/24"]))


def _add(window: Window, addresses: list[str], begun: float) -> None:
    """Add a part in which each of these addresses sent a request."""
    log = Log(0, Source("access.log"))
    run = Run([log], Known([], []), Fold(CLASSIFIER, []), (None, None), None)
    rows = pl.DataFrame([parse_addresses(pl.Series("address", addresses, pl.String))])
    run.fold.add(0, rows, exact_times=False)
    log.lines = log.parsed = len(addresses)
    window.add(run, run.fold.tables(), begun, begun + 1)  # type: ignore[attr-defined]


def _labelled(window: Window) -> pl.DataFrame:
    labelled = CLASSIFIER.label(window.tables().addresses)
    return labelled.with_columns(visitor=pl.col("class") == "client")


def test_adds_up() -> None:
    """Parts add up to the window, however they were put together meanwhile."""
    window = Window(300, CLASSIFIER)
    for second in range(100):
        _add(window, ["10.0.0.1", f"81.2.69.{second}"], second)
    addresses = window.tables().addresses
    assert addresses["requests"].sum() == 200
    assert addresses.height == 101
    assert window.input(window.tables(), None, 0).lines == 200
    shares = window.shares(_labelled(window))
    assert (sum(total for total, _ in shares), sum(own for _, own in shares)) == (200, 100)


def test_old_parts_go() -> None:
    """What came before the window does not count any more, nor are its streams known."""
    window = Window(60, CLASSIFIER)
    _add(window, ["10.0.0.1"] * 7, 0)
    for second in range(1, 200):
        _add(window, ["81.2.69.142"], second)
    addresses = window.tables().addresses
    assert addresses.height == 1
    assert 58 <= addresses["requests"].sum() <= 66
    assert window.shares(_labelled(window))[-1][1] > 0


def test_nothing_came() -> None:
    """A window in which nothing came has tables, which are empty."""
    assert Window(60, CLASSIFIER).tables().addresses.is_empty()


def test_few_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many visitors there are, the tables stay small; no request is lost, and no node taken for a visitor."""
    monkeypatch.setattr(windows, "MOST", 100)
    window = Window(60, CLASSIFIER)
    for second in range(20):
        visitors = [f"81.{second}.{number // 250}.{number % 250}" for number in range(400)]
        _add(window, [*visitors, "10.0.0.1"], second)
    labelled = _labelled(window)
    assert labelled.height <= 400
    assert labelled["requests"].sum() == 20 * 401
    assert labelled.filter(class_node := pl.col("class") == "node")["requests"].to_list() == [20]
    assert labelled.filter(~class_node)["requests"].sum() == 20 * 400
