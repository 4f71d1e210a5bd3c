"""Scanning pieces and putting them together: nothing is lost, and nothing depends on where pieces end."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runs import KNOWN, run_all
from scanners import FORMATS
from wrapping import ENVELOPES, Where, fluent_bit

import analyzer
from analyzer.errors import UsageError
from analyzer.parsing.detect import Known, Shape
from analyzer.parsing.formats import choose_format, load_formats
from analyzer.parsing.origin import Origin
from analyzer.runs import piece_scan
from analyzer.sources import reading, streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from runs import Ran

SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

ERROR = '2026/11/21 07:08:09 [error] 31#31: *7 limiting requests, excess: 5.5 by zone "z", client: 203.0.113.7'
BROKEN = (
    '2026/11/21 07:08:09 [error] 31#31: *4 broken header: "GET / HTTP/1.1',
    "Host: example.org",
    '" while reading PROXY protocol, client: 203.0.113.7, server: 0.0.0.0:80',
)
KLOG = "W1121 07:08:09.123456       7 controller.go:1114] Service does not have any active Endpoint"
BANNER = "-------------------------------------------------------------------------------"
BAD = '203.0.113.7 - - [21/Nov/2026:07:08:09 +0000] "GET / HTTP/1.1" two-hundred'
PLUGIN = json.dumps({"latencies": {"request": 5}, "client_ip": "203.0.113.9"})


def sample(name: str, number: int = 0) -> str:
    """A line that a format reads."""
    lines = [one["line"] for one in FORMATS[name].samples if "expect" in one]
    return str(lines[number])


KONG, ADMIN = sample("kong"), sample("combined")
HTTP, STREAM = sample("ingress-nginx"), sample("ingress-nginx-stream")
LONG = HTTP.replace("GET /", "GET /" + "long/" * 30, 1)
#: What stands on one stream; a record may be of several lines.
SOURCES: dict[str, list[tuple[str, ...]]] = {
    "kong": [(KONG,), (ADMIN,), (ERROR,), BROKEN, (sample("kong-json"),), (BAD,), ("",), (PLUGIN,)],
    "ingress": [(HTTP,), (LONG,), (STREAM,), (ERROR,), BROKEN, (KLOG,), (BANNER,), (BAD,), ("",), BROKEN[:2]],
    "json": [(sample("nginx-json"),), (sample("traefik-json"),), ('{"half":',), ("text",), (HTTP,)],
}


def cri_parts(line: str, size: int, stream: str = "stdout", second: int = 9) -> list[str]:
    """A line as containerd splits it, in parts of so many characters."""
    parts = [line[at : at + size] for at in range(0, len(line), size)] or [""]
    tags = ["P"] * (len(parts) - 1) + ["F"]
    return [f"2026-11-21T07:08:{second:02}.5Z {stream} {tag} {part}" for part, tag in zip(parts, tags, strict=True)]


def docker_parts(line: str, size: int, stream: str = "stdout") -> list[str]:
    """A line as Docker splits it."""
    parts = [line[at : at + size] for at in range(0, len(line), size)] or [""]
    parts[-1] += "\n"
    return [
        json.dumps({"log": part, "stream": stream, "time": "2026-11-21T07:08:09.5Z"}, separators=(",", ":"))
        for part in parts
    ]


def text_of(lines: Sequence[str]) -> bytes:
    """The lines, each with its end."""
    return "".join(f"{line}\n" for line in lines).encode()


class Split(NamedTuple):
    """How a log is stored and read."""

    piece: int
    packed: bool
    workers: int


splits = st.builds(Split, st.integers(200, 2000), st.booleans(), st.integers(1, 3))


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Ran, bytes]]:
    """Return a function that reads content split in some way, and returns what was read and rejected."""
    sizes = (reading.MAX_LINE, reading.PIECE, streams._FIRST_PIECE)

    def run(
        content: bytes, split: Split | None = None, *, longest: int | None = None, known: Known = KNOWN
    ) -> tuple[Ran, bytes]:
        path, rejects = tmp_path / "log", tmp_path / "rejects"
        path.write_bytes(gzip.compress(content, 1) if split is not None and split.packed else content)
        with monkeypatch.context() as patch:
            patch.setattr(reading, "MAX_LINE", longest or sizes[0])
            patch.setattr(reading, "PIECE", split.piece if split else sizes[1])
            patch.setattr(streams, "PIECE", split.piece if split else sizes[1])
            patch.setattr(streams, "_FIRST_PIECE", split.piece if split else sizes[2])
            [ran] = run_all([path], workers=split.workers if split else 1, rejects=rejects, known=known)
        return ran, rejects.read_bytes()

    return run


def same(found: tuple[Ran, bytes], expected: tuple[Ran, bytes]) -> None:
    """Fail unless two runs tell the same."""
    assert found[1] == expected[1]
    assert found[0].facts() == expected[0].facts()


@pytest.mark.parametrize("name", SOURCES)
@SETTINGS
@given(data=st.data())
def test_mixed_lines_are_read_alike_however_they_are_split(
    name: str, read: Callable[..., tuple[Ran, bytes]], data: st.DataObject
) -> None:
    """Formats, error records over several lines and garbage on one stream: pieces and threads change nothing."""
    records = data.draw(st.lists(st.sampled_from(SOURCES[name]), min_size=10, max_size=60))
    content = text_of([line for record in records for line in record])
    end = data.draw(st.sampled_from([None, -1]))
    same(read(content[:end], data.draw(splits), longest=2000), read(content[:end], longest=2000))


@pytest.mark.parametrize("name", SOURCES)
def test_mixed_lines_are_read_alike_at_every_border(name: str, read: Callable[..., tuple[Ran, bytes]]) -> None:
    """The same with a border at every line, and at others, plain and packed."""
    content = text_of([line for record in SOURCES[name] * 2 for line in record])
    expected = read(content)
    for size in (1, *range(200, len(content), 400)):
        same(read(content, Split(size, packed=False, workers=2)), expected)
        same(read(content, Split(size, packed=True, workers=1), longest=2000), expected)


@pytest.mark.parametrize("runtime", ["cri", "docker"])
@SETTINGS
@given(data=st.data())
def test_split_records_are_read_alike_however_they_are_split(
    runtime: str, read: Callable[..., tuple[Ran, bytes]], data: st.DataObject
) -> None:
    """Records that a runtime split, two streams in one another: wherever a piece ends they are joined, rejects too."""
    records = data.draw(st.lists(st.sampled_from(SOURCES["ingress"][:-1]), min_size=5, max_size=30))
    size = data.draw(st.integers(60, 300))
    make = cri_parts if runtime == "cri" else docker_parts
    streams_ = {"stdout": [line for record in records for line in record]}
    streams_["stderr"] = data.draw(st.lists(st.sampled_from([KLOG, ERROR, BAD]), max_size=10))
    queues = [[part for line in lines for part in make(line, size, name)] for name, lines in streams_.items()]
    lines = [make(HTTP, 1000)[0]] * 3
    while any(queues):
        queue = queues[0] if not queues[1] or (queues[0] and data.draw(st.booleans())) else queues[1]
        lines.append(queue.pop(0))
    content = text_of(lines)
    # A cut waits for the end of a record no longer than the longest line: here all records end before.
    same(read(content, data.draw(splits), longest=1 << 16), read(content, longest=1 << 16))


def test_a_record_is_joined_at_every_border(read: Callable[..., tuple[Ran, bytes]]) -> None:
    """Pieces of every size, and so a border at every line, give one row for a record of several parts."""
    lines = [*cri_parts(HTTP, 400), *cri_parts(LONG, 60), *cri_parts(BAD, 30), *cri_parts(LONG, 100)]
    content = text_of(lines)
    expected = read(content)
    ran, rejects = expected
    assert (ran.log.parsed, ran.log.rejected, ran.log.other) == (3, 1, ran.log.other)
    assert ran.log.other.kinds == {"continuation": len(lines) - 4}
    assert rejects == text_of(cri_parts(BAD, 30))
    for size in (1, 2, *range(150, len(content), 150)):
        for packed in (False, True):
            same(read(content, Split(size, packed, 2), longest=2000), expected)


def test_an_unfinished_error_record_goes_on_behind_split_lines(read: Callable[..., tuple[Ran, bytes]]) -> None:
    """An error record that is never finished takes the same lines to itself wherever pieces end."""
    lines = [part for line in (HTTP, *BROKEN[:2], KLOG, KLOG, HTTP) for part in cri_parts(line, 60)]
    same(read(text_of(lines), Split(1, packed=False, workers=1)), read(text_of(lines)))


def test_what_a_log_is_may_be_seen_late(read: Callable[..., tuple[Ran, bytes]]) -> None:
    """Lines of no format at the beginning of a log do not keep the split records behind them from being joined."""
    lines = ["lorem ipsum dolor sit amet"] * 5000
    lines += [part for _ in range(200) for part in cri_parts(LONG, 60)]
    content = text_of(lines)
    expected = read(content)
    assert (expected[0].log.parsed, expected[0].log.rejected) == (200, 5000)
    length = len(text_of(lines[:5000]))
    for at in range(length + 70_000, length + 71_000, 100):
        same(read(content, Split(at, packed=False, workers=2), longest=1 << 16), expected)


def test_many_rejected_lines_do_not_break_records(
    read: Callable[..., tuple[Ran, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rejected lines are sorted out in between; a record whose parts stand before and after is joined all the same."""
    lines = [part for _ in range(30) for line in (LONG, BAD) for part in cri_parts(line, 60)]
    content = text_of(lines)
    expected = read(content)
    monkeypatch.setattr(piece_scan, "_MISFITS", 1)
    same(read(content, longest=500), expected)
    assert (expected[0].log.parsed, expected[0].log.rejected) == (30, 30)


