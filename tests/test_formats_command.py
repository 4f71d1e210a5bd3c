"""``logscan formats``: what is known, what a log is, what it lacks, and what to do about lines that nobody knows."""

from __future__ import annotations

import gzip
import json
import random
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from command import LINE, bash, logscan

import analyzer
from analyzer.jobs.formats import describe
from analyzer.parsing.documents import document_kind
from analyzer.parsing.envelopes import load_envelopes
from analyzer.parsing.formats import load_formats
from analyzer.parsing.json_format import JsonFormat
from analyzer.parsing.log_format import VARIABLES, compile_format
from analyzer.readings.missing import Found, missing
from analyzer.readings.products import OWN_VARIABLES
from analyzer.report.json import to_json

ROOT = Path(__file__).resolve().parent.parent
FORMATS = load_formats()
ENVELOPES = load_envelopes()
SAMPLE_LOGS = [
    *sorted(ROOT.glob("sample_logs/*/access.log")),
    *sorted(ROOT.glob("sample_logs/*/*/controller/0.log")),
]

#: What may not reach a terminal, whatever a log holds.
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def found(written: bytes | str) -> dict[str, Any]:
    """Return what was found in the only source, after checking what holds for every answer."""
    answer: dict[str, Any] = json.loads(written)
    assert answer["schema"] == "logscan.formats/1"
    [source] = answer["sources"]
    assert source["lines"] == source["parsed"] + source["rejected"] + source["other"]
    assert source["parsed"] == sum(source["formats"].values())
    assert source["other"] == sum(source["other_kinds"].values())
    return dict(source)


def look(path: Path, **options: Any) -> dict[str, Any]:
    """Return what the command finds in a file, without a process for each."""
    return found(to_json(describe([path], **options)))


def written(folder: Path, lines: list[str] | bytes, name: str = "access.log") -> Path:
    """Write a log."""
    content = lines if isinstance(lines, bytes) else "".join(f"{line}\n" for line in lines).encode()
    (folder / name).write_bytes(content)
    return folder / name


def test_list(tmp_path: Path) -> None:
    """Without an argument it lists every format, envelope and kind of document with its title."""
    result = logscan("formats", cwd=tmp_path)
    assert result.status == 0
    text = " ".join(result.stdout.decode().split())
    for known in (*FORMATS, *ENVELOPES):
        assert f"{known.name} {' '.join(known.title.split())}" in text
    answer = json.loads(logscan("formats", "--format", "json", cwd=tmp_path).stdout)
    assert [each["name"] for each in answer["formats"]] == [each.name for each in FORMATS]
    assert {"loki", "otlp", "array"} <= {each["name"] for each in answer["documents"]}


@pytest.mark.parametrize(
    "head",
    [
        b'{"status":"success","data":{"resultType":"streams","result":[]}}',
        b'{"resourceLogs":[]}',
        b'[{"textPayload":"x"}]',
        b'{"records":[{"a":1}]}',
        b'{"hits":{"hits":[]}}',
        b'{"logEvents":[]}',
        b'{\n  "a": 1\n}',
    ],
)
def test_documents_are_listed(head: bytes) -> None:
    """Every kind of document that is recognised has a title in the list."""
    assert document_kind(head) in {document.name for document in describe().documents}


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_format_by_name(known: Any) -> None:
    """A name or alias tells the title, the source, each string or all keys, and the columns."""
    for name in (known.name, *known.aliases):
        [told] = describe([name]).formats
        assert (told.name, told.title, told.source) == (known.name, known.title, known.source)
        for layout in known.layouts:
            assert set(layout.columns) <= set(told.columns)
            if isinstance(layout, JsonFormat):
                assert {field.variable for field in layout.fields} <= set(told.json)
            else:
                assert layout.text in told.texts


