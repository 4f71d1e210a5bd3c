"""A run lets go of what it opened, however it ends."""

from __future__ import annotations

import gzip
import json
import os
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from command import LINE
from runs import KNOWN

from analyzer.errors import LogscanWarning, UsageError
from analyzer.jobs.analyze import analyze
from analyzer.runs.logs import Log, pieces
from analyzer.sources import Source

if TYPE_CHECKING:
    from pathlib import Path


def held() -> tuple[set[str], set[str]]:
    """What this process holds: files by where they lead, and threads that read ahead."""
    files = {os.path.realpath(f"/dev/fd/{fd}") for fd in os.listdir("/dev/fd")}
    return files, {thread.name for thread in threading.enumerate() if thread.name == "logscan-ahead"}


@pytest.fixture
def logs(tmp_path: Path) -> list[Path]:
    """Several logs, each of more pieces than are in flight at once where it is compressed."""
    lines = LINE * 200_000
    (tmp_path / "plain.log").write_bytes(lines)
    (tmp_path / "packed.log.gz").write_bytes(gzip.compress(lines, 1))
    return [tmp_path / "packed.log.gz", tmp_path / "plain.log"]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("first", [0, 1])
def test_an_error_closes_all_logs(logs: list[Path], workers: int, first: int) -> None:
    """Where reading ends half-way no log stays open, and nothing is read ahead any more."""

    def stop(_: int) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        analyze(logs[first:] + logs[:first], workers=workers, progress=stop)
    files, threads = held()
    assert not files & {str(log) for log in logs}
    assert not threads


def test_an_error_in_a_piece_closes_all_logs(tmp_path: Path) -> None:
    """What is wrong with a piece is said when its turn comes; its log is closed too."""
    log = tmp_path / "timeless.log.gz"
    log.write_bytes(gzip.compress(b"81.2.69.142\n" * 2_000_000))
    with pytest.raises(UsageError, match="expected a format that logs a time"):
        analyze(log, log_format="$remote_addr", since=datetime(2026, 11, 21, tzinfo=UTC), workers=2)
    files, threads = held()
    assert str(log) not in files
    assert not threads


def test_a_run_that_ends_well_closes_all_logs(logs: list[Path]) -> None:
    """A log is closed once: its descriptor may be another file's by then."""
    assert analyze(logs, workers=2).input.parsed == 400_000
    files, threads = held()
    assert not files & {str(log) for log in logs}
    assert not threads


def test_a_pod_whose_log_breaks_off_is_not_idle(tmp_path: Path) -> None:
    """A pod without a request had none; what a pod had whose log could not be read to a request is not known."""
    for pod, content in {"busy": LINE, "idle": b"", "broken": gzip.compress(LINE)[:40]}.items():
        folder = tmp_path / f"ingress_{pod}_0f6b7e1c-52a9-4f0e-9a55-1c8f0f3c2d11" / "controller"
        folder.mkdir(parents=True)
        (folder / "0.log").write_bytes(content)
    with pytest.warns(LogscanWarning, match=r"broken_.*/0\.log: "):
        report = analyze(tmp_path, by="pod")
    assert [group.name for group in report.skew.groups] == ["busy", "idle"]
    assert report.skew.idle == ["idle"]
    assert len([source for source in report.input.sources if source.error]) == 1


@pytest.mark.parametrize(("nodes", "named"), [(("n1",), ("n1", "p-n1")), (("n1", "n2"), (None, None))])
def test_a_source_is_of_a_node_where_all_its_lines_are(
    nodes: tuple[str, ...], named: tuple[str | None, str | None], tmp_path: Path
) -> None:
    """Of a log that a collector put together of several nodes, neither is said to have written it."""
    records = [
        {"log": LINE.decode(), "kubernetes": {"host": node, "pod_name": f"p-{node}", "namespace_name": "ingress"}}
        for node in nodes
    ]
    (tmp_path / "collected.log").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    (source,) = analyze(tmp_path).input.sources
    assert source.parsed == len(nodes)
    assert (source.node, source.pod) == named


@pytest.mark.parametrize("change", ["cut", "replaced"])
def test_a_file_that_changes_before_it_is_opened_waits(change: str, tmp_path: Path) -> None:
    """What was found and what is opened must be one file, as long as it was read: the next run sees to it."""
    path = tmp_path / "access.log"
    path.write_bytes(2 * LINE)
    about = path.stat()
    log = Log(0, Source(str(path)), begin=len(LINE) + 1, grows=True, inode=(about.st_dev, about.st_ino))
    if change == "cut":
        os.truncate(path, len(LINE))
    else:
        (tmp_path / "new.log").write_bytes(4 * LINE)
        os.replace(tmp_path / "new.log", path)
    assert list(pieces([log], KNOWN, go_on=True)) == []
    assert log.error == "was replaced by another file when it was to be read: the next run reads it"
    assert not log.opened
