"""States in the buckets of Azure and Google."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from bucket_servers import Server, azurite, fake_gcs_to_write
from increments import facts, log_text, read

import analyzer as logscan
from analyzer.errors import StateError
from analyzer.state.state import look_at, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from analyzer.report.model import Report

pytest.importorskip("obstore", reason="the extra for buckets is not installed")


@pytest.fixture(params=[azurite, fake_gcs_to_write])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Each of them, and the variables that lead there."""
    with request.param() as running:
        for name, value in running.env.items():
            monkeypatch.setenv(name, value)
        yield running


def test_increments_make_the_whole(server: Server, tmp_path: Path) -> None:
    """A log read as it grows, and objects as they come, give what one run over all gives."""
    log, text = tmp_path / "access.log", log_text(1, 300)
    state = server.url("states/one")
    for size in (20_000, 33_333, len(text)):
        log.write_bytes(text[:size])
        server.put(f"logs/{size}.log", text[:size])
        last = _report(state, log, server)
    assert facts(last) == facts(_report(None, log, server))
    assert look_at(state).manifest["generation"] == 3


def test_of_two_runs_at_once_one_counts(server: Server, tmp_path: Path) -> None:
    """The run that ends last says that another wrote the state, which stays as that one left it."""
    log = tmp_path / "access.log"
    log.write_bytes(log_text(1, 20))
    state = server.url("states/two")
    read(state, log)
    with opened(state, lambda _: None) as late:
        log.write_bytes(log_text(1, 40))
        read(state, log)
        before = look_at(state).before
        with pytest.raises(StateError, match="another run wrote this state meanwhile"):
            late.commit()
    assert look_at(state).before == before


def _report(state: str | None, log: Path, server: Server) -> Report:
    """A run over the log and the objects of the bucket."""
    return logscan.analyze([str(log), server.url("logs/")], state=state, workers=1)
