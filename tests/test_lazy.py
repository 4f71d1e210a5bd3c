"""`scan`: the contract's columns of any log, and no more work than a query asks for."""

from __future__ import annotations

import doctest
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from lazy_logs import BAD, BEGIN, ERROR, forwarded, ingress, kong, small_pieces, some_logs, write
from polars.testing import assert_frame_equal

import analyzer as logscan
from analyzer.errors import LogscanError, LogscanWarning, SourceError, UsageError
from analyzer.jobs import scan
from analyzer.parsing.scanner import new_scanner
from analyzer.runs import piece_scan, row_reading

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
#: A moment in the middle of `in_order`.
MIDDLE = BEGIN + timedelta(minutes=5)
CONTRACT = {
    "time": pl.Datetime("ms", "UTC"),
    "address": pl.UInt128,
    "remote_port": pl.UInt16,
    "status": pl.UInt16,
    "body_bytes_sent": pl.UInt64,
    "request_length": pl.UInt64,
    "request_time": pl.Float64,
    "upstream_response_time": pl.Float64,
    "offset": pl.UInt64,
} | dict.fromkeys(
    (
        "remote_addr", "x_forwarded_for", "proxy_protocol_addr", "realip_remote_addr", "remote_user", "request",
        "method", "path", "protocol", "host", "referer", "user_agent", "request_id", "upstream_name", "upstream_addr",
        "upstream_status", "node", "pod", "namespace", "container", "source", "client_addr",
    ),
    pl.String,
)  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """What scanners are asked for, one set for each piece that is scanned."""
    wanted: list[set[str]] = []

    def note(layout: Any, outputs: Any) -> Any:
        wanted.append({output.name for output in outputs} - {"line"})
        return new_scanner(layout, outputs)

    monkeypatch.setattr(piece_scan, "new_scanner", note)
    return wanted


def in_order(folder: Path, *, shift: int = 0) -> Path:
    """A log of ten minutes, a line a second."""
    return write(folder / "in_order.log", [ingress(second + shift) for second in range(600)])


def test_columns_are_those_of_the_contract(tmp_path: Path) -> None:
    """The schema is known before anything is read, and is what comes out, whatever the formats carry."""
    frame = logscan.scan(some_logs(tmp_path), on_unreadable="ignore")
    schema = frame.collect_schema()
    assert {name: dtype for name, dtype in schema.items() if name != "client_from"} == CONTRACT
    assert isinstance(schema["client_from"], pl.Enum)
    assert frame.collect().schema == schema


def test_a_line_becomes_its_columns(tmp_path: Path) -> None:
    """Each column says what the line says; what the format does not carry is null."""
    log = write(tmp_path / "a.log", [ingress(5, path="/shop?a=1", status=503)])
    [row] = logscan.read(log).rows(named=True)
    assert {name: value for name, value in row.items() if value is not None} == {
        "time": BEGIN + timedelta(seconds=5), "remote_addr": "81.2.69.142", "address": 0xFFFF_5102_458E,
        "remote_user": "-", "request": "GET /shop?a=1 HTTP/1.1", "method": "GET", "path": "/shop?a=1",
        "protocol": "HTTP/1.1", "status": 503, "body_bytes_sent": 612, "referer": "-", "user_agent": "curl/8.16.0",
        "request_length": 88, "request_time": 0.004, "upstream_name": "shop-web-8080",
        "upstream_addr": "10.244.1.7:8080", "upstream_response_time": 0.004, "upstream_status": "503",
        "request_id": "1c6f0d8a3b5e4c7d9e0f1a2b3c4d5e6f", "source": str(log), "offset": 0,
        "client_addr": "81.2.69.142", "client_from": "remote_addr",
    }  # fmt: skip


