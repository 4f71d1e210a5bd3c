"""The library as a notebook uses it: one value where several may be, times as text, what is told of broken logs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from command import LINE

import analyzer as logscan

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of three requests."""
    path = tmp_path / "access.log"
    path.write_bytes(LINE * 3)
    return path


def test_public_names_are_completed() -> None:
    """What a notebook offers after the dot has every public name, loaded or not."""
    assert set(logscan.__all__) <= set(dir(logscan))


def test_one_value_stands_for_a_list(log: Path) -> None:
    """A CIDR, a limit or a folder alone is as good as a list of one."""
    (log.parent / "rules").mkdir()
    (log.parent / "rules" / "networks").mkdir()
    one = logscan.analyze(log, lb="81.2.69.0/24", limit_rps=7, limit_allowlist="10.0.0.0/8", rules=log.parent / "rules")
    several = logscan.analyze(
        [log], lb=["81.2.69.0/24"], limit_rps=[7], limit_allowlist=["10.0.0.0/8"], rules=[log.parent / "rules"]
    )
    assert one.preservation == several.preservation
    assert one.rate_limit == several.rate_limit
    assert one.preservation.classes["lb"].requests == 3
    address = pl.Series(["81.2.69.142"])
    assert logscan.classify(address, lb="81.2.69.0/24")["class"].to_list() == ["lb"]


def test_times_as_text(log: Path) -> None:
    """A time may be a datetime or its text; another text is refused by name."""
    whole = logscan.read(log)["time"]
    later = whole.max()
    assert isinstance(later, datetime)
    for since in ("2000-01-01", "2000-01-01T00:00Z", datetime(2000, 1, 1, tzinfo=UTC)):
        assert logscan.analyze(log, since=since).preservation.requests == 3
        assert logscan.read(log, since=since).height == 3
    assert logscan.analyze(log, until=later.isoformat()).preservation.requests == 0
    for call in (logscan.analyze, logscan.scan):
        with pytest.raises(logscan.LogscanError, match=r"--since: expected a time such as .*, got 'yesterday'"):
            call(log, since="yesterday")


def test_how_long_ago(log: Path) -> None:
    """As with kubectl a time may be said by how long it is ago."""
    now = datetime.now(UTC)
    log.write_bytes(b"")
    for minutes in (5, 50, 500):
        said = now - timedelta(minutes=minutes)
        log.write_bytes(log.read_bytes() + LINE.replace(b"21/Nov/2026:07:08:09", f"{said:%d/%b/%Y:%H:%M:%S}".encode()))
    assert logscan.read(log, since="10m", until=now).height == 1
    assert logscan.read(log, since="1h", until="10m").height == 1
    assert logscan.analyze(log, since="1d", until=now).preservation.requests == 3


def test_no_log_is_no_report() -> None:
    """Nothing to read, as a glob of one's own that matched nothing, is an error and no empty report."""
    with pytest.raises(logscan.LogscanError, match="expected a log to read, got none"):
        logscan.analyze([])
    with pytest.raises(logscan.LogscanError, match="expected a log to read, got none"):
        logscan.scan([])


def test_a_log_that_cannot_be_read_is_told_of(log: Path) -> None:
    """Of two logs the one that is missing is named by a warning, and the other is reported on."""
    missing = log.parent / "missing.log"
    with pytest.warns(logscan.LogscanWarning, match=r"missing\.log: expected a file"):
        report = logscan.analyze([log, missing])
    assert report.preservation.requests == 3
    said: list[str] = []
    assert logscan.analyze([log, missing], say=said.append).preservation.requests == 3


def test_a_comparison_says_itself_shortly(log: Path) -> None:
    """At a prompt a comparison is one line, as a report is."""
    assert repr(logscan.compare(log, log)) == "<Comparison: preserved 100.0 % before, 100.0 % after>"
