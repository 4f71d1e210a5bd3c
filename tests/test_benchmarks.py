"""The benchmarks: logs of the same bytes every time, true totals, the same requests in every form, honest verdicts."""

from __future__ import annotations

import gzip
import importlib
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from analyzer.jobs.analyze import analyze

if TYPE_CHECKING:
    from types import ModuleType

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
LINES = 60_000
SOME = 3000
UPSTREAM = r"(\S+(?:(?:, | : )\S+)*)"
# Written for this test from nginx's documentation; shares nothing with the generator or with logscan's scanner.
INGRESS = re.compile(
    r"(?P<address>[0-9a-f.:]+) - (?P<user>\S+) \[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "
    r'"(?P<request>[^"]*)" (?P<status>\d{3}) (?P<bytes>\d+) "(?P<referer>[^"]*)" "(?P<agent>[^"]*)" '
    r"\d+ \d+\.\d{3} \[(?P<upstream>[^\]]*)\] \[[^\]]*\] "
    rf"(?P<servers>{UPSTREAM}) (?P<lengths>{UPSTREAM}) (?P<seconds>{UPSTREAM}) (?P<codes>{UPSTREAM}) [0-9a-f]{{32}}"
)


def load(name: str) -> ModuleType:
    """Load a module of the benchmarks, which are scripts and no part of the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        return importlib.import_module(name)


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """Load the generator."""
    return load("generate")


@pytest.fixture(scope="module")
def log(generate: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Generate one log that ends in the middle of a batch."""
    path = tmp_path_factory.mktemp("benchmark") / "ingress.log"
    return path, generate.generate(path, LINES, 1)


def test_same_seed_same_bytes(generate: ModuleType, log: tuple[Path, Any], tmp_path: Path) -> None:
    """A seed gives the same bytes and totals again, and another seed gives others."""
    path, summary = log
    assert generate.generate(tmp_path / "again.log", LINES, 1) == summary
    assert (tmp_path / "again.log").read_bytes() == path.read_bytes()
    generate.generate(tmp_path / "other.log", 1000, 2)
    assert not path.read_bytes().startswith((tmp_path / "other.log").read_bytes())


def test_shorter_log_is_a_prefix(generate: ModuleType, log: tuple[Path, Any], tmp_path: Path) -> None:
    """A slice of a log can be made without the log."""
    generate.generate(tmp_path / "short.log", 777, 1)
    short = (tmp_path / "short.log").read_bytes()
    assert short.count(b"\n") == 777
    assert log[0].read_bytes().startswith(short)


def test_every_line_fits_the_layout_and_totals_are_true(log: tuple[Path, Any]) -> None:
    """Every line is a default ingress-nginx line, and the summary says what an independent reading finds."""
    path, summary = log
    text = path.read_text(encoding="ascii")
    matches = [INGRESS.fullmatch(line) for line in text.splitlines()]
    found = [match for match in matches if match is not None]
    assert len(found) == len(matches) == summary.lines == LINES
    assert len(text) == summary.bytes
    assert sum(int(match["status"]) >= 500 for match in found) == summary.errors
    assert sum(int(match["bytes"]) for match in found) == summary.body_bytes
    assert len({match["address"] for match in found}) == summary.addresses
    assert sum(re.search(", | : ", match["servers"]) is not None for match in found) == summary.kinds["retried"]
    assert sum(match["upstream"] == "" for match in found) == summary.kinds["unreadable"]
    assert sum(match["status"] == "499" for match in found) == summary.kinds["aborted"]
    assert sum(":" in match["address"] for match in found) == summary.visitors["ipv6"]
    assert sum(summary.kinds.values()) == sum(summary.visitors.values()) == LINES


