"""Kong's limits over all pods: what a second implementation rejects that sees all requests in the order of time."""

from __future__ import annotations

import gc
import tempfile
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - hypothesis reads the annotation
from random import Random
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl
import pytest
from increments import facts, read

import analyzer as logscan
from analyzer.errors import UsageError
from analyzer.tables import pooled
from analyzer.tables.limits import kong_limits

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMAT = '$remote_addr [$msec] $request_time "$request" $status "$http_x_forwarded_for"'
WHOLE = '$remote_addr - - [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
NOON = 1_795_262_400  # 21 November 2026, 12:00 UTC, in seconds
OPTIONS: dict[str, Any] = {"kong_limit": ["minute:20", "second:4,minute:15,hour:60"], "kong_sliding_limit": ["30:12"]}
#: A request: the pod that served it, the address, and the seconds after noon at which it began.
Request = tuple[int, str, float]


def requests(seed: int, count: int = 1500) -> list[Request]:
    """Some that come often and many that come seldom, in bursts, over about two hours, on three pods."""
    random, found, now = Random(seed), [], 3500.0
    for _ in range(count):
        now += random.choice([0, 0, 0.001, 0.4, 1, 7, 60])
        often = random.random() < 0.7
        address = f"203.0.113.{random.randrange(5)}" if often else f"198.51.100.{random.randrange(200)}"
        found += [(random.randrange(3), address, now)] * random.choice([1, 1, 2, 6])
    return found


def written(folder: Path, come: Sequence[Request], *, lasting: bool = True) -> list[Path]:
    """A log of each pod, in the order in which requests ended."""
    folder.mkdir(exist_ok=True)
    random = Random(7)
    lines: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for pod, address, begin in come:
        took = random.choice([0.0, 0.25, 2.125]) if lasting else 0.0
        end = f'[{NOON + begin + took:.3f}] {took:.3f} "GET / HTTP/1.1" 200 "-"\n'
        lines[pod].append((begin + took, f"{address} {end}"))
    paths = [folder / f"pod-{pod}.log" for pod in sorted(lines)]
    for pod, path in zip(sorted(lines), paths, strict=True):
        path.write_text("".join(line for _, line in sorted(lines[pod], key=lambda each: each[0])))
    return paths


class Redis:
    """One counter for all pods, asked request by request."""

    def __init__(self, windows: Sequence[tuple[int, int]], *, counts_rejected: bool, sliding: bool) -> None:
        self.windows, self.counts_rejected, self.sliding = windows, counts_rejected, sliding
        self.counts: Counter[tuple[str, int, int]] = Counter()

    def rejects(self, address: str, moment: float) -> bool:
        """Whether a request at that second since 1970 is rejected."""
        second, rejected = int(moment), False
        for length, most in self.windows:
            window, into = divmod(second, length)
            used: float = self.counts[address, length, window]
            if self.sliding:
                used += self.counts[address, length, window - 1] * (length - into) / length
            rejected |= used + 1 > most
        for length, _ in self.windows:
            self.counts[address, length, second // length] += self.counts_rejected or not rejected
        return rejected


MODELS: dict[str, dict[str, Any]] = {
    "minute: 20 (cluster, redis)": {"windows": [(60, 20)], "counts_rejected": True, "sliding": False},
    "second: 4, minute: 15, hour: 60 (cluster)": {
        "windows": [(1, 4), (60, 15), (3600, 60)], "counts_rejected": False, "sliding": False
    },
    "second: 4, minute: 15, hour: 60 (redis)": {
        "windows": [(1, 4), (60, 15), (3600, 60)], "counts_rejected": True, "sliding": False
    },
    "sliding 30 s: 12 (cluster, redis)": {"windows": [(30, 12)], "counts_rejected": True, "sliding": True},
    "sliding 30 s: 12 (cluster, redis, disable_penalty)": {
        "windows": [(30, 12)], "counts_rejected": False, "sliding": True
    },
}  # fmt: skip


def expected(come: Sequence[Request]) -> dict[str, int]:
    """What each of the limits rejects of all requests, in the order in which they began."""
    found = {}
    for name, model in MODELS.items():
        redis = Redis(**model)
        found[name] = sum(
            redis.rejects(address, NOON + begin) for _, address, begin in sorted(come, key=lambda r: r[2])
        )
    return found


def rejected(report: logscan.Report, *, over: str = "all-logs") -> dict[str, int]:
    """What the report says of the limits of Kong, which it says it knows exactly."""
    of_kong = [each for each in report.rate_limit.simulations if each.controller == "kong" and each.counting == over]
    assert all(each.rejected_low == each.rejected == each.rejected_high for each in of_kong)
    return {each.limit: each.rejected for each in of_kong}


@pytest.mark.parametrize("kind", ["native", "portable"])
@pytest.mark.parametrize("seed", range(3))
def test_one_counter_for_all_pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, seed: int) -> None:
    """Requests of several pods meet one counter, exactly; each pod's own counter rejects less."""
    monkeypatch.setenv("LOGSCAN_SCANNER", kind)
    come = requests(seed)
    report = logscan.analyze(written(tmp_path, come), log_format=FORMAT, **OPTIONS)
    assert rejected(report) == expected(come)
    assert all(rejected(report).values())
    one, of_each = rejected(report)["minute: 20 (cluster, redis)"], rejected(report, over="each-log")
    assert of_each["minute: 20 (local)"] < one


