"""The limit that is suggested is the smallest that spares visitors: found again by trying every one."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING

import pytest

import analyzer as logscan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FORMAT = '$remote_addr [$msec] $request_time "$request" $status'
NOON = 1_795_262_400_000
#: Requests: address and milliseconds.
Requests = list[tuple[str, int]]


def visitors(seed: int, count: int) -> Requests:
    """Visitors that come now and then, and some that come in bursts of all sizes."""
    random = Random(seed)
    found = []
    for number in range(count):
        address = f"198.51.{number // 250}.{1 + number % 250}"
        for _ in range(random.choice([1, 1, 2, 3])):
            begin = NOON + random.randrange(600_000)
            burst = random.choice([1, 1, 1, 1, 1, 1, 3, 12, 40, 90, 130])
            gap = random.choice([0, 1, 30, 150, 700])
            found += [(address, begin + n * gap) for n in range(burst)]
    return sorted(found, key=lambda each: each[1])


def written(path: Path, requests: Requests, *, whole_seconds: bool = False) -> Path:
    """Write a log."""
    times = [(address, f"{time // 1000}.{0 if whole_seconds else time % 1000:03}") for address, time in requests]
    if whole_seconds:
        times = [(address, datetime.fromtimestamp(float(time), UTC).isoformat()) for address, time in times]
    lines = (f'{address} [{time}] 0.000 "GET / HTTP/1.1" 200\n' for address, time in times)
    path.write_text("".join(lines))
    return path


def by_address(requests: Requests) -> list[list[int]]:
    """When each visitor came."""
    times = defaultdict(list)
    for address, time in requests:
        times[address].append(time)
    return list(times.values())


def nginx_rejects(rps: int, times: list[int]) -> bool:
    """Whether limit-rps with its burst of five times as many ever rejects; as nginx computes, in its units."""
    excess, last = 0, None
    for now in times:
        if last is not None:
            excess = max(0, excess - rps * (now - last) + 1000)
            if excess > 5 * rps * 1000:
                return True
        last = now
    return False


def minute_rejects(most: int, times: list[int]) -> bool:
    """Whether a minute of the clock has more requests than so many."""
    minutes = [time // 60_000 for time in times]
    return any(minutes.count(minute) > most for minute in set(minutes))


def bucket_rejects(size: int, times: list[int]) -> bool:
    """Whether a bucket of so many tokens, that fills in a second, is ever empty."""
    tokens, last = size * 1000, times[0]
    for now in times:
        tokens = min(size * 1000, tokens + size * (now - last))
        last = now
        if tokens < 1000:
            return True
        tokens -= 1000
    return False


def smallest(rejects: Callable[[int, list[int]], bool], requests: Requests, harmed_pct: float) -> int:
    """Try one after the other."""
    visits = by_address(requests)
    number = 1
    while 100 * sum(rejects(number, times) for times in visits) >= harmed_pct * len(visits):
        number += 1
    return number


@pytest.mark.parametrize(("seed", "harm"), [(1, 0.1), (2, 5.0), (3, 12.0), (4, 20.0)])
def test_smallest_limit(tmp_path: Path, seed: int, harm: float) -> None:
    """Up to 20 a second the limit is exact; above, the true one lies above the next smaller that was tried."""
    requests = visitors(seed, 1500)
    log = written(tmp_path / "access.log", requests)
    report = logscan.analyze(
        log, log_format=FORMAT, limit_harm=harm, kong_limit=["minute:50"], envoy_limit=["second:20"]
    )
    found = report.rate_limit.suggested
    assert found is not None
    true = smallest(nginx_rejects, requests, harm)
    assert (found.above_rps or 0) < true <= found.limit_rps
    assert true > 20 or found.limit_rps == true
    touched = sum(nginx_rejects(found.limit_rps, times) for times in by_address(requests))
    assert found.visitors_rejected_pct == pytest.approx(100 * touched / 1500, abs=1e-4)
    for each, rejects in zip(
        report.rate_limit.suggested_limits, (minute_rejects, minute_rejects, bucket_rejects), strict=True
    ):
        low, high = (int(name.split()[1]) if name else 0 for name in (each.above, each.limit))
        assert low < smallest(rejects, requests, harm) <= high


@pytest.mark.parametrize(("seed", "harm"), [(1, 0.1), (5, 8.0), (6, 15.0), (7, 25.0)])
def test_smallest_limit_of_a_log_with_whole_seconds(tmp_path: Path, seed: int, harm: float) -> None:
    """The true smallest limit is above the one that is too strict and no larger than the one that is suggested."""
    requests = visitors(seed, 1000)
    log = written(tmp_path / "access.log", requests, whole_seconds=True)
    form = FORMAT.replace("$msec", "$time_iso8601")
    found = logscan.analyze(log, log_format=form, limit_harm=harm).rate_limit.suggested
    assert found is not None
    assert (found.above_rps or 0) < smallest(nginx_rejects, requests, harm) <= found.limit_rps


def test_a_limit_beyond_the_grid(tmp_path: Path) -> None:
    """Where 100 a second reject too many, more is suggested."""
    requests = [("198.51.100.1", NOON + n // 2) for n in range(4000)]
    found = logscan.analyze(written(tmp_path / "access.log", requests), log_format=FORMAT).rate_limit.suggested
    assert found is not None
    assert (found.above_rps, found.limit_rps) == (500, 1000)
    assert 500 < smallest(nginx_rejects, requests, 0.1) <= 1000