def test_rows_stand_in_the_order_of_the_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Formats that take turns on one stream stay in turn, and `offset` is where each line begins."""
    small_pieces(monkeypatch, 700)
    lines = [make(second) for second in range(0, 40, 4) for make in (ingress, kong, lambda _: ERROR, kong)]
    text = "".join(f"{line}\n" for line in lines).encode()
    frame = logscan.read(write(tmp_path / "mixed.log", lines), workers=2)
    assert frame["offset"].is_sorted()
    assert frame.height == 30
    for offset, request in frame.select("offset", "request").iter_rows():
        assert text[offset:].split(b"\n")[0].count(request.encode()) == 1


def test_envelopes_tell_origin_and_offset(tmp_path: Path) -> None:
    """Pods stand beside their lines, in the order of the lines; `offset` is of the line with its envelope."""
    lines = [f"[pod/web-{number % 2}/nginx] {ingress(number)}" for number in range(6)]
    frame = logscan.read(write(tmp_path / "pods.log", lines))
    assert frame["pod"].to_list() == ["web-0", "web-1"] * 3
    assert frame["container"].unique().to_list() == ["nginx"]
    assert frame["offset"].to_list() == [sum(len(line) + 1 for line in lines[:number]) for number in range(6)]


def test_paths_and_the_cluster_file_tell_the_node() -> None:
    """What the kubelet's path does not say of a pod the cluster file does."""
    plain = logscan.read(ROOT / "sample_logs/cluster")
    assert plain["node"].null_count() == plain.height
    assert set(plain["namespace"]) == {"ingress-nginx"}
    known = logscan.read(ROOT / "sample_logs/cluster", cluster=ROOT / "sample_logs/cluster/cluster.json")
    assert known.group_by("node", "pod").len().height == 2
    assert set(known["node"]) == {"node-1", "node-2"}


def test_a_document_has_no_offsets(tmp_path: Path) -> None:
    """Where in an answer of Loki a record begins is not known; its labels and all rows are."""
    frame = logscan.read(some_logs(tmp_path)[3])
    assert (frame.height, frame["offset"].null_count()) == (20, 20)
    assert set(frame["pod"]) == {"from-loki"}


def test_a_packed_log_reads_as_the_plain_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compression changes nothing but the name."""
    small_pieces(monkeypatch, 2000)
    lines = [ingress(number, path=f"/{number}" * 9) for number in range(50)]
    plain, packed = (logscan.read(write(tmp_path / name, lines)).drop("source") for name in ("a.log", "a.log.gz"))
    assert_frame_equal(plain, packed)


def test_only_what_a_query_uses_is_parsed(tmp_path: Path, asked: list[set[str]]) -> None:
    """Scanners are asked for the columns of the query, those of its filter, and `time`, which is free."""
    frame = logscan.scan(write(tmp_path / "a.log", [ingress()]))
    frame.filter(pl.col("status") >= 500).select("path").collect()
    frame.select("user_agent", "client_addr").collect()
    frame.select(pl.len()).collect()
    assert asked == [{"time", "path", "status"}, {"time", "user_agent", "address", "remote_addr"}, {"time"}]


def test_head_stops_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[set[str]]) -> None:
    """The first rows are had from the first piece; the others and the next log are not read."""
    small_pieces(monkeypatch, 2000)
    frame = logscan.scan([in_order(tmp_path), tmp_path / "not there.log"], workers=2)
    assert frame.head(3).collect().height == 3
    assert len(asked) <= 2  # the one behind it is begun, perhaps
    assert frame.head(0).collect().is_empty()


def test_a_range_of_time_skips_what_is_known_to_be_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[set[str]]
) -> None:
    """The second query reads only the pieces with such times; a log that was written to is read again."""
    small_pieces(monkeypatch, 12_000)
    log = in_order(tmp_path)
    frame = logscan.scan(log)
    minute = frame.filter(pl.col("time").is_between(BEGIN, BEGIN + timedelta(minutes=1), closed="left"))
    assert minute.collect().height == 60
    every = len(asked)
    assert minute.collect().height == 60
    assert len(asked) - every <= 2 < every
    asked.clear()
    with log.open("a") as file:
        file.write(f"{ingress(30)}\n")
    assert minute.collect().height == 61
    assert len(asked) >= every
    asked.clear()
    nothing = frame.filter(pl.col("time") > BEGIN + timedelta(days=1))
    assert nothing.collect().is_empty()
    assert not asked


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        ([pl.col("time") >= MIDDLE, pl.col("time") < MIDDLE + timedelta(minutes=1)], 60),
        (
            [(pl.col("time") >= MIDDLE) & (pl.col("time") <= MIDDLE + timedelta(seconds=9)) & (pl.col("status") < 500)],
            10,
        ),
        ([pl.lit(MIDDLE) <= pl.col("time"), pl.lit(MIDDLE + timedelta(minutes=1)) > pl.col("time")], 60),
        ([pl.col("time") == MIDDLE], 1),
    ],
    ids=["two filters", "one filter of several conditions", "the value first", "one moment"],
)
def test_a_range_may_be_written_in_many_ways(
    wanted: list[pl.Expr], rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[set[str]]
) -> None:
    """However both ends of a range are said, two pieces of many at most are read again."""
    small_pieces(monkeypatch, 12_000)
    query = logscan.scan(in_order(tmp_path))
    for condition in wanted:
        query = query.filter(condition)
    assert query.collect().height == rows
    assert len(asked) > 8
    asked.clear()
    assert query.collect().height == rows
    assert 0 < len(asked) <= 2


def test_rows_before_a_range_of_time_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter behind a head sees the first rows alone, though their pieces are known to be outside."""
    small_pieces(monkeypatch, 12_000)
    frame = logscan.scan(in_order(tmp_path))
    assert frame.collect().height == 600
    late = frame.head(100).filter(pl.col("time") > BEGIN + timedelta(minutes=8))
    assert late.collect().is_empty()


