"""The timeline: the counter in C and the portable one are held to the same contract."""

from __future__ import annotations

import os
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.addresses.classify import CLASSES, Classifier, declared
from analyzer.addresses.ranges import to_number
from analyzer.arrow import frame_of
from analyzer.parsing.schema import TIME
from analyzer.tables import timeline
from analyzer.tables.address_table import NO_ADDRESS
from analyzer.tables.timeline import BUCKET_SECONDS, MOST, NativeCounter, PortableCounter, TimelineTable

NATIVE_BUILT = timeline._NATIVE is not None
needs_native = pytest.mark.skipif(
    not NATIVE_BUILT and os.environ.get("LOGSCAN_REQUIRE_NATIVE") != "1", reason="the counter in C was not built"
)

NOON = 1_795_262_400_000  # 21 November 2026, 12:00 UTC, in milliseconds
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
#: Labels of addresses 0 to 3: client, client that is not considered, node, unknown that is not considered.
LABELS = pl.Series("label", [0, 1, 2, 9], dtype=pl.UInt8)
NOBODY = 9

Row = tuple[int | None, int, int]
Kind = type[NativeCounter] | type[PortableCounter]


def frame(rows: list[Row]) -> pl.DataFrame:
    """Rows as the fold hands them over: milliseconds, outcome, number of the address."""
    schema = {"time": pl.Int64, "outcome": pl.UInt8, "number": pl.UInt32}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("time").cast(TIME))


def counted(rows: pl.DataFrame) -> list[tuple[int | None, int, int, int]]:
    """The table with its times in milliseconds, in order."""
    return rows.with_columns(pl.col("time").to_physical()).sort("time", "class").rows()


