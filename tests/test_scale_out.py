"""Runs on a Dask cluster: the same numbers as on one machine, whatever happens to workers."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from bucket_servers import running
from command import ENVIRONMENT, LINE, logscan
from end_to_end.servers import free_port
from faulty_bucket import faulty_bucket

import analyzer
from analyzer.errors import UsageError
from analyzer.runs import scale_out
from analyzer.runs.scale_out import _load, tasks_of
from analyzer.sources import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from command import Result

pytest.importorskip("distributed", reason="the extra for Dask is not installed")

SAMPLES = Path(__file__).parent.parent / "sample_logs"
#: What a line of an error log quotes goes on in the next lines.
ERROR = b'2026/11/21 07:08:09 [error] 7#7: *1 broken header: "GET / HTTP/1.1\nHost: a\n" while reading PROXY protocol\n'


class Dask(NamedTuple):
    """A scheduler and its workers."""

    address: str
    workers: list[subprocess.Popen[bytes]]


@contextmanager
def dask(workers: int, env: dict[str, str] | None = None) -> Iterator[Dask]:
    """A scheduler and worker processes of one thread each."""
    port = free_port()
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    here = ["--host", "127.0.0.1", "--no-dashboard"]
    with running([sys.executable, "-m", "dask", "scheduler", *here, "--port", str(port)], port), ExitStack() as stack:
        command = [sys.executable, "-m", "dask", "worker", f"tcp://127.0.0.1:{port}", *here]
        started = [
            subprocess.Popen(
                [*command, "--nthreads", "1", "--no-nanny", "--name", str(number)],
                env={**os.environ, "POLARS_MAX_THREADS": "1", **(env or {})}, **quiet,
            )
            for number in range(workers)
        ]  # fmt: skip
        for worker in started:
            stack.callback(worker.wait)
            stack.callback(worker.kill)
        yield Dask(f"dask://127.0.0.1:{port}", started)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Dask]:
    """A scheduler with two workers."""
    with dask(2) as started:
        yield started


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Logs of every kind of trouble, one after the other."""
    folder = tmp_path / "logs"
    pod = folder / "ingress-nginx_controller-8fj2w_0f6b7e1c-52a9-4f0e-9a55-1c8f0f3c2d11" / "controller"
    pod.mkdir(parents=True)
    busy = b"".join(LINE.replace(b"81.2.69.142", b"81.2.69.%d" % (number % 7)) for number in range(5000))
    (pod / "0.log").write_bytes(b"".join(b"2026-11-21T07:08:09.1Z stdout F " + LINE for _ in range(100)))
    (folder / "a.log").write_bytes(ERROR + busy + b"no access-log line\n" + ERROR)
    (folder / "b.log.gz").write_bytes(gzip.compress(busy)[:-1000])
    (folder / "c.log").write_bytes(b"")
    (folder / "d.log").write_bytes(b"bad\xff\nwithout an end" * 30)
    (folder / "e.log").symlink_to(SAMPLES / "kong" / "access.log")
    (folder / "f.log").symlink_to(folder / "gone")
    for number in range(5):
        (folder / f"g{number}.log").write_bytes(busy[: -len(LINE) * number or None])
    return folder


def _same(one: Result, other: Result) -> None:
    assert (one.status, one.stderr) == (other.status, other.stderr)
    first, second = (json.loads(result.stdout) for result in (one, other))
    for report in (first, second):
        del report["input"]["elapsed_seconds"]
        if report["input"]["state"]:
            del report["input"]["state"]["url"]
    assert first == second


def test_the_same_as_on_one_machine(cluster: Dask, logs: Path, tmp_path: Path) -> None:
    """The report, what is said on stderr and the exit code are those of a run without a cluster, and so are rejects."""
    sample = SAMPLES / "cluster"
    args = ["analyze", "logs", sample, "--format", "json", "--cluster", sample / "cluster.json", "--limit-rps", "3"]
    alone = logscan(*args, "--rejects", "alone.txt", cwd=tmp_path)
    scaled = logscan(*args, "--rejects", "scaled.txt", "--cluster-engine", cluster.address, cwd=tmp_path)
    assert alone.status == 2
    assert alone.stderr.count("\n") == 2
    _same(alone, scaled)
    assert (tmp_path / "scaled.txt").read_bytes() == (tmp_path / "alone.txt").read_bytes()
    assert b"no access-log line\n" in (tmp_path / "scaled.txt").read_bytes()