def test_lines_out_of_order_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line with another time in the midst of a log is found, now and when all pieces are known."""
    small_pieces(monkeypatch, 12_000)
    lines = [ingress(second) for second in range(600)]
    lines[300] = ingress(10_000, path="/late")
    frame = logscan.scan(write(tmp_path / "a.log", lines)).filter(pl.col("time") > BEGIN + timedelta(seconds=5000))
    for _ in range(2):
        assert frame.collect()["path"].to_list() == ["/late"]


def test_since_and_until(tmp_path: Path) -> None:
    """They are a half-open range; a time without a zone is UTC."""
    log = in_order(tmp_path)
    until = (BEGIN + timedelta(seconds=20)).replace(tzinfo=None)
    times = logscan.read(log, since=BEGIN + timedelta(seconds=10), until=until)["time"]
    assert (times.len(), times[0]) == (10, BEGIN + timedelta(seconds=10))
    with pytest.raises(UsageError, match="--until"):
        logscan.scan(log, since=BEGIN, until=BEGIN)


def test_lines_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    """They are no rows; a warning says how many and where the first is, or an error, or nothing where so wanted."""
    log = write(tmp_path / "a.log", [ingress(), ERROR, "", BAD, ingress(), "garbage"])
    with pytest.warns(
        LogscanWarning, match=r"a\.log: 2 of 6 lines cannot be read, the first of them is line 4: \$stat"
    ):
        assert logscan.read(log).height == 2
    with pytest.raises(SourceError, match=r"a\.log: 2 of 6 lines cannot be read, the first of them is line 4"):
        logscan.read(log, on_unreadable="raise")
    assert logscan.read(log, on_unreadable="ignore").height == 2
    with pytest.raises(UsageError, match="on_unreadable: expected warn, ignore or raise, got 'no'"):
        logscan.scan(log, on_unreadable="no")  # type: ignore[arg-type]


def test_a_log_that_breaks_off_is_told(tmp_path: Path) -> None:
    """What could be read of it is had with a warning."""
    log = write(tmp_path / "a.log.gz", [ingress(number, path=f"/{number}") for number in range(2000)])
    log.write_bytes(log.read_bytes()[:-20])
    with pytest.warns() as warned:
        assert logscan.read(log).height > 1900
    assert "ends too soon" in str(warned[0].message)
    assert "1 of 1,999 lines cannot be read" in str(warned[1].message)
    with pytest.raises(SourceError, match="ends too soon"):
        logscan.read(log, on_unreadable="raise")


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_a_log_that_is_not_there_is_an_error(tmp_path: Path, engine: Any) -> None:
    """Alone or among others; it names the file."""
    there, missing = in_order(tmp_path), tmp_path / "missing.log"
    for source in (missing, [there, missing]):
        with pytest.raises(LogscanError, match=r"missing\.log: expected a file"):
            logscan.scan(source).collect(engine=engine)
    assert logscan.read([there, missing], on_unreadable="ignore").height == 600


def test_standard_input_can_be_read_once() -> None:
    """A second query says so instead of finding nothing."""
    code = (
        "import analyzer, polars as pl\n"
        "frame = analyzer.scan('-')\n"
        "print(frame.select(pl.len()).collect().item())\n"
        "try: frame.collect()\n"
        "except analyzer.LogscanError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=f"{ingress()}\n" * 3, capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "3\nstandard input: can be read once, and was\n"


CHAINS = {
    # Who the visitor is, and from where that is known; 10.0.0.7 is private and so trusted.
    ("10.0.0.7", "81.2.69.160"): ("81.2.69.160", "x_forwarded_for"),
    ("10.0.0.7", "6.6.6.6, 81.2.69.160, 10.9.9.9"): ("81.2.69.160", "x_forwarded_for"),
    ("10.0.0.7", "2001:db8::9"): ("2001:db8::9", "x_forwarded_for"),
    ("10.0.0.7", "-"): ("10.0.0.7", "remote_addr"),
    ("81.2.69.142", "81.2.69.160"): ("81.2.69.142", "remote_addr"),
    ("unix:", "-"): ("unix:", "remote_addr"),
}


@pytest.mark.parametrize(("logged", "expected"), CHAINS.items(), ids=str)
def test_effective_client(tmp_path: Path, logged: tuple[str, str], expected: tuple[str, str]) -> None:
    """The rightmost address that nobody trusted wrote, where a trusted one hands it on."""
    address, chain = logged
    log = write(tmp_path / "a.log", [forwarded(0, chain, address=address)])
    assert logscan.scan(log).select("client_addr", "client_from").collect().row(0) == expected


@pytest.mark.parametrize("query", ["log", "log.head(3)", "log.filter(pl.col('status') > 400).sort('time')"])
def test_ctrl_c_is_heard_while_nothing_comes(query: str) -> None:
    """Whoever waits for standard input need not wait any longer, and nothing but the interruption is said."""
    code = (
        "import polars as pl, analyzer\nlog = analyzer.scan('-')\nprint('asked', flush=True)\n"
        f"try:\n    {query}.collect()\nexcept KeyboardInterrupt:\n    print('interrupted')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as asked:
        assert asked.stdin is not None
        assert asked.stdout is not None
        assert asked.stderr is not None
        asked.stdout.readline()
        time.sleep(1)
        asked.send_signal(signal.SIGINT)
        assert asked.stdout.read() == b"interrupted\n"
        assert asked.stderr.read() == b""


def test_effective_client_trusts_who_is_said_to_be_a_proxy(tmp_path: Path) -> None:
    """A public address hands a visitor on where ``lb`` says that it is a load balancer."""
    log = write(tmp_path / "a.log", [forwarded(0, "81.2.69.160", address="81.2.69.142")])
    frame = logscan.read(log, lb=["81.2.69.0/24"])
    assert frame.select("client_addr", "client_from").row(0) == ("81.2.69.160", "x_forwarded_for")


def test_effective_client_of_the_tcp_peer(tmp_path: Path) -> None:
    """A node in front of the remote address makes that what the server took; an untrusted peer is the client itself."""
    log_format = '$remote_addr $realip_remote_addr $proxy_protocol_addr "$http_x_forwarded_for"'
    lines = ['8.8.8.8 10.0.0.1 - "-"', '8.8.8.8 9.9.9.9 - "8.8.8.8"', '10.0.0.1 10.0.0.1 7.7.7.7 "-"']
    frame = logscan.read(write(tmp_path / "a.log", lines), log_format=log_format)
    assert frame.select("client_addr", "client_from").rows() == [
        ("8.8.8.8", "remote_addr"), ("9.9.9.9", "realip_remote_addr"), ("7.7.7.7", "proxy_protocol_addr")
    ]  # fmt: skip


def test_a_filter_and_the_client_of_what_is_left(tmp_path: Path) -> None:
    """A query may filter by the effective client."""
    frame = logscan.scan(some_logs(tmp_path), on_unreadable="ignore").filter(client_from="x_forwarded_for")
    assert set(frame.collect()["client_addr"]) == {"81.2.69.160", "6.6.6.6"}


def held(folder: Path) -> tuple[list[str], list[str]]:
    """Files of this folder that are open, and threads of a query."""
    files = [os.path.realpath(f"/dev/fd/{fd}") for fd in os.listdir("/dev/fd")]
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in files if name.startswith(str(folder))], [n for n in names if n.startswith("logscan-ahead")]


def let_go(folder: Path) -> bool:
    """Wait until nothing is held; Polars lets go of a source at some time after it stopped reading."""
    deadline = time.monotonic() + 20
    while held(folder) != ([], []) and time.monotonic() < deadline:
        pl.select(1)
        gc.collect()
        time.sleep(0.01)
    return held(folder) == ([], [])


QUERIES: dict[str, Callable[[pl.LazyFrame], object]] = {
    "all": lambda frame: frame.collect(),
    "head": lambda frame: frame.head(2).collect(),
    "filter-head": lambda frame: frame.filter(pl.col("status") == 200).head(2).collect(),
    "streaming": lambda frame: frame.filter(pl.col("status") == 200).head(2).collect(engine="streaming"),
    "batches": lambda frame: next(iter(frame.collect_batches(chunk_size=10))),
    "never": lambda frame: frame.select(pl.col("path").str.to_datetime(strict=True)).collect(),
}


@pytest.mark.parametrize("name", ["a.log", "a.log.gz"])
@pytest.mark.parametrize("query", QUERIES)
def test_a_query_lets_go_of_its_logs(query: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a query ends, no log stays open and no thread reads on."""
    small_pieces(monkeypatch, 5000)
    frame = logscan.scan(write(tmp_path / name, [ingress(number) for number in range(2000)]), workers=3)
    try:
        QUERIES[query](frame)
    except pl.exceptions.PolarsError:
        assert query == "never"
    assert let_go(tmp_path)


