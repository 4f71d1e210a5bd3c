"""When limits are asked: what each notation of time tells of when a request began."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

import analyzer as logscan

if TYPE_CHECKING:
    from pathlib import Path

NOON = 1_795_262_400_000  # 21 November 2026, 12:00 UTC, in milliseconds


def requests(seed: int) -> list[tuple[int, int]]:
    """When each of the requests of one address began, and how long it took, in milliseconds: about six a second."""
    random, found, now = Random(seed), [], NOON
    for _ in range(400):
        now += random.choice([0, 40, 160, 333])
        found.append((now, random.choice([0, 3, 95])))
    return found


def rejects(rps: int, times: list[int]) -> int:
    """What limit-rps rejects, with its burst of five times as many; as nginx computes, in its units."""
    excess, last, rejected = 0, None, 0
    for now in times:
        new = 0 if last is None else max(0, excess - rps * (now - last) + 1000)
        if new > 5 * rps * 1000:
            rejected += 1
            continue
        excess, last = new, now
    return rejected


def envoy(begin: int, took: int) -> str:
    """An object of Envoy's, as Envoy Gateway and Istio have it."""
    return json.dumps({
        "start_time": _moment(begin), "method": "GET", "path": "/", "protocol": "HTTP/1.1", "response_code": 200,
        "response_flags": "-", "duration": took, "bytes_sent": 5, "downstream_remote_address": "203.0.113.7:40000",
        "upstream_host": "10.0.0.1:80",
    }) + "\n"  # fmt: skip


def _moment(begin: int) -> str:
    return datetime.fromtimestamp(begin / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def kong(begin: int, took: int) -> str:
    """An object of Kong's file-log."""
    return json.dumps({
        "client_ip": "203.0.113.7", "started_at": begin, "request": {"uri": "/", "method": "GET", "size": 1},
        "response": {"status": 200, "size": 5}, "latencies": {"request": took, "kong": 0, "proxy": took},
    }) + "\n"  # fmt: skip


def traefik(begin: int, took: int) -> str:
    """An object of Traefik's."""
    return json.dumps({
        "ClientHost": "203.0.113.7", "DownstreamStatus": 200, "Duration": took * 1_000_000, "RequestMethod": "GET",
        "RequestPath": "/", "StartUTC": _moment(begin),
    }) + "\n"  # fmt: skip


@pytest.mark.parametrize("product", [envoy, kong, traefik])
def test_products_that_log_the_beginning(tmp_path: Path, product: Any) -> None:
    """Envoy, Kong's plugins and Traefik tell to the millisecond when a request began: limits are tried exactly."""
    come = requests(1)
    ended = sorted(come, key=sum)
    log = tmp_path / "access.log"
    log.write_text("".join(product(*each) for each in ended))
    reading = logscan.analyze(log, kong_limit=["second:5"], limit_connections=[1]).rate_limit
    found = {each.limit: each for each in reading.simulations}
    assert {each.certainty for each in reading.simulations} == {"exact"}
    assert reading.out_of_order_pct == 0
    begun = sorted(begin for begin, _ in come)
    for rps in (1, 2, 5):
        assert found[f"limit-rps: {rps}"].rejected == rejects(rps, begun)
    of_second = [begin // 1000 for begin in begun]
    assert found["second: 5 (local)"].rejected == sum(max(0, of_second.count(n) - 5) for n in set(of_second))
    assert found["limit-connections: 1"].rejected > 0


@pytest.mark.parametrize("form", ["$remote_addr [$msec] $status", "$remote_addr [$time_any] $request_time_ms $status"])
def test_times_that_tell_no_beginning_leave_bounds(tmp_path: Path, form: str) -> None:
    """A fine time of which it is not known what it is of counts as its second: the bounds hold what is true."""
    log = tmp_path / "access.log"
    come = requests(2)
    lines = []
    for begin, _ in come:
        time = f"{begin / 1000:.3f}" if "msec" in form else f"{datetime.fromtimestamp(begin / 1000, UTC).isoformat()}"
        lines.append(form.replace("$remote_addr", "203.0.113.7").replace("$msec", time).replace("$time_any", time))
    log.write_text("".join(f"{line.replace('$request_time_ms', '0').replace('$status', '200')}\n" for line in lines))
    found = {each.limit: each for each in logscan.analyze(log, log_format=form).rate_limit.simulations}
    for rps in (1, 2, 5):
        each, true = found[f"limit-rps: {rps}"], rejects(rps, [begin for begin, _ in come])
        assert each.rejected_low <= true <= each.rejected_high
        assert each.certainty == "bounds"
    assert found["limit-rps: 1"].rejected_low > 0
