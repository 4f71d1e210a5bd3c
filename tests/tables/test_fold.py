"""The fold: tables of parts make the table of the whole, and each request is counted for what it was."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from runs import KNOWN
from scanners import FORMATS, INGRESS, narrow, native_or_skip

from analyzer.addresses.classify import Classifier, declared
from analyzer.addresses.ranges import RangeTable, to_number
from analyzer.native import SCANNER
from analyzer.parsing.detect import detect
from analyzer.parsing.log_format import compile_format
from analyzer.parsing.scanner import new_scanner
from analyzer.tables import Fold, Tables, limit_grid
from analyzer.tables.columns import Outcome, complete, has_exact_times, narrow_outputs
from analyzer.tables.fold import fold_outputs
from analyzer.tables.limited import KEYS, REFUSED

if TYPE_CHECKING:
    from analyzer.parsing.log_format import LineFormat

NODE, LB, VISITOR, V6 = "10.0.0.10", "10.9.0.1", "81.2.69.142", "2a02:cf40::7"
CLASSIFIER = Classifier(declared=declared(node=["10.0.0.0/24"], lb=["10.9.0.0/16"], client=(), private=()))
EXACT = compile_format('$remote_addr $msec "$request" $status $body_bytes_sent "$http_user_agent" $request_time')


def line(
    address: str = VISITOR,
    second: int = 0,
    request: str = "GET / HTTP/1.1",
    status: str = "200",
    agent: str = "curl/8",
    upstream: str = "a-b-80",
    tried: str = "10.0.0.1:80",
) -> str:
    """Write a line of ingress-nginx; the second counts from noon."""
    time = f"21/Nov/2026:{12 + second // 3600:02}:{second // 60 % 60:02}:{second % 60:02} +0000"
    return (
        f'{address} - - [{time}] "{request}" {status} 612 "-" "{agent}" 88 0.004 [{upstream}] [] {tried} 612 0.004 '
        f"{status} ID"
    )


def rows_of(line_format: LineFormat, lines: list[str]) -> pl.DataFrame:
    """Read lines, which all fit, for the tables."""
    text = "\n".join(lines).encode()
    scanner = new_scanner(line_format, fold_outputs(line_format))
    scanner.scan(text, 0, len(text), 0)
    rows, misfits, *_ = scanner.take()
    assert misfits.is_empty()
    return rows


def fold(*sources: list[list[str]], line_format: LineFormat = INGRESS, rps: int = 1) -> Tables:
    """Fold sources, each as the frames in which its rows come."""
    tables = Fold(CLASSIFIER, limit_grid([rps]))
    for number, frames in enumerate(sources):
        for lines in frames:
            tables.add(number, rows_of(line_format, lines), exact_times=has_exact_times(line_format))
        tables.close_source(number)
    return tables.tables()


def rejections(tables: Tables) -> dict[int, tuple[int, int]]:
    """Rejections under the logged address by limit: all of a second at once, and spread over it."""
    found = tables.limits.filter(key=0).group_by("limit").agg(pl.col("most", "fewest").sum())
    return {limit: (at_once, spread) for limit, at_once, spread in found.iter_rows()}


def assert_same(found: Tables, expected: Tables) -> None:
    """Fail unless two tables say the same, in whatever order."""
    address = ["address"]
    assert_frame_equal(found.addresses.sort(address), expected.addresses.sort(address))
    assert_frame_equal(found.sources.sort("source"), expected.sources.sort("source"))
    assert_frame_equal(found.loads.rows, expected.loads.rows)
    by_address = ["address", "time"]
    assert_frame_equal(found.entries.rows.sort(by_address), expected.entries.rows.sort(by_address))
    keys = ["key", "limit", "address"]
    assert_frame_equal(found.limits.sort(keys), expected.limits.sort(keys))
    assert_frame_equal(found.clients.sort(address), expected.clients.sort(address))
    assert (found.limit_totals, found.signals) == (expected.limit_totals, expected.signals)
    assert found.bucket_seconds == expected.bucket_seconds
    assert_frame_equal(found.timeline.sort("time", "class"), expected.timeline.sort("time", "class"))


def summed(timeline: pl.DataFrame) -> pl.DataFrame:
    """Add up timelines."""
    return timeline.group_by("time", "class").agg(pl.col("requests", "considered").sum()).sort("time", "class")


def one(tables: Tables, address: str | None) -> dict[str, object]:
    """Return the row of an address."""
    number = None if address is None else to_number(address)
    return tables.addresses.filter(pl.col("address").eq_missing(pl.lit(number, pl.UInt128))).row(0, named=True)


REQUESTS = st.sampled_from(
    ["GET / HTTP/1.1", "GET /", "", "\\x00", "\\x16\\x03\\x01", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2"]
)
LINES = st.builds(
    line,
    address=st.sampled_from([NODE, NODE, LB, VISITOR, VISITOR, V6, "unix:", "127.0.0.1", "35.191.0.1"]),
    second=st.sampled_from([0, 0, 0, 1, 1, 2, 59, 60, 61, 3599, 7200]),
    request=REQUESTS,
    status=st.sampled_from(["200", "400", "408", "403", "497", "505", "500", "503"]),
    agent=st.sampled_from(["curl/8", "kube-probe/1.31", "Mozilla/5.0 (compatible; bot)", "", "-", "GoogleHC/1.0"]),
    upstream=st.sampled_from(["a-b-80", ""]),
    tried=st.sampled_from(["10.0.0.1:80", "-"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(LINES, max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_frames_make_no_difference(lines: list[str], cuts: list[int]) -> None:
    """However the rows of a source are split into frames, the tables are the same."""
    edges = [0, *sorted(min(cut, len(lines)) for cut in cuts), len(lines)]
    assert_same(fold([lines[a:b] for a, b in pairwise(edges)]), fold([lines]))


@settings(max_examples=40, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=40), st.lists(LINES, min_size=1, max_size=40))
def test_tables_add_up(first: list[str], second: list[str]) -> None:
    """The sums of the tables of two sources are the tables of both."""
    whole, parts = fold([first], [second]), (fold([first]), fold([second]))
    addresses = pl.concat(part.addresses for part in parts).group_by("address").agg(
        pl.col("requests", "health_probes", "unparsed_requests", "errors", "bytes").sum(),
        pl.col("first_time").min(),
        pl.col("last_time").max(),
        pl.col("user_agents", "forwarded", "signs").bitwise_or(),
        pl.col("crawlers").sum(),
    )  # fmt: skip
    assert_frame_equal(addresses.sort("address"), whole.addresses.sort("address"))
    keys = ["key", "limit", "address"]
    limits = pl.concat(part.limits for part in parts).group_by(keys).agg(pl.col("most", "fewest").sum())
    assert_frame_equal(limits.sort(keys), whole.limits.sort(keys))
    timelines = pl.concat(part.timeline for part in parts)
    assert_frame_equal(summed(timelines), summed(whole.timeline))
    assert whole.sources["considered"].to_list() == [part.sources["considered"].item() for part in parts]
    assert whole.limit_totals == {name: sum(part.limit_totals[name] for part in parts) for name in whole.limit_totals}
    assert whole.signals == {name: sum(part.signals[name] for part in parts) for name in whole.signals}


@settings(max_examples=40, deadline=None)
@given(st.lists(LINES, max_size=60))
def test_tables_agree_with_each_other(lines: list[str]) -> None:
    """Addresses, timeline and sources count the same requests, and no request is more than one thing."""
    tables = fold([lines])
    sums = tables.addresses.select(pl.col(pl.UInt64).sum()).row(0, named=True)
    assert sums["requests"] == tables.timeline["requests"].sum() == len(lines)
    assert (sums["requests"], sums["bytes"]) == (len(lines), 612 * len(lines))
    assert tables.limit_totals["requests"] == len(lines) - sums["unparsed_requests"] - _unaddressed(lines)
    taken = pl.col("health_probes") + pl.col("unparsed_requests")
    assert tables.addresses.filter(taken > pl.col("requests")).is_empty()
    named = tables.addresses.filter(pl.col("address").is_not_null()).select((pl.col("requests") - taken).sum()).item()
    assert tables.sources["considered"].sum() == named
    assert tables.timeline.filter(pl.col("considered") > pl.col("requests")).is_empty()


def _unaddressed(lines: list[str]) -> int:
    """How many readable requests came over a unix socket."""
    rows = complete(rows_of(INGRESS, lines)) if lines else pl.DataFrame({"address": [], "outcome": []})
    return rows.filter(pl.col("address").is_null() & (pl.col("outcome") != Outcome.UNPARSED_REQUEST.value)).height


@settings(max_examples=40, deadline=None)
@given(st.lists(LINES, max_size=40))
def test_both_implementations_make_the_same_tables(lines: list[str]) -> None:
    """With all that is compiled forbidden the tables are the same."""
    native_or_skip(SCANNER)
    halves = [lines[: len(lines) // 2], lines[len(lines) // 2 :]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOGSCAN_SCANNER", "portable")
        expected = fold(halves)
    assert_same(fold(halves), expected)


@pytest.mark.parametrize("status", ["400", "408", "497", "505"])
@pytest.mark.parametrize("upstream", ["", "a-b-80"])
def test_unread_requests(status: str, upstream: str) -> None:
    """Refused with 400, 408, 497 or 505 and no upstream tried, a request that nginx could not read counts apart."""
    for request in ("", "\\x00", "\\x16\\x03\\x01\\x02", "GET /", "-", "PROXY TCP4 203.0.113.7 10.0.0.1 51234 80"):
        row = one(fold([[line(NODE, request=request, status=status, upstream=upstream, tried="-")]]), NODE)
        assert (row["requests"], row["unparsed_requests"]) == (1, 1), request


@pytest.mark.parametrize("status", ["400", "408", "497", "505"])
def test_readable_requests_without_a_server(status: str) -> None:
    """A readable request that was refused before a server was chosen counts apart too: both brackets are empty."""
    apart = one(fold([[line(NODE, status=status, upstream="", tried="-")]]), NODE)
    kept = one(fold([[line(NODE, status=status, upstream="a-b-80", tried="-")]]), NODE)
    assert (apart["unparsed_requests"], kept["unparsed_requests"]) == (1, 0)


@pytest.mark.parametrize(
    "kept",
    [
        {"status": "403", "upstream": "", "tried": "-"},
        {"status": "200", "request": "GET /", "tried": "10.0.0.1:80"},
        {"status": "400", "request": "GET /", "tried": "10.0.0.1:80"},
        {"status": "400", "upstream": "", "tried": "10.0.0.1:80"},
        {"status": "499", "upstream": "", "tried": "-"},
        {"status": "503", "request": "", "upstream": "", "tried": "-"},
        {"status": "-", "request": "", "upstream": "", "tried": "-"},
    ],
)
def test_read_requests(kept: dict[str, Any]) -> None:
    """A 403, any other status, and whatever an upstream was tried for were read: nginx looked for the client."""
    assert one(fold([[line(NODE, **kept)]]), NODE)["unparsed_requests"] == 0


def test_unread_requests_of_formats_without_upstreams() -> None:
    """Where a format logs no upstream, such a request counts apart if it is unreadable, and not if it is readable."""
    combined = FORMATS["combined"].layouts[0]
    begin = f'{NODE} - - [21/Nov/2026:12:00:00 +0000] "'
    lines = [f'{begin}{request}" 400 150 "-" "-"' for request in ("", "\\x00", "GET / HTTP/1.1")]
    assert one(fold([lines], line_format=combined), NODE)["unparsed_requests"] == 2


@pytest.mark.parametrize(
    "agent", ["kube-probe/1.31", "ELB-HealthChecker/2.0", "GoogleHC/1.0", "Load Balancer Agent", "HealthProbe"]
)
def test_health_probes(agent: str) -> None:
    """A request of a prober counts as a probe and nothing else, whatever came of it."""
    probes = [line(NODE, agent=agent), line(NODE, agent=agent, status="400", request="", upstream="", tried="-")]
    row = one(fold([[*probes, line(NODE, agent=f"not {agent}")]]), NODE)
    assert (row["requests"], row["health_probes"], row["unparsed_requests"]) == (3, 2, 0)


def test_signals() -> None:
    """PROXY protocol and TLS sent to a listener that expects neither are counted, in either escape."""
    requests = {
        "proxy_v1_to_plain_listener": ["PROXY TCP4 1.2.3.4 1.2.3.4 1 2", "PROXY TCP6 ::1 ::1 1 2", "PROXY UNKNOWN"],
        "proxy_v2_to_plain_listener": ["\\x00", "\\u0000"],
        "tls_to_plain_listener": ["\\x16\\x03\\x01\\x02", "\\u0016\\u0003\\u0001"],
    }
    lines = [line(NODE, request=request, status="400") for several in requests.values() for request in several]
    lines += [line(request=request) for request in ("GET / HTTP/1.1", "PROXYTCP4", "GET /PROXY TCP4 HTTP/1.1", "")]
    assert fold([lines]).signals == {name: len(several) for name, several in requests.items()}


def test_an_address_sums_up() -> None:
    """The row of an address holds its requests, errors, bytes, times, and one bit for each of its user agents."""
    agents = ["a", "b", "a", "c"]
    lines = [line(V6, n * 10, agent=agent, status="502" if n else "200") for n, agent in enumerate(agents)]
    row = one(fold([lines]), V6)
    assert (row["requests"], row["errors"], row["bytes"], row["forwarded"]) == (4, 3, 4 * 612, 0)
    assert row["first_time"] == datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
    assert row["last_time"] == datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
    assert 1 < int(str(row["user_agents"])).bit_count() <= 3


def test_forwarded_clients() -> None:
    """Where X-Forwarded-For is logged its first entries are counted as bits; none logged sets none."""
    main = FORMATS["main"].layouts[0]
    begin = f'{NODE} - - [21/Nov/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 612 "-" "x" '
    row = one(
        fold([[f'{begin}"{header}"' for header in ("1.2.3.4, 10.0.0.1", "1.2.3.4", "-", "")]], line_format=main), NODE
    )
    assert int(str(row["forwarded"])).bit_count() == 1


def test_what_is_no_address_counts_as_none() -> None:
    """Requests over a unix socket stand in one row without address, considered by nobody."""
    tables = fold([[line("unix:"), line("unix:"), line()]])
    assert one(tables, None)["requests"] == 2
    assert tables.sources.row(0) == (0, 1)
    assert tables.timeline.filter(pl.col("class") == "unknown").select("requests", "considered").row(0) == (2, 0)


def test_timeline() -> None:
    """Each minute and class has its requests."""
    lines = [line(NODE)] * 5 + [line(NODE, 60)] * 2 + [line(f"81.2.{n // 250}.{n % 250}") for n in range(3000)]
    tables = fold([lines])
    noon = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    found = tables.timeline.with_columns(pl.col("class").cast(pl.String)).rows()
    assert tables.bucket_seconds == 60
    expected = [(noon, "client", 3000, 3000), (noon, "node", 5, 5), (noon.replace(minute=1), "node", 2, 2)]
    assert sorted(found) == expected


def test_a_long_timeline_gets_wider_buckets() -> None:
    """A log over many years keeps a bounded timeline that still counts every request."""
    line_format = compile_format("$remote_addr $time_iso8601")
    lines = [
        f"10.0.0.{n % 250} {datetime.fromtimestamp(n * 15_000, UTC).isoformat().replace('+00:00', 'Z')}"
        for n in range(60_000)
    ]
    tables = fold([lines[:20_000], lines[20_000:]], line_format=line_format)
    assert tables.bucket_seconds > 60
    assert tables.timeline.height <= 20_000
    assert tables.timeline["requests"].sum() == 60_000


def test_limits_of_whole_seconds() -> None:
    """Forty requests in one second break a limit of one a second; the bounds hold the truth between them."""
    tables = fold([[line()] * 40])
    rejected = rejections(tables)
    assert rejected[0] == (34, 34)
    assert rejected[2][1] < rejected[2][0] == 14
    assert tables.limit_totals["requests"] == 40


def test_limits_of_exact_times() -> None:
    """With $msec and $request_time the beginning of a request counts, which is when nginx looks at the limit."""
    at_once = [f'{VISITOR} {1795262400 + n}.{n:03} "GET / HTTP/1.1" 200 1 "-" {n}.{n:03}' for n in range(40)]
    tables = fold([at_once], line_format=EXACT)
    assert rejections(tables)[0] == (34, 34)
    apart = [f'{VISITOR} 1795262440.000 "GET / HTTP/1.1" 200 1 "-" {n}.000' for n in range(40, 0, -1)]
    assert fold([apart], line_format=EXACT).limits.is_empty()


def test_each_source_has_its_own_limits() -> None:
    """A limit holds in one controller: the same requests over two logs are less than all in one."""
    alone, together = fold([[line()] * 10], [[line()] * 10]), fold([[line()] * 20])
    assert (rejections(alone)[0][0], rejections(together)[0][0]) == (8, 14)


def test_each_ingress_has_its_own_limits() -> None:
    """A zone belongs to one Ingress: the upstream tells it, the host where there is none, both names where logged."""
    apart = fold([[line(upstream="a-b-80")] * 10 + [line(upstream="a-c-80")] * 10])
    assert rejections(apart)[0][0] == 8
    named = compile_format("$remote_addr [$time_local] $host $namespace $ingress_name [$proxy_upstream_name]")
    lines = [
        f"{VISITOR} [21/Nov/2026:12:00:00 +0000] {host} {namespace} {ingress} [{upstream}]"
        for namespace, ingress in (("a", "b"), ("b", "a"))
        for host, upstream in (("x.org", "a-b-80"), ("y.org", "a-c-80"))
        for _ in range(10)
    ]
    assert rejections(fold([lines], line_format=named))[0][0] == 28
    hosts = compile_format("$remote_addr [$time_local] $host")
    lines = [f"{VISITOR} [21/Nov/2026:12:00:00 +0000] {host}" for host in ("x.org", "y.org") for _ in range(10)]
    assert rejections(fold([lines], line_format=hosts))[0][0] == 8


def test_limits_under_the_address_behind_the_proxy() -> None:
    """Where the log tells who stands behind a proxy, limits are tried under that address as well."""
    log_format = compile_format('$remote_addr [$time_local] "$http_x_forwarded_for"')
    forged = ["192.0.2.9, ", ""]  # what the visitor wrote stands left of what the proxy added
    lines = [f'{LB} [21/Nov/2026:12:00:00 +0000] "{forged[n % 2]}81.2.69.{n % 10}"' for n in range(40)]
    tables = fold([lines + [f'{VISITOR} [21/Nov/2026:12:00:01 +0000] "-"'] * 8], line_format=log_format)
    found = tables.limits.filter(limit=0).group_by("key", "address").agg(pl.sum("most"))
    assert set(found.iter_rows()) == {(0, to_number(LB), 34), (0, to_number(VISITOR), 2), (1, to_number(VISITOR), 2)}
    known = tables.clients.drop_nulls("address")
    assert dict(known.select("address", "requests").iter_rows()) == {
        to_number(VISITOR): 8, **{to_number(f"81.2.69.{n}"): 4 for n in range(10)}
    }  # fmt: skip


def test_an_allowlist_spares_addresses() -> None:
    """No limit is for an address of the allowlist; its requests are counted apart."""
    tables = Fold(CLASSIFIER, limit_grid([1]), RangeTable.build([(to_number(NODE), to_number(NODE), 1)]))
    for _ in range(2):
        rows = rows_of(INGRESS, [line(NODE), line(VISITOR), line("unix:")] * 20)
        tables.add(0, rows, exact_times=False)
    made = tables.tables()
    assert made.limits["address"].unique().to_list() == [to_number(VISITOR)]
    assert (made.limit_totals["allowed"], made.limit_totals["requests"]) == (40, 40)


def test_logged_rejections_are_counted() -> None:
    """What was refused without an upstream is counted by status, and by what nginx says of it where that is logged."""
    refused = [line(status="429", tried="-")] * 3 + [line(status="503", tried="-"), line(status="503")]
    totals = fold([refused]).limit_totals
    assert (totals["status_429"], totals["status_503"], totals["limit_req_logged"]) == (3, 1, 0)
    said = compile_format("$remote_addr $status $limit_req_status $limit_conn_status")
    lines = [f"{VISITOR} 200 {status} PASSED" for status in ("PASSED", "DELAYED", "REJECTED", "-")]
    totals = fold([lines], line_format=said).limit_totals
    assert [totals[f"limit_{name}"] for name in ("req_logged", "req_rejected", "conn_logged", "conn_rejected")] == [
        3, 1, 4, 0
    ]  # fmt: skip


def test_logged_rejections_are_counted_by_address() -> None:
    """Each address has its own, also where there is none; requests that met an upstream are no rejections."""
    refused = [
        *[line(NODE, status="429", tried="-")] * 3,
        *[line(VISITOR, status="503", tried="-")] * 2,
        line("unix:", status="429", tried="-"),
        line(NODE, status="429"),
    ]
    parts = [refused] * 70 + [[line(NODE)]]
    found = fold(parts).limits.filter(key=KEYS.index("logged")).sort("limit", "address")
    expected = [("status_429", None, 70), ("status_429", NODE, 210), ("status_503", VISITOR, 140)]
    assert [
        (REFUSED[limit], address, most) for limit, address, most in found.select("limit", "address", "most").rows()
    ] == [(name, address and to_number(address), count) for name, address, count in expected]
    assert found["most"].equals(found["fewest"])


def test_unread_requests_meet_no_limit() -> None:
    """What nginx could not read never came as far as a limit."""
    tables = fold([[line(request="", status="400", upstream="", tried="-")] * 40 + [line("unix:")]])
    assert (tables.limit_totals["requests"], tables.limits.is_empty()) == (0, True)


@pytest.mark.parametrize("layout", ["$remote_addr", "$status", "$time_local", '"$request" $host'])
def test_formats_that_carry_little(layout: str) -> None:
    """A format without addresses, times or requests still counts what it holds."""
    line_format = compile_format(layout)
    texts = {"$remote_addr": NODE, "$status": "200", "$time_local": "21/Nov/2026:12:00:00 +0000"}
    tables = fold([[texts.get(layout, '"GET / HTTP/1.1" example.org')] * 3], line_format=line_format)
    assert tables.addresses["requests"].to_list() == [3]
    assert tables.timeline["requests"].to_list() == [3]


def test_no_rows_at_all() -> None:
    """Tables of nothing have all their columns."""
    empty, full = fold(), fold([[line(NODE), line(NODE)] * 20])
    for name in ("addresses", "timeline", "sources", "limits"):
        assert getattr(empty, name).schema == getattr(full, name).schema, name
        assert getattr(empty, name).is_empty(), name


def test_outputs_hold_no_text() -> None:
    """What the tables ask of the scanner are narrow values, so that its buffers can be used again."""
    for format_ in FORMATS.values():
        wanted = narrow_outputs(format_.layouts[0])
        assert narrow(wanted) == wanted


@pytest.mark.parametrize("name", ["nginx-json", "nginx-json-request"])
def test_the_msec_of_a_json_line_is_exact(name: str) -> None:
    """Where the keys of a line have `$msec` and `$request_time` its time is exact; any other notation is not."""
    request = '"request": "GET / HTTP/1.1"' if name.endswith("request") else '"request_method": "GET"'
    line = (
        '{"time": "2026-11-21T07:08:09+00:00", %s"remote_addr": "203.0.113.7", %s, "status": 200, "request_time": 0.25}'
    )
    for msec, exact in (('"msec": 1795244889.250, ', True), ('"msec": "1795244889.250", ', True), ("", False)):
        shape = detect((line % (msec, request) + "\n").encode() * 3, KNOWN)
        assert shape.layout is not None
        assert shape.layout.name == name
        assert has_exact_times(shape.layout) is exact


def test_requests_enter_by_nodes() -> None:
    """Requests over time are kept of addresses that may be a node's, and not of every visitor."""
    private = "192.168.1.1"
    entries = fold([[line(NODE), line(VISITOR), line(LB), line(private), line(V6)]]).entries
    assert set(entries.rows["address"]) == {to_number(NODE), to_number(private)}
