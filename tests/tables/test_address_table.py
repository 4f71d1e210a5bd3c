"""The table of addresses: the one in C and the portable one are held to the same contract."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from analyzer.arrow import frame_of
from analyzer.parsing.schema import TIME
from analyzer.tables import address_table
from analyzer.tables.address_table import (
    ADDRESSES,
    MARKS,
    NO_ADDRESS,
    ROWS,
    AddressTable,
    NativeAddressTable,
    PortableAddressTable,
)
from analyzer.tables.columns import AGENT_SIGNS, REQUEST_SIGNS, Outcome, Sign

DTYPES = (pl.UInt128, TIME, pl.UInt16, pl.UInt64, pl.UInt64, pl.UInt64, *[pl.UInt8] * 5)
SCHEMA: dict[str, Any] = dict(zip(ROWS, DTYPES, strict=True))
NATIVE_BUILT = address_table._NATIVE is not None
needs_native = pytest.mark.skipif(
    not NATIVE_BUILT and os.environ.get("LOGSCAN_REQUIRE_NATIVE") != "1", reason="the table in C was not built"
)

Row = tuple[Any, ...]

few_addresses = st.one_of(st.none(), st.integers(0, 5), st.integers(0, 2**128 - 1))
bits = st.integers(0, 63).map(lambda bit: 1 << bit)
rows = st.lists(
    st.tuples(
        few_addresses,
        st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.sampled_from([-1, 0, 1])),
        st.one_of(st.none(), st.integers(0, 999), st.sampled_from([400, 408, 497, 499, 500, 505, 2**16 - 1])),
        st.one_of(st.none(), st.integers(0, 2**32)),
        bits,
        st.one_of(st.just(0), bits),
        st.integers(0, len(AGENT_SIGNS) - 1),
        st.integers(0, len(REQUEST_SIGNS) - 1),
        *[st.sampled_from([0, 1, 2])] * 3,
    ),
    max_size=40,
)


def frame(of: list[Row]) -> pl.DataFrame:
    """Rows as a scanner makes them, times in milliseconds."""
    plain = {**SCHEMA, "time": pl.Int64}
    return pl.DataFrame(of, schema=plain, orient="row").with_columns(pl.col("time").cast(TIME))


def row(address: int | None, time: datetime | None = None, status: int | None = 200, **more: int | None) -> Row:
    """A row of a request that was considered."""
    moment = None if time is None else int(time.timestamp() * 1000)
    given = {"bytes": 1, "user_agents": 1, "readable": 1, **more}
    return (address, moment, status, *(given.get(name, 0) for name in ROWS[3:]))


@pytest.fixture(params=[pytest.param(NativeAddressTable, marks=needs_native), PortableAddressTable])
def table(request: pytest.FixtureRequest) -> AddressTable:
    """An empty table of either kind."""
    made: AddressTable = request.param()
    return made


def test_sums_by_address(table: AddressTable) -> None:
    """Counts, bytes, first and last time and bitmaps add up by address, over frames."""
    early, late = datetime(2026, 11, 21, 7, tzinfo=UTC), datetime(2026, 11, 21, 8, tzinfo=UTC)
    table.add(frame([row(7, late, bytes=10), row(9, early, 503, bytes=None, user_agents=2, forwarded=4)]))
    unread = {"readable": 0, "untried": 1}
    table.add(frame([row(7, early, 500, bytes=5, user_agents=8, agent=1), row(7, None, 400, bytes=1, **unread)]))
    expected = [
        (7, 3, 1, 1, 1, 16, early, late, 9, 0, int(Sign.KUBE_PROBE), 0),
        (9, 1, 0, 0, 1, 0, early, early, 2, 4, 0, 0),
    ]
    assert len(table) == 2
    assert table.finish().rows() == expected


def test_what_an_address_sent_is_remembered(table: AddressTable) -> None:
    """Signs of user agents and requests add up by address; a crawler's requests are counted, and considered."""
    browser, crawler = (AGENT_SIGNS.index(sign, 6) for sign in (0, Sign.CRAWLER))
    binary, scan = (REQUEST_SIGNS.index(sign) for sign in (Sign.BINARY, Sign.SCAN))
    added = table.add(frame([row(7, agent=crawler, request=scan), row(7, agent=crawler), row(7, agent=2)]))
    table.add(frame([row(8, agent=browser, request=binary), row(9)]))
    assert added["outcome"].to_list() == [Outcome.CONSIDERED, Outcome.CONSIDERED, Outcome.HEALTH_PROBE]
    sent = Sign.CRAWLER | Sign.SCAN | Sign.ELB_PROBE
    assert table.finish().select("signs", "crawlers").rows() == [(sent, 2), (Sign.BINARY, 0), (0, 0)]


def test_each_row_is_marked(table: AddressTable) -> None:
    """Each row is given the number of its address, in the order of first sight, and what it was."""
    unread = {"readable": 0, "untried": 1}
    first = table.add(frame([row(9), row(None), row(4, None, 400, **unread), row(9, agent=2)]))
    assert first.schema == pl.Schema(MARKS)
    considered, probe, unparsed = Outcome.CONSIDERED, Outcome.HEALTH_PROBE, Outcome.UNPARSED_REQUEST
    assert first.rows() == [(0, considered), (NO_ADDRESS, considered), (1, unparsed), (0, probe)]
    assert table.add(frame([row(5), row(4)]))["number"].to_list() == [2, 1]
    assert table.add(frame([])).schema == pl.Schema(MARKS)