def test_rejects_come_in_the_order_of_the_source(read: Callable[..., tuple[Ran, bytes]]) -> None:
    """The parts of rejected records are written where they stood, with those of the other stream between them."""
    bad = cri_parts(BAD, 40)
    between = cri_parts("stderr: " + BAD, 60, "stderr")
    good = cri_parts(HTTP, 1000)
    lines = [*good, bad[0], between[0], *bad[1:], *good, *between[1:], "no envelope", *good]
    ran, rejects = read(text_of(lines))
    assert rejects == text_of([line for line in lines if line not in good])
    assert {number for number, _ in ran.samples} == {2, 3, lines.index("no envelope") + 1}
    assert ran.log.other.kinds == {"continuation": len(bad) + len(between) - 2}


@pytest.mark.parametrize("outer", ["none", "cri", "docker", "fluent-bit", "kubectl-prefix", "syslog-5424", "vector"])
def test_rejects_are_byte_for_byte(outer: str, read: Callable[..., tuple[Ran, bytes]]) -> None:
    """Rejected lines are written as they stand in the source, odd bytes, returns and a missing end too."""
    wrap = ENVELOPES[outer].wrap if outer != "none" else lambda line, _: line
    good, bad = wrap(HTTP, Where()).encode(), wrap(BAD, Where()).encode()
    odd = bad.replace(b"GET", b"\xff\xfe\t G")
    content = b"\n".join([good, bad + b"\r", b"", good, odd, b"\x80no envelope", good, bad])
    for split in (None, Split(400, packed=False, workers=2), Split(400, packed=True, workers=2)):
        ran, rejects = read(content, split, longest=2000)
        assert rejects == b"\n".join([bad + b"\r", odd, b"\x80no envelope", bad])
        assert [number for number, _ in ran.samples] == [2, 5, 6, 8]
        assert ran.log.other.kinds == {"blank": 1}


