"""Sources whose lines are in different envelopes, or say themselves where they were written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from runs import run_all

import analyzer

if TYPE_CHECKING:
    from pathlib import Path

ERROR = "2026/11/21 07:08:09 [error] 31#31: *7 limiting requests, excess: 5.5 by zone z, client: 203.0.113.7"


def line(number: int) -> str:
    """A line of ingress-nginx."""
    return (
        f'203.0.113.{number % 250} - - [21/Nov/2026:07:08:{number % 60:02d} +0000] "GET /{number} HTTP/1.1" 200 612 '
        f'"-" "curl/8.5.0" 88 0.004 [shop-web-8080] [] 10.244.1.7:8080 612 0.004 200 {number:032x}'
    )


def docker(text: str, end: str = "\n") -> str:
    """The line as Docker keeps it."""
    return json.dumps({"log": text + end, "stream": "stdout", "time": "2026-11-21T07:09:00.1Z"})


def report(folder: Path, lines: list[str], **options: Any) -> dict[str, Any]:
    """The report on a log of these lines."""
    path = folder / "access.log"
    path.write_text("\n".join(lines) + "\n")
    found: dict[str, Any] = json.loads(analyzer.analyze(path, **options).to_json())
    return found


CRI = [f"2026-11-21T07:08:{number % 60:02d}.1Z stdout F {line(number)}" for number in range(300)]
DOCKER = [
    *(docker(line(number)) for number in range(200)),
    docker(ERROR),
    docker("rubbish"),
    docker(line(200)[:40], end=""),
    docker(line(200)[40:]),
]
PREFIX = [f"[pod/web-{number % 2}/nginx] {line(number)}" for number in range(50)]
STAMPED = [f"2026-11-21T07:08:09.1Z [pod/web-2/nginx] {line(number)}" for number in range(20)]
PLAIN = [line(number) for number in range(400)]


@pytest.mark.parametrize("parts", [[CRI, DOCKER], [DOCKER, CRI], [PLAIN, DOCKER], [DOCKER, PLAIN]])
def test_logs_one_behind_the_other(tmp_path: Path, parts: list[list[str]]) -> None:
    """Of two logs in one file, each in its own envelope or none, all is read, and split records are joined in both."""
    rejects = tmp_path / "rejects"
    found = report(tmp_path, [text for part in parts for text in part], rejects=rejects)["input"]
    assert (found["parsed"], found["rejected"]) == (sum(map(len, parts)) - 3, 1)
    assert found["other_kinds"] == {"continuation": 1, "error-log": 1}
    assert found["lines"] == found["parsed"] + found["rejected"] + found["other"]
    assert rejects.read_text() == docker("rubbish") + "\n"


@pytest.mark.parametrize("block", [300, 5_000, 1 << 20])
def test_mixed_rows_keep_their_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Wherever blocks end, lines in another envelope than most have its origin, and signals of its errors count."""
    monkeypatch.setattr("analyzer.sources.reading.MAX_LINE", block)
    path = tmp_path / "access.log"
    path.write_text("\n".join([*PLAIN, docker(line(7)), docker(ERROR), *PREFIX, *STAMPED]) + "\n")
    (ran,) = run_all([path])
    requests: dict[str | None, int] = {}
    for (origin, _), rows in ran.streams.items():
        requests[origin.pod] = requests.get(origin.pod, 0) + rows.height
    assert requests == {None: 401, "web-0": 25, "web-1": 25, "web-2": 20}
    assert ran.log.other.signals["limiting_requests"] == 1
    assert (ran.log.parsed, ran.log.rejected) == (471, 0)


def test_all_envelopes_at_once(tmp_path: Path) -> None:
    """A file of many logs is named after the envelope of most lines and the others."""
    found = report(tmp_path, [*CRI, *DOCKER, *PREFIX, *PLAIN])
    assert found["input"]["parsed"] == len(CRI) + len(DOCKER) - 3 + len(PREFIX) + len(PLAIN)
    assert found["input"]["sources"][0]["envelope"] == "cri, docker, kubectl-prefix"
    assert [group["name"] for group in found["skew"]["groups"]] == ["web-0", "web-1"]


def test_rows_of_mixed_envelopes_stay_in_order(tmp_path: Path) -> None:
    """A frame of such a log has its rows in the order of the lines, each with its pod and its offset."""
    path = tmp_path / "access.log"
    lines = [*PLAIN[:5], *PREFIX[:3], *PLAIN[5:100]]
    path.write_text("\n".join(lines) + "\n")
    rows = analyzer.scan(path).select("path", "pod", "offset").collect().rows()
    assert [row[0] for row in rows] == [f"/{number}" for number in (*range(5), *range(3), *range(5, 100))]
    assert [row[1] for row in rows[4:9]] == [None, "web-0", "web-1", "web-0", None]
    text = path.read_bytes()
    assert [text[row[2] :].split(b"\n", 1)[0].decode() for row in rows] == lines


def test_words_before_a_line_are_no_envelope_of_its_own(tmp_path: Path) -> None:
    """What a visitor writes before an address makes no pod, and the header is read whatever stands in it."""
    shape = '{} 10.0.0.10 - - [21/Nov/2026:07:08:09 +0000] "GET / HTTP/1.1" 200 2 "-" "curl/8.5.0"'
    headers = ["203.0.113.7"] * 20 + ["web nginx", "[pod/web/nginx]", "x - y, <a b> 203.0.113.9", "one"]
    path = tmp_path / "access.log"
    path.write_text("\n".join(map(shape.format, headers)) + "\n")
    rows = analyzer.scan(path).select("remote_addr", "x_forwarded_for", "pod").collect().rows()
    assert rows == [("10.0.0.10", header, None) for header in headers]


def test_a_pod_that_lines_name_feeds_skew(tmp_path: Path) -> None:
    """APISIX's loggers write the host that served a request: the pod."""
    entry = {
        "client_ip": "203.0.113.7",
        "start_time": 1795244889123,
        "request": {"method": "GET", "uri": "/", "headers": {}, "size": "82"},
        "response": {"status": 200, "size": "199", "headers": {}},
        "latency": 1,
    }
    hosts = ["apisix-a", "apisix-b", "apisix-a", None, "-"]
    lines = [json.dumps(entry | {"server": {"hostname": host, "version": "3.9.0"}}) for host in hosts]
    groups = report(tmp_path, lines)["skew"]["groups"]
    assert [(group["name"], group["requests"]) for group in groups] == [("apisix-a", 2), ("apisix-b", 1)]


def test_pods_of_other_namespaces_are_no_idle_ones(tmp_path: Path) -> None:
    """In a node's /var/log/pods stand all pods: of those without requests only the controller's namespace counts."""
    logs = {
        "ingress_web-0_0a1b": CRI[:20],
        "ingress_web-1_0a1c": ["2026-11-21T07:08:09.1Z stderr F I1121 07:08:09.123456       7 main.go:1] started"],
        "kube-system_etcd_0a1d": ['2026-11-21T07:08:09.1Z stderr F {"level":"info","msg":"compaction"}'],
        "kube-system_proxy_0a1e": ["2026-11-21T07:08:09.1Z stderr F I1121 07:08:09.123456       7 main.go:1] synced"],
    }
    for name, lines in logs.items():
        path = tmp_path / "pods" / name / "controller" / "0.log"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(lines) + "\n")
    found = json.loads(analyzer.analyze(tmp_path / "pods").to_json())
    assert [(group["name"], group["requests"]) for group in found["skew"]["groups"]] == [("web-0", 20), ("web-1", 0)]
    assert found["input"]["lines"] == 23