def test_a_log_can_be_written_as_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sinking a log to a file keeps every value and dtype."""
    small_pieces(monkeypatch, 5000)
    frame = logscan.scan(some_logs(tmp_path), on_unreadable="ignore")
    frame.sink_parquet(tmp_path / "log.parquet")
    assert_frame_equal(pl.read_parquet(tmp_path / "log.parquet"), frame.collect())


#: Reads a log of 96 MB in small pieces, one row in a thousand of it, and prints by how many MB it has grown.
FEW_ROWS = """
import os, sys
import polars as pl
import analyzer
from analyzer.sources import reading

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

reading.PIECE = 4 << 20
log = analyzer.scan(sys.argv[1], workers=2)
log.head(1).collect()
before = resident()
found = log.filter(pl.col("path").str.ends_with("/1000")).collect()
print(found.height, resident() - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read where Linux says it")
def test_what_is_left_of_a_piece_does_not_hold_all_of_it(tmp_path: Path) -> None:
    """Text that a query keeps is its own: what it dropped of the same piece is let go."""
    lines = [ingress(number, path=f"/a/long/path/{number}", agent="a user agent " * 60) for number in range(1, 1001)]
    log = write(tmp_path / "a.log", lines * 99)
    done = subprocess.run(
        [sys.executable, "-c", FEW_ROWS, str(log)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    height, grown = done.stdout.split()
    assert int(height) == 99
    assert float(grown) < 75  # MB; over 110 with all of the text


def test_examples_of_the_docstrings_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the docstrings show is what comes out."""
    monkeypatch.chdir(ROOT)
    found = doctest.testmod(scan)
    assert found.attempted
    assert not found.failed


def test_few_rows_are_read_without_reading_ahead(tmp_path: Path) -> None:
    """A small head keeps to one thread; there is no telling which pieces others would read in vain."""
    reading = logscan.scan(in_order(tmp_path), workers=2)
    assert reading.head(row_reading._FEW + 1).collect().height == 600


def test_times_without_a_zone_in_a_filter_are_for_polars_to_refuse(tmp_path: Path) -> None:
    """A filter that Polars finds wrong is refused by Polars, and reads nothing."""
    frame = logscan.scan(in_order(tmp_path)).filter(pl.col("time") > datetime(2026, 11, 21, tzinfo=UTC).time())
    with pytest.raises(pl.exceptions.PolarsError):
        frame.collect()