def test_lines_that_are_too_long(read: Callable[..., tuple[Ran, bytes]]) -> None:
    """A line that is too long is one rejected line, in an envelope too, and what waits before it is not lost."""
    parts = cri_parts(HTTP, 120)
    long = ENVELOPES["cri"].wrap("x" * 5000, Where())
    lines = [parts[0], parts[1], long, *parts, long, long]
    content = text_of(lines)
    expected = read(content, longest=1000)
    ran, rejects = expected
    assert (ran.log.lines, ran.log.parsed, ran.log.rejected) == (len(lines), 2 if len(parts) == 2 else 1, 3)
    assert rejects == content.replace(text_of(parts), b"")
    for piece in (200, 700, 3000):
        same(read(content, Split(piece, packed=False, workers=2), longest=1000), expected)


def test_variants_of_a_format_are_one_stream(read: Callable[..., tuple[Ran, bytes]]) -> None:
    """Lines that different variants of a format read stay in the order of the log, in whatever pieces it comes."""
    variants = (
        "[203.0.113.7] [21/Nov/2026:07:{:02}:09 +0000] TCP 200 1280 517 0.502",
        "203.0.113.7 [21/Nov/2026:07:{:02}:09 +0000] TCP [] [up] 200 1280 517 0.502",
    )
    for wrap in (lambda line: line, lambda line: fluent_bit(line, Where())):
        content = text_of([wrap(variants[minute % 3 % 2].format(minute)) for minute in range(60)])
        expected = read(content)
        [rows] = expected[0].streams.values()
        assert rows["time"].is_sorted()
        same(read(content, Split(500, packed=False, workers=2), longest=1000), expected)


