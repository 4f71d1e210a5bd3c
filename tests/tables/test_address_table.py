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

from analyzer.parsing.schema import TIME
from analyzer.tables import address_table
from analyzer.tables.address_table import ADDRESSES, AddressTable, NativeAddressTable, PortableAddressTable

SCHEMA = {
    "address": pl.UInt128,
    "time": TIME,
    "status": pl.UInt16,
    "bytes": pl.UInt64,
    "user_agents": pl.UInt64,
    "forwarded": pl.UInt64,
    "outcome": pl.UInt8,
}
NATIVE_BUILT = address_table._NATIVE is not None
needs_native = pytest.mark.skipif(
    not NATIVE_BUILT and os.environ.get("LOGSCAN_REQUIRE_NATIVE") != "1", reason="the table in C was not built"
)

few_addresses = st.one_of(st.none(), st.integers(0, 5), st.integers(0, 2**128 - 1))
rows = st.lists(
    st.tuples(
        few_addresses,
        st.one_of(st.none(), st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1))),  # noqa: DTZ001 - given a zone below
        st.one_of(st.none(), st.integers(0, 999)),
        st.one_of(st.none(), st.integers(0, 2**32)),
        st.integers(0, 63).map(lambda bit: 1 << bit),
        st.one_of(st.just(0), st.integers(0, 63).map(lambda bit: 1 << bit)),
        st.integers(0, 2),
    ),
    max_size=40,
)


def frame(of: list[tuple[Any, ...]]) -> pl.DataFrame:
    """Rows as a scanner and `columns.complete` make them."""
    plain = {**SCHEMA, "time": pl.Datetime("ms")}
    return pl.DataFrame(of, schema=plain, orient="row").with_columns(pl.col("time").dt.replace_time_zone("UTC"))


@pytest.fixture(params=[pytest.param(NativeAddressTable, marks=needs_native), PortableAddressTable])
def table(request: pytest.FixtureRequest) -> AddressTable:
    """An empty table of either kind."""
    made: AddressTable = request.param()
    return made


def test_sums_by_address(table: AddressTable) -> None:
    """Counts, bytes, first and last time and bitmaps add up by address, over frames."""
    early, late = datetime(2026, 11, 21, 7, tzinfo=UTC), datetime(2026, 11, 21, 8, tzinfo=UTC)
    table.add(frame([(7, late, 200, 10, 1, 0, 0), (9, early, 503, None, 2, 4, 0)]))
    table.add(frame([(7, early, 500, 5, 8, 0, 1), (7, None, None, 1, 1, 0, 2)]))
    expected = [
        (7, 3, 1, 1, 1, 16, early, late, 9, 0),
        (9, 1, 0, 0, 1, 0, early, early, 2, 4),
    ]
    assert table.rows().rows() == expected
    assert len(table) == 2


def test_requests_without_address_stand_last(table: AddressTable) -> None:
    """Requests without an address have a row of their own, which is no address."""
    table.add(frame([(None, None, 400, 1, 1, 0, 2), (5, None, 200, 1, 1, 0, 0), (None, None, 200, 1, 2, 0, 0)]))
    assert table.rows().select("address", "requests", "user_agents").rows() == [(5, 1, 1), (None, 2, 3)]
    assert len(table) == 1


def test_an_empty_table_has_the_columns(table: AddressTable) -> None:
    """Nothing added gives an empty frame of the same columns."""
    assert table.rows().schema == pl.Schema(ADDRESSES)
    assert table.rows().is_empty()
    assert table.since(0).is_empty()


def test_since_gives_the_addresses_that_came_in(table: AddressTable) -> None:
    """New addresses are told apart from those that were there."""
    table.add(frame([(3, None, 200, 1, 1, 0, 0), (None, None, 200, 1, 1, 0, 0)]))
    known = len(table)
    table.add(frame([(3, None, 200, 1, 1, 0, 0), (1, None, 200, 1, 1, 0, 0), (2, None, 200, 1, 1, 0, 0)]))
    assert table.since(known).to_list() == [1, 2]


@needs_native
@given(st.lists(rows, max_size=4))
def test_native_and_portable_agree(parts: list[list[tuple[Any, ...]]]) -> None:
    """Whatever the rows and however they are cut into frames, both tables say the same."""
    native, portable = NativeAddressTable(), PortableAddressTable()
    for part in parts:
        known = len(native)
        assert known == len(portable)
        native.add(frame(part))
        portable.add(frame(part))
        assert native.since(known).to_list() == portable.since(known).to_list()
    assert_frame_equal(native.rows(), portable.rows())


@needs_native
@given(rows)
def test_a_slice_is_read_as_what_it_is(part: list[tuple[Any, ...]]) -> None:
    """A frame that is a slice of another, with its offsets, adds only its own rows."""
    whole, cut = NativeAddressTable(), NativeAddressTable()
    whole.add(frame(part[3:]))
    cut.add(frame(part)[3:])
    assert_frame_equal(whole.rows(), cut.rows())