def test_of_a_long_log_that_nobody_knows_the_beginning_is_shown(tmp_path: Path) -> None:
    """Where no format reads a line, more is tried than is told of; that there is more is said."""
    log = written(tmp_path, b"what a line this is\n" * 200_000)
    told = look(log)
    assert told["formats"] == {}
    assert told["whole"] is False
    assert told["bytes"] < log.stat().st_size


def test_name_on_the_terminal(tmp_path: Path) -> None:
    """A format's string stands unbroken on a line of its own, to be copied; an envelope is shown as well."""
    lines = logscan("formats", "ingress-nginx", "cri", cwd=tmp_path).stdout.decode().splitlines()
    [nginx] = (known for known in FORMATS if known.name == "ingress-nginx")
    assert any(line.endswith(nginx.layouts[0].text) for line in lines)  # type: ignore[union-attr]
    assert any("$cri_tag$message" in line for line in lines)


def test_a_name_is_no_file(tmp_path: Path) -> None:
    """A known name is that format; the file of that name is meant by its path."""
    written(tmp_path, LINE, "combined")
    assert json.loads(logscan("formats", "combined", "--format", "json", cwd=tmp_path).stdout)["sources"] == []
    assert found(logscan("formats", "./combined", "--format", "json", cwd=tmp_path).stdout)["format"] == "ingress-nginx"


@pytest.mark.parametrize("path", SAMPLE_LOGS, ids=lambda path: "-".join(path.parts[-3:-1])[-40:])
def test_sample_logs_as_analyze_reads_them(path: Path) -> None:
    """Format, envelope and counts of a sample log are those of its report."""
    [told] = describe([path]).sources
    [row] = analyzer.analyze(path).input.sources
    assert told.whole
    assert (told.format, "+".join(told.envelopes) or "none") == (row.format, row.envelope)
    assert (told.lines, told.parsed, told.rejected, told.other) == (row.lines, row.parsed, row.rejected, row.other)
    assert {column.name for column in told.columns} >= {"time", "remote_addr", "status"}
    assert all(0 <= column.pct <= 100 for column in told.columns)


@pytest.mark.parametrize("path", sorted({envelope.path for envelope in ENVELOPES}), ids=lambda path: path.stem)
def test_envelope_samples_as_analyze_reads_them(path: Path, tmp_path: Path) -> None:
    """Every envelope's samples: what is said of them is what a report says, and no line is lost."""
    samples = tomllib.loads(path.read_text(encoding="utf-8"))["sample"]
    log = written(tmp_path, [line for sample in samples for line in sample["lines"]])
    [told] = describe([log]).sources
    [row] = analyzer.analyze(log).input.sources
    assert told.lines == told.parsed + told.rejected + told.other
    assert (told.format, told.formats) == (row.format, row.formats)
    assert (told.lines, told.parsed, told.rejected, told.other) == (row.lines, row.parsed, row.rejected, row.other)
    if told.parsed:
        assert ("+".join(told.envelopes) or "none") == row.envelope


def test_origins(tmp_path: Path) -> None:
    """Nodes, pods, namespaces and containers that envelopes name are counted, and a few are named."""
    lines = []
    for number in range(8):
        kubernetes = {"pod_name": f"pod-{number}", "namespace_name": "shop", "host": "worker-1", "container_name": "c"}
        lines.append(json.dumps({"log": LINE.decode(), "stream": "stdout", "kubernetes": kubernetes}))
    told = look(written(tmp_path, lines))
    assert told["origins"]["pod"]["distinct"] == 8
    assert told["origins"]["pod"]["names"] == [f"pod-{number}" for number in range(5)]
    assert told["origins"]["node"] == {"distinct": 1, "names": ["worker-1"]}
    assert "skew" not in {gap["reading"] for gap in told["missing"]}