def test_labels_that_differ_make_no_streams(read: Callable[..., tuple[Ran, bytes]]) -> None:
    """Labels that differ line by line in what is no origin leave the lines of a pod in one stream, in order."""
    lines = [
        f'2026-11-21T07:08:09Z {{pod="web-{minute % 2}", trace="{minute}"}} {HTTP.replace("07:08", f"07:{minute:02}")}'
        for minute in range(40)
    ]
    ran, _ = read(text_of(lines))
    assert {origin.pod: rows.height for (origin, _), rows in ran.streams.items()} == {"web-0": 20, "web-1": 20}
    assert all(rows["time"].is_sorted() for rows in ran.streams.values())


def test_a_text_format_of_objects_is_tried_on_objects(read: Callable[..., tuple[Ran, bytes]], tmp_path: Path) -> None:
    """Formats that users write as log_format strings of JSON are tried on the objects that the source's own misses."""
    (tmp_path / "formats").mkdir()
    about = 'title = "t"\nsource = "s"\n'
    for name, key in (("one", "a"), ("two", "b")):
        rule = f'name = "{name}"\n{about}log_format = \'{{"{key}": "$remote_addr", "s": $status}}\'\n'
        (tmp_path / "formats" / f"{name}.toml").write_text(rule)
    known = replace(KNOWN, layouts=[layout for one in load_formats([tmp_path]) for layout in one.layouts])
    lines = ['{"a": "203.0.113.7", "s": 200}'] * 3 + ['{"b": "203.0.113.7", "s": 200}', HTTP]
    ran, _ = read(text_of(lines), known=known)
    assert ran.log.formats == {"one": 3, "two": 1, "ingress-nginx": 1}


def test_text_may_begin_with_a_blank(read: Callable[..., tuple[Ran, bytes]]) -> None:
    """A line of another format that has no address at its beginning is text, not an object."""
    nobody = ' - - [21/Nov/2026:07:08:09 +0000] "GET / HTTP/1.1" 200 2 "-" "curl/8.5.0"'
    ran, _ = read(text_of([HTTP] * 3 + [nobody, " {", " x"]))
    assert {name: rows.height for (_, name), rows in ran.streams.items()} == {"ingress-nginx": 3, "combined": 1}
    assert (ran.log.parsed, ran.log.rejected) == (4, 2)


def test_many_pods(read: Callable[..., tuple[Ran, bytes]]) -> None:
    """Where more pods occur than are told apart, no line is lost, and the rest is of no pod."""
    pods = 66_000
    text = text_of([fluent_bit("203.0.113.7 [x] 200", Where(pod=f"p{number}")) for number in range(pods)])
    layout = choose_format("$remote_addr [x] $status", [])[0]
    shape = Shape(layout, (next(one for one in KNOWN.envelopes if one.path.stem == "fluent-bit"),))
    piece = reading.Piece(0, False, reading.Held([reading.Block(text, len(text), 0)], lambda _: None))  # noqa: FBT003
    scanned = piece_scan.PieceScan(piece, shape, Known([layout], KNOWN.envelopes), keep_rejected=False).scan()
    assert (scanned.parsed, scanned.lines) == (pods, pods)
    assert sum(rows.lines for rows in scanned.rows) == pods
    assert len({rows.origin for rows in scanned.rows}) == len(scanned.rows) == 65_536
    assert sum(rows.lines for rows in scanned.rows if rows.origin == Origin()) == pods - 65_535


def reports(folder: Path, logs: dict[str, bytes], **options: Any) -> dict[str, Any]:
    """The report on these logs."""
    for name, content in logs.items():
        (folder / name).write_bytes(content)
    report: dict[str, Any] = json.loads(analyzer.analyze([folder / name for name in logs], **options).to_json())
    return report