def test_increments_on_a_cluster(cluster: Dask, logs: Path, tmp_path: Path) -> None:
    """Logs that come and grow, read by workers or here in turns: the state and its report are those of one machine."""
    sample = SAMPLES / "cluster"
    args = [
        "analyze",
        "logs",
        "--format",
        "json",
        "--cluster",
        sample / "cluster.json",
        "--limit-rps",
        "3",
        "--rejects",
    ]
    pod = next(logs.glob("*/controller"))
    engine = ["--cluster-engine", cluster.address]
    for step, more in enumerate((engine, engine, [], engine)):
        for number in range(3):
            with (logs / f"grows{number}.log").open("ab") as file:
                file.write(LINE * (10 + step) + ERROR + LINE[: 7 * step])
        (logs / f"new{step}.log").write_bytes(LINE * 30 + b"broken\n")
        (pod / f"{step + 1}.log").write_bytes(b"2026-11-21T08:08:09.1Z stdout F " + LINE)
        scaled = logscan(*args, "scaled.txt", "--state", "scaled", *more, cwd=tmp_path)
        alone = logscan(*args, "alone.txt", "--state", "alone", cwd=tmp_path)
        assert scaled.status == 2
        _same(scaled, alone)
        assert (tmp_path / "scaled.txt").read_bytes() == (tmp_path / "alone.txt").read_bytes()
        assert b"broken\n" in (tmp_path / "alone.txt").read_bytes()
    scaled, alone = (logscan("state", "show", name, "--format", "json", cwd=tmp_path) for name in ("scaled", "alone"))
    for key in ("logs", "streams", "lines", "parsed", "rejected", "waiting_bytes", "days"):
        assert json.loads(scaled.stdout)[key] == json.loads(alone.stdout)[key]


def test_nothing_new_needs_no_cluster(tmp_path: Path) -> None:
    """A cron job over what is known does not fail with the cluster."""
    (tmp_path / "a.log").write_bytes(LINE * 3)
    args = ["analyze", "a.log", "--state", "state", "--format", "json"]
    logscan(*args, cwd=tmp_path)
    again = logscan(*args, "--cluster-engine", f"dask://127.0.0.1:{free_port()}", cwd=tmp_path)
    assert (again.status, json.loads(again.stdout)["input"]["lines"]) == (0, 3)


def test_processes_on_this_machine(logs: Path, tmp_path: Path) -> None:
    """`dask` starts workers, reads with them, and leaves none behind."""
    args = ["analyze", "logs", "--format", "json", "--since", "2026-11-21T00:00Z"]
    alone = logscan(*args, cwd=tmp_path)
    _same(alone, logscan(*args, "--cluster-engine", "dask", "--workers", "2", cwd=tmp_path))


