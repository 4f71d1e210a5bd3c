"""Ranges of time in files that are said to be in order: what lies outside is not read, and the rows are the same."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from lazy_logs import BAD, BEGIN, ERROR, ingress, kong, small_pieces, write
from polars.testing import assert_frame_equal

import analyzer as logscan
from analyzer.runs import time_order
from analyzer.runs.row_scan import RowScan

if TYPE_CHECKING:
    from pathlib import Path

    from analyzer.runs.piece_scan import Scanned

SLACK = time_order.SLACK // 1000


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Small pieces, of which it is noted how many bytes were read."""
    small_pieces(monkeypatch, 4096)
    monkeypatch.setattr(time_order, "_LOOK", 700)
    sizes: list[int] = []
    scan = RowScan.scan

    def noted(self: RowScan) -> Scanned:
        found = scan(self)
        sizes.append(found.size)
        return found

    monkeypatch.setattr(RowScan, "scan", noted)
    return sizes


def _a_log(path: Path, draw: random.Random, *, jitter: int) -> Path:
    """A log of hours, some of whose lines come together and so many seconds late, with others that have no time."""
    lines, second, behind = [], 0, 0
    for _ in range(draw.randrange(100, 800)):
        second += draw.choice([0, 1, 5, 20]) if draw.random() < 0.98 else 2000
        if draw.random() < 0.1:
            behind = draw.choice([0, draw.randint(0, jitter), jitter])
        late = second - behind
        line = kong(late) if draw.random() < 0.1 else ingress(late)
        lines.append(draw.choices([line, BAD, ERROR, "", "garbage " * 100], [40, 1, 1, 1, 1])[0])
    return write(path, lines)


@pytest.mark.usefixtures("read")
@pytest.mark.parametrize("seed", range(4))
def test_the_same_rows(tmp_path: Path, seed: int) -> None:
    """Whatever the range, the rows are those of the frame that was read whole; so they are of packed logs."""
    draw = random.Random(seed)
    logs = [_a_log(tmp_path / name, draw, jitter=SLACK) for name in ("one.log", "two.log", "three.log.gz")]
    whole = logscan.read(logs, on_unreadable="ignore")
    times = whole["time"].drop_nulls().to_list()
    asked = logscan.scan(logs, in_order=True, on_unreadable="ignore")
    for _ in range(15):
        first = draw.choice(times) + timedelta(seconds=draw.choice([0, 0, 1, -900]))
        last = first + timedelta(seconds=draw.choice([0, 60, 3000]))
        condition = draw.choice([
            pl.col("time") >= first, pl.col("time") < first, pl.col("time").is_between(first, last),
            (pl.col("time") > first) & (pl.col("status") == 200), (pl.col("time") < first) | (pl.col("time") > last),
        ])  # fmt: skip
        assert_frame_equal(asked.filter(condition).collect(), whole.filter(condition))
        fresh = logscan.scan(logs, in_order=True, on_unreadable="ignore")
        assert fresh.filter(condition).select(pl.len()).collect().item() == whole.filter(condition).height


def test_most_of_the_file_is_not_read(tmp_path: Path, read: list[int]) -> None:
    """The first query for a short time reads a small part of a long file; without the word it reads all."""
    log = write(tmp_path / "log", [ingress(60 * at) for at in range(3000)])
    noon = BEGIN + timedelta(hours=20)
    condition = pl.col("time").is_between(noon, noon + timedelta(minutes=10))
    found = logscan.scan(log, in_order=True).filter(condition).collect()
    assert found.height == 11
    assert sum(read) < log.stat().st_size / 3
    read.clear()
    assert_frame_equal(logscan.scan(log).filter(condition).collect(), found)
    assert sum(read) >= log.stat().st_size


def test_a_file_in_no_order_is_read_whole(tmp_path: Path, read: list[int]) -> None:
    """Where the lines that are looked at show another order, nothing is left out."""
    draw = random.Random(1)
    log = write(tmp_path / "log", [ingress(draw.randrange(200_000)) for _ in range(2000)])
    condition = pl.col("time") < BEGIN + timedelta(hours=2)
    found = logscan.scan(log, in_order=True).filter(condition).collect()
    assert sum(read) >= log.stat().st_size
    assert_frame_equal(found, logscan.read(log).filter(condition))