def busy(pod: int) -> list[str]:
    """What a pod answers in two minutes: many requests of one visitor, some of others."""
    times = [f"07:{second // 60:02}:{second % 60:02}" for second in range(120) for _ in range(3 + 5 * (pod == 1))]
    lines = [HTTP.replace("07:08:09", time).replace(" - - ", f" - pod{pod} ", 1) for time in times]
    return [line.replace("203.0.113.7", f"198.51.100.{pod}") if at % 7 == 0 else line for at, line in enumerate(lines)]


def test_pods_in_one_log_are_apart(tmp_path: Path) -> None:
    """Four pods whose lines alternate in one log: rate limits are the sum of each pod's, skew is by pod and by node."""
    pods = [Where(f"worker-{number % 2}", f"web-{number}", "shop", "nginx") for number in range(4)]
    wrapped = [[fluent_bit(line, at) for line in busy(number)] for number, at in enumerate(pods)]
    together = [line for lines in zip_longest(*wrapped) for line in lines if line]
    one = reports(tmp_path, {"one": text_of(together)})
    apart = reports(tmp_path, {f"pod-{number}": text_of(lines) for number, lines in enumerate(wrapped)})
    blended = reports(
        tmp_path, {"none": text_of([line for lines in zip_longest(*map(busy, range(4))) for line in lines if line])}
    )
    rejections = [
        [[row[key] for key in ("limit", "requests", "rejected_low", "rejected_high")] for row in of["simulations"]]
        for of in (one["rate_limit"], apart["rate_limit"], blended["rate_limit"])
    ]
    assert rejections[0] == rejections[1] != rejections[2]
    sizes = {at.pod: len(lines) for at, lines in zip(pods, wrapped, strict=True)}
    for by, expected in (
        ("pod", sizes),
        ("node", {"worker-0": sizes["web-0"] + sizes["web-2"], "worker-1": sizes["web-1"] + sizes["web-3"]}),
    ):
        skew = reports(tmp_path, {"one": text_of(together)}, by=by)["skew"]
        assert {group["name"]: group["requests"] for group in skew["groups"]} == expected
    assert one["skew"] == apart["skew"]


def test_formats_of_one_pod_are_apart(tmp_path: Path) -> None:
    """A proxy's and an admin listener's lines on one stream are two logs for a limit, and one pod for skew."""
    lines = [f"203.0.113.7 {line.partition(' ')[2]}" for line in (KONG, sample("main"))]
    proxy, admin = ([line.replace("07:08:09", f"07:08:{at % 60:02}") for at in range(240)] for line in lines)
    at = Where()
    mixed = [fluent_bit(line, at) for pair in zip(proxy, admin, strict=True) for line in pair]
    found = reports(tmp_path, {"mixed": text_of(mixed)})
    alone = reports(tmp_path, {"proxy": text_of(proxy), "admin": text_of(admin)})
    assert found["rate_limit"]["simulations"] == alone["rate_limit"]["simulations"]
    assert {tuple(source["formats"].values()) for source in found["input"]["sources"]} == {(240, 240)}
    assert [group["pods"] for group in found["skew"]["groups"]] == [1]


@pytest.mark.parametrize("envelope", ["cri", "docker", "kubectl-timestamps", "logcli-jsonl"])
def test_times_of_the_envelope(envelope: str, tmp_path: Path) -> None:
    """Lines of a format without a time have that of their envelope, in the report and for --since and --until."""
    wrap, line = ENVELOPES[envelope].wrap, sample("uvicorn")
    lines = [wrap(line, Where()).replace("07:08:09", f"07:08:{second:02}") for second in range(60)]
    found = reports(tmp_path, {"log": text_of(lines)})["input"]
    assert (found["first_time"][:19], found["last_time"][:19]) == ("2026-11-21T07:08:00", "2026-11-21T07:08:59")
    since, until = datetime(2026, 11, 21, 7, 8, 10, tzinfo=UTC), datetime(2026, 11, 21, 7, 8, 20, tzinfo=UTC)
    ranged = reports(tmp_path, {"log": text_of(lines)}, since=since, until=until)
    assert ranged["preservation"]["requests"] == 10
    assert ranged["input"]["parsed"] == 60
    assert (ranged["input"]["first_time"][:19], ranged["input"]["last_time"][:19]) == (
        "2026-11-21T07:08:10",
        "2026-11-21T07:08:19",
    )
    with pytest.raises(UsageError, match="expected a format that logs a time"):
        reports(tmp_path, {"log": text_of([line] * 3)}, since=since)


