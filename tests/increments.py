"""Logs that grow, and reports on them that can be compared."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson

import analyzer as logscan

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from analyzer.report.model import Report

BEGIN = datetime(2026, 11, 21, 6, 50, tzinfo=UTC)
_AGENTS = ("curl/8.5.0", "kube-probe/1.31", "Mozilla/5.0 (X11; Linux x86_64)", "Go-http-client/1.1")
_ADDRESSES = ("10.0.0.10", "10.244.1.1", "203.0.113.7", "198.51.100.20", "2001:db8::5", "192.0.2.44")
_ERROR = (
    '2026/11/21 07:00:00 [error] 27#27: *5 broken header: "GET / HTTP/1.1\n'
    'Host: a\nUser-Agent: b" while reading PROXY protocol, client: 10.0.0.10, server: 0.0.0.0:80\n'
)


def access_line(rng: random.Random, at: datetime) -> str:
    """A line of ingress-nginx."""
    address = rng.choice(_ADDRESSES) if rng.random() < 0.7 else f"203.0.113.{rng.randrange(256)}"
    status = rng.choice((200, 200, 200, 404, 503))
    return (
        f'{address} - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "GET /{rng.randrange(10**6)} HTTP/1.1" {status} '
        f'{rng.randrange(5000)} "-" "{rng.choice(_AGENTS)}" {rng.randrange(90, 900)} 0.00{rng.randrange(1, 9)} '
        f"[default-web-80] [] 10.244.2.7:8080 {rng.randrange(5000)} 0.002 {status} {rng.randbytes(16).hex()}\n"
    )


def log_text(seed: int, lines: int = 400, *, begin: datetime = BEGIN, every: float = 20) -> bytes:
    """Lines of some hours: most tell of a request, others are error records over several lines, or broken."""
    rng = random.Random(seed)
    at, text = begin, ""
    for _ in range(lines):
        at += timedelta(seconds=rng.expovariate(1 / every))
        kind = rng.random()
        text += _ERROR if kind < 0.03 else f"broken {rng.random()}\n" if kind < 0.05 else access_line(rng, at)
    return text.encode()


def cri(text: bytes, seed: int) -> bytes:
    """The lines as containerd writes them, some of them in parts."""
    rng = random.Random(seed)
    found = b""
    for line in text.splitlines():
        parts = [line] if rng.random() < 0.8 else [line[:40], line[40:70], line[70:]]
        for part in parts:
            flag = b"F" if part is parts[-1] else b"P"
            stream = b"stderr" if line.startswith(b"2026/") else b"stdout"
            found += b"2026-11-21T07:00:00.000000001Z " + stream + b" " + flag + b" " + part + b"\n"
    return found


def facts(report: Report, *, without: Iterable[str] = ()) -> dict[str, Any]:
    """All that a report says, but for what is of one run."""
    found: dict[str, Any] = orjson.loads(report.to_json())
    for key in ("elapsed_seconds", "sources", "state"):
        del found["input"][key]
    for key in without:
        del found[key]
    return found


def read(state: str | Path | None, *sources: Path, **options: Any) -> Report:
    """One run."""
    options.setdefault("say", lambda _: None)  # tests look for what could not be read in the report
    return logscan.analyze([str(source) for source in sources], state=state, workers=1, **options)