def test_upstream_lists_have_equal_length(log: tuple[Path, Any]) -> None:
    """The four upstream variables of one line list the same servers, as nginx writes them."""
    for line in log[0].read_text(encoding="ascii").splitlines():
        match = INGRESS.fullmatch(line)
        assert match is not None
        columns = [re.split(", | : ", match[name]) for name in ("servers", "lengths", "seconds", "codes")]
        assert len({len(column) for column in columns}) == 1, line


def test_time_order_and_shares(log: tuple[Path, Any]) -> None:
    """Time never runs backwards at about 1,000 requests a second, and the shares are near what is promised."""
    path, summary = log
    times = re.findall(r"\[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d) ", path.read_text(encoding="ascii"))
    assert times == sorted(times)
    assert 900 < LINES / len(set(times)) < 1100
    assert summary.bytes / LINES == pytest.approx(267, abs=5)
    assert summary.visitors["ipv6"] / LINES == pytest.approx(0.08, abs=0.01)
    assert summary.visitors["node"] / LINES == pytest.approx(0.15, abs=0.01)
    assert summary.kinds["retried"] / LINES == pytest.approx(0.043, abs=0.002)


def test_whole_batches_have_exact_quotas(generate: ModuleType, tmp_path: Path) -> None:
    """A log of whole batches holds each kind exactly as often as its quota says."""
    summary = generate.generate(tmp_path / "batch.log", generate.BATCH, 3)
    assert {kind: summary.kinds[kind] for kind in generate.QUOTAS} == generate.QUOTAS