def test_path_names_the_pod(tmp_path: Path) -> None:
    """The kubelet's path names the pod; the node is what --cluster is for."""
    folder = tmp_path / "shop_web-0_5d1c9a34-8e07-4b7b-b3c6-77a2e90b4f22" / "nginx"
    folder.mkdir(parents=True)
    [told] = describe([written(folder, LINE, "0.log")]).sources
    assert told.origins["pod"].names == ["web-0"]
    assert any(gap.reading == "skew" and "--cluster" in (gap.remedy or "") for gap in told.missing)


def test_formats_side_by_side(tmp_path: Path) -> None:
    """Lines of a further format are counted to it, error-log lines to their kind."""
    kong = '203.0.113.7 - - [21/Nov/2026:07:08:09 +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8" kong_request_id: "0a"'
    error = "2026/11/21 07:08:09 [error] 7#7: *1 connect() failed"
    told = look(written(tmp_path, [LINE.decode().strip()] * 5 + [kong] * 2 + [error]))
    assert told["format"] == "ingress-nginx"
    assert told["formats"] == {"ingress-nginx": 5, "kong": 2}
    assert told["other_kinds"] == {"error-log": 1}


@pytest.mark.parametrize("compressed", [False, True])
def test_long_log(tmp_path: Path, compressed: bool) -> None:  # noqa: FBT001
    """Only the beginning of a long log is read, which the answer says."""
    content = LINE * 20_000
    path = written(tmp_path, gzip.compress(content, 1) if compressed else content)
    told = look(path)
    assert told["whole"] is False
    assert told["compression"] == ("gzip" if compressed else None)
    assert 2_000 < told["parsed"] == told["lines"] < 10_000
    assert "there is more" in logscan("formats", path.name, cwd=tmp_path).stdout.decode()


def test_begins_with_other_lines(tmp_path: Path) -> None:
    """A log that begins with megabytes of a controller's messages is known by its first access lines."""
    klog = b"I1121 07:08:09.123456       7 controller.go:1114] nothing to see here, and quite a lot of it\n"
    told = look(written(tmp_path, klog * 30_000 + LINE * 10))
    assert told["format"] == "ingress-nginx"
    assert told["other_kinds"] == {"controller": 30_000}


def test_standard_input(tmp_path: Path) -> None:
    """A dash is standard input."""
    told = found(logscan("formats", "-", "--format", "json", cwd=tmp_path, stdin=LINE * 3).stdout)
    assert (told["uri"], told["format"], told["parsed"]) == ("-", "ingress-nginx", 3)


def test_rejected_line_is_pointed_at(tmp_path: Path) -> None:
    """A rejected line is shown round the place where it stops fitting, with a marker under it."""
    broken = LINE.decode().strip().replace('" 200 612', '" 2O0 612')
    log = written(tmp_path, [*[LINE.decode().strip()] * 16, broken])
    [sample] = look(log)["rejected_samples"]
    assert (sample["line"], sample["column"]) == (17, broken.index("2O0") + 1)
    assert sample["reason"] == "$status is not a status of at most three digits"
    lines = logscan("formats", log.name, cwd=tmp_path).stdout.decode().splitlines()
    [marker] = (number for number, line in enumerate(lines) if line.strip() == "^")
    assert lines[marker - 1][lines[marker].index("^") :].startswith("2O0 612")


@pytest.mark.parametrize("odd", ["\x1b]0;x\x07", "\x1b[31m", "\u202e", "漢字", "\\x1b", "\xff", "a" * 300])
def test_marker_stands_right_behind_anything(tmp_path: Path, odd: str) -> None:
    """Escapes and wide characters before the place do not move the marker off it, and nothing goes past 80 columns."""
    from rich.cells import cell_len  # noqa: PLC0415

    broken = LINE.decode().strip().replace("/shop", f"/{odd}").replace('" 200 612', '" !00 612')
    log = written(tmp_path, [*[LINE.decode().strip()] * 3, broken])
    lines = logscan("formats", log.name, cwd=tmp_path).stdout.decode().splitlines()
    [marker] = (number for number, line in enumerate(lines) if line.strip() == "^")
    cells = "".join(char * cell_len(char) for char in lines[marker - 1])
    assert cells[lines[marker].index("^") :].startswith("!00 612")
    assert all(cell_len(line) <= 80 for line in lines[marker - 2 : marker + 1])