@pytest.fixture(params=[pytest.param(NativeCounter, marks=needs_native), PortableCounter])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Either counter."""
    made: Kind = request.param
    return made


def test_counts_by_minute_and_class(kind: Kind) -> None:
    """Each minute and class has its requests, and those that are considered; frames add up."""
    counter = kind(5, NOBODY)
    counter.label(LABELS)
    added = counter.add(frame([(NOON, 0, 0), (NOON + MINUTE - 1, 1, 0), (NOON, 0, 1), (NOON + MINUTE, 0, 2)]))
    assert (added[0], added[1].to_list()) == (2, [0, 1, 1, 2])
    added = counter.add(frame([(NOON - 1, 2, 0), (NOON, 0, NO_ADDRESS), (None, 0, 0), (NOON, 0, 3)]))
    assert (added[0], added[1].to_list()) == (1, [1, NOBODY, 0, 9])
    assert counted(counter.rows()) == [
        (None, 0, 1, 1),
        (NOON - MINUTE, 0, 1, 0),
        (NOON, 0, 3, 1),
        (NOON, 4, 2, 0),
        (NOON + MINUTE, 1, 1, 1),
    ]
    assert counter.width() == 0


def test_an_empty_table_has_the_columns(kind: Kind) -> None:
    """Nothing counted gives an empty frame of the same columns; so does a frame without rows."""
    counter = kind(5, NOBODY)
    assert counter.add(frame([]))[0] == 0
    rows = counter.rows()
    assert rows.schema == pl.Schema({"time": TIME, "class": pl.UInt8, "requests": pl.UInt64, "considered": pl.UInt64})
    assert rows.is_empty()


def test_a_bucket_begins_where_its_width_divides(kind: Kind) -> None:
    """Times before 1970 are rounded down, as all others."""
    counter = kind(5, NOBODY)
    counter.label(LABELS)
    counter.add(frame([(-1, 0, 0), (0, 0, 0), (-MINUTE, 0, 0), (-MINUTE - 1, 0, 0), (MINUTE - 1, 0, 0)]))
    assert counted(counter.rows()) == [(-2 * MINUTE, 0, 1, 1), (-MINUTE, 0, 2, 2), (0, 0, 2, 2)]


def test_buckets_get_wider(kind: Kind) -> None:
    """A table that would be too long has the smallest width of which it is not; nothing is lost."""
    rows = [(NOON + n * MINUTE, 0, n % 4) for n in range(240)]
    for most, width, height in ((240, 0, 240), (239, 1, 48 * 3), (144, 1, 48 * 3), (143, 2, 16 * 3), (1, 7, 3)):
        counter = kind(5, NOBODY, most)
        counter.label(LABELS)
        assert counter.add(frame(rows))[0] == 120
        found = counter.rows()
        assert (counter.width(), found.height) == (width, height)
        assert found["requests"].sum() == 240
        assert found["considered"].sum() == 120


def test_many_buckets(kind: Kind) -> None:
    """At the last width a table may be of any length: hostile times lose nothing."""
    decade = BUCKET_SECONDS[-1] * 1000
    times = [(n - 15_000) * decade for n in range(30_000)]
    counter = kind(5, NOBODY)
    counter.label(LABELS)
    counter.add(frame([(time, 0, 0) for time in times]))
    counter.add(frame([(time + decade - 1, 1, 2) for time in reversed(times)]))
    assert counter.width() == len(BUCKET_SECONDS) - 1
    assert counted(counter.rows()) == [row for time in times for row in ((time, 0, 1, 1), (time, 1, 1, 0))]


def test_an_address_must_be_labelled(kind: Kind) -> None:
    """A number that has no label, and a label of no class, are refused."""
    counter = kind(5, NOBODY)
    with pytest.raises(ValueError, match="without a label"):
        counter.add(frame([(NOON, 0, 0)]))
    with pytest.raises(ValueError, match="unknown class"):
        counter.label(pl.Series("label", [0, 10], dtype=pl.UInt8))
    counter.label(LABELS)
    with pytest.raises(ValueError, match="without a label"):
        counter.add(frame([(NOON, 0, 4)]))


times = st.one_of(
    st.none(),
    st.integers(-(2**62), 2**63 - 1),
    st.builds(
        lambda unit, count, off: unit * count + off,
        st.sampled_from([MINUTE, HOUR, DAY, 1000 * BUCKET_SECONDS[-1]]),
        st.integers(-40, 40),
        st.integers(-1, 1),
    ),
)
parts = st.lists(
    st.lists(st.tuples(times, st.integers(0, 2), st.one_of(st.integers(0, 3), st.just(NO_ADDRESS))), max_size=60),
    max_size=4,
)


@needs_native
@settings(deadline=None)
@given(parts, st.sampled_from([0, 1, 2, 3, 5, 10, 100]))
def test_native_and_portable_agree(rows: list[list[Row]], most: int) -> None:
    """Whatever the times, both counters say the same, and it makes no difference how the rows are cut."""
    native, portable, whole = (
        NativeCounter(5, NOBODY, most),
        PortableCounter(5, NOBODY, most),
        PortableCounter(5, NOBODY, most),
    )
    for counter in (native, portable, whole):
        counter.label(LABELS[:1])
        counter.label(LABELS[1:])
    added = [(native.add(frame(part)), portable.add(frame(part))) for part in rows]
    assert all(one[0] == other[0] and one[1].equals(other[1]) for one, other in added)
    considered, labels = whole.add(frame([row for part in rows for row in part]))
    assert sum(one[0] for one, _ in added) == considered == (labels % 2 == 0).sum()
    assert [label for one, _ in added for label in one[1]] == labels.to_list()
    assert native.width() == portable.width() == whole.width()
    assert native.rows().schema == portable.rows().schema
    assert counted(native.rows()) == counted(portable.rows()) == counted(whole.rows())


@needs_native
@settings(deadline=None)
@given(st.lists(st.tuples(times, st.integers(0, 2), st.integers(0, 3)), max_size=30))
def test_a_slice_is_read_as_what_it_is(rows: list[Row]) -> None:
    """A frame that is a slice of another, or comes in several chunks, counts only its own rows."""
    counters = [NativeCounter(5, NOBODY), NativeCounter(5, NOBODY), NativeCounter(5, NOBODY)]
    for counter in counters:
        counter.label(pl.concat([LABELS[:3], LABELS])[3:])
    whole = frame(rows)
    chunks = pl.concat([whole[3:5], whole[5:]], rechunk=False).to_struct()
    added = [counters[0].add(frame(rows[3:])), counters[1].add(whole[3:])]
    considered, labels = counters[2]._timeline.add(chunks.__arrow_c_stream__())
    added.append((considered, frame_of(labels)["label"]))
    tables = [counted(counter.rows()) for counter in counters]
    assert [(considered, labels.to_list()) for considered, labels in added] == [
        (added[0][0], added[0][1].to_list())
    ] * 3
    assert tables == tables[:1] * 3


@needs_native
def test_what_cannot_be_meant_is_refused() -> None:
    """Widths that do not divide each other, too many classes, and frames of other columns are errors."""
    made: Any = timeline._NATIVE.Timeline
    for widths, classes, none in (
        ((), 5, 9),
        ((60, 90), 5, 9),
        ((0,), 5, 9),
        ((60,), 9, 9),
        ((60,), 0, 0),
        ((60,), 4, 8),
    ):
        with pytest.raises(ValueError, match="expected"):
            made(widths, MOST, classes, none, (1, 2))
    with pytest.raises(ValueError, match="other columns"):
        NativeCounter(5, NOBODY).add(frame([]).select("time", "number", "outcome"))
    with pytest.raises(ValueError, match="other columns"):
        NativeCounter(5, NOBODY).label(pl.Series([1]))


@pytest.mark.parametrize("scanner", [pytest.param("native", marks=needs_native), "portable"])
def test_addresses_are_labelled(monkeypatch: pytest.MonkeyPatch, scanner: str) -> None:
    """Addresses are of the class that the ranges say; live pods, probers and no address are not considered."""
    monkeypatch.setenv("LOGSCAN_SCANNER", scanner)
    table = TimelineTable(Classifier(declared=declared(node=["10.0.0.0/24"], lb=[], client=[], private=[])))
    texts = ["81.2.69.142", "10.0.0.7", "209.85.152.1"]  # the last is of Google, for health checks
    table.label(pl.Series([to_number(text) for text in texts[:2]], dtype=pl.UInt128))
    table.label(pl.Series([], dtype=pl.UInt128))
    table.label(pl.Series([to_number(text) for text in texts[2:]], dtype=pl.UInt128))
    assert table.add(frame([(NOON, 0, number) for number in (0, 0, 1, 2, NO_ADDRESS)]))[0] == 3
    rows = table.rows()
    assert rows.schema["class"] == pl.Enum(CLASSES)
    found = rows.select("class", "requests", "considered").sort("class").rows()
    assert found == [("client", 2, 2), ("node", 1, 1), ("lb", 1, 0), ("unknown", 1, 0)]
    assert table.bucket_seconds == 60
