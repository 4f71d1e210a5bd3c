"""Files that get other names, are cut, copied, compressed or written over count once."""

from __future__ import annotations

import gzip
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from increments import facts, log_text, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from analyzer.report.model import Report

#: Larger than what a log is told by, so that it goes on where reading ended.
LONG = log_text(1, 2000)
MORE, NEW = log_text(2, 300), log_text(3, 200)


def append(path: Path, text: bytes) -> None:
    """Write more lines."""
    with path.open("ab") as file:
        file.write(text)


def renamed(logs: Path) -> None:
    """Logrotate's `create`."""
    append(logs / "access.log", MORE)
    (logs / "access.log").rename(logs / "access.log.1")
    (logs / "access.log").write_bytes(NEW)


def copied(logs: Path) -> None:
    """Logrotate's `copytruncate`."""
    append(logs / "access.log", MORE)
    shutil.copy(logs / "access.log", logs / "access.log.1")
    os.truncate(logs / "access.log", 0)
    append(logs / "access.log", NEW)


def compressed(logs: Path) -> None:
    """Logrotate's `compress`, after the last lines were read."""
    (logs / "access.log.2.gz").write_bytes(gzip.compress((logs / "access.log").read_bytes()))
    (logs / "access.log").unlink()
    (logs / "access.log").write_bytes(NEW)


def compressed_at_once(logs: Path) -> None:
    """The same, with lines that were not read before."""
    append(logs / "access.log", MORE)
    compressed(logs)


def moved_on(logs: Path) -> None:
    """Compressed logs each get the next number."""
    (logs / "access.log.gz").rename(logs / "access.log.2.gz")
    (logs / "access.log.gz").write_bytes(gzip.compress(NEW))


def copied_elsewhere(logs: Path) -> None:
    """A file is replaced by a copy of itself that goes on."""
    text = (logs / "access.log").read_bytes()
    (logs / "access.log").unlink()
    (logs / "access.log").write_bytes(text + MORE)


def appended_in_members(logs: Path) -> None:
    """A compressed log grows by a member."""
    append(logs / "access.log.gz", gzip.compress(MORE))


def compressed_anew(logs: Path) -> None:
    """An export is written over with more lines."""
    (logs / "access.log.gz").write_bytes(gzip.compress(gzip.decompress((logs / "access.log.gz").read_bytes()) + MORE))


@pytest.mark.parametrize(
    "rotate",
    [
        renamed,
        copied,
        compressed,
        compressed_at_once,
        moved_on,
        copied_elsewhere,
        appended_in_members,
        compressed_anew,
    ],
)
def test_rotated(tmp_path: Path, rotate: Callable[[Path], None]) -> None:
    """However a log is rotated, its lines count once."""
    logs, state = tmp_path / "logs", tmp_path / "state"
    logs.mkdir()
    (logs / "access.log").write_bytes(LONG)
    (logs / "access.log.gz").write_bytes(gzip.compress(log_text(4, 500)))
    read(state, logs)
    rotate(logs)
    after = read(state, logs)
    assert facts(after) == facts(read(None, logs))
    assert facts(read(state, logs)) == facts(after)


def told(report: Report) -> tuple[int, int, int]:
    """What of the logs was new."""
    state = report.input.state
    assert state is not None
    return state.new, state.grown, state.read_anew


def test_a_log_goes_on_where_reading_ended(tmp_path: Path) -> None:
    """Of a long log only what was appended is read."""
    log, state = tmp_path / "access.log", tmp_path / "state"
    log.write_bytes(LONG)
    assert told(read(state, log)) == (1, 0, 0)
    append(log, MORE)
    assert told(read(state, log)) == (0, 1, 0)
    log.rename(tmp_path / "access.log.1")
    assert told(read(state, tmp_path / "access.log.1")) == (0, 0, 0)


def test_another_log_under_the_same_name_adds_up(tmp_path: Path) -> None:
    """What a rotated log held that is gone still counts."""
    log, state = tmp_path / "access.log", tmp_path / "state"
    log.write_bytes(LONG)
    first = read(state, log)
    log.unlink()
    log.write_bytes(NEW)
    both = read(state, log)
    assert both.input.lines == first.input.lines + read(None, log).input.lines


def test_a_rewritten_log_is_read_anew(tmp_path: Path) -> None:
    """Where the beginning stands and the rest does not, what was counted of it is taken out."""
    log, state = tmp_path / "access.log", tmp_path / "state"
    log.write_bytes(LONG)
    read(state, log)
    log.write_bytes(LONG[: LONG.rindex(b"\n", 0, 8000) + 1] + NEW)
    assert facts(read(state, log)) == facts(read(None, log))


def test_a_log_without_an_end_counts_when_it_has_ended(tmp_path: Path) -> None:
    """The last line of a file that nobody writes any more needs no newline."""
    log, state = tmp_path / "access.log", tmp_path / "state"
    log.write_bytes(NEW[:-1])
    assert read(state, log).input.lines == NEW.count(b"\n") - 1
    os.utime(log, (1_700_000_000, 1_700_000_000))
    assert facts(read(state, log)) == facts(read(None, log))
    assert read(state, log).input.lines == NEW.count(b"\n")