UNKNOWN = {
    "behind-an-arrow": [
        '179524{i}.123 | 203.0.113.{n} -> shop "GET /a/{i} HTTP/1.1" 200 {i} {n}ms "curl/8"',
        '179524{i}.456 | 203.0.113.{n} -> shop "POST /b HTTP/2.0" 404 0 {n}ms "Mozilla/5.0 (X11; Linux x86_64)"',
    ],
    "logfmt": [
        'time=2026-11-21T07:08:09Z level=info ip=203.0.113.{n} status=200 dur=0.00{n} path=/a ua="curl/8 (x)"',
        'time=2026-11-21T07:08:10Z level=warn ip=2001:db8::{n} status=503 dur=1.5 path=/b ua=""',
    ],
    "tabs": [
        "203.0.113.{n}\t1795244889.123\tGET\t/a b\t200\t{i}\tcurl/8",
        "203.0.113.{n}\t1795244890.456\tPOST\t/\t404\t0\tMozilla/5.0 (X11)",
    ],
    "combined-and-more": [
        '203.0.113.{n} - - [21/Nov/2026:07:08:09 +0000] "GET / HTTP/1.1" 200 {i} "-" "a" "198.51.100.{n}" rt=0.004',
        '203.0.113.{n} - bob [21/Nov/2026:07:08:09 +0000] "GET / HTTP/1.1" 304 - "https://x.example/" "a" "-" rt=-',
    ],
    "agent-without-quotes": [
        "shop.example.org 203.0.113.{n}:{i} [2026-11-21 07:08:09,123] GET /x HTTP/2.0 200 5 Mozilla/5.0 (X; y)",
        "api.example.org 203.0.113.{n}:{i} [2026-11-21 07:08:09,125] GET /x HTTP/2.0 204 5 curl/8",
    ],
    "in-an-envelope": ['2026-11-21T07:08:09.5Z stdout F 203.0.113.{n} -> shop "GET /a/{i} HTTP/1.1" 200 {i} "curl/8"'],
    "quotes-and-dollars": ["it's $5 203.0.113.{n} `id` [21/Nov/2026:07:08:09 +0000] \"GET /$HOME HTTP/1.1\" 200 '{i}'"],
}


@pytest.mark.parametrize("lines", UNKNOWN.values(), ids=UNKNOWN)
def test_suggestion_is_accepted_by_analyze(tmp_path: Path, lines: list[str]) -> None:
    """For an unknown text format a string is suggested that analyze takes, and that reads every line."""
    log = written(tmp_path, [lines[i % len(lines)].format(i=1000 + i, n=i % 9 + 1) for i in range(40)])
    result = logscan("formats", log.name, "--format", "json", cwd=tmp_path)
    assert result.status == 3
    assert result.stderr.startswith("logscan: expected access-log lines, got none that a known format reads")
    told = found(result.stdout)
    suggestion = told["suggested_format"]
    assert (suggestion["read"], suggestion["lines"]) == (40, 40)
    report = logscan(
        "analyze", log.name, "--log-format", suggestion["log_format"], "--format", "json", cwd=tmp_path
    ).report
    assert report["input"]["parsed"] == 40
    assert report["preservation"]["considered"] == 40
    assert report["preservation"]["classes"]["unknown"]["requests"] == 0
    # What the terminal shows can be pasted as it is.
    shown = logscan("formats", log.name, cwd=tmp_path).stdout.decode()
    [command] = (line.strip() for line in shown.splitlines() if line.strip().startswith("logscan analyze"))
    pasted = bash(f"{command} --format json", cwd=tmp_path)
    assert pasted.report["input"]["parsed"] == 40