def test_requests_without_address_stand_last(table: AddressTable) -> None:
    """Requests without an address have a row of their own, which is no address."""
    table.add(frame([row(None), row(5), row(None, user_agents=2)]))
    assert table.finish().select("address", "requests", "user_agents").rows() == [(5, 1, 1), (None, 2, 3)]


def test_an_empty_table_has_the_columns(table: AddressTable) -> None:
    """Nothing added gives an empty frame of the same columns."""
    assert table.since(0).is_empty()
    assert table.tags() == {}
    found = table.finish()
    assert found.schema == pl.Schema(ADDRESSES)
    assert found.is_empty()


def test_since_gives_the_addresses_that_came_in(table: AddressTable) -> None:
    """New addresses are told apart from those that were there."""
    table.add(frame([row(3), row(None)]))
    known = len(table)
    table.add(frame([row(3), row(1), row(2)]))
    assert table.since(known).to_list() == [1, 2]


def test_tags_are_counted(table: AddressTable) -> None:
    """What request lines give away is counted by its tag, over frames."""
    table.add(frame([row(3, request=2), row(None, request=2), row(1)]))
    table.add(frame([row(3, request=9)]))
    assert table.tags() == {2: 2, 9: 1}


def test_an_address_is_found_again(table: AddressTable) -> None:
    """Each of very many addresses keeps its number and its sums, while the table grows."""
    addresses = [number << 40 * (number % 3) for number in range(1, 50_001)]
    whole = frame([row(address) for address in addresses])
    for part in (whole, whole[::-1], whole[20_000:]):
        numbers = table.add(part)["number"]
        assert table.since(0).gather(numbers).to_list() == part["address"].to_list()
    assert len(table) == 50_000
    assert table.finish()["requests"].to_list() == [2] * 20_000 + [3] * 30_000


@needs_native
@given(st.lists(rows, max_size=4), st.sets(st.sampled_from(ROWS)))
def test_native_and_portable_agree(parts: list[list[Row]], carried: set[str]) -> None:
    """Whatever the rows, the columns of their format, and the frames they are cut into, both tables say the same."""
    native, portable = NativeAddressTable(), PortableAddressTable()
    for part in parts:
        known = len(native)
        assert known == len(portable)
        some = frame(part).select(name for name in ROWS if name in carried)
        if not some.width:
            some = frame(part).select(offset="bytes")
        assert_frame_equal(native.add(some), portable.add(some))
        assert native.since(known).to_list() == portable.since(known).to_list()
    assert native.tags() == portable.tags()
    assert_frame_equal(native.finish(), portable.finish())


@needs_native
@given(rows)
def test_a_slice_is_read_as_what_it_is(part: list[Row]) -> None:
    """A frame that is a slice of another, with its offsets, or comes in several chunks, adds only its own rows."""
    whole, cut = NativeAddressTable(), NativeAddressTable()
    expected = whole.add(frame(part[3:]))
    assert_frame_equal(cut.add(frame(part)[3:]), expected)
    found = whole.finish()
    assert_frame_equal(found, cut.finish())
    joined = NativeAddressTable()
    chunks = pl.concat([frame(part)[3:9], frame(part)[9:]], rechunk=False).to_struct()
    assert_frame_equal(frame_of(joined._table.add(chunks.__arrow_c_stream__(), 2 ** len(ROWS) - 1)), expected)
    assert_frame_equal(found, joined.finish())


@needs_native
def test_addresses_of_one_hash_are_told_apart() -> None:
    """Two addresses whose hashes are alike in all bits that a slot keeps have a row each."""
    seen: dict[int, int] = {}
    for address in range(400_000):  # some twenty pairs among so many
        first = seen.setdefault(hash_of(address), address)
        if first != address:
            table = address_table._NATIVE.AddressTable((0, 0), (), (), 0, 0)
            rows = frame([row(first), row(address), row(first), row(address)])
            added = frame_of(table.add(rows.__arrow_c_stream__(), 2 ** len(ROWS) - 1))
            assert added["number"].to_list() == [0, 1, 0, 1]
            again = frame_of(table.add(rows[::-1].__arrow_c_stream__(), 2 ** len(ROWS) - 1))
            assert again["number"].to_list() == [1, 0, 1, 0]
            return
    pytest.fail("expected two addresses of one hash")


def hash_of(address: int) -> int:
    """Reckon the hash of a short address as address_hash.h does, with a seed of zeros."""
    product = address * 0xC2B2AE3D27D4EB4F
    return (product ^ product >> 64) & 0xFFFFFFFF


@needs_native
def test_another_frame_is_refused() -> None:
    """A column of another type, or a mask of other columns, is an error and adds nothing."""
    table = NativeAddressTable()
    with pytest.raises(ValueError, match="other columns"):
        table.add(pl.DataFrame({"address": [1]}))
    stream = frame([row(1)]).select("address", "time")
    with pytest.raises(ValueError, match="other columns"):
        table._table.add(stream.__arrow_c_stream__(), 1)
    assert table.finish().is_empty()
