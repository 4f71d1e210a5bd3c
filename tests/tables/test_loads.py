"""The table of loads: sums of what streams answered, the same however the rows come.

The table in C and the portable one are held to the same contract.
"""

from __future__ import annotations

import os
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from analyzer.parsing.schema import TIME
from analyzer.tables import loads
from analyzer.tables.loads import (
    BUCKET_SECONDS,
    Loads,
    NativeLoadTable,
    PortableLoadTable,
    add_up,
    new_load_table,
)

needs_native = pytest.mark.skipif(
    loads._NATIVE is None and os.environ.get("LOGSCAN_REQUIRE_NATIVE") != "1", reason="the table in C was not built"
)

NOON = 1_795_262_400_000
Row = tuple[int, int | None, int | None, float | None]
Kind = type[NativeLoadTable] | type[PortableLoadTable]
SCHEMA = {"source": pl.UInt32, "time": pl.Int64, "bytes": pl.UInt64, "upstream_time": pl.Float64}


def frame(rows: list[Row]) -> pl.DataFrame:
    """Rows as the fold hands them over."""
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").with_columns(pl.col("time").cast(TIME))


@pytest.fixture(scope="module", params=[pytest.param(NativeLoadTable, marks=needs_native), PortableLoadTable])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Either table."""
    made: Kind = request.param
    return made


def table(kind: Kind, *frames: list[Row], wanted: bool = True) -> Loads:
    """Add frames of rows that are all wanted, or none of them."""
    made = kind("source", [2, 5])
    for rows in frames:
        made.add(frame(rows), pl.Series([5 if wanted else 4] * len(rows), dtype=pl.UInt8))
    return made.table()


def rows_of(found: Loads) -> list[tuple[int | None, ...]]:
    """The rows with times in milliseconds since noon."""
    return found.rows.with_columns(pl.col("time").to_physical() - NOON).rows()


def test_sums_by_stream_and_bucket(kind: Kind) -> None:
    """Each stream has its requests, bytes and upstream time of every ten seconds."""
    found = table(
        kind,
        [(0, NOON, 100, 0.004), (0, NOON + 9_999, 50, None), (0, NOON + 10_000, None, 1.5)],
        [(1, NOON, 7, 0.0), (0, NOON, 1, 0.0015), (1, None, 3, None)],
    )
    assert found.bucket_seconds == 10
    assert found.lasted_ms() == 1506 / 4
    assert rows_of(found) == [
        (0, 0, 3, 151, 2, 6),
        (0, 10_000, 1, 0, 1, 1500),
        (1, None, 1, 3, 0, 0),
        (1, 0, 1, 7, 1, 0),
    ]


def test_only_wanted_rows_count(kind: Kind) -> None:
    """What is not considered leaves no row, and no rows make an empty table of the same columns."""
    assert rows_of(table(kind, [(0, NOON, 100, 0.1)], wanted=False)) == []
    assert table(kind).lasted_ms() is None
    assert table(kind).rows.columns == table(kind, [(0, NOON, 1, 0.1)]).rows.columns


@pytest.mark.parametrize("hostile", [float("inf"), float("nan"), -5.0, 1e300])
def test_a_senseless_upstream_time_does_no_harm(kind: Kind, hostile: float) -> None:
    """A time that no request takes is cut to what one might, or is none."""
    (_, _, considered, _, _, milliseconds) = rows_of(table(kind, [(0, NOON, 1, hostile)]))[0]
    assert considered == 1
    assert milliseconds in {0, 1_000_000_000}


@pytest.mark.parametrize("moment", [-(2**62), -62_135_596_800_000, 253_402_300_799_000, 2**62])
def test_any_time_keeps_its_stream(kind: Kind, moment: int) -> None:
    """A time from the ends of the calendar, or beyond, moves no request to another stream."""
    assert [row[0] for row in rows_of(table(kind, [(3, moment, 1, 0.1), (4, NOON, 1, 0.1)]))] == [3, 4]


ROWS = st.tuples(
    st.integers(0, 3),
    st.one_of(st.none(), st.integers(NOON - 100_000, NOON + 100_000)),
    st.one_of(st.none(), st.integers(0, 2**40)),
    st.one_of(st.none(), st.floats(0, 1000)),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(ROWS, max_size=60), st.lists(st.integers(0, 60), max_size=4))
def test_frames_and_parts_make_no_difference(kind: Kind, rows: list[Row], cuts: list[int]) -> None:
    """However rows are split into frames or tables, and whether or not they are in order, the sums are the same."""
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [rows[a:b] for a, b in pairwise(edges)]
    whole = table(kind, rows)
    assert_frame_equal(table(kind, *parts).rows, whole.rows)
    assert_frame_equal(add_up([table(kind, part) for part in parts]).rows, whole.rows)
    in_order = sorted(rows, key=lambda row: (row[0], row[1] or 0))
    assert_frame_equal(table(kind, in_order).rows, whole.rows)


def test_a_long_log_gets_wider_buckets(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table never has more rows than it may, whether it grew so long or was added up from short ones."""
    monkeypatch.setattr(loads, "MOST", 10)
    parts = [[(0, NOON + 60_000 * minute, 1, 0.1)] for minute in range(30)]
    whole, summed = table(kind, *parts), add_up([table(kind, part) for part in parts])
    assert whole.bucket_seconds == summed.bucket_seconds == 300
    assert whole.rows.height == 6
    assert_frame_equal(whole.rows, summed.rows)
    assert whole.rows["considered"].sum() == 30