def test_by_hand(tmp_path: Path) -> None:
    """Three a minute: four requests over two pods, each of which would have let all through."""
    come = [(0, "203.0.113.1", 1.0), (1, "203.0.113.1", 2.0), (0, "203.0.113.1", 3.0), (1, "203.0.113.1", 59.999),
            (0, "203.0.113.1", 60.0)]  # fmt: skip
    report = logscan.analyze(written(tmp_path, come, lasting=False), log_format=FORMAT, kong_limit=["minute:3"])
    assert rejected(report) == {"minute: 3 (cluster, redis)": 1}
    assert rejected(report, over="each-log") == {"minute: 3 (local)": 0}
    (named,) = [each for each in report.rate_limit.most_rejected if each.controller == "kong"]
    assert (named.address, named.rejected_low, named.rejected_high) == ("203.0.113.1", 1, 1)


def test_whole_seconds_leave_nothing_open(tmp_path: Path) -> None:
    """Windows begin with a second, so a log of whole seconds that tells no durations is counted as surely."""
    come = [(pod, address, float(int(begin))) for pod, address, begin in requests(5, 600)]
    for pod in range(3):
        lines = (
            f'{address} - - [{datetime.fromtimestamp(NOON + begin, UTC):%d/%b/%Y:%H:%M:%S} +0000] "GET / HTTP/1.1" 200 '
            '5 "-" "curl/8"\n'
            for of, address, begin in come
            if of == pod
        )
        (tmp_path / f"{pod}.log").write_text("".join(lines))
    report = logscan.analyze(tmp_path, log_format=WHOLE, **OPTIONS)
    assert rejected(report) == expected(come)
    of_kong = [each for each in report.rate_limit.simulations if each.controller == "kong"]
    assert {each.certainty for each in of_kong} == {"bounds"}


def test_whole_seconds_with_durations_are_an_estimate(tmp_path: Path) -> None:
    """Where requests lasted a part of a second they began in either of two: what both give stands there."""
    line = '203.0.113.1 [2026-11-21T12:{}+00:00] {} "GET / HTTP/1.1" 200 "-"\n'
    # Three may have begun in the minute before or not: two are too many in one of the minutes, or none is.
    (tmp_path / "a.log").write_text(line.format("00:59", "0.000") * 2 + line.format("01:00", "0.500") * 3)
    form = FORMAT.replace("$msec", "$time_iso8601")
    report = logscan.analyze(tmp_path, log_format=form, kong_limit=["minute:3"])
    (found,) = [each for each in report.rate_limit.simulations if each.counting == "all-logs"]
    assert (found.rejected_low, found.rejected_high, found.certainty) == (0, 2, "estimate")


