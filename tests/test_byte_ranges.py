"""Large logs that a cluster reads in byte ranges: the report is that of the log read from end to end."""

from __future__ import annotations

import gzip
import pickle
import random
from contextlib import nullcontext
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl
import pytest
from faulty_bucket import faulty_bucket
from increments import BEGIN, cri, log_text
from polars.testing import assert_frame_equal
from runs import KNOWN

import analyzer as logscan
from analyzer.addresses.classify import Classifier
from analyzer.runs import scale_out
from analyzer.runs.byte_ranges import ask_limits, joined, ranges_of, read_range
from analyzer.runs.parts import Job, Part
from analyzer.sources import find, reading
from analyzer.tables import Folds
from analyzer.tables.limits import limit_grid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Done:
    """A task that was done, whose result was sent."""

    def __init__(self, key: int, value: Any) -> None:
        self.key, self.status = key, "finished"
        self.value = pickle.dumps(value)

    def result(self) -> Any:
        """As Dask's."""
        return pickle.loads(self.value)  # noqa: S301 - its own


class Here:
    """A client of a cluster that does each task where and when it is submitted."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def as_current(self) -> Any:
        """As Dask's."""
        return nullcontext()

    def nthreads(self) -> dict[str, int]:
        """As Dask's."""
        return {"here": 2}

    def submit(self, function: Callable[..., Any], *args: Any, pure: bool, priority: int = 0, **named: Any) -> Done:
        """Do it, with what was sent."""
        self.done.append(getattr(function, "__name__", ""))
        return Done(len(self.done), function(*map(_sent, args), **named))

    def gather(self, tasks: list[Done]) -> list[Any]:
        """As Dask's."""
        return [_sent(task) for task in tasks]


def _sent(value: Any) -> Any:
    if isinstance(value, list):
        return [_sent(each) for each in value]
    return value.result() if isinstance(value, Done) else value


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    """A cluster of this process, which splits logs above some KB."""
    client = Here()
    monkeypatch.setattr(scale_out, "_connect", lambda *_: client)
    monkeypatch.setattr(scale_out, "_distributed", lambda: SimpleNamespace(as_completed=iter, KilledWorker=KeyError))
    monkeypatch.setattr(scale_out, "_RANGE_BYTES", 3000)
    monkeypatch.setattr(reading, "PIECE", 7000)
    monkeypatch.setattr(reading, "MAX_LINE", 2500)
    return client


def _forwarded(seed: int, lines: int) -> bytes:
    """JSON lines of nginx with exact times, durations, chains and zones, most in the order in which they ended."""
    rng = random.Random(seed)
    found = []
    for number in range(lines):
        peer = rng.choice(("10.0.0.1", "10.0.0.2", "203.0.113.9"))
        chain = ", ".join(f"198.51.100.{rng.randrange(20)}" for _ in range(rng.randrange(3)))
        end = 1763708889 + number / 20 + rng.random() * (50 if rng.random() < 0.01 else 0.1)
        found.append(
            f'{{"msec":"{end:.3f}","remote_addr":"{peer}","host":"{rng.choice("ab")}.example","request_time":"'
            f'{rng.random() * 3:.3f}","status":"{rng.choice((200, 200, 503))}","http_x_forwarded_for":"{chain}"}}\n'
        )
    return "".join(found).encode()