def test_suggested_rule_is_accepted(tmp_path: Path) -> None:
    """For unknown JSON the keys are shown with what they may be, and a rule file that reads every line."""
    lines = [
        json.dumps(
            {
                "eventTime": f"2026-11-21T07:08:{second:02}.5Z",
                "who": {"address": f"203.0.113.{second}", "agent": "curl/8.16.0"},
                "http": {"verb": "GET", "target": "/a~b", "code": 200},
                "tookMs": second,
                "odd/key~": None,
            }
        )
        for second in range(30)
    ]
    log = written(tmp_path, lines)
    told = look(log)
    keys = {key["pointer"]: key["variable"] for key in told["suggested_keys"]}
    assert keys["/who/address"] == "remote_addr"
    assert keys["/tookMs"] == "request_time_ms"
    assert keys["/odd~1key~0"] is None
    assert told["suggested_rule"]["read"] == 30
    rules = tmp_path / "rules" / "formats"
    rules.mkdir(parents=True)
    (rules / "mine.toml").write_text(told["suggested_rule"]["toml"], encoding="utf-8")
    assert look(log, rules=[tmp_path / "rules"])["formats"] == {"mine": 30}


@pytest.mark.parametrize("text", ["", "hello\n", "lorem ipsum dolor sit amet\n" * 50, "a b c\n" * 9 + "1 2 3\n" * 9])
def test_no_suggestion_for_what_is_no_access_log(tmp_path: Path, text: str) -> None:
    """Prose is no access log, and nothing is made up for it."""
    result = logscan("formats", written(tmp_path, text.encode()).name, "--format", "json", cwd=tmp_path)
    assert result.status == 3
    assert found(result.stdout)["suggested_format"] is None


def layouts_to_ask() -> list[Any]:
    """Every variant of every format."""
    return [
        pytest.param(layout, id=f"{known.name}-{number}")
        for known in FORMATS
        for number, layout in enumerate(known.layouts)
    ]


@pytest.mark.parametrize("layout", layouts_to_ask())
def test_what_to_log_instead_lacks_nothing(layout: Any) -> None:
    """The string to log instead is one that logscan takes, and the readings that it is for are served by it."""
    shares = dict.fromkeys(layout.columns, 100.0)
    gaps, instead = missing(Found(layout, shares, fine=False, node=True, pod=True))
    if instead is None:
        return
    assert instead.where
    assert instead.source.startswith("https://")
    if instead.read_with is None:
        return
    better = compile_format(instead.read_with)
    left, _ = missing(Found(better, dict.fromkeys(better.columns, 100.0), fine=True, node=True, pod=True))
    lacked = {gap.reading for gap in gaps if gap.remedy and gap.remedy.startswith("log ")}
    assert lacked
    assert not lacked & {gap.reading for gap in left}


@pytest.mark.parametrize("layout", layouts_to_ask())
def test_every_gap_says_what_can_be_done(layout: Any) -> None:
    """Whatever a format lacks for a reading, it is said what to log, or what else can be done."""
    for columns in (layout.columns, {}, {"remote_addr": 0}):
        for fine in (None, False, True):
            gaps, instead = missing(Found(layout, dict.fromkeys(columns, 0.0), fine, node=False, pod=False))
            assert all(gap.text and gap.remedy for gap in gaps), gaps
            assert instead is None or instead.where


def test_a_logged_chain_still_lacks_the_peer(tmp_path: Path) -> None:
    """With X-Forwarded-For alone nobody can say who sent it, and what more to log is said."""
    line = '10.0.0.7 - - [21/Nov/2026:07:08:09 +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8.16.0" "81.2.69.142"'
    told = look(written(tmp_path, [line] * 3), log_format="main")
    (trust,) = (gap for gap in told["missing"] if gap["reading"] == "trust")
    assert trust["text"] == "no $realip_remote_addr: cannot test for forging"
    assert trust["remedy"] == "log $realip_remote_addr"


