"""Any split of logs into increments gives what one run gives."""

from __future__ import annotations

import gzip
import random
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from increments import cri, facts, log_text, read

from analyzer.sources import reading
from analyzer.state import changes
from analyzer.state.state import now

if TYPE_CHECKING:
    from pathlib import Path

    from state_places import Place

    from analyzer.report.model import Report


@pytest.fixture(params=[2048, 256 << 10], ids=["goes on", "read anew"])
def head(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """So much of a log must be known before it can go on where reading ended."""
    monkeypatch.setattr(reading, "HEAD", request.param)
    monkeypatch.setattr(changes, "HEAD", request.param)


@pytest.mark.usefixtures("head")
@pytest.mark.parametrize("wrap", [False, True], ids=["plain", "cri"])
@pytest.mark.parametrize("seed", range(4))
def test_a_log_cut_anywhere(tmp_path: Path, seed: int, *, wrap: bool) -> None:
    """Lines, records and parts of lines cut at any byte are counted once, when they are whole."""
    rng = random.Random(seed)
    text = log_text(seed, 150, every=(0.1, 20)[seed % 2])
    text = cri(text, seed) if wrap else text
    log, state = tmp_path / "access.log", tmp_path / "state"
    log.touch()
    cuts = sorted(rng.randrange(len(text)) for _ in range(rng.randrange(2, 9)))
    for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        with log.open("ab") as file:
            file.write(text[begin:end])
        split = read(state, log, by="source")
    whole = read(tmp_path / "other", log, by="source")
    assert facts(split) == facts(whole) == facts(read(None, log, by="source"))
    assert split.rate_limit.simulations[0].rejected or seed % 2
    assert split.input.state is not None
    assert split.input.state.waiting_bytes == 0


def test_logs_that_come_and_grow(tmp_path: Path, place: Place) -> None:
    """Several logs, new ones among known ones, compressed ones: the sums are those of one run over all."""
    logs = tmp_path / "logs"
    logs.mkdir()
    for step in range(5):
        for number in range(step + 1):
            with (logs / f"{number}.log").open("ab") as file:
                file.write(log_text(10 * number + step, 40))
        (logs / f"{step}.log.gz").write_bytes(gzip.compress(log_text(100 + step, 60)))
        split = read(place.url, logs)
    assert facts(split) == facts(read(None, logs))
    again = read(place.url, logs)
    assert again.input.sources == []
    assert facts(again) == facts(split)


def test_folders_by_hour_are_listed_for_the_window(tmp_path: Path, place: Place) -> None:
    """With a window the folders of other days are left alone; without one all are read, each log once."""
    for hours in (1, 30, 24 * 10):
        at = now() - timedelta(hours=hours)
        folder = tmp_path / f"{at:%Y/%m/%d/%H}"
        folder.mkdir(parents=True)
        (folder / "a.log").write_bytes(log_text(hours, 20, begin=at, every=1))
    name = tmp_path / "{:%Y/%m/%d/%H}"
    assert _known(read(place.url, name, window=timedelta(hours=24))) == (2, 2)
    assert _known(read(place.url, name, window=timedelta(days=11))) == (3, 1)
    assert _known(read(place.url, name, window=timedelta(hours=1))) == (3, 0)
    whole = read(place.url, name)
    assert _known(whole) == (3, 0)
    assert facts(whole) == facts(read(None, name))


def _known(report: Report) -> tuple[int, int]:
    """How many logs the state has, and how many of them this run read."""
    assert report.input.state is not None
    return report.input.state.logs, report.input.state.new