#: What a visitor sends in order to make lines, addresses or origins of his own.
FORGED = [
    "x\n192.0.2.66 - - [21/Nov/2026:07:08:09 +0000] GET / HTTP/1.1",
    "2026-11-21T07:08:09.1Z stdout F 192.0.2.66 - - [21/Nov/2026:07:08:09 +0000]",
    "2026-11-21T07:08:09.1Z stdout P ",
    '"}\n' + fluent_bit("192.0.2.66 - -", Where(pod="evil")) + "\n",
    '","log":"192.0.2.66","kubernetes":{"pod_name":"evil"},"x":"',
    "\\n192.0.2.66\\u000a\\\\n",
    "<190>Nov 21 07:08:09 evil nginx: 192.0.2.66",
    "[pod/evil/controller] ",
    '{pod="evil"} ',
    "\x1b[31m\x1b[0m",
    BROKEN[0],
    "\r\n\r\n",
]


@pytest.mark.parametrize("name", [name for name, one in ENVELOPES.items() if not one.parsed])
def test_visitors_forge_nothing(name: str, read: Callable[..., tuple[Ran, bytes]]) -> None:
    """What visitors write in paths and user agents makes no line, no address, no origin and no signal."""
    escaped = ["".join(c if c not in '"\\' and ord(c) >= 32 else f"\\x{ord(c):02X}" for c in words) for words in FORGED]
    lines = [HTTP.replace("/shop", f"/{words}", 1).replace("curl/8.5.0", words) for words in escaped]
    assert all(words in line for words, line in zip(escaped, lines, strict=True))
    ran, _ = read(text_of([ENVELOPES[name].wrap(line, Where()) for line in lines]))
    [((origin, format_name), rows)] = ran.streams.items()
    assert (ran.log.lines, ran.log.parsed, format_name) == (len(lines), len(lines), "ingress-nginx")
    assert origin == Origin(**{part: getattr(Where(), part) for part in ENVELOPES[name].tells.split()})
    assert rows["address"].n_unique() == 1
    assert set(ran.log.other.signals.values()) == {0}


def test_newlines_in_messages_make_no_lines(read: Callable[..., tuple[Ran, bytes]]) -> None:
    """A record whose message holds line breaks stays one line: rejected, where it is no access line."""
    forged = f"x y z\n{HTTP.replace('203.0.113.7', '192.0.2.66')}\r\nx"
    for name in ("docker", "fluent-bit", "vector", "gcp-logging", "victorialogs", "journald", "json"):
        lines = [ENVELOPES[name].wrap(line, Where()) for line in (HTTP, forged, HTTP)]
        ran, rejects = read(text_of(lines))
        assert (ran.log.lines, ran.log.parsed, ran.log.rejected) == (3, 2, 1)
        assert rejects == text_of([lines[1]])


def test_odd_json(read: Callable[..., tuple[Ran, bytes]]) -> None:
    """Objects nested 100,000 deep, long strings and broken objects cost their own line only."""
    good = fluent_bit(HTTP, Where())
    deep = '{"log":' * 100_000 + "1" + "}" * 100_000
    long = fluent_bit(HTTP.replace("curl/8.5.0", "y" * (900 << 10)), Where())
    lines = [good, deep, good, long, '{"log":"', "[" * 100_000, good, '{"log":' * 100_000, good]
    ran, rejects = read(text_of(lines))
    assert (ran.log.lines, ran.log.parsed) == (len(lines), 5)
    assert rejects == text_of([lines[number] for number in (1, 4, 5, 7)])


def test_envelopes_of_all_kinds_mixed(read: Callable[..., tuple[Ran, bytes]]) -> None:
    """Every envelope on one stream: no line is lost, and those in the most frequent one are read."""
    lines = [one.wrap(HTTP, Where()) for one in ENVELOPES.values() if not one.parsed] * 3
    lines += [ENVELOPES["cri"].wrap(HTTP, Where())] * (len(lines) + 1)
    ran, _ = read(text_of(lines))
    assert (ran.format, ran.log.lines) == ("ingress-nginx", len(lines))
    assert ran.log.parsed >= len(lines) // 2
