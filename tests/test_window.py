"""The last minutes of what is watched: old parts go, addresses stay few, and sums are those of one run."""

from __future__ import annotations

from ipaddress import IPv4Address

import polars as pl
import pytest

from analyzer.addresses.classify import Classifier, declared
from analyzer.addresses.ranges import parse_addresses
from analyzer.jobs import crowd
from analyzer.jobs.window import Window
from analyzer.parsing.detect import Known
from analyzer.readings.preservation import preservation
from analyzer.readings.proxies import infer
from analyzer.runs.logs import Log
from analyzer.runs.run import Run
from analyzer.sources import Source
from analyzer.tables import Fold

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
    return labelled.with_columns(visitor=pl.col("class") == "client", range_class="class")


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
    monkeypatch.setattr(crowd, "MOST", 100)
    window = Window(60, CLASSIFIER)
    for second in range(20):
        visitors = [f"81.{second}.{number // 250}.{number % 250}" for number in range(400)]
        _add(window, [*visitors, "10.0.0.1"], second)
    labelled = _labelled(window)
    assert labelled.height <= 102
    assert labelled["requests"].sum() == 20 * 401
    assert labelled.filter(class_node := pl.col("class") == "node")["requests"].to_list() == [20]
    assert labelled.filter(~class_node)["requests"].sum() == 20 * 400
    shares = window.shares(labelled)
    assert (sum(total for total, _ in shares), sum(own for _, own in shares)) == (20 * 401, 20 * 400)


def test_others_are_told_of_as_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address is said to have sent what others sent: lists and counts are of those that are told apart."""
    monkeypatch.setattr(crowd, "MOST", 100)
    window = Window(60, CLASSIFIER)
    for second in range(20):
        visitors = [f"81.{second}.{number // 250}.{number % 250}" for number in range(400)]
        _add(window, [*visitors, *["81.2.69.142"] * 5, "10.0.0.1"], second)
    tables = window.tables()
    labelled = infer(CLASSIFIER.label(tables.addresses).with_columns(range_class="class"))
    whole = preservation(labelled, top=20)
    told = window.crowd.told(whole, labelled, 20)
    others = window.crowd.requests(labelled)
    assert (told.requests, told.considered, told.preserved) == (whole.requests, whole.considered, whole.preserved)
    assert (told.addresses[0].address, told.addresses[0].requests) == ("81.2.69.142", 100)
    assert max(row.requests for row in told.addresses[2:]) <= 2
    assert sum(row.requests for row in told.addresses) <= told.requests - others
    assert told.classes["client"].addresses + told.classes["node"].addresses == labelled.height - 2
    assert told.preserved_pct == pytest.approx(100 * 405 / 406, abs=0.01)


def test_size_levels_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of addresses that are always new, and of any class, the window holds no more after ten times its length."""
    monkeypatch.setattr(crowd, "MOST", 100)
    window = Window(6, CLASSIFIER)
    sizes, rows = [], []
    for second in range(60):
        start = 0x0A000000 + second * 300
        fresh = [str(IPv4Address((start + at) | (0x51000000 if at % 2 else 0))) for at in range(300)]
        _add(window, fresh, second)
        parts = [part for part, _ in window._parts]
        sizes.append(sum(frame.estimated_size() for part in parts for frame in part.frames.values()))
        rows.append(window.tables().addresses.height)
    assert max(sizes[20:]) <= 1.1 * max(sizes[7:12])
    assert max(rows) <= 110
