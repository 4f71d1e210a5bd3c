"""Small logs are summed many at a time: what comes out is what each by itself gives, and a run without a state."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from increments import BEGIN, facts, log_text, read

from analyzer.tables import cells

if TYPE_CHECKING:
    from pathlib import Path

_CHAINS = (
    '$remote_addr $proxy_protocol_addr [$time_local] "$request" $status "$http_user_agent" "$http_x_forwarded_for" '
    "$upstream_addr"
)
_PROXIES = ("10.0.0.10", "10.244.1.1", "130.211.0.9")


def _chained(seed: int, lines: int) -> bytes:
    """Lines of some hours with a chain, a PROXY header, rejections, and requests that tell of another protocol."""
    rng = random.Random(seed)
    at, text = BEGIN, ""
    for _ in range(lines):
        at += timedelta(seconds=rng.expovariate(1 / 90))
        visitor = f"81.2.69.{rng.randrange(40)}"
        remote = rng.choice((visitor, *_PROXIES))
        chain = ", ".join(rng.sample((visitor, "6.6.6.6", "unknown", *_PROXIES), rng.randrange(3))) or "-"
        request = rng.choice(("GET / HTTP/1.1", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2", "\\x16\\x03\\x01"))
        status, tried = rng.choice(((200, "10.0.0.1:80"), (429, "-"), (503, "-"), (400, "-")))
        text += (
            f'{remote} {rng.choice((visitor, "-"))} [{at:%d/%b/%Y:%H:%M:%S} +0000] "{request}" {status} '
            f'"{rng.choice(("curl/8", "kube-probe/1.31"))}" "{chain}" {tried}\n'
        )
    return text.encode()


@pytest.mark.parametrize("chained", [False, True], ids=["plain", "chains"])
def test_many_small_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, chained: bool) -> None:
    """Of small logs, of logs with a cell that is not small, and of either alone the report is that of one run."""
    logs = tmp_path / "logs"
    logs.mkdir()
    for seed in range(30):
        text = _chained(seed, 20 * (1 + seed % 3)) if chained else log_text(seed, 20 * (1 + seed % 3))
        (logs / f"{seed}.log").write_bytes(text)
    options = {"log_format": _CHAINS} if chained else {}
    whole = read(None, logs, **options)
    assert whole.rate_limit.logged is not None
    for small in (0, 10, 2000):
        monkeypatch.setattr(cells, "_SMALL", small)
        found = read(tmp_path / f"state{small}", logs, **options)
        assert facts(found) == facts(whole)


def test_small_logs_are_summed_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few of them are summed at a time."""
    logs = tmp_path / "logs"
    logs.mkdir()
    for seed in range(12):
        (logs / f"{seed}.log").write_bytes(log_text(seed, 30))
    monkeypatch.setattr(cells, "MOST", 50)
    monkeypatch.setattr(cells, "MOST_CELLS", 3)
    assert facts(read(tmp_path / "state", logs)) == facts(read(None, logs))
