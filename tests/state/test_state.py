"""What a state keeps, says and refuses."""

from __future__ import annotations

import gzip
import os
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import orjson
import pytest
from command import logscan
from increments import BEGIN, facts, log_text, read
from polars.testing import assert_frame_equal

from analyzer.errors import StateError, UsageError
from analyzer.state import state as module
from analyzer.state.files import VERSION
from analyzer.state.state import look_at, now, opened
from analyzer.state.store import Folder
from analyzer.state.summary import summary
from analyzer.tables import cells, loads
from analyzer.tables.merge import tables_of

if TYPE_CHECKING:
    from pathlib import Path

    from state_places import Place


def recent(seed: int, lines: int = 200, *, hours_ago: float) -> bytes:
    """Lines that begin so many hours ago, three a minute."""
    return log_text(seed, lines, begin=datetime.now(UTC) - timedelta(hours=hours_ago))


def test_many_increments_are_put_together(tmp_path: Path, place: Place) -> None:
    """A state of many runs has few files, and says the same."""
    log = tmp_path / "access.log"
    for step in range(module._FILES + 3):
        with log.open("ab") as file:
            file.write(log_text(step, 20))
        split = read(place.url, log)
    assert facts(split) == facts(read(None, log))
    assert len(place.files()) < 7


def test_a_window_is_the_last_hours(tmp_path: Path, place: Place) -> None:
    """Requests before the window do not count; what a window begins within counts whole."""
    old, new = tmp_path / "old.log", tmp_path / "new.log"
    old.write_bytes(recent(1, hours_ago=30))
    new.write_bytes(recent(2, hours_ago=3))
    both = read(place.url, old, new)
    last = read(place.url, old, new, window=timedelta(hours=5))
    assert last.preservation == read(None, new).preservation
    assert both.preservation.requests > last.preservation.requests
    assert last.timeline.points == read(None, new).timeline.points
    assert last.input.state is not None
    assert last.input.state.since is not None
    assert last.input.lines == 0


