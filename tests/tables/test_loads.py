"""The table of loads: sums of what streams answered, the same however the rows come."""

from __future__ import annotations

from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from analyzer.parsing.schema import TIME
from analyzer.tables import loads
from analyzer.tables.loads import BUCKET_SECONDS, Loads, LoadTable, add_up

NOON = 1_795_262_400_000
Row = tuple[int, int | None, int | None, float | None]
SCHEMA = {"source": pl.UInt32, "time": pl.Int64, "bytes": pl.UInt64, "upstream_time": pl.Float64}


def frame(rows: list[Row]) -> pl.DataFrame:
    """Rows as the fold hands them over."""
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").with_columns(pl.col("time").cast(TIME))


def table(*frames: list[Row], wanted: bool = True) -> Loads:
    """Add frames of rows that are all wanted, or none of them."""
    made = LoadTable("source")
    for rows in frames:
        made.add(frame(rows), pl.Series([wanted] * len(rows), dtype=pl.Boolean))
    return made.table()


def rows_of(found: Loads) -> list[tuple[int | None, ...]]:
    """The rows with times in milliseconds since noon."""
    return found.rows.with_columns(pl.col("time").to_physical() - NOON).rows()


def test_sums_by_stream_and_bucket() -> None:
    """Each stream has its requests, bytes and upstream time of every ten seconds."""
    found = table(
        [(0, NOON, 100, 0.004), (0, NOON + 9_999, 50, None), (0, NOON + 10_000, None, 1.5)],
        [(1, NOON, 7, 0.0), (0, NOON, 1, 0.0015), (1, None, 3, None)],
    )
    assert found.bucket_seconds == 10
    assert rows_of(found) == [
        (0, 0, 3, 151, 2, 6),
        (0, 10_000, 1, 0, 1, 1500),
        (1, None, 1, 3, 0, 0),
        (1, 0, 1, 7, 1, 0),
    ]


def test_only_wanted_rows_count() -> None:
    """What is not considered leaves no row, and no rows make an empty table of the same columns."""
    assert rows_of(table([(0, NOON, 100, 0.1)], wanted=False)) == []
    assert table().rows.columns == table([(0, NOON, 1, 0.1)]).rows.columns


@pytest.mark.parametrize("hostile", [float("inf"), float("nan"), -5.0, 1e300])
def test_a_senseless_upstream_time_does_no_harm(hostile: float) -> None:
    """A time that no request takes is cut to what one might, or is none."""
    (_, _, considered, _, _, milliseconds) = rows_of(table([(0, NOON, 1, hostile)]))[0]
    assert considered == 1
    assert milliseconds in {0, 1_000_000_000}


@pytest.mark.parametrize("moment", [-(2**62), -62_135_596_800_000, 253_402_300_799_000, 2**62])
def test_any_time_keeps_its_stream(moment: int) -> None:
    """A time from the ends of the calendar, or beyond, moves no request to another stream."""
    assert [row[0] for row in rows_of(table([(3, moment, 1, 0.1), (4, NOON, 1, 0.1)]))] == [3, 4]


ROWS = st.tuples(
    st.integers(0, 3),
    st.one_of(st.none(), st.integers(NOON - 100_000, NOON + 100_000)),
    st.one_of(st.none(), st.integers(0, 2**40)),
    st.one_of(st.none(), st.floats(0, 1000)),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(ROWS, max_size=60), st.lists(st.integers(0, 60), max_size=4))
def test_frames_and_parts_make_no_difference(rows: list[Row], cuts: list[int]) -> None:
    """However rows are split into frames or tables, and whether or not they are in order, the sums are the same."""
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [rows[a:b] for a, b in pairwise(edges)]
    whole = table(rows)
    assert_frame_equal(table(*parts).rows, whole.rows)
    assert_frame_equal(add_up([table(part) for part in parts]).rows, whole.rows)
    in_order = sorted(rows, key=lambda row: (row[0], row[1] or 0))
    assert_frame_equal(table(in_order).rows, whole.rows)


def test_a_long_log_gets_wider_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table never has more rows than it may, whether it grew so long or was added up from short ones."""
    monkeypatch.setattr(loads, "MOST", 10)
    parts = [[(0, NOON + 60_000 * minute, 1, 0.1)] for minute in range(30)]
    whole, summed = table(*parts), add_up([table(part) for part in parts])
    assert whole.bucket_seconds == summed.bucket_seconds == 300
    assert whole.rows.height == 6
    assert_frame_equal(whole.rows, summed.rows)
    assert whole.rows["considered"].sum() == 30


def test_more_streams_than_rows_end_at_the_widest_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the streams alone are too many, each keeps one row."""
    monkeypatch.setattr(loads, "MOST", 3)
    found = table([(source, NOON + 10_000 * source, 1, 0.1) for source in range(8)])
    assert found.bucket_seconds == BUCKET_SECONDS[-1]
    assert found.rows.height == 8


def test_addresses_take_the_place_of_their_numbers() -> None:
    """A table by the numbers of addresses leaves with the addresses."""
    made = LoadTable("number")
    made.add(frame([(1, NOON, 1, 0.1)]).rename({"source": "number"}), pl.Series([True]))
    found = made.table(pl.Series([7, 9], dtype=pl.UInt128))
    assert found.rows["address"].to_list() == [9]