@pytest.mark.parametrize("victim", [0, 1])
def test_a_worker_is_killed(victim: int, tmp_path: Path) -> None:
    """What a lost worker had read is read again by the other one, and no number is different."""
    with faulty_bucket() as bucket:
        bucket.objects = {f"{number:02}.log": LINE.replace(b"142", b"%d" % number) * 100 for number in range(24)}
        args = ["analyze", "s3://logs/", "--format", "json"]
        alone = logscan(*args, cwd=tmp_path, env=bucket.env)
        bucket.requests.clear()
        bucket.faults = {key: ["pause"] for key in bucket.objects}
        with dask(2, bucket.env) as cluster:
            command = [*logscan_command(), *args, "--cluster-engine", cluster.address]
            with subprocess.Popen(
                command, cwd=tmp_path, env={**ENVIRONMENT, **bucket.env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            ) as run:
                _wait_for(lambda: len(bucket.requests) > 12)
                cluster.workers[victim].send_signal(signal.SIGKILL)
                stdout, _ = run.communicate(timeout=60)
        assert run.returncode == 0
        _same(alone, alone._replace(stdout=stdout))
        assert len(bucket.requests) > 25  # the listing, each object once, and some again


def logscan_command() -> list[str]:
    """The command as one process, to be watched while it runs."""
    return [sys.executable, "-c", "from analyzer.cli import main; main()"]


def _wait_for(holds: Any) -> None:
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("in vain")


def test_an_only_source_that_is_not_there(cluster: Dask, tmp_path: Path) -> None:
    """What no run could read is the same error with a cluster."""
    args = ["analyze", "gone.log"]
    scaled = logscan(*args, "--cluster-engine", cluster.address, cwd=tmp_path)
    assert (scaled.status, scaled.stdout) == (2, b"")
    assert scaled.stderr == logscan(*args, cwd=tmp_path).stderr


def test_options_that_no_log_can_meet(cluster: Dask, tmp_path: Path) -> None:
    """An error of a task is that of the run."""
    (tmp_path / "access.log").write_bytes(LINE)
    args = ["analyze", "access.log", "--log-format", "$remote_addr $remainder", "--since", "2026-11-21"]
    alone = logscan(*args, cwd=tmp_path)
    scaled = logscan(*args, "--cluster-engine", cluster.address, cwd=tmp_path)
    assert (scaled.status, scaled.stdout, scaled.stderr) == (alone.status, alone.stdout, alone.stderr)
    assert alone.status == 2


@pytest.mark.parametrize("engine", ["spark", "dask://", "dask://host", "dask://:8786", "dask:8786", "tcp://a:1"])
def test_engines_that_cannot_be_meant(engine: str, tmp_path: Path) -> None:
    """Anything but dask and the address of a scheduler is refused."""
    (tmp_path / "access.log").write_bytes(LINE)
    result = logscan("analyze", "access.log", "--cluster-engine", engine, cwd=tmp_path)
    expected = f"logscan: --cluster-engine: expected dask or dask://HOST:PORT, got '{engine}'\n"
    assert (result.status, result.stdout, result.stderr) == (2, b"", expected)


def test_workers_of_a_cluster_are_its_own(tmp_path: Path) -> None:
    """--workers says nothing of a cluster that is there already."""
    (tmp_path / "access.log").write_bytes(LINE)
    args = ["--cluster-engine", "dask://127.0.0.1:9", "--workers", "2"]
    result = logscan("analyze", "access.log", *args, cwd=tmp_path)
    assert (result.status, result.stdout) == (2, b"")
    assert result.stderr.startswith("logscan: --workers: expected a number of workers with dask, ")


def test_standard_input(tmp_path: Path) -> None:
    """Workers cannot read standard input."""
    result = logscan("analyze", "-", "--cluster-engine", "dask", cwd=tmp_path, stdin=LINE)
    expected = "logscan: --cluster-engine: expected logs that the workers can read, got standard input\n"
    assert (result.status, result.stdout, result.stderr) == (2, b"", expected)


def test_no_scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler that is not there is named, with how to start one."""
    monkeypatch.setattr(scale_out, "_WAIT_SECONDS", 0.5)
    (tmp_path / "access.log").write_bytes(LINE)
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(UsageError) as raised:
        analyzer.analyze(tmp_path, cluster_engine=f"dask://{address}")
    assert str(raised.value) == f"--cluster-engine: expected a Dask scheduler at tcp://{address}, found none"
    assert raised.value.hint == "dask scheduler starts one, dask worker ADDRESS its workers"


def test_no_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler without workers is no cluster yet."""
    monkeypatch.setattr(scale_out, "_WAIT_SECONDS", 1)
    (tmp_path / "access.log").write_bytes(LINE)
    with dask(0) as cluster, pytest.raises(UsageError) as raised:
        analyzer.analyze(tmp_path, cluster_engine=cluster.address)
    address = cluster.address.replace("dask", "tcp")
    assert str(raised.value) == f"--cluster-engine: expected workers at {address}, found none"
    assert raised.value.hint == f"dask worker {address} starts one"


def test_without_the_extra(tmp_path: Path) -> None:
    """Without Dask the error names the extra to install."""
    (tmp_path / "access.log").write_bytes(LINE)
    script = (
        "import sys; sys.modules['distributed'] = None; sys.argv[0] = 'logscan'; from analyzer.cli import main; main()"
    )
    command = [sys.executable, "-c", script, "analyze", "--quiet", "access.log", "--cluster-engine", "dask"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == (
        "logscan: --cluster-engine dask: expected Dask, found it not installed\n"
        "  hint: pip install '.[dask]' in logscan's source folder installs it\n"
    )


def test_workers_of_another_version() -> None:
    """A worker of another version refuses the work instead of counting otherwise."""
    with pytest.raises(UsageError, match=r"expected workers with logscan 0\.0\.1, found "):
        _load("0.0.1", b"")


@pytest.mark.parametrize(
    ("sizes", "threads", "expected"),
    [
        ([100] * 8, 1, [2, 2, 2, 2]),
        ([100] * 3, 8, [1, 1, 1]),
        ([1000, 1, 1, 1, 1000], 1, [1, 2, 1, 1]),
        ([None, None], 1, [1, 1]),
        ([600 << 20] * 3, 1, [1, 1, 1]),
        ([100 << 20] * 100, 1, [5] * 20),
        ([1] * 10_000, 1, [1000] * 10),
    ],
)
def test_tasks(sizes: list[int | None], threads: int, expected: list[int]) -> None:
    """Sources are put together in order, to enough tasks that no thread is idle, none of them too large."""
    sources = [Source(f"/{number}.log", size=size) for number, size in enumerate(sizes)]
    tasks = tasks_of(sources, threads)
    assert [len(task.sources) for task in tasks] == expected
    assert [source for task in tasks for source in task.sources] == sources
    assert [sources[task.first] for task in tasks] == [task.sources[0] for task in tasks]
