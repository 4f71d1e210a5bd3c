"""Runs that are killed, and runs at the same time."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from increments import facts, log_text, read

from analyzer.errors import StateError
from analyzer.state import store
from analyzer.state.state import opened

if TYPE_CHECKING:
    from pathlib import Path

    from state_places import Place

#: Reads increments one after the other; `go` on standard input begins each.
_RUNNER = """
import sys
import analyzer as logscan
from analyzer.sources import reading
from analyzer.state import changes
reading.HEAD = changes.HEAD = 2048
for line in sys.stdin:
    print("begun", flush=True)
    logscan.analyze([sys.argv[1]], state=sys.argv[2], workers=1)
    print("done", flush=True)
"""
KILLS = int(os.environ.get("LOGSCAN_KILLS", "25"))


class Runner:
    """A process that reads increments, to be killed."""

    def __init__(self, logs: Path, state: str | Path) -> None:
        command = [sys.executable, "-c", _RUNNER, str(logs), str(state)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, seconds: float | None) -> None:
        """Read an increment, and die after so long."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print("go", file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == "begun\n"
        if seconds is None:
            assert self._process.stdout.readline() == "done\n"
            self._process.stdin.close()
        else:
            time.sleep(seconds)
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()
        if seconds is not None:
            self._process.stdin.close()


def test_killed_at_any_moment(tmp_path: Path, place: Place) -> None:
    """Whenever runs are killed, what counts in the end is what counts without: nothing is lost or counted twice."""
    rng = random.Random(os.environ.get("LOGSCAN_SEED", "7"))
    logs = tmp_path / "logs"
    logs.mkdir()
    waiting = [Runner(logs, place.url), Runner(logs, place.url)]
    for kill in range(KILLS):
        with (logs / f"{kill % 5}.log").open("ab") as file:
            text = log_text(kill, 60)
            file.write(text[: rng.randrange(len(text))] if rng.random() < 0.3 else text)
        if kill % 10 == 9:
            (logs / "0.log").rename(logs / f"0.log.{kill}")
        waiting.append(Runner(logs, place.url))
        waiting.pop(0).run(rng.uniform(0, 0.25))
    for runner in waiting:
        runner.run(None)
    assert facts(read(place.url, logs)) == facts(read(tmp_path / "other", logs))


class _KilledError(BaseException):
    """Stands for the end of a process."""


def test_killed_at_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between any two steps that change files the process may end."""
    logs, begun = tmp_path / "logs", tmp_path / "begun"
    logs.mkdir()
    (logs / "0.log").write_bytes(log_text(1, 60))
    read(begun, logs)
    (logs / "0.log").rename(logs / "0.log.1")
    for number in range(2):
        (logs / f"{number}.log").write_bytes(log_text(2 + number, 60))
    expected = facts(read(tmp_path / "other", logs))
    steps = 0
    while True:
        state = tmp_path / f"state{steps}"
        shutil.copytree(begun, state)
        left = steps

        def step(name: str, *args: object, plain: object) -> object:
            nonlocal left
            if left == 0:
                raise _KilledError(name)
            left -= 1
            return plain(*args)  # type: ignore[operator]

        with monkeypatch.context() as patch:
            for name in ("replace", "fsync", "unlink"):
                plain = getattr(os, name)
                patch.setattr(store.os, name, lambda *args, name=name, plain=plain: step(name, *args, plain=plain))
            try:
                read(state, logs)
            except _KilledError:
                pass
            else:
                break
        assert facts(read(state, logs)) == expected
        steps += 1
    assert steps > 8


def test_two_runs_at_once(tmp_path: Path) -> None:
    """The second waits for the first, and then finds nothing new."""
    log, state = tmp_path / "access.log", tmp_path / "state"
    log.write_bytes(log_text(1, 400))
    runners = [Runner(log, state) for _ in range(3)]
    for runner in runners:
        print("go", file=runner._process.stdin, flush=True)
    for runner in runners:
        runner.run(None)
    assert facts(read(state, log)) == facts(read(None, log))


def test_a_run_that_waits_too_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line when it begins to wait, an error when nobody comes to an end."""
    monkeypatch.setattr(store, "_PATIENCE", 0.3)
    said: list[str] = []
    waited = pytest.raises(StateError, match="another run has been writing")
    with opened(str(tmp_path), said.append), waited, opened(str(tmp_path), said.append):
        pass
    assert [line.rpartition(": ")[2] for line in said] == ["another run writes this state, waiting for it"]


def test_a_lock_that_does_not_lock(tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where locks are of no use, the run that ends last counts for nothing, and says so."""
    log = tmp_path / "access.log"
    log.write_bytes(log_text(1, 50))
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    with opened(place.url, print) as late:
        first = read(place.url, log)
        with pytest.raises(StateError, match="another run wrote this state meanwhile"):
            late.commit()
    assert facts(read(place.url, log)) == facts(first)