_JSON = (
    '{"msec":"$msec","remote_addr":"$remote_addr","host":"$host","request_time":"$request_time","status":"$status",'
    '"http_x_forwarded_for":"$http_x_forwarded_for"}'
)
_LIMITS: dict[str, Any] = {
    "limit_rps": [3],
    "limit_rpm": [100],
    "limit_connections": [2],
    "kong_limit": ["second:3,minute:20"],
    "kong_sliding_limit": ["60:15"],
    "envoy_limit": ["minute:15", "minute:100/route"],
    "limit_allowlist": ["203.0.113.0/28"],
}
_LONG = b"x" * 9000 + b"\n"


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (log_text(1, 1500, every=0.3), _LIMITS),
        (log_text(2, 1500, every=2), {"since": BEGIN + timedelta(minutes=25)}),
        (cri(log_text(3, 1000, every=0.2), 3), _LIMITS),
        (log_text(4, 300) + _LONG + log_text(5, 300) + _LONG * 2 + log_text(6, 300)[:-20], {}),
        (log_text(8, 500) + log_text(7, 500), {"limit_rps": [1]}),
        (b"\xef\xbb\xbf" + log_text(9, 700), {}),
        (_forwarded(1, 3000), {**_LIMITS, "log_format": _JSON}),
    ],
    ids=["plain", "span", "cri", "long", "two", "mark", "exact"],
)
def test_the_same_as_read_from_end_to_end(
    text: bytes, options: dict[str, Any], here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every number, sample and rejected line is the same, wherever ranges begin."""
    log, other = tmp_path / "access.log", tmp_path / "other.log"
    log.write_bytes(text)
    other.write_bytes(log_text(11, 20))
    for seed in range(2):
        monkeypatch.setattr(scale_out, "_RANGE_BYTES", random.Random(seed).randrange(3000, 30_000))
        _same([other, log], here, tmp_path, options)


def _same(sources: list[Any], here: Here, tmp_path: Path, options: dict[str, Any]) -> None:
    here.done.clear()
    reports = []
    for name, engine in (("alone", None), ("scaled", "dask")):
        report = logscan.analyze(sources, rejects=tmp_path / name, workers=1, cluster_engine=engine, **options)
        reports.append(orjson.loads(report.to_json()))
        del reports[-1]["input"]["elapsed_seconds"]
    assert here.done.count("read_range") > 1
    assert reports[0] == reports[1]
    assert (tmp_path / "scaled").read_bytes() == (tmp_path / "alone").read_bytes()


@pytest.mark.parametrize("text", [b"\xef\xbb\xbf" + log_text(1, 500), cri(log_text(3, 300), 3)], ids=["mark", "cri"])
def test_objects_of_a_bucket(text: bytes, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is with a plain object; a compressed one is read from end to end."""
    monkeypatch.setattr("analyzer.sources.objects.PIECE", 5000)
    with faulty_bucket() as bucket:
        bucket.objects = {"access.log": text, "packed.log": gzip.compress(text)}
        for name, value in bucket.env.items():
            monkeypatch.setenv(name, value)
        _same(["s3://logs/access.log"], here, tmp_path, _LIMITS)
        _same(["s3://logs/packed.log", "s3://logs/access.log"], here, tmp_path, {})
        assert here.done.count("_read") == 1


def test_a_log_that_shrinks_meanwhile(here: Here, tmp_path: Path) -> None:
    """What is no longer there is said, and nothing behind the place where a log breaks off counts."""
    log = tmp_path / "access.log"
    log.write_bytes(log_text(1, 600))
    (source,) = find([log])
    parts = ranges_of(source, KNOWN, 9000)
    with log.open("r+b") as file:
        file.truncate(parts[2].part[0] + 100 if parts[2].part else 0)
    folds = Folds(Classifier(), limit_grid())
    job = Job(KNOWN, folds, (None, None), alone=False, keep_rejected=False)
    ranges = [read_range(job, part) for part in parts]
    answers, stands = [], None
    for found in ranges:
        answer, stands = ask_limits(job, stands, found, last=found is ranges[-1])
        answers.append(answer)
    whole = joined(job, 0, ranges, answers)
    assert whole.logs[0].error is not None
    assert "was cut at byte" in whole.logs[0].error
    assert whole.logs[0].parsed == whole.tables.addresses["requests"].sum()


def test_where_logs_are_cut(tmp_path: Path) -> None:
    """Parts follow one another from end to end and end with lines; a log of one line, and a short one, is one part."""
    log = tmp_path / "access.log"
    for text, size in ((log_text(1, 500), 5000), (b"x" * 50_000, 5000), (log_text(1, 9), 5000), (b"", 5000)):
        log.write_bytes(text)
        (source,) = find([log])
        parts = ranges_of(source, KNOWN, size)
        places = [part.part for part in parts if part.part]
        assert all(text[stop - 1 : stop] == b"\n" for _, stop in places[:-1])
        assert [begin for begin, _ in places] == [0, *(stop for _, stop in places[:-1])][: len(places)]
        assert not places or places[-1][1] == len(text)
        assert (len(parts) > 10) is (len(text) > 50_000 and b"\n" in text)


def test_parts_are_the_same_when_they_are_sent(tmp_path: Path) -> None:
    """Numbers that are sent in fewer bytes come back as they were, the largest and the missing ones too."""
    log = tmp_path / "access.log"
    log.write_bytes(log_text(1, 300))
    (source,) = find([log])
    job = Job(KNOWN, Folds(Classifier(), limit_grid()), (None, None), alone=False, keep_rejected=False)
    found = read_range(job, source)
    part = Part(found.tables, [], [], [])
    part.tables.addresses = pl.concat(
        [part.tables.addresses, part.tables.addresses.head(1).with_columns(requests=pl.lit(2**64 - 1, pl.UInt64))]
    )
    sent = pickle.loads(pickle.dumps(part))  # noqa: S301 - its own
    for name in ("addresses", "limits", "clients"):
        assert_frame_equal(getattr(sent.tables, name), getattr(part.tables, name))
    assert part.tables.addresses["requests"].max() == 2**64 - 1
