"""The table of chains: what it keeps, that it stays small, and that parts make the whole."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from chains import ANN, BOB, CID, CLASSIFIER, EDGE, LB, MAL, NODE, POD, Request, frame, logged_by
from hypothesis import given, settings
from hypothesis import strategies as st
from nginx_chains import address_port
from polars.testing import assert_frame_equal
from scanners import INGRESS, read

from analyzer.addresses.forwarded import PROXIES
from analyzer.addresses.ranges import to_number, to_text
from analyzer.parsing.log_format import compile_format
from analyzer.parsing.portable import Scanner
from analyzer.parsing.schema import Kind, Output
from analyzer.tables import chain_table, chains
from analyzer.tables.chain_table import NativeChainTable, PortableChainTable
from analyzer.tables.chains import Chains, chain_outputs, forget, narrowed
from analyzer.tables.columns import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY = ("remote", "peer", "hop1", "hop2", "remote_class", "peer_class", "hop1_class", "hop2_class", "position", "length",
       "passed", "found")  # fmt: skip
PEOPLE = [ANN, BOB, CID, MAL]
ADDRESS = st.sampled_from([*PEOPLE, NODE, LB, EDGE, POD, "10.9.0.2", "192.168.1.5"])
ENTRY = st.one_of(ADDRESS, st.sampled_from(["unknown", f"{ANN}:80", "255.255.255.255", "[::1]"]))
REQUEST = st.builds(
    Request,
    remote=st.one_of(ADDRESS, st.just("unix:")),
    chain=st.one_of(st.none(), st.lists(ENTRY, min_size=1, max_size=5).map(", ".join)),
    peer=st.one_of(st.none(), ADDRESS),
    proxied=st.one_of(st.none(), ADDRESS),
    times=st.integers(1, 3),
    outcome=st.sampled_from(Outcome),
)


Table = type[NativeChainTable] | type[PortableChainTable]
NATIVE_BUILT = chain_table._NATIVE is not None
needs_native = pytest.mark.skipif(
    not NATIVE_BUILT and os.environ.get("LOGSCAN_REQUIRE_NATIVE") != "1", reason="the table in C was not built"
)
pytestmark = pytest.mark.parametrize("kind", [pytest.param(NativeChainTable, marks=needs_native), PortableChainTable])


def class_of(number: int | None) -> str | None:
    """Say what an address is."""
    return number and CLASSIFIER.label(pl.DataFrame({"address": pl.Series([number], dtype=pl.UInt128)}))["class"][0]


def expected(request: Request) -> tuple[tuple[Any, ...], int]:
    """Work out the key of one request, and whether it is lost, step by step."""
    remote = to_number(request.remote)
    own = remote is not None and request.remote in (request.peer, request.proxied)
    peer = to_number(request.proxied or request.peer or "-")
    peer = None if peer == remote else peer
    entries = [address_port(entry) for entry in reversed(request.chain.split(", "))] if request.chain else []
    if request.chain is None and peer is None:
        return (*[None] * 8, 0, 0, False, False), 0
    position = 0 if own or remote not in entries or remote is None else entries.index(remote) + 1
    between = entries[: max(0, position - 1)]
    rest = between[1:]
    strangers = [entry for entry in rest if class_of(entry) not in PROXIES]
    hop1, hop2 = (between or [None])[0], (strangers or rest or [None])[0]
    readable = entries[: entries.index(None)] if None in entries else entries
    found = any(class_of(entry) == "client" and entry != remote for entry in (*readable, peer))
    passed = position < len(entries) and entries[position] is not None
    kept = remote if position == 0 and (found or class_of(remote) != "client") else None
    hops = (remote, peer, hop1, hop2)
    classes = list(map(class_of, hops))
    if position and not found:
        classes[0] = None
    lost = found and request.outcome is Outcome.CONSIDERED and remote is not None
    return (kept, *hops[1:], *classes, position, len(entries), passed, found), lost


ODD = [
    Request(ANN, "255.255.255.255", LB),
    Request(LB, LB, LB),
    Request(LB, LB, LB, ANN),
    Request(ANN, f"{MAL}, {ANN}", ANN),
    Request(LB, f"{MAL}, {LB}", LB, ANN),
    Request(ANN, f"{ANN}, {BOB}", LB, ANN),
    Request(ANN, f"{ANN}, {MAL}, {LB}, {NODE}", LB),
    Request(ANN, f"{ANN}, {LB}, {MAL}, {NODE}", LB),
    Request(ANN, f"{ANN}, {LB}, unknown, {NODE}", LB),
    Request(ANN, ANN, MAL),
    Request("unix:", ANN),
    Request("unix:", None, "unix:", ANN),
    Request("::", "::", LB),
]


@pytest.mark.parametrize("request_", ODD)
def test_what_is_kept_of_odd_requests(kind: Table, request_: Request) -> None:
    """An address may stand in every place at once, or in none."""
    found = kind(CLASSIFIER)
    found.add(frame([request_]))
    row = found.table().rows.row(0, named=True)
    key, is_lost = expected(request_)
    assert (tuple(row[name] for name in KEY), row["lost"]) == (key, is_lost)


@settings(deadline=None, max_examples=60)
@given(st.lists(REQUEST, max_size=8))
def test_what_is_kept_of_each_request(kind: Table, requests: list[Request]) -> None:
    """Every request is counted under what stands between its connection and the logged address."""
    counts: Counter[tuple[Any, ...]] = Counter()
    lost: Counter[tuple[Any, ...]] = Counter()
    for request in requests:
        key, is_lost = expected(request)
        counts[key] += request.times
        lost[key] += request.times * is_lost
    found = kind(CLASSIFIER)
    found.add(frame(requests))
    rows = found.table().rows
    keys = rows.select(KEY).rows()
    assert dict(zip(keys, rows["requests"], strict=True)) == dict(counts)
    assert dict(zip(keys, rows["lost"], strict=True)) == {key: lost[key] for key in counts}


def table(kind: Table, requests: Sequence[Request]) -> Chains:
    """Make the table of requests; logged is what any of them says something of."""
    found = kind(CLASSIFIER)
    found.add(frame(requests, logged_by(requests)))
    return found.table()


def assert_same(found: Chains, wanted: Chains) -> None:
    """Fail unless two tables say the same, in whatever order."""
    assert (found.logged, found.detail) == (wanted.logged, wanted.detail)
    assert_frame_equal(found.rows, wanted.rows, check_row_order=False)


def folded(kind: Table, parts: Sequence[Sequence[Request]]) -> Chains:
    """Fold parts of a log, one after the other, each counted before the next comes."""
    found = kind(CLASSIFIER)
    for part in parts:
        found.add(frame(part))
        found.table()
    return found.table()


def added(*tables: Chains) -> Chains:
    """Add up tables as `analyzer.tables.merge` does."""
    detail = max(each.detail for each in tables)
    rows, detail = narrowed(pl.concat([each.rows for each in tables]), detail)
    return Chains(rows, frozenset().union(*(each.logged for each in tables)), detail)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.lists(REQUEST, max_size=6), min_size=1, max_size=5), st.sampled_from([1, 4, 9, 10_000]))
def test_tables_of_parts_make_the_table_of_the_whole(kind: Table, parts: list[list[Request]], rows: int) -> None:
    """However a log is cut, in whatever order, folded or merged: the table is the same, and as much is forgotten."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chains, "ROWS", rows)
        whole = folded(kind, [[request for part in parts for request in part]])
        assert_same(folded(kind, parts), whole)
        assert_same(added(*(folded(kind, [part]) for part in reversed(parts))), whole)
        assert whole.rows.height <= rows or whole.detail == 2


