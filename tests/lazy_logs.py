"""Logs for the tests of `scan`: several formats on one stream, pods, documents, packed, times in no order."""

from __future__ import annotations

import gzip
import json
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from analyzer.sources import reading, streams

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

BEGIN = datetime(2026, 11, 21, 7, tzinfo=UTC)
BAD = '203.0.113.7 - - [21/Nov/2026:07:08:09 +0000] "GET / HTTP/1.1" two-hundred'
ERROR = '2026/11/21 07:08:09 [error] 31#31: *7 limiting requests, excess: 5.5 by zone "z", client: 203.0.113.7'


def small_pieces(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Have logs read in pieces of about so many bytes."""
    for module, name in ((reading, "PIECE"), (streams, "PIECE"), (streams, "_FIRST_PIECE")):
        monkeypatch.setattr(module, name, size)


def ingress(
    second: int = 0, *, address: str = "81.2.69.142", status: int = 200, path: str = "/", agent: str = "curl/8.16.0"
) -> str:
    """A line of ingress-nginx."""
    moment = BEGIN + timedelta(seconds=second)
    return (
        f'{address} - - [{moment:%d/%b/%Y:%H:%M:%S} +0000] "GET {path} HTTP/1.1" {status} 612 "-" "{agent}" 88 0.004 '
        f"[shop-web-8080] [] 10.244.1.7:8080 612 0.004 {status} 1c6f0d8a3b5e4c7d9e0f1a2b3c4d5e6f"
    )


def forwarded(second: int, chain: str, *, address: str = "10.0.0.7") -> str:
    """A line of combined with X-Forwarded-For behind it."""
    moment = BEGIN + timedelta(seconds=second)
    return f'{address} - - [{moment:%d/%b/%Y:%H:%M:%S} +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8.16.0" "{chain}"'


def kong(second: int, address: str = "2001:db8::7") -> str:
    """A line of Kong."""
    moment = BEGIN + timedelta(seconds=second)
    return (
        f'{address} - - [{moment:%d/%b/%Y:%H:%M:%S} +0000] "GET /kong HTTP/1.1" 503 5 "-" "a user agent that is long" '
        'kong_request_id: "87c61bc43cd15349a272eea298e2c0fd"'
    )


def write(path: Path, lines: list[str]) -> Path:
    """Write lines, packed where the name says so."""
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text, 1) if path.suffix == ".gz" else text)
    return path


def some_logs(folder: Path, seed: int = 0) -> list[Path]:
    """Four logs: formats and garbage on one stream, two pods, a packed one with chains, a document."""
    draw = random.Random(seed)
    addresses = ["81.2.69.142", "10.244.1.0", "2001:db8::1", "10.0.0.7", "81.2.69.160", "unix:"]
    agents = ["curl/8.16.0", "kube-probe/1.34", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101", "-", "naïve ☂ agent"]

    def line(second: int) -> str:
        return ingress(
            second,
            address=draw.choice(addresses),
            status=draw.choice([200, 200, 301, 404, 500, 503]),
            path=draw.choice(["/", "/shop", "/a/very/long/path/of/its/own"]),
            agent=draw.choice(agents),
        )

    mixed = [draw.choices([line(at), kong(at), BAD, ERROR, "", "garbage"], [20, 4, 1, 1, 1, 1])[0] for at in range(200)]
    pods = [f"{pod} nginx {line(draw.randrange(9000))}" for pod in draw.choices(["web-7d4b-x2x9", "web-0"], k=80)]
    chains = [forwarded(draw.randrange(400), draw.choice(["-", "81.2.69.160", "6.6.6.6, 10.0.0.1"])) for _ in range(60)]
    document = [json.dumps({"data": {"resultType": "streams", "result": [
        {"stream": {"pod": "from-loki"}, "values": [["1795244889123000000", line(at)] for at in range(20)]}
    ]}})]  # fmt: skip
    return [
        write(folder / "mixed.log", mixed),
        write(folder / "pods.log", pods),
        write(folder / "chains.log.gz", chains),
        write(folder / "loki.json", document),
    ]