def test_nginx_is_told_what_to_log(tmp_path: Path) -> None:
    """The recommended string, once in use, leaves nothing to ask for: no gap in trust, none in rate limits."""
    told = look(written(tmp_path, LINE))
    gaps = {gap["reading"]: gap for gap in told["missing"]}
    assert gaps["trust"]["text"] == "no X-Forwarded-For and no $realip_remote_addr: cannot test for forging"
    assert "whole seconds" in gaps["rate limits"]["text"]
    instead = told["log_instead"]
    assert instead["kind"] == "whole"
    assert "log-format-upstream" in instead["where"]
    line = LINE.decode().strip() + ' "198.51.100.7, 10.0.0.1" 10.0.0.1 1795244889.123'
    again = look(written(tmp_path, [line] * 3), log_format=instead["text"])
    assert again["parsed"] == 3
    assert not {"trust", "rate limits"} & {gap["reading"] for gap in again["missing"]}
    assert again["log_instead"] is None


def test_own_variables_are_known() -> None:
    """The variables that keep a format from being nginx's are variables."""
    assert set(VARIABLES) >= OWN_VARIABLES


def test_json_that_nginx_writes(tmp_path: Path) -> None:
    """A custom format that writes JSON in a fixed order is given back as JSON with more members."""
    text = '{"ip": "$remote_addr", "t": "$time_iso8601", "s": "$status"}'
    lines = ['{"ip": "203.0.113.7", "t": "2026-11-21T07:08:09+00:00", "s": "200"}'] * 3
    instead = look(written(tmp_path, lines), log_format=text)["log_instead"]["text"]
    assert json.loads(instead)["realip_remote_addr"] == "$realip_remote_addr"
    assert instead.startswith(text[:-1])


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        (
            '[2026-11-21T07:08:09.123Z] "GET / HTTP/1.1" 200 - 0 5 3 2 "203.0.113.7" "curl/8" "id" "x" "10.0.0.1:80"',
            "%DOWNSTREAM_REMOTE_ADDRESS%",
        ),
        (
            '203.0.113.7 - - [21/Nov/2026:07:08:09 +0000] "GET / HTTP/1.1" 200 5 "-" "-" 1 "r@x" "http://10.0.0.1" 2ms',
            "--accesslog.fields.headers.names.X-Forwarded-For=keep",
        ),
        (
            '203.0.113.7:5000 [21/Nov/2026:07:08:09.123] a b/s 0/0/0/1/1 200 5 - - ---- 1/1/0/0/0 0/0 "GET / HTTP/1.1"',
            "capture request header X-Forwarded-For",
        ),
    ],
    ids=["envoy", "traefik", "haproxy"],
)
def test_other_products_are_told_in_their_own_words(tmp_path: Path, lines: str, wanted: str) -> None:
    """Where nginx's variables are unknown, the product's own operator, option or directive is named."""
    log = written(tmp_path, [lines] * 3)
    assert wanted in json.dumps(look(log))
    assert wanted in " ".join(logscan("formats", log.name, cwd=tmp_path).stdout.decode().split())


def test_no_time_no_agent(tmp_path: Path) -> None:
    """A format without time and user agent says for which readings they are missing."""
    told = look(written(tmp_path, ["203.0.113.7 200"] * 2), log_format="$remote_addr $status")
    assert {"timeline", "rate limits", "health probes", "trust", "skew"} == {gap["reading"] for gap in told["missing"]}