def test_more_streams_than_rows_end_at_the_widest_bucket(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the streams alone are too many, each keeps one row."""
    monkeypatch.setattr(loads, "MOST", 3)
    found = table(kind, [(source, NOON + 10_000 * source, 1, 0.1) for source in range(8)])
    assert found.bucket_seconds == BUCKET_SECONDS[-1]
    assert found.rows.height == 8


def test_addresses_take_the_place_of_their_numbers(kind: Kind) -> None:
    """A table by the numbers of addresses leaves with the addresses."""
    made = kind("number", [0])
    made.add(frame([(1, NOON, 1, 0.1)]).rename({"source": "number"}), pl.Series([0], dtype=pl.UInt8))
    found = made.table(pl.Series([7, 9], dtype=pl.UInt128))
    assert found.rows["address"].to_list() == [9]


anything = st.tuples(
    st.integers(0, 3),
    st.one_of(st.none(), st.integers(-(2**62), 2**62), st.integers(-100_000, 100_000), st.just(NOON)),
    st.one_of(st.none(), st.integers(0, 2**63)),
    st.one_of(st.none(), st.floats(), st.integers(0, 20_000).map(lambda halves: halves / 2000)),
)


@needs_native
@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.lists(st.tuples(anything, st.integers(0, 9)), max_size=40), max_size=4), st.sampled_from([0, 1, 5, 100])
)
def test_native_and_portable_agree(frames: list[list[tuple[Row, int]]], most: int) -> None:
    """Whatever the rows, and however few the table may have, both tables say the same; so does one of a slice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loads, "MOST", most)
        native, portable, sliced = (
            made("source", [0, 3, 8]) for made in (NativeLoadTable, PortableLoadTable, NativeLoadTable)
        )
        for part in frames:
            rows, labels = frame([row for row, _ in part]), pl.Series([label for _, label in part], dtype=pl.UInt8)
            native.add(rows, labels)
            portable.add(rows, labels)
            sliced.add(pl.concat([rows, rows])[len(part) :], pl.concat([labels, labels])[len(part) :])
        found, expected, of_slice = native.table(), portable.table(), sliced.table()
    assert found.bucket_seconds == expected.bucket_seconds == of_slice.bucket_seconds
    assert_frame_equal(found.rows, expected.rows)
    assert_frame_equal(of_slice.rows, expected.rows)


@needs_native
def test_what_cannot_be_meant_is_refused() -> None:
    """Widths that do not divide each other, and frames of other columns, are errors."""
    for widths in ((), (60, 90), (0,), (1,) * 17):
        with pytest.raises(ValueError, match="expected"):
            loads._NATIVE.Loads(widths, 10, 1, (1, 2))
    rows = frame([(0, NOON, 1, 0.1)]).with_columns(pl.col("bytes").cast(pl.Float64))
    with pytest.raises(ValueError, match="other columns"):
        NativeLoadTable("source", [0]).add(rows, pl.Series([0], dtype=pl.UInt8))


@needs_native
def test_the_table_in_c_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold sums with the table in C unless the portable code is asked for."""
    assert isinstance(new_load_table("source", [0]), NativeLoadTable)
    monkeypatch.setenv("LOGSCAN_SCANNER", "portable")
    assert isinstance(new_load_table("source", [0]), PortableLoadTable)
