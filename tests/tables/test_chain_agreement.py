"""Chains in C and with Polars: the tables and the visitors are the same, whatever a client writes."""

from __future__ import annotations

import os

import polars as pl
import pytest
from chains import ANN, BOB, CID, CLASSIFIER, EDGE, LB, MAL, NODE, POD, Request, frame
from hypothesis import given, settings
from hypothesis import strategies as st
from nginx_chains import CHAIN, HOSTILE, SHAPES
from polars.testing import assert_frame_equal

from analyzer.tables import chain_table, chains
from analyzer.tables.chain_table import NativeChainTable, PortableChainTable
from analyzer.tables.clients import NativeClients, PortableClients
from analyzer.tables.columns import Outcome

pytestmark = pytest.mark.skipif(
    chain_table._NATIVE is None and os.environ.get("LOGSCAN_REQUIRE_NATIVE") != "1", reason="nothing in C was built"
)
ADDRESS = st.sampled_from([ANN, BOB, CID, MAL, NODE, LB, EDGE, POD, "10.9.0.2", "unix:", "255.255.255.255"])
ENTRIES = st.one_of(ADDRESS, st.sampled_from([f"{ANN}:80", f"[{BOB}]:80", "unknown", "[::1]"]))
REQUEST = st.builds(
    Request,
    remote=ADDRESS,
    chain=st.one_of(st.none(), CHAIN, st.lists(ENTRIES, min_size=1, max_size=4).map(", ".join)),
    peer=st.one_of(st.none(), ADDRESS),
    proxied=st.one_of(st.none(), ADDRESS),
    times=st.integers(1, 2),
    outcome=st.sampled_from(Outcome),
)
LOGGED = st.sets(st.sampled_from(["peer", "proxied", "chain"]))
FAR = [", ".join([ANN, *[LB] * 40]), ", ".join([LB] * 40), f"{ANN}, {MAL}" + f",{LB}" * 40]


ODD = [*HOSTILE, *FAR, *SHAPES, *(f"{shape}, {LB}" for shape in SHAPES), *(f"{LB}, {shape}" for shape in SHAPES)]


def scanned(requests: list[Request], logged: list[str] | None = None) -> pl.DataFrame:
    """Make the rows of requests; of a single address a scanner gives no text."""
    rows = frame(requests, ("peer", "proxied", "chain") if logged is None else logged)
    if "chain" in rows.columns:
        rows = rows.with_columns(chain=pl.when(pl.col("single").is_null()).then("chain"))
    return rows


def assert_same_table(*frames: pl.DataFrame) -> None:
    """Fail unless both tables say the same of frames, one after the other."""
    native, portable = NativeChainTable(CLASSIFIER), PortableChainTable(CLASSIFIER)
    for rows in frames:
        native.add(rows)
        portable.add(rows)
    found, wanted = native.table(), portable.table()
    assert (found.logged, found.detail) == (wanted.logged, wanted.detail)
    assert_frame_equal(found.rows, wanted.rows, check_row_order=False)


@settings(deadline=None, max_examples=20)
@given(st.lists(REQUEST, max_size=12), LOGGED, st.sampled_from([1, 10_000]))
def test_tables_agree(requests: list[Request], logged: set[str], rows: int) -> None:
    """Whatever is logged of requests, and whatever is forgotten of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chains, "ROWS", rows)
        assert_same_table(scanned(requests, sorted(logged)), scanned(requests))


@pytest.mark.parametrize("peer", [None, LB])
def test_tables_agree_on_odd_chains(peer: str | None) -> None:
    """Also on chains that are written to cost much, and on every shape of an entry, anywhere in a chain."""
    assert_same_table(frame([Request(ANN, chain, peer) for chain in ODD]))


@settings(deadline=None, max_examples=20)
@given(st.lists(REQUEST, max_size=12), LOGGED)
def test_finders_agree(requests: list[Request], logged: set[str]) -> None:
    """Whatever is logged of requests, and whatever it says."""
    rows = scanned(requests, sorted(logged))
    native, portable = (kind(CLASSIFIER).find(rows) for kind in (NativeClients, PortableClients))
    assert native.to_list() == portable.to_list()
    assert (native.name, native.dtype) == ("address", pl.UInt128)


@pytest.mark.parametrize("peer", [None, LB, MAL])
@pytest.mark.parametrize("remote", [ANN, LB, "unix:"])
def test_finders_agree_on_odd_chains(remote: str, peer: str | None) -> None:
    """Also on chains that are written to cost much, and on every shape of an entry, anywhere in a chain."""
    rows = frame([Request(remote, chain, peer) for chain in ODD])
    rows = pl.concat([rows, rows[:0], rows[3:]], rechunk=False)
    native, portable = (kind(CLASSIFIER).find(rows) for kind in (NativeClients, PortableClients))
    assert native.to_list() == portable.to_list()
