"""A state in a bucket: runs at the same time, networks that fail, logs beside it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from end_to_end.servers import program
from faulty_bucket import FaultyBucket, faulty_bucket
from increments import facts, log_text, read

from analyzer.errors import StateError, UsageError
from analyzer.state.state import look_at, opened
from analyzer.state.summary import summary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bucket_servers import Server
    from state_places import Bucket

STATE = "s3://logs/state"


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyBucket]:
    """A bucket that fails as told, asked once for everything."""
    with faulty_bucket() as bucket:
        for name, value in {**bucket.env, "AWS_MAX_ATTEMPTS": "1"}.items():
            monkeypatch.setenv(name, value)
        yield bucket


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Two logs."""
    folder = tmp_path / "logs"
    folder.mkdir()
    for number in range(2):
        (folder / f"{number}.log").write_bytes(log_text(number, 60))
    return folder


def test_the_network_goes_at_each_step(faulty: FaultyBucket, logs: Path) -> None:
    """Until a run's manifest is there the state is that of the run before, from then on that of the run."""
    read(STATE, logs)
    begun, before = dict(faulty.objects), summary(STATE).lines
    (logs / "0.log").rename(logs / "0.log.1")
    (logs / "0.log").write_bytes(log_text(7, 60))
    expected = facts(read(None, logs))
    for steps in range(100):
        faulty.objects = dict(begun)
        faulty.network = steps
        try:
            read(STATE, logs)
        except StateError as error:
            said = str(error)
            faulty.network = None
        else:
            break
        assert said.startswith("s3://logs/state/")
        committed = faulty.objects["state/manifest.json"] != begun["state/manifest.json"]
        assert summary(STATE).lines == (expected["input"]["lines"] if committed else before)
        assert facts(read(STATE, logs)) == expected
        assert committed or len([name for name in faulty.objects if "/known-" in name]) == 1
    assert steps > 6


@pytest.mark.parametrize(("fault", "attempts"), [("lost", "1"), ("lost", "3"), ("unsaid", "1"), ("unsaid", "3")])
@pytest.mark.parametrize("begun", [False, True])
def test_an_answer_that_is_lost(
    faulty: FaultyBucket, logs: Path, monkeypatch: pytest.MonkeyPatch, fault: str, attempts: str, *, begun: bool
) -> None:
    """A manifest that was stored counts, though nobody said so."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", attempts)
    if begun:
        read(STATE, logs / "0.log")
    faulty.faults["state/manifest.json"] = ["ok", fault, "ok"]
    whole = facts(read(STATE, logs))
    assert whole == facts(read(None, logs))
    assert facts(read(STATE, logs)) == whole


def test_requests_are_tried_again(faulty: FaultyBucket, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a server cannot do now it can a moment later."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    faulty.faults["state/manifest.json"] = ["503 SlowDown", "ok", "503 SlowDown", "ok"]
    assert facts(read(STATE, logs)) == facts(read(None, logs))


def test_a_bucket_that_heeds_no_conditions(faulty: FaultyBucket, logs: Path) -> None:
    """Where runs at once could do harm, nothing is written, and it is said why."""
    faulty.heeds_conditions = False
    with pytest.raises(StateError, match="expected a bucket that heeds If-None-Match and If-Match"):
        read(STATE, logs)
    assert faulty.objects == {"state/conditions": b""}


def test_a_bucket_that_may_not_be_written(faulty: FaultyBucket, logs: Path) -> None:
    """Access that is denied names the variables to look at."""
    faulty.faults["state/conditions"] = ["403 AccessDenied"]
    with pytest.raises(StateError, match="state/conditions: access was denied") as raised:
        read(STATE, logs)
    assert "AWS_ACCESS_KEY_ID" in str(raised.value.hint)


def test_runs_at_once(bucket: Bucket, tmp_path: Path) -> None:
    """Each of them counts or says that another one came first; what counts is counted once."""
    log = tmp_path / "access.log"
    log.write_bytes(log_text(1, 400))
    command = [program("logscan", "pip install ."), "analyze", str(log), "--state", bucket.url]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ends = []
    for run in runs:
        said = run.communicate()[1]
        ends.append(run.returncode)
        assert run.returncode == 0 or "another run wrote this state meanwhile" in said
    assert set(ends) <= {0, 2}
    assert 0 in ends
    assert facts(read(bucket.url, log)) == facts(read(None, log))


def test_files_of_a_run_that_comes_later_stay(bucket: Bucket, tmp_path: Path) -> None:
    """A run that tidies up late takes nothing from one that went on from its state."""
    log = tmp_path / "access.log"
    log.write_bytes(log_text(1, 50))
    read(bucket.url, log)
    first = look_at(bucket.url)
    log.write_bytes(log_text(1, 50) + log_text(2, 50))
    later = read(bucket.url, log)
    entries = (first.manifest["ledger"], *first.manifest["tables"])
    first.store.keep({entry["file"] for entry in entries}, first.manifest["generation"])
    assert summary(bucket.url).generation == first.manifest["generation"] + 1
    assert facts(read(bucket.url, log))["input"] == facts(later)["input"]


def test_a_state_that_is_written_while_it_is_read(bucket: Bucket, tmp_path: Path) -> None:
    """Files that another run has put together meanwhile are not taken for damage."""
    log = tmp_path / "access.log"
    log.write_bytes(log_text(1, 50))
    read(bucket.url, log)
    slow = look_at(bucket.url)
    with opened(bucket.url, print) as other:
        other._compact()
        other.commit()
    with pytest.raises(StateError, match="another run wrote this state meanwhile"):
        slow.tables()


def test_logs_of_a_bucket_beside_the_state(bucket: Bucket, server: Server, tmp_path: Path) -> None:
    """New objects are read, rewritten ones read anew, the rest is left alone."""
    below = f"ingress/{tmp_path.name}"

    def run(state: str | None) -> Any:
        return read(state, server.url(f"{below}/"))  # type: ignore[arg-type]

    for number in range(3):
        server.put(f"{below}/{number}.log", log_text(number, 60))
    assert facts(run(bucket.url)) == facts(run(None))
    server.put(f"{below}/1.log", log_text(9, 60))
    server.put(f"{below}/3.log", log_text(3, 60))
    split = run(bucket.url)
    assert facts(split) == facts(run(None))
    assert [split.input.state.new, split.input.state.read_anew] == [1, 1]
    assert run(bucket.url).input.sources == []


def test_logs_below_the_state(bucket: Bucket, server: Server, tmp_path: Path) -> None:
    """Files of a state are no logs: it has a prefix of its own."""
    log = tmp_path / "access.log"
    log.write_bytes(log_text(1, 5))
    read(bucket.url, log)
    with pytest.raises(UsageError, match="--state: expected a place without logs, got one that holds"):
        read(bucket.url, server.url("states/*"))  # type: ignore[arg-type]


def test_a_state_is_looked_at_and_forgets(bucket: Bucket, tmp_path: Path) -> None:
    """The commands take the URL."""
    log = tmp_path / "access.log"
    log.write_bytes(log_text(1, 50))
    read(bucket.url, log)
    logscan = program("logscan", "pip install .")
    shown = subprocess.run([logscan, "state", "show", bucket.url], capture_output=True, text=True, check=True)
    assert bucket.url in shown.stdout
    forgot = [logscan, "state", "forget", bucket.url, "--older-than", "1h"]
    assert "forgot" in subprocess.run(forgot, capture_output=True, text=True, check=True).stderr
    assert summary(bucket.url).url == bucket.url