def hostile() -> dict[str, bytes]:
    """Logs that want to drive a terminal, to be slow, or to be large."""
    noise = random.Random(7)
    return {
        "escapes": b'\x1b]0;title\x07 \xff\xfe\x00 "\x1b[2J" [\xe2\x80\xae] \xc2\x9b31m\r10.0.0.1\n' * 100,
        "escapes-in-requests": LINE.replace(b"curl", b"\x1b[2J\xe2\x80\xae") + LINE.replace(b"200", b"\x1b[31m"),
        "escapes-in-keys": b'{"\\u001b[31m":"\\u001b]0;x\\u0007","a\xe2\x80\xaeb":1,"\x7f":2}\n' * 100,
        "quotes": b'"' * 100_000 + b"\n" + b'\\"' * 50_000 + b"\n" + b'"\\' * 2_000 + b"\n",
        "brackets": b"[" * 100_000 + b"\n" + b"[]" * 2_000 + b"\n" + b'{"a":' * 50_000 + b"\n",
        "equals": b"a=" * 2_000 + b"\n" + b"a=b " * 1_000 + b"\n",
        "dashes": (b"- " * 2_000 + b"\n") * 200,
        "numbers": (b"9" * 4_000 + b"\n") * 50 + (b"1." * 2_000 + b"\n") * 50,
        "one-line": b"x" * 3_000_000,
        "noise": noise.randbytes(2 << 20),
        "blank": b"\n" * (1 << 20),
        "nested": (b'{"message":' * 2_000 + b"1" + b"}" * 2_000 + b"\n") * 20,
        "many-keys": b"".join(b'{"k%d":%d}\n' % (number, number) for number in range(5_000)),
        "dollars": b"$remote_addr ${status} $(id) `id` '; id #\n" * 100,
    }


@pytest.mark.parametrize("content", hostile().values(), ids=hostile())
def test_hostile_log(tmp_path: Path, content: bytes) -> None:
    """No log drives the terminal, breaks the answer or keeps it waiting; each is answered, with 0 or 3."""
    path = written(tmp_path, content)
    result = logscan("formats", path.name, cwd=tmp_path, timeout=30)
    assert result.status in {0, 3}
    assert "Traceback" not in result.stderr
    assert not UNSAFE.search(result.stdout.decode() + result.stderr)
    as_json = logscan("formats", path.name, "--format", "json", cwd=tmp_path, timeout=30)
    assert not UNSAFE.search(as_json.stdout.decode())
    found(as_json.stdout)


def test_hostile_name(tmp_path: Path) -> None:
    """A file's name drives no terminal and cannot be taken for an option or a command when it is pasted."""
    name = "a\x1b[31m'; touch owned; '.log"
    lines = [UNKNOWN["logfmt"][0].format(i=i, n=i % 9) for i in range(9)]
    written(tmp_path, lines, name)
    result = logscan("formats", name, cwd=tmp_path)
    shown = result.stdout.decode()
    assert not UNSAFE.search(shown + result.stderr)
    [command] = (line.strip() for line in shown.splitlines() if line.strip().startswith("logscan analyze"))
    assert shlex.split(command)[-1] == name.replace("\x1b", "\\x1b")


def test_broken_source_among_others(tmp_path: Path) -> None:
    """One log that is missing does not keep the others from being told; the exit code says it."""
    log = written(tmp_path, LINE)
    result = logscan("formats", log.name, "gone.log", "--format", "json", cwd=tmp_path)
    assert result.status == 2
    assert result.stderr.startswith("logscan: gone.log: expected a file")
    told = json.loads(result.stdout)["sources"]
    assert [source["format"] for source in told] == ["ingress-nginx", None]
    alone = logscan("formats", "gone.log", cwd=tmp_path)
    assert (alone.status, alone.stdout) == (2, b"")
    assert "logscan formats lists the names that are known" in alone.stderr


def test_terminal_width(tmp_path: Path) -> None:
    """All but what is there to be copied fits 80 columns."""
    for args in ([], [written(tmp_path, LINE).name], ["kong-json"]):
        for line in logscan("formats", *args, cwd=tmp_path).stdout.decode().splitlines():
            is_copied = line.strip().startswith(("$remote_addr", "https://")) or "https://" in line
            assert len(line) <= 80 or is_copied, line