def test_settled_hours_add_up_as_before(tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old hours go without their streams; a log of which they were can go on, but not be taken out."""
    log = tmp_path / "access.log"
    log.write_bytes(log_text(1, 3000))
    first = read(place.url, log)
    monkeypatch.setattr(module, "SETTLED", timedelta(0))
    with opened(place.url, print) as written:
        written._compact()
        written.commit()
    assert facts(read(place.url, log)) == facts(first)
    assert summary(place.url).settled_logs == 1
    with log.open("ab") as file:
        file.write(log_text(2, 50))
    # A log that nobody has added to for so long counts as over: its limits begin anew.
    assert facts(read(place.url, log), without=["rate_limit"]) == facts(read(None, log), without=["rate_limit"])
    log.write_bytes(log.read_bytes()[:5000] + b"\n" + log_text(3, 50))
    refused = read(place.url, log)
    assert "became" not in str(refused.input.sources[0].error)
    assert "had become a part of sums" in str(refused.input.sources[0].error)


def test_settled_loads_are_as_wide_as_those_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They become few rows, and the whole stays what one run says, also when more is settled and read."""
    monkeypatch.setattr(loads, "MOST", 60)
    monkeypatch.setattr(cells, "MOST", 60)
    monkeypatch.setattr(module, "SETTLED", timedelta(0))
    log, state = tmp_path / "access.log", tmp_path / "state"
    for step in range(3):
        with log.open("ab") as file:
            file.write(log_text(step, 700, every=60, begin=BEGIN + timedelta(days=-9, hours=12 * step)))
        split = read(state, log, by="source")
        assert facts(split, without=["rate_limit"]) == facts(read(None, log, by="source"), without=["rate_limit"])
        with opened(str(state), print) as written:
            before = written.tables()
            written._compact()
            written.commit()
        after = look_at(str(state)).tables()
        for name in ("loads", "entries"):
            expected, found = (tables_of(tables) for tables in (before, after))
            assert_frame_equal(getattr(expected, name).rows, getattr(found, name).rows)
            assert after[name]["bucket_seconds"].unique().to_list() == [getattr(expected, name).bucket_seconds]
            assert after[name].height < before[name].height / (1 if step else 2)


def test_a_state_forgets_hours_and_logs_that_are_gone(tmp_path: Path, place: Place) -> None:
    """What is older than said goes, also logs last seen before."""
    old, new = tmp_path / "old.log", tmp_path / "new.log"
    old.write_bytes(recent(1, hours_ago=100))
    new.write_bytes(recent(2, hours_ago=3))
    read(place.url, old, new)
    with opened(place.url, print) as written:
        assert written.forget(now() - timedelta(days=2))[1] == 0
    left = read(place.url, old, new)
    assert left.preservation == read(None, new).preservation
    with opened(place.url, print) as written:
        assert written.forget(now() + timedelta(days=2))[1] == 2
    assert summary(place.url).rows == 0


def test_what_a_state_holds_as_json(tmp_path: Path) -> None:
    """The command says what the summary does, under a schema of its own."""
    log, state = tmp_path / "access.log", str(tmp_path / "state")
    log.write_bytes(log_text(1, 50))
    report = read(state, log)
    shown = logscan("state", "show", state, "--format", "json", cwd=tmp_path)
    assert (shown.status, shown.stderr) == (0, "")
    found = orjson.loads(shown.stdout)
    assert (found["schema"], found["url"]) == ("logscan.state/1", state)
    assert {name: found[name] for name in ("lines", "parsed", "rejected")} == {
        name: getattr(report.input, name) for name in ("lines", "parsed", "rejected")
    }
    assert sum(day["requests"] for day in found["days"]) == report.preservation.requests


def test_a_state_forgets_up_to_a_whole_hour(tmp_path: Path) -> None:
    """The hour that begins at the moment named stays, the one before goes."""
    log, state = tmp_path / "access.log", str(tmp_path / "state")
    log.write_bytes(log_text(1, 600))
    read(state, log)
    first, last = summary(state).first_hour, summary(state).last_hour
    assert first is not None
    assert last is not None
    assert last > first
    with opened(state, print) as written:
        assert written.forget(first) == (0, 0)
        assert written.forget(first + timedelta(hours=1))[0] > 0
    assert summary(state).first_hour == first + timedelta(hours=1)


def test_what_a_log_counts_as_is_said_when_it_changes(tmp_path: Path) -> None:
    """Addresses are judged by the rules of the last run; that the timeline is not, the report says."""
    log, state = tmp_path / "access.log", tmp_path / "state"
    log.write_bytes(log_text(1, 100))
    assert read(state, log).input.state.notes == []  # type: ignore[union-attr]
    log.write_bytes(log_text(1, 100) + log_text(2, 100))
    changed = read(state, log, client=["10.0.0.0/8"])
    assert changed.preservation == read(None, log, client=["10.0.0.0/8"]).preservation
    (note,) = changed.input.state.notes  # type: ignore[union-attr]
    assert "what addresses are" in note
    assert read(state, log, client=["10.0.0.0/8"]).input.state.notes == []  # type: ignore[union-attr]


def test_other_limits_cannot_be_added(tmp_path: Path, place: Place) -> None:
    """Limits that were not replayed over the logs of a state cannot be read off it."""
    log = tmp_path / "access.log"
    log.write_bytes(log_text(1, 50))
    read(place.url, log)
    with pytest.raises(
        StateError,
        match=r"expected the rate limits that this state was made with, got others: ingress-nginx limit-rps: 7$",
    ):
        read(place.url, log, limit_rps=[7])


def test_limits_in_another_order(tmp_path: Path) -> None:
    """An allowlist has no order; of limits another order is refused, and the state shows them by their names."""
    log, state = tmp_path / "access.log", str(tmp_path / "state")
    log.write_bytes(log_text(1, 50))
    allowed = ["10.0.0.0/8", "11.0.0.0/8"]
    first = read(state, log, limit_allowlist=allowed, kong_limit=["minute:8", "minute:7"])
    again = read(state, log, limit_allowlist=[*reversed(allowed), "10.0.0.0/8"], kong_limit=["minute:8", "minute:7"])
    assert facts(again) == facts(first)
    with pytest.raises(StateError, match=r"expected the rate limits that .* got them in another order"):
        read(state, log, limit_allowlist=allowed, kong_limit=["minute:7", "minute:8"])
    shown = orjson.loads(logscan("state", "show", state, "--format", "json", cwd=tmp_path).stdout)
    assert any("minute: 8" in limit for limit in shown["limits"]), shown["limits"]
    assert not any("Policy(" in limit for limit in shown["limits"])


def test_a_part_of_the_time(tmp_path: Path) -> None:
    """It is chosen by --window of a state, by --since without one."""
    log = tmp_path / "access.log"
    log.write_bytes(log_text(1, 5))
    with pytest.raises(UsageError, match="--since, --until: expected no --state"):
        read(tmp_path / "state", log, since=datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(UsageError, match="--window: expected a --state"):
        read(None, log, window=timedelta(hours=1))


def test_what_can_be_read_only_once_needs_no_state(tmp_path: Path) -> None:
    """A pipe has nothing to go on from."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match="--state: expected files"):
        read(tmp_path / "state", pipe)


def test_a_log_that_breaks_off_does_not_count_until_it_is_whole(tmp_path: Path) -> None:
    """Of a truncated object nothing counts, and every run says so, until all of it can be read."""
    whole, log, state = gzip.compress(log_text(1, 400)), tmp_path / "access.log.gz", tmp_path / "state"
    other = tmp_path / "other.log"
    other.write_bytes(log_text(2, 50))
    log.write_bytes(whole[: len(whole) // 2])
    for _ in range(2):
        broken = read(state, log, other)
        assert [row.uri for row in broken.input.sources if row.error] == [str(log)]
        assert broken.preservation == read(None, other).preservation
        assert broken.input.state is not None
        assert broken.input.state.generation == 1  # nothing to write the second time
    log.write_bytes(whole)
    assert facts(read(state, log, other)) == facts(read(None, log, other))


def test_what_failed_runs_left_takes_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of runs that found the disk full after some files, these are gone before the next one writes."""
    log, state = tmp_path / "access.log", tmp_path / "state"
    log.write_bytes(log_text(1, 50))
    writes = Folder.write

    def full(self: Folder, name: str, content: bytes) -> None:
        if not name.startswith("tables"):
            raise StateError("full")
        assert not list(state.glob("tables-*"))
        writes(self, name, content)

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "write", full)
        for _ in range(3):
            with pytest.raises(StateError, match="full"):
                read(state, log)
    assert len(list(state.glob("tables-*"))) == 1
    assert facts(read(state, log)) == facts(read(None, log))
    assert len(list(state.glob("tables-*"))) == 1


def test_a_log_that_is_gone_is_said_and_the_others_count(tmp_path: Path) -> None:
    """A name without a file stands in the report, whatever else there is."""
    gone, state = tmp_path / "gone.log", tmp_path / "state"
    (row,) = read(state, gone).input.sources
    assert "found nothing there" in str(row.error)
    gone.write_bytes(log_text(1, 20))
    assert facts(read(state, gone)) == facts(read(None, gone))


def damaged(place: Place, kind: str, change: str) -> None:
    """Damage a file of a state."""
    [(name, content)] = [(name, content) for name, content in place.files().items() if name.startswith(kind)]
    changed = {
        "gone": None,
        "cut": content[: len(content) // 2],
        "other bytes": content[:200] + bytes([content[200] ^ 1]) + content[201:],
    }
    place.put(name, changed[change])


@pytest.mark.parametrize("change", ["cut", "gone", "other bytes"])
@pytest.mark.parametrize("kind", ["manifest.json", "known-", "tables-"])
def test_a_damaged_state_is_named(tmp_path: Path, place: Place, kind: str, change: str) -> None:
    """A file that is not what was written is named, and nothing is written; without a manifest there is no state."""
    log = tmp_path / "access.log"
    log.write_bytes(log_text(1, 50))
    before = read(place.url, log)
    damaged(place, kind, change)
    if (kind, change) == ("manifest.json", "gone"):
        assert facts(read(place.url, log)) == facts(before)
        return
    left = place.files()
    with pytest.raises(StateError, match="is damaged") as raised:
        read(place.url, log)
    assert kind in str(raised.value)
    assert left == place.files()


@pytest.mark.parametrize("version", [VERSION - 1, VERSION + 1, "1.0"])
def test_a_state_of_another_version_is_left_alone(version: object, tmp_path: Path, place: Place) -> None:
    """What another version wrote is not guessed at: a run says so, with what to do, and changes nothing."""
    log = tmp_path / "access.log"
    log.write_bytes(log_text(1, 5))
    read(place.url, log)
    manifest = orjson.loads(place.files()["manifest.json"])
    place.put("manifest.json", orjson.dumps({**manifest, "logscan_state": version}))
    before = place.files()
    for use in (look_at, lambda url: read(url, log)):
        with pytest.raises(StateError, match=f"expected a state of version {VERSION}, got {version!r}") as raised:
            use(place.url)
        assert raised.value.hint == "read it with the logscan that wrote it, or begin another with --state"
    assert place.files() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_leaves_the_state_as_it_was(tmp_path: Path) -> None:
    """Out of room, a run says so and counts for nothing; with room the next one counts all."""
    log, disk = tmp_path / "access.log", tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", disk], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        state = disk / "state"
        log.write_bytes(log_text(1, 50))
        first = read(state, log)
        (disk / "ballast").write_bytes(bytes(180_000 - sum(file.stat().st_size for file in state.iterdir())))
        with log.open("ab") as file:
            file.write(log_text(2, 3000))
        with pytest.raises(StateError, match="No space left on device; the state is as it was before"):
            read(state, log)
        assert summary(str(state)).lines == first.input.lines
        (disk / "ballast").unlink()
        subprocess.run(["mount", "-o", "remount,size=10m", disk], check=True)
        assert facts(read(state, log)) == facts(read(None, log))
    finally:
        subprocess.run(["umount", disk], check=True)