def test_any_order_of_logs_and_any_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How requests come in files, and who reads them, changes nothing of what is counted over all logs."""
    come = requests(11)
    paths = written(tmp_path / "pods", come)
    first = rejected(logscan.analyze(paths, log_format=FORMAT, workers=1, **OPTIONS))
    monkeypatch.setattr(pooled, "_ROWS", 37)
    monkeypatch.setattr(pooled, "_HELD", 200)
    spill = tmp_path / "spill"
    spill.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spill))
    assert rejected(logscan.analyze(paths[::-1], log_format=FORMAT, workers=2, **OPTIONS)) == first
    gc.collect()
    assert not list(spill.iterdir())
    lines = [line for path in paths for line in path.read_text().splitlines(keepends=True)]
    Random(3).shuffle(lines)
    many = tmp_path / "many"
    many.mkdir()
    for number in range(40):
        (many / f"{number}.log").write_text("".join(lines[number::40]))
    assert rejected(logscan.analyze(many, log_format=FORMAT, **OPTIONS)) == first == expected(come)


def test_what_waits_on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rows that do not fit into memory are the same again, an address in one part; without room the run says so."""
    monkeypatch.setattr(pooled, "_ROWS", 10)
    monkeypatch.setattr(pooled, "_HELD", 20)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    table = pooled.PooledTable(kong_limits([("second", 1)]))
    for second in range(40):
        times = pl.Series("time", [NOON + second] * 5).cast(pl.Int64) * 1000
        rows = pl.DataFrame({"number": [0, 1, 1, 40, 77], "zone": [0, 0, 0, 1, 2], "outcome": [0] * 5})
        unsigned = rows.with_columns(pl.col("number", "zone").cast(pl.UInt32))
        table.add(unsigned.with_columns(times.cast(pl.Datetime("ms", "UTC"))), exact_times=False)
    assert list(tmp_path.glob("logscan-*/*"))
    found = table.take(0, pl.Series(range(1000, 1078), dtype=pl.UInt128))
    parts = [part["address"].unique().to_list() for part in found if part.height]
    assert sorted(parts) == [[1000], [1001], [1040], [1077]]
    whole = found.whole()
    assert whole.group_by("address", "zone").agg(pl.sum("count")).sort("address").rows() == [
        (1000, 0, 40), (1001, 0, 80), (1040, 1, 40), (1077, 2, 40)
    ]  # fmt: skip
    assert whole["second"].unique().sort().to_list() == list(range(NOON, NOON + 40))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(UsageError, match="expected room on disk"):
        pooled.Spilled()


def test_increments(tmp_path: Path) -> None:
    """Logs that grow, one pod late by an hour: the counter is that of one run over all."""
    come = requests(13)
    paths = written(tmp_path / "pods", come)
    texts = [path.read_text() for path in paths]
    cuts = [(0.2, 0.5, 0.0), (0.6, 0.8, 0.1), (1.0, 1.0, 1.0)]
    options = {"log_format": FORMAT, **OPTIONS}
    for shares in cuts:
        for path, text, share in zip(paths, texts, shares, strict=True):
            path.write_text(text[: int(len(text) * share)])
        split = read(tmp_path / "state", *paths, **options)
    assert rejected(split) == expected(come)
    assert facts(split) == facts(read(None, *paths, **options))


def test_visitors_behind_proxies_are_counted_by_themselves(tmp_path: Path) -> None:
    """Under the visitors' own addresses, and without those of the allowlist, the same counter runs a second time."""
    for pod in range(2):
        text = "".join(
            f'10.0.0.{pod} [{NOON + n}.000] 0.000 "GET / HTTP/1.1" 200 "203.0.113.{n % 3}"\n' for n in range(12)
        )
        (tmp_path / f"{pod}.log").write_text(text)
    options: dict[str, Any] = {"log_format": FORMAT, "kong_limit": ["minute:5"]}
    report = logscan.analyze(tmp_path, **options)
    assert rejected(report) == {"minute: 5 (cluster, redis)": 14}
    assert report.rate_limit.by_client is not None
    (by_client,) = [each for each in report.rate_limit.by_client.simulations if each.counting == "all-logs"]
    assert (by_client.rejected, by_client.rejected_keys) == (9, 3)
    spared = logscan.analyze(tmp_path, limit_allowlist=["10.0.0.1", "203.0.113.0/31"], **options)
    assert rejected(spared) == {"minute: 5 (cluster, redis)": 7}
    assert spared.rate_limit.by_client is not None
    assert spared.rate_limit.by_client.simulations[-1].rejected == 3


def test_the_json_says_what_was_counted(tmp_path: Path) -> None:
    """Each simulation tells over what it counts; limits of one controller pod count in each log."""
    paths = written(tmp_path, requests(1, 50))
    document = orjson.loads(logscan.analyze(paths, log_format=FORMAT, **OPTIONS).to_json())
    told = {each["limit"]: each["counting"] for each in document["rate_limit"]["simulations"]}
    assert {name for name, counting in told.items() if counting == "all-logs"} == set(MODELS)
    assert told["limit-rps: 5"] == "each-log"
