"""nginx's limit_req: the golden vectors of the real one, and both simulators alike on whatever comes."""

from __future__ import annotations

from itertools import pairwise
from random import Random  # noqa: TC003 - hypothesis reads the annotation
from typing import ClassVar, NamedTuple

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scanners import native_or_skip

from analyzer.parsing.schema import TIME
from analyzer.tables import limit_req
from analyzer.tables.address_table import NO_ADDRESS
from analyzer.tables.limit_req import NativeSimulator, PortableSimulator
from analyzer.tables.limits import GRID, limit_grid

NOON = 1_795_262_400_000  # 21 November 2026, 12:00 UTC, in milliseconds
SECOND, HOUR = 1000, 3_600_000
#: Requests: (address, milliseconds).
Requests = list[tuple[int, int]]


class Raw(NamedTuple):
    """A limit in nginx's own units; a rate in requests per minute is truncated to thousandths of one per second."""

    rate: int
    burst: int

    def drains(self, held: int) -> int:
        """Milliseconds in which so many requests are forgotten, rounded down."""
        return held * 1_000_000 // self.rate


RPS5 = Raw(5000, 25)
RPM10 = Raw(166, 50)
KINDS = [NativeSimulator, PortableSimulator]
STEADY = [(1, NOON + n * SECOND // 6) for n in range(600)]


def frame(requests: Requests) -> pl.DataFrame:
    """Requests as the fold hands them over."""
    return rows([(address, time, 0, 0) for address, time in requests])


def rows(of: list[tuple[int, int | None, int, int]]) -> pl.DataFrame:
    """Rows of a log: number of the address, milliseconds, outcome, zone."""
    schema = {"number": pl.UInt32, "time": pl.Int64, "outcome": pl.UInt8, "zone": pl.UInt32}
    made = pl.DataFrame(of, schema=schema, orient="row")
    return made.select(pl.col("time").cast(TIME), "number", "zone", "outcome")


def replay(
    kind: type[NativeSimulator | PortableSimulator],
    limits: list[Raw],
    *batches: Requests,
    whole_seconds: bool = False,
) -> dict[tuple[int, int], tuple[int, int]]:
    """Replay; return the fewest and the most rejections by limit and address."""
    simulator = kind(limits, whole_seconds=whole_seconds)  # type: ignore[arg-type]
    for batch in batches:
        assert simulator.add(frame(batch))[0] == len(batch)
    return bounds(simulator.finish(), whole_seconds=whole_seconds)


def bounds(found: pl.DataFrame, *, whole_seconds: bool = True) -> dict[tuple[int, int], tuple[int, int]]:
    """The fewest and the most rejections by limit and address."""
    assert found.schema == pl.Schema(limit_req.REJECTIONS)
    assert whole_seconds or found["most"].equals(found["fewest"])
    summed = found.group_by("limit", "number").agg(pl.col("most", "fewest").sum())
    rows = summed.iter_rows()
    return {(limit, address): (fewest, most) for limit, address, most, fewest in rows if fewest or most}


class SimulatorContract:
    """What every simulator keeps; the classes below run it."""

    kind: ClassVar[type[NativeSimulator | PortableSimulator]]

    def rejected(self, limit: Raw, times: list[int]) -> int:
        """How many requests of one address at these exact times are rejected."""
        found = replay(self.kind, [limit], [(1, time) for time in times])
        low, high = found.get((0, 1), (0, 0))
        assert low == high
        return high

    @pytest.mark.parametrize(
        ("times", "rejected"),
        [
            ([0] * 26, 0),
            ([0] * 40, 14),
            ([0] * 40 + [100] * 3, 17),
            ([0] * 40 + [100] * 3 + [200], 17),
            ([0] * 40 + [100] * 3 + [200] * 3, 19),
            ([0] * 40 + [100] * 3 + [200] * 3 + [1000] * 4, 19),
            ([0] * 40 + [100] * 3 + [200] * 3 + [1000] * 10, 25),
        ],
    )
    def test_five_a_second(self, times: list[int], rejected: int) -> None:
        """`rate=5r/s burst=25 nodelay` lets through what a real nginx let through, request by request."""
        assert self.rejected(RPS5, [NOON + time for time in times]) == rejected

    def test_ten_a_minute(self) -> None:
        """`rate=10r/m burst=50` is 166 thousandths a second: 51 of 60 at once pass, as in a real nginx."""
        assert self.rejected(RPM10, [NOON] * 51) == 0
        assert self.rejected(RPM10, [NOON] * 60) == 9
        # 6 seconds give back 996 thousandths: not yet a whole request.
        assert self.rejected(RPM10, [NOON] * 51 + [NOON + 6000]) == 1
        assert self.rejected(RPM10, [NOON] * 51 + [NOON + 6025]) == 0

    def test_steady_six_on_a_limit_of_five(self) -> None:
        """Six a second on a limit of five: 525 of 600 pass, and the first rejected is the 152nd."""
        times = [time for _, time in STEADY]
        assert self.rejected(RPS5, times) == 75
        assert self.rejected(RPS5, times[:151]) == 0
        assert self.rejected(RPS5, times[:152]) == 1

    def test_a_rejection_changes_nothing(self) -> None:
        """Rejected requests are not counted against the address: it recovers as if they had not come."""
        hammering = [NOON] * 26 + [NOON + n for n in range(1, 200)]
        assert self.rejected(RPS5, [*hammering, NOON + 200]) == 199

    def test_no_burst(self) -> None:
        """Without a burst a request passes once the one before has drained."""
        assert self.rejected(Raw(1000, 0), [NOON, NOON + 999, NOON + 1000]) == 1
        assert self.rejected(Raw(1000, 0), [NOON, NOON + 1000, NOON + 2000]) == 0

    def test_addresses_and_limits_apart(self) -> None:
        """Each limit counts each address by itself; who is not rejected is not listed."""
        first, last = 0, NO_ADDRESS - 1
        limits = [Raw(1000, 5), RPS5, Raw(100_000, 500)]
        found = replay(self.kind, limits, [(last, NOON)] * 40 + [(first, NOON)] * 10 + [(7, NOON)])
        assert found == {(0, last): (34, 34), (0, first): (4, 4), (1, last): (14, 14)}

    def test_a_little_disorder_counts_as_no_time(self) -> None:
        """A request that is logged late by up to a minute gives nothing back, as where nginx's clock stands still."""
        filled = [NOON] * 26
        assert self.rejected(RPS5, [*filled, NOON - 59_000]) == 1
        assert self.rejected(RPS5, [*filled, NOON - 59_000, NOON + 200]) == 1
        assert self.rejected(Raw(1000, 5), [NOON, *[NOON - 5000] * 3, *[NOON + 3000] * 6]) == 1

    def test_a_jump_back_begins_another_log(self) -> None:
        """Where the time jumps back by more than a minute all addresses begin anew; what was rejected stays counted."""
        found = replay(self.kind, [RPS5], [(1, NOON)] * 40 + [(2, NOON - 60_001)], [(1, NOON - 60_001)] * 40)
        assert found == {(0, 1): (28, 28)}

    def test_whole_seconds_give_bounds(self) -> None:
        """With whole seconds the most and the fewest are what the worst and the best order would meet."""
        whole = [NOON + second * SECOND for second in range(2) for _ in range(450)]
        found = replay(self.kind, [RPS5], [(1, time) for time in whole], whole_seconds=True)
        # At the end of one second and the beginning of the next, or all along the first and at the end of the next.
        worst = self.rejected(RPS5, [NOON + 999] * 450 + [NOON + SECOND] * 450)
        best = self.rejected(RPS5, [NOON + n * 999 // 449 for n in range(450)] + [NOON + 1999] * 450)
        assert found == {(0, 1): (best, worst)}
        assert (best, worst) == (865, 874)

    def test_bounds_of_a_steady_client(self) -> None:
        """Over minutes bounds differ by no more than two seconds drain, and who keeps within is let."""
        six = [(1, NOON + n // 6 * SECOND) for n in range(600)]
        assert replay(self.kind, [RPS5], six, whole_seconds=True) == {(0, 1): (75, 84)}
        five = [(1, NOON + n // 5 * SECOND) for n in range(600)]
        assert replay(self.kind, [RPS5], five, whole_seconds=True) == {}

    def test_forgotten_addresses_keep_their_rejections(self) -> None:
        """An address that was idle for long begins anew, and what was rejected before stays counted."""
        burst = [(1, NOON)] * 40
        later = [(1, NOON + HOUR)] * 40
        others = [(n, NOON + HOUR // 2) for n in range(100, 5000)]
        assert replay(self.kind, [RPS5], burst, others, later) == {(0, 1): (28, 28)}
        assert replay(self.kind, [RPS5], burst + others + [(9, NOON + HOUR)]) == {(0, 1): (14, 14)}

    def test_nothing_at_all(self) -> None:
        """No requests make an empty table with its dtypes."""
        simulator = self.kind(limit_grid(), whole_seconds=True)
        simulator.add(frame([]))
        assert simulator.finish().schema == pl.Schema(limit_req.REJECTIONS)

    def test_used_again(self) -> None:
        """A simulator that has finished begins anew, as if it were another."""
        simulator = self.kind([RPS5], whole_seconds=False)  # type: ignore[list-item]
        for _ in range(2):
            simulator.add(frame([(1, NOON)] * 40))
            assert bounds(simulator.finish()) == {(0, 1): (14, 14)}

    def test_frames_of_several_chunks(self) -> None:
        """A frame that is put together of others, or cut out of one, is read in full and in order."""
        parts = [frame(STEADY[n : n + 37]) for n in range(0, 600, 37)]
        simulator = self.kind([RPS5], whole_seconds=False)  # type: ignore[list-item]
        simulator.add(pl.concat(parts, rechunk=False)[:301])
        simulator.add(pl.concat(parts, rechunk=True)[301:])
        assert bounds(simulator.finish()) == {(0, 1): (75, 75)}

    def test_what_meets_no_limit(self) -> None:
        """Requests that nginx could not read, or without an address or a time, are left out."""
        simulator = self.kind([RPS5], whole_seconds=False)  # type: ignore[list-item]
        out = [(1, NOON, 2, 0), (NO_ADDRESS, NOON, 0, 0), (1, None, 0, 0)]
        assert simulator.add(rows([*out, (1, NOON, 0, 0), (1, NOON, 1, 0)] * 20)) == (40, 0)
        assert bounds(simulator.finish()) == {(0, 1): (14, 14)}

    def test_zones_apart(self) -> None:
        """An address has a limit in each zone: two Ingresses do not charge each other."""
        simulator = self.kind([RPS5], whole_seconds=False)  # type: ignore[list-item]
        simulator.add(rows([(1, NOON, 0, zone) for zone in (0, 7, 2**32 - 1) for _ in range(30)]))
        assert bounds(simulator.finish()) == {(0, 1): (12, 12)}

    def test_disorder_is_told(self) -> None:
        """What stands more than a second behind a request before it counts, and an older log behind it once."""
        simulator = self.kind([RPS5], whole_seconds=True)  # type: ignore[list-item]
        order = [0, 5, 4, 3, 9, 7, -52, -53, -51, -54, 20]
        assert simulator.add(frame([(1, NOON + second * SECOND) for second in order])) == (11, 4)
        backwards = [(n, NOON - n * SECOND) for n in range(1000)]
        assert simulator.add(frame(backwards))[1] > 900

    @pytest.mark.parametrize("whole_seconds", [True, False])
    def test_asking_changes_nothing(self, whole_seconds: bool) -> None:  # noqa: FBT001
        """What is taken on the way adds up to what the end gives, request by request."""
        unit = SECOND if whole_seconds else 1
        times = [(n % 3, (NOON + n * 40) // unit * unit) for n in range(3000)]
        expected = replay(self.kind, [RPS5, RPM10], times, whole_seconds=whole_seconds)
        simulator = self.kind([RPS5, RPM10], whole_seconds=whole_seconds)  # type: ignore[list-item]
        taken = []
        for at in range(0, 3000, 17):
            simulator.add(frame(times[at : at + 17]))
            taken.append(simulator.take())
        assert any(part.height for part in taken[:-1])
        assert bounds(pl.concat([*taken, simulator.finish()]), whole_seconds=whole_seconds) == expected


class TestPortable(SimulatorContract):
    """The portable simulator."""

    kind = PortableSimulator


class TestNative(SimulatorContract):
    """The native simulator."""

    kind = NativeSimulator

    @pytest.fixture(autouse=True)
    def _built(self) -> None:
        native_or_skip(limit_req._NATIVE)

    def test_other_frames_are_refused(self) -> None:
        """A frame that holds no times and numbers is refused instead of read as if it did."""
        simulator = limit_req._NATIVE.Simulator(((5000, 25),), False, 1)  # noqa: FBT003
        for columns in ({"number": [1], "time": [1]}, {"number": [1]}, {"a": ["x"], "b": ["y"]}):
            with pytest.raises(ValueError, match="expected"):
                simulator.add(pl.DataFrame(columns).__arrow_c_stream__())

    def test_addresses_of_one_slot_are_told_apart(self) -> None:
        """Two addresses whose hashes lead to the same slot, with the same mark, have a limit each."""
        simulator = limit_req._NATIVE.Simulator(((1000, 2),), True, 1)  # noqa: FBT003 - numbers are their own hashes
        requests = frame([(number, NOON) for number in (5, 5 + (1 << 11)) * 3])
        assert simulator.add(requests.__arrow_c_stream__()) == (6, 0)
        assert simulator.finish() == b""

    @pytest.mark.parametrize("limit", [(0, 5), (-1, 5), (1, -1), (1, 1_000_001)])
    def test_limits_that_cannot_be_kept(self, limit: tuple[int, int]) -> None:
        """A limit whose numbers would not fit is refused."""
        with pytest.raises(ValueError, match="expected a rate"):
            limit_req._NATIVE.Simulator((limit,), True, 1)  # noqa: FBT003

    def test_a_limit_that_never_forgets(self) -> None:
        """A limit that remembers for weeks is refused: its times would not fit."""
        with pytest.raises(ValueError, match="expected a limit that forgets"):
            limit_req._NATIVE.Simulator(((1, 1000),), True, 1)  # noqa: FBT003


@st.composite
def streams(draw: st.DrawFn) -> list[Requests]:
    """Requests of few addresses in bursts, pauses and long silences, a few seconds out of order, in some batches."""
    unit = draw(st.sampled_from([1, 50, 1000]))
    requests, now = [], NOON // unit
    steps = st.sampled_from([0, 0, 0, 0, 1, 1, 2, 7, 60, 400, 20_000, 4_000_000])
    for _ in range(draw(st.integers(0, 40))):
        now += draw(steps) * SECOND // 1000
        late = draw(st.sampled_from([0, 0, 0, 1, 3, 5])) * SECOND // unit
        address = draw(st.sampled_from([1, 2, 3, 1 << 31, NO_ADDRESS - 1]))
        requests += [(address, (now - late) * unit)] * draw(st.sampled_from([1, 1, 2, 3, 6, 7, 30, 120]))
    cuts = sorted(draw(st.lists(st.integers(0, len(requests)), max_size=3)))
    edges = [0, *cuts, len(requests)]
    return [requests[a:b] for a, b in pairwise(edges)]


LIMITS = [Raw(limit.rate, limit.burst or 0) for limit in limit_grid()] + [
    RPM10,
    Raw(1000, 0),
    Raw(1, 1),
    Raw(10**9, 10**6),
]


@settings(max_examples=300, deadline=None)
@given(streams(), st.booleans(), st.lists(st.sampled_from(LIMITS), min_size=1, max_size=4, unique=True))
def test_both_agree(batches: list[Requests], whole_seconds: bool, limits: list[Raw]) -> None:  # noqa: FBT001
    """Native and portable reject the same requests, also out of order, after silences, and in any batches."""
    native_or_skip(limit_req._NATIVE)
    expected = replay(PortableSimulator, limits, *batches, whole_seconds=whole_seconds)
    assert replay(NativeSimulator, limits, *batches, whole_seconds=whole_seconds) == expected


@st.composite
def hostile(draw: st.DrawFn) -> tuple[list[Raw], Requests]:
    """Limits of all kinds, and requests of an address or two at the very moments at which a limit has drained."""
    rates = st.sampled_from([1, 7, 166, 999, 1000, 1001, 5000, 12_345, 999_999_937, 10**9])
    bursts = st.sampled_from([0, 1, 2, 5, 50, 500])
    limits = draw(st.lists(st.builds(Raw, rates, bursts), min_size=1, max_size=19))
    drained = [limit.drains(held) for limit in limits for held in (1, 2, limit.burst, limit.burst + 1)]
    steps = st.one_of(
        st.sampled_from([0, 1, 1000, 1000, -1, -25_000, -60_000, -60_001, 60_000]),
        st.builds(sum, st.tuples(st.sampled_from(drained), st.sampled_from([-2, -1, 0, 1, 998, 999, 1000, 1001]))),
    )
    unit = draw(st.sampled_from([1, 1, 333, 1000, 1000]))
    requests, now = [], NOON
    for step, address, count in draw(
        st.lists(st.tuples(steps, st.sampled_from([1, 1, 1 << 30]), st.sampled_from([1, 1, 1, 2, 3, 7, 26, 1500])))
    ):
        now += step
        requests += [(address, now // unit * unit)] * count
    return limits, requests


@settings(max_examples=300, deadline=None)
@given(hostile(), st.booleans())
def test_both_agree_on_hostile_times(made: tuple[list[Raw], Requests], whole_seconds: bool) -> None:  # noqa: FBT001
    """Native and portable agree to the millisecond at which a limit has forgotten, for more limits than a vector."""
    native_or_skip(limit_req._NATIVE)
    limits, requests = made
    expected = replay(PortableSimulator, limits, requests, whole_seconds=whole_seconds)
    assert replay(NativeSimulator, limits, requests, whole_seconds=whole_seconds) == expected


@settings(max_examples=300, deadline=None)
@given(
    streams() | hostile().map(lambda made: [made[1][:20], made[1][20:33], made[1][33:]]), st.booleans(), st.randoms()
)
def test_a_run_that_is_saved_and_continued(
    batches: list[Requests],
    whole_seconds: bool,  # noqa: FBT001
    random: Random,
) -> None:
    """However a log is cut, saved and continued, by whichever simulator, the rejections are those of one run."""
    native_or_skip(limit_req._NATIVE)
    limits = [RPS5, RPM10, Raw(1000, 0), Raw(999, 2), *LIMITS[:6]]
    expected = replay(PortableSimulator, limits, *batches, whole_seconds=whole_seconds)
    taken, state = [], None
    for batch in batches:
        simulator = random.choice(KINDS)(limits, whole_seconds=whole_seconds)  # type: ignore[arg-type]
        if state is not None:
            simulator.restore(state)
        simulator.add(frame(batch))
        taken.append(simulator.take())
        state = simulator.state()
        assert state.schema == pl.Schema(limit_req.STATE)
    last = random.choice(KINDS)(limits, whole_seconds=whole_seconds)  # type: ignore[arg-type]
    if state is not None:
        last.restore(state)
    assert bounds(pl.concat([*taken, last.finish()]), whole_seconds=whole_seconds) == expected


@pytest.mark.parametrize("rate", [7, 145, 166, 288, 999, 4640, 5000])
@pytest.mark.parametrize("burst", [0, 1, 40])
def test_both_agree_at_the_millisecond(rate: int, burst: int) -> None:
    """Native and portable round what has drained alike, where it is just as much as so many requests."""
    native_or_skip(limit_req._NATIVE)
    limit, requests = Raw(rate, burst), []
    for held in range(1, burst + 2):
        for off in (-1, 0, 1):
            for first in (held, burst + 1):
                then = NOON + limit.drains(held) + off
                address = len(requests)
                requests += [(address, time) for time in [NOON] * first + [then] * (burst + 1)]
    expected = replay(PortableSimulator, [limit], requests)
    assert replay(NativeSimulator, [limit], requests) == expected


@pytest.mark.parametrize("whole_seconds", [False, True])
@pytest.mark.parametrize("multiplier", [0, 1, 5])
def test_both_agree_on_a_burst_behind_calm(multiplier: int, whole_seconds: bool) -> None:  # noqa: FBT001
    """A limit that a key came nowhere near knows what the last moment charged, when a burst comes at last."""
    native_or_skip(limit_req._NATIVE)
    limits = [Raw(rate * 1000, rate * multiplier) for rate in (*range(1, 10), *range(10, 100, 4))]
    bursts = [
        (steady, gap, count) for steady in (1, 3, 9) for gap in (1, 2) for count in (5, 6, 20, 21, 50, 51, 90, 300)
    ]
    moments = sorted(
        (NOON + at * gap * SECOND, address, count if at == 5 else steady)
        for address, (steady, gap, count) in enumerate(bursts)
        for at in range(6)
    )
    requests = [(address, time) for time, address, count in moments for _ in range(count)]
    expected = replay(PortableSimulator, limits, requests, whole_seconds=whole_seconds)
    assert replay(NativeSimulator, limits, requests, whole_seconds=whole_seconds) == expected


def test_both_agree_on_many_addresses() -> None:
    """Native and portable agree while the table of addresses grows, forgets, and reuses what it forgot."""
    native_or_skip(limit_req._NATIVE)
    batches = []
    for batch in range(12):
        start = NOON + batch * 400_000
        batches.append([
            ((n * 7919 + batch * 31) % 6007 << n % 3 * 9, start + n // 97 * 50 // (1 + n % 5))
            for n in range(6000)
            for _ in range(1 + 11 * (n % 53 == 0))
        ])  # fmt: skip
    for whole_seconds in (False, True):
        expected = replay(PortableSimulator, LIMITS[:5], *batches, whole_seconds=whole_seconds)
        assert expected
        assert replay(NativeSimulator, LIMITS[:5], *batches, whole_seconds=whole_seconds) == expected


@st.composite
def moments(draw: st.DrawFn) -> list[int]:
    """Moments of the requests of one address, many of them at the edges of seconds, with bursts and silences."""
    times, now = [], NOON
    steps = st.sampled_from([0, 1, 7, 166, 900, 998, 999, 1000, 1001, 2000, 5000, 11_000, 60_000, 7_200_000])
    for _ in range(draw(st.integers(1, 40))):
        now += draw(steps)
        if draw(st.booleans()):
            now = now // SECOND * SECOND + draw(st.sampled_from([999, SECOND]))
        times += [now + n * draw(st.sampled_from([0, 0, 1, 30, 200])) for n in range(draw(st.integers(1, 12)))]
        now = max(now, times[-1])
    return sorted(times)


BOUNDED = [Raw(5000, 25), Raw(1000, 0), Raw(1000, 5), Raw(2000, 2), Raw(166, 5), Raw(999, 2), Raw(33, 1), Raw(7500, 3)]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=400, deadline=None)
@given(moments())
def test_the_truth_lies_within_the_bounds(kind: type[NativeSimulator | PortableSimulator], times: list[int]) -> None:
    """Whenever within their seconds the requests came, as many are rejected as the bounds for whole seconds say."""
    native_or_skip(limit_req._NATIVE)
    true = replay(kind, BOUNDED, [(1, time) for time in times])
    whole = [(1, time // SECOND * SECOND) for time in times]
    found = replay(kind, BOUNDED, whole, whole_seconds=True)
    for limit in range(len(BOUNDED)):
        low, high = found.get((limit, 1), (0, 0))
        assert low <= true.get((limit, 1), (0, 0))[0] <= high < len(times)


def test_grid() -> None:
    """The shipped grid and the limits asked for stand in ascending order, each with its burst in nginx's units."""
    grid = limit_grid([3, 5], multiplier=2)
    assert [limit.rps for limit in grid] == sorted({*GRID, 3})
    assert [(limit.rate, limit.burst, limit.name) for limit in grid[:2]] == [
        (1000, 2, "limit-rps: 1"),
        (2000, 4, "limit-rps: 2"),
    ]


def test_environment_chooses_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """LOGSCAN_SCANNER=portable, or the want of a compiled module, makes the portable simulator."""
    monkeypatch.setenv("LOGSCAN_SCANNER", "portable")
    chosen = limit_req.new_simulator(limit_grid(), whole_seconds=True)
    assert isinstance(chosen, PortableSimulator)
    chosen.add(frame(STEADY))
    kept = chosen.finish().sort("limit")
    monkeypatch.delenv("LOGSCAN_SCANNER")
    any_kind = limit_req.new_simulator(limit_grid(), whole_seconds=True)
    any_kind.add(frame(STEADY))
    assert_frame_equal(any_kind.finish().sort("limit"), kept)
    monkeypatch.setattr(limit_req, "_NATIVE", None)
    assert isinstance(limit_req.new_simulator(limit_grid(), whole_seconds=True), PortableSimulator)