@pytest.fixture(scope="module")
def forms(generate: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Write the same requests in every form."""
    folder = tmp_path_factory.mktemp("forms")
    found, summaries = {}, {}
    for name in ("text", "nginx-json", "kong-json", "text+cri", "text+cri+fluent-bit"):
        summaries[name] = generate.generate(folder / name, SOME, 1, name)
        text = (folder / name).read_bytes()
        assert len(text) == summaries[name].bytes
        summaries[name].bytes = 0
        found[name] = text.decode().splitlines()
    assert all(summary == summaries["text"] for summary in summaries.values())
    return found


def plain(forms: dict[str, list[str]]) -> list[re.Match[str]]:
    """Read the lines of the default form."""
    found = [INGRESS.fullmatch(line) for line in forms["text"]]
    assert None not in found
    return [match for match in found if match is not None]


def unescaped(text: str) -> str:
    r"""Undo nginx's default escape, where `\xHH` is a byte and a dash is nothing."""
    if text == "-":
        return ""
    return re.sub(r"\\x(..)", lambda match: chr(int(match[1], 16)), text).encode("latin-1").decode(errors="replace")


def asked(match: re.Match[str]) -> str:
    """Return what was asked for, nothing where nginx could not read it."""
    request = re.fullmatch(r"[A-Z]+ (.*) HTTP/[\d.]+", unescaped(match["request"]))
    return request[1] if request else ""


def second(match: re.Match[str]) -> datetime:
    """Return when a default line was written."""
    return datetime.strptime(match["time"], "%d/%b/%Y:%H:%M:%S %z")


def test_nginx_json_says_what_the_text_says(forms: dict[str, list[str]]) -> None:
    """Each line is the documented JSON object, of the request that the same line of the text is of."""
    for match, line in zip(plain(forms), forms["nginx-json"], strict=True):
        said = json.loads(line)
        assert list(said) == [
            "time", "remote_addr", "x_forwarded_for", "request_id", "remote_user", "bytes_sent", "request_time",
            "status", "vhost", "request_proto", "path", "request_query", "request_length", "duration", "method",
            "http_referrer", "http_user_agent",
        ]  # fmt: skip
        assert datetime.fromisoformat(said["time"]) == second(match)
        assert said["remote_addr"] == match["address"]
        assert said["status"] == int(match["status"])
        assert said["bytes_sent"] == int(match["bytes"])
        assert said["path"] + "?" * bool(said["request_query"]) + said["request_query"] == asked(match)
        assert said["http_user_agent"] == unescaped(match["agent"])
        assert said["request_id"] == match[0][-32:]


def test_kong_json_says_what_the_text_says(forms: dict[str, list[str]]) -> None:
    """Each line is an object of Kong's log plugins, 1 to 3 KB, of the same request, and tells of the same servers."""
    for match, line in zip(plain(forms), forms["kong-json"], strict=True):
        said = json.loads(line)
        assert 1000 < len(line) < 3000
        assert datetime.fromtimestamp(said["started_at"] // 1000, UTC) == second(match)
        assert said["client_ip"] == said["request"]["headers"]["x-forwarded-for"] == match["address"]
        assert said["response"]["status"] == int(match["status"])
        assert said["response"]["size"] == int(match["bytes"])
        assert said["request"]["uri"] == asked(match)
        assert said["request"]["headers"]["user-agent"] == unescaped(match["agent"])
        servers = [server for server in re.split(", | : ", match["servers"]) if ":" in server]
        assert [f"{each['ip']}:{each['port']}" for each in said["tries"]] == servers
        assert (said["latencies"]["proxy"] >= 0) == bool(servers)


def test_envelopes_hold_the_text(forms: dict[str, list[str]]) -> None:
    """CRI puts a time, a stream and a tag before a line; Fluent Bit puts all of that into an object with the pod."""
    stamps = []
    for match, cri, enveloped in zip(plain(forms), forms["text+cri"], forms["text+cri+fluent-bit"], strict=True):
        stamp, stream, tag, line = cri.split(" ", 3)
        assert (stream, tag, line) == ("stdout", "F", match[0])
        assert re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{9}Z", stamp)
        assert datetime.fromisoformat(stamp[:19]).replace(tzinfo=UTC) == second(match)
        stamps.append(stamp)
        record = json.loads(enveloped)
        assert record["log"] == cri
        assert {"pod_name", "namespace_name", "host"} <= set(record["kubernetes"])
    assert stamps == sorted(stamps)


def test_compressed_logs_hold_the_same(generate: ModuleType, forms: dict[str, list[str]], tmp_path: Path) -> None:
    """A name that ends in .gz or .zst is compressed, the same each time."""
    text = "".join(f"{line}\n" for line in forms["text"]).encode()
    summary = generate.generate(tmp_path / "a.log.gz", SOME, 1)
    assert summary == generate.generate(tmp_path / "a.log.zst", SOME, 1)
    assert summary.bytes == len(text)
    assert gzip.decompress((tmp_path / "a.log.gz").read_bytes()) == text
    with generate.ZstdFile(tmp_path / "a.log.zst") as file:
        assert file.read() == text


def test_formats_run(tmp_path: Path) -> None:
    """The group measures whole processes, checks what they counted, and keeps the raw figures."""
    names = "logscan-nginx-json,logscan-zstd,unpack-zstd,logscan-kong,polars-schema"
    command = [sys.executable, str(BENCHMARKS / "run.py"), "formats", "--lines", "2000", "--kong-lines", "1000",
               "--runs", "1", "--data", str(tmp_path / "data"), "--json", str(tmp_path / "raw.json"),
               "--only", f"{names},logscan-kong-start,detect-text+cri"]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    [raw] = json.loads((tmp_path / "raw.json").read_text())
    cases = {case["name"]: case for case in raw["cases"]}
    assert [case["failure"] or case["skipped"] for case in cases.values()] == [None] * 7
    assert all(len(case["samples"]) == 1 for case in cases.values())
    assert [cases[name]["lost"] for name in names.split(",")] == [0, 0, None, 0, 0]
    assert cases["unpack-zstd"]["answers"][0]["log_bytes"] == cases["logscan-zstd"]["bytes"]
    assert cases["detect-text+cri"]["answers"][0]["figures"]["again"] > 0
    assert all(name in done.stdout for name in names.split(","))
    assert "- polars-schema / logscan on Kong's JSON, whole: " in done.stdout


def test_frames_run(tmp_path: Path) -> None:
    """Frames made by each tool hold the rows that the log has, and the bounds are those that were promised."""
    pytest.importorskip("duckdb")
    command = [sys.executable, str(BENCHMARKS / "run.py"), "frames", "--lines", "3000", "--runs", "1",
               "--data", str(tmp_path / "data"), "--json", str(tmp_path / "raw.json")]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, text=True)
    [raw] = json.loads((tmp_path / "raw.json").read_text())
    cases = {case["name"]: case for case in raw["cases"]}
    assert {case["failure"] for case in cases.values()} == {None}
    errors = cases["logscan-scan"]["answers"][0]["errors"]
    assert (
        errors == cases["polars-scan"]["answers"][0]["errors"] > cases["duckdb-scan"]["answers"][0]["figures"]["errors"]
    )
    assert cases["logscan-count"]["answers"][0]["rows"] == 3000


def test_readings_run(tmp_path: Path) -> None:
    """Preservation alone counts every row and finds the share that the whole report has."""
    command = [sys.executable, str(BENCHMARKS / "run.py"), "readings", "--lines", "3000", "--runs", "1",
               "--data", str(tmp_path / "data"), "--json", str(tmp_path / "raw.json")]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    [raw] = json.loads((tmp_path / "raw.json").read_text())
    cases = {case["name"]: case for case in raw["cases"]}
    assert {case["failure"] for case in cases.values()} == {None}
    assert cases["logscan-preservation"]["lost"] == cases["logscan"]["lost"] == 0
    assert "- logscan / preservation alone, wall: " in done.stdout
    log = next((tmp_path / "data").glob("text-*-3000.log"))
    alone = subprocess.run(
        [sys.executable, str(BENCHMARKS / "competitors" / "preservation_alone.py"), str(log)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert json.loads(alone.stdout)["preserved_pct"] == analyze(log).preservation.preserved_pct


def test_another_format_than_expected_is_a_failure() -> None:
    """A log that is read as something else was not measured as what the table says."""
    formats = load("formats")
    report = {"input": {"lines": 1, "parsed": 1, "rejected": 0, "other": 0,
                        "sources": [{"format": "nginx-json", "envelope": "none"}]}}  # fmt: skip
    assert formats.read_as("nginx-json")(json.dumps(report)).rows == 1
    with pytest.raises(ValueError, match="expected a log in kong-json in none, got nginx-json in none"):
        formats.read_as("kong-json")(json.dumps(report))


def test_bounds_say_which_figure_they_mean() -> None:
    """Forms are compared without start-up, other tools with it; the other figure stands beside, without a verdict."""
    formats, results = load("formats"), load("results")
    seconds = {"logscan-text": (1.0, 0.2, 100), "logscan-nginx-json": (2.2, 0.2, 200), "logscan-cri": (1.4, 0.2, 120),
               "logscan-kong": (1.0, 0.2, 300), "duckdb-columns": (2.1, 0.1, 300)}  # fmt: skip
    cases = {case.name: case for case in formats.cases(10, 10)}
    found = [
        results.Result(cases[case], 10, [load("measure").Sample(wall, wall, 1)], size=size)
        for name, (whole, start, size) in seconds.items()
        for case, wall in ((name, whole), (f"{name}-start", start))
    ]
    lines = [str(promise) for promise in formats.promises(found)]
    assert "nginx JSON / text, per byte, less start-up: 1.25 (at most 1.3: kept)" in lines
    assert "nginx JSON / text, per byte, whole: 1.10" in lines
    assert "CRI / text, per line, less start-up: 1.50 (at most 1.3: MISSED)" in lines
    assert "CRI / text, per line, whole: 1.40" in lines
    assert "duckdb-columns / logscan on Kong's JSON, whole: 2.10 (at least 3: MISSED)" in lines
    assert "duckdb-columns / logscan on Kong's JSON, less start-up: 2.50" in lines