def many(count: int, claimed: str, through: str) -> list[Request]:
    """Write requests whose entries differ in all of them."""
    octets = [(n // 250, n % 250) for n in range(count)]
    return [Request(claimed.format(*pair), f"{claimed}, {through}".format(*pair, *pair), LB) for pair in octets]


def test_details_are_forgotten_one_by_one(kind: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many visitors cost their names, many proxies theirs too; how many requests passed what is always known."""
    monkeypatch.setattr(chains, "ROWS", 100)
    few = folded(kind, [many(50, "81.2.{}.{}", "89.160.{}.{}")])
    assert (few.detail, few.rows.height) == (0, 50)
    visitors = folded(kind, [many(500, "81.2.{}.{}", "89.160.{}.{}")])
    assert (visitors.detail, visitors.rows.height) == (1, 1)
    row = visitors.rows.row(0, named=True)
    assert (to_text(row["peer"]), row["hop1"], row["hop1_class"], row["requests"]) == (LB, None, "client", 500)
    proxies = folded(kind, [many(500, "81.2.{}.{}", "10.9.{}.{}")])
    assert (proxies.detail, proxies.rows.height) == (2, 1)
    row = proxies.rows.row(0, named=True)
    assert (row["peer"], row["peer_class"], row["hop1_class"], row["requests"]) == (None, "lb", "lb", 500)


def test_at_the_least_detail_a_stranger_is_not_lost(kind: Table) -> None:
    """Where names are forgotten, an entry that is no proxy still shows among many that are."""
    far = f"{ANN}, {LB}, {LB}, {MAL}, {LB}"
    rows = table(kind, [Request(ANN, far, LB), Request(ANN, f"{ANN}, unknown, {LB}", LB)]).rows
    coarse = forget(rows, 2).select("hop1_class", "hop2_class", "position", "requests")
    assert set(coarse.rows()) == {("client", "client", 3, 1), (None, None, 3, 1)}


def test_what_was_forgotten_stays_so(kind: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that takes another with less detail has as little."""
    with monkeypatch.context() as patch:
        patch.setattr(chains, "ROWS", 100)
        coarse = folded(kind, [many(500, "81.2.{}.{}", "10.9.{}.{}")])
    both = added(coarse, folded(kind, [[Request(ANN, f"{ANN}, {MAL}", LB)]]))
    assert (both.detail, both.rows["hop1"].null_count()) == (2, 2)


def test_the_leftmost_of_a_long_chain_may_be_the_connection(kind: Table) -> None:
    """A chain longer than is looked that begins with the connection's own address was not its source."""
    chain = ", ".join([ANN, *[LB] * 40])
    assert table(kind, [Request(ANN, chain, ANN)]).rows["position"].to_list() == [0]
    assert table(kind, [Request(ANN, chain, LB)]).rows["position"].to_list() == [33]


def test_every_entry_may_be_different(kind: Table) -> None:
    """A client that writes thousands of entries, each another, costs no more than the limits allow."""
    chain = ", ".join(f"10.{n >> 8}.{n & 255}.1" for n in range(5000))
    row = table(kind, [Request("10.0.0.1", chain, LB)]).rows.row(0, named=True)
    assert (row["position"], row["length"], row["requests"]) == (33, 32, 1)
    assert (row["chain"], row["single"]) == (None, None)


def test_examples_are_of_doubtful_requests_alone(kind: Table) -> None:
    """Of what a known proxy wrote nothing is kept; else the least chain that is not too long."""
    long = f"{BOB}, " * 40 + MAL
    rows = table(kind, [Request(ANN, ANN, LB), Request(ANN, f"{ANN}, {MAL}", LB), Request(BOB, f"{BOB}, {MAL}", LB),
                  Request(ANN, ANN, MAL), Request(BOB, long, LB)]).rows  # fmt: skip
    kept = rows.select("position", "requests", "chain", "single").rows()
    doubtful = [(1, 1, None, to_number(ANN)), (2, 2, f"{BOB}, {MAL}", None)]
    assert Counter(kept) == Counter([(1, 1, None, None), *doubtful, (2, 1, None, None)])


def test_claimed_addresses_fill_a_bitmap(kind: Table) -> None:
    """One sender that names many addresses sets many bits, one that names one sets one; where none is named, none."""
    rotating = [Request(f"81.2.69.{n}", f"81.2.69.{n}, {MAL}", LB) for n in range(200)]
    rows = table(kind, [*rotating, Request(ANN, f"{ANN}, {CID}", LB, times=50), Request(NODE, ANN)]).rows
    bits = {row["requests"]: row["claimed"].bit_count() for row in rows.iter_rows(named=True)}
    assert bits[200] > 40
    assert (bits[50], bits[1]) == (1, 0)


def test_probes_and_pods_are_not_lost(kind: Table) -> None:
    """Of what is not considered nothing is lost, be another visitor named or not."""
    requests = [Request(NODE, ANN), Request(NODE, ANN, outcome=Outcome.HEALTH_PROBE), Request("unix:", ANN)]
    assert table(kind, requests).rows.select(pl.col("requests", "lost").sum()).row(0) == (3, 1)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (INGRESS.text, []),
        ('$remote_addr "$http_x_forwarded_for"', ["single", "chain"]),
        ("$remote_addr $realip_remote_addr", ["peer"]),
        ("$remote_addr $proxy_protocol_addr", ["proxied"]),
    ],
)
def test_a_format_that_logs_no_chain_costs_nothing(kind: Table, text: str, names: list[str]) -> None:
    """Asked for is only what a format has; without it the table stays empty and says that nothing was logged."""
    layout = compile_format(text)
    asked = chain_outputs(layout)
    assert [output.name for output in asked] == names
    found = kind(CLASSIFIER)
    found.add(frame([Request()], ()))
    assert (found.table().rows.height, found.table().logged) == (0, frozenset())


def test_rows_of_a_scanner(kind: Table) -> None:
    """Lines of a format with X-Forwarded-For give what the requests they were written from give."""
    layout = compile_format('$remote_addr $realip_remote_addr "$http_x_forwarded_for"')
    requests = [
        Request(NODE, ANN, NODE),
        Request(ANN, f"{ANN}, {MAL}", LB),
        Request(ANN, None, LB),
        Request(BOB, BOB, LB),
    ]
    lines = "".join(f'{each.remote} {each.peer} "{each.chain or "-"}"\n' for each in requests)
    wanted = [Output("address", Kind.ADDRESS, 0), *chain_outputs(layout)]
    rows = read(Scanner, layout, lines.encode(), wanted).rows.with_columns(outcome=pl.lit(0, pl.UInt8))
    found = kind(CLASSIFIER)
    found.add(rows)
    assert_same(found.table(), table(kind, requests))


def test_formats_that_log_more_and_less(kind: Table) -> None:
    """Lines of several formats go into one table, and those that log no chain have no length of one."""
    found = kind(CLASSIFIER)
    found.add(frame([Request(NODE, ANN)], ["chain"]))
    found.add(frame([Request(ANN, peer=LB)], ["peer"]))
    found.add(frame([Request(ANN)], []))
    both = found.table()
    assert both.logged == {"x_forwarded_for", "realip_remote_addr"}
    assert sorted(both.rows.select("length", "position").rows(), key=str) == [(1, 0), (None, 1)]
