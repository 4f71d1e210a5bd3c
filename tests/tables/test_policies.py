"""Limits decided request by request: vectors by hand, a second implementation, native and portable alike."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from fractions import Fraction
from random import Random  # noqa: TC003 - hypothesis reads the annotation
from typing import ClassVar

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scanners import native_or_skip

from analyzer.tables import policies as module
from analyzer.tables.limits import MONTH, WINDOWS, YEAR, Policy, Type
from analyzer.tables.policies import REQUESTS, STATE, NativeDecider, PortableDecider, window_of

NOON = 1_795_262_400_000  # 21 November 2026, 12:00 UTC, in milliseconds
#: Requests: (key, begin, end) in milliseconds after noon.
Requests = list[tuple[int, int, int]]


def frame(requests: Requests) -> pl.DataFrame:
    """Requests as a decider takes them."""
    rows = [(key, NOON + begin, NOON + end) for key, begin, end in requests]
    return pl.DataFrame(rows, schema=REQUESTS, orient="row")


def at(*times: int) -> Requests:
    """Requests of one key that take no time."""
    return [(1, time, time) for time in times]


class Contract:
    """What every decider keeps; the classes below run it."""

    kind: ClassVar[type[NativeDecider | PortableDecider]]

    def passes(self, policy: Policy, requests: Requests) -> str:
        """Which requests pass: a dot for each that does, an x for each that is rejected."""
        rejected = self.kind([policy]).decide(frame(requests))
        return "".join(".x"[bits] for bits in rejected)

    def test_limit_req_vectors(self) -> None:
        """A limit of five a second with a burst of 25 decides as the real nginx did."""
        policy = Policy(Type.NGINX, ((5000, 25),))
        found = self.passes(policy, at(*[0] * 40, *[100] * 3, *[200] * 3, *[1000] * 10))
        assert found == "." * 26 + "x" * 14 + "xxx" + ".xx" + "...." + "x" * 6
        steady = self.passes(policy, at(*(n * 1000 // 6 for n in range(600))))
        assert (steady.count("."), steady.index("x")) == (525, 151)
        assert self.passes(Policy(Type.NGINX, ((166, 50),)), at(*[0] * 60)).count(".") == 51

    def test_a_rejection_by_one_limit_charges_no_other(self) -> None:
        """Of several limit_req all are charged when all let a request pass, and none where one does not."""
        both = Policy(Type.NGINX, ((1000, 0), (1000, 3)))
        assert self.passes(both, at(0, 0, 0, 0, 0, 1000, 2000, 3000, 4000)) == ".xxxx...."
        assert self.passes(both, at(0, 500, 1000, 1500, 2000)) == ".x.x."

    def test_connections(self) -> None:
        """So many may be in progress; one that ends when another begins is gone, one rejected never counted."""
        policy = Policy(Type.NGINX, (), 2)
        requests = [(1, 0, 100), (1, 0, 50), (1, 10, 500), (1, 50, 60), (1, 60, 200), (1, 99, 150), (1, 100, 101)]
        assert self.passes(policy, requests) == "..x..x."
        assert self.passes(policy, [(key, 0, 100) for key in (1, 2, 1, 2, 1, 2)]) == "....xx"
        assert self.passes(policy, at(*[0] * 9)) == "." * 9

    def test_connections_come_after_limit_req(self) -> None:
        """What limit_req rejects is not in progress, and what limit_conn rejects was charged by limit_req."""
        policy = Policy(Type.NGINX, ((1000, 1),), 1)
        # Passes; too many at once, but charged; refused by limit_req; at 1000 ms one more has drained.
        assert self.passes(policy, [(1, 0, 900), (1, 0, 900), (1, 0, 900), (1, 950, 960), (1, 1000, 1001)]) == ".xxx."

    @pytest.mark.parametrize("counts_rejected", [False, True])
    def test_fixed_windows(self, counts_rejected: bool) -> None:  # noqa: FBT001
        """Three a second, by the clock: the window begins with the second, not with the first request."""
        policy = Policy(Type.FIXED, ((1, 3),), counts_rejected=counts_rejected)
        assert self.passes(policy, at(900, 900, 950, 999, 1000, 1001, 1002, 1003, 3000)) == "...x...x."

    def test_fixed_windows_together(self) -> None:
        """Two a second and four a minute: what redis counting does to a client that goes on, and local does not."""
        windows = ((1, 2), (60, 4))
        times = [0, 0, 0, 0, 1000, 1000, 1000, 60_000]
        assert self.passes(Policy(Type.FIXED, windows), at(*times)) == "..xx..x."
        assert self.passes(Policy(Type.FIXED, windows, counts_rejected=True), at(*times)) == "..xxxxx."

    def test_sliding_windows(self) -> None:
        """Ten in sixty seconds: 30 s into the next window half of the last one counts."""
        policy = Policy(Type.SLIDING, ((60, 10),), counts_rejected=True)
        assert self.passes(policy, at(*[0] * 10, *[90_000] * 6)) == "." * 15 + "x"
        # 20 counted, ten of them rejected: at the full minute all of them count, 30 s later ten do.
        hammering = at(*[0] * 20, 60_000, 90_000, 119_000)
        assert self.passes(policy, hammering) == "." * 10 + "x" * 10 + "xx."

    def test_sliding_windows_without_penalty(self) -> None:
        """What was rejected is not counted: half a window later half of the ten counts."""
        policy = Policy(Type.SLIDING, ((60, 10),))
        assert self.passes(policy, at(*[0] * 20, 60_000, *[90_000] * 7)) == "." * 10 + "x" * 10 + "x" + "....." + "xx"

    def test_a_hammering_client_never_recovers(self) -> None:
        """Kong counts what it rejects: who goes on asking too often passes no more."""
        policy = Policy(Type.SLIDING, ((60, 10),), counts_rejected=True)
        assert self.passes(policy, at(*range(0, 600_000, 1000))).count(".") == 10
        assert self.passes(Policy(Type.SLIDING, ((60, 10),)), at(*range(0, 600_000, 1000))).count(".") > 90

    def test_token_bucket(self) -> None:
        """Five a second: full at first, and a token comes back each fifth of a second."""
        policy = Policy(Type.BUCKET, ((1000, 5),))
        assert self.passes(policy, at(*[0] * 6, 199, 200, 200, 5000, *[5000] * 5)) == ".....xx.x" + "....." + "x"

    def test_keys_and_policies_apart(self) -> None:
        """Each key and each policy is decided by itself, and a bit says which policy rejects."""
        decider = self.kind(
            [Policy(Type.FIXED, ((1, 1),)), Policy(Type.BUCKET, ((1000, 2),)), Policy(Type.NGINX, (), 1)]
        )
        assert decider.decide(frame([(key, 0, 10) for key in (1, 2**64 - 1) for _ in range(3)])).to_list() == [
            0b000, 0b101, 0b111
        ] * 2  # fmt: skip

    def test_months_and_years(self) -> None:
        """Windows of the calendar begin with the first of the month, and of the year, UTC."""
        january = (datetime(2027, 1, 1, tzinfo=UTC) - datetime(2026, 11, 21, 12, tzinfo=UTC)).total_seconds() * 1000
        year, month = Policy(Type.FIXED, ((YEAR, 1),)), Policy(Type.FIXED, ((MONTH, 1),))
        times = at(0, 9 * 86_400_000, 10 * 86_400_000, int(january) - 1, int(january))
        assert self.passes(year, times) == ".xxx."
        assert self.passes(month, times) == ".x.x."

    def test_memory_is_let_go(self) -> None:
        """Keys that are as if they had never come are forgotten; the others are not."""
        decider = self.kind([Policy(Type.NGINX, ((1000, 2),), 1), Policy(Type.FIXED, ((1, 1),))])
        requests = [(key, key * 10, key * 10 + 5) for key in range(20_000)]
        long = [(10**9, 0, 150_000)]
        assert sum(decider.decide(frame(long + requests))) == 0
        assert decider.decide(frame([(10**9, 199_990, 200_000)])).to_list() == [0]
        if isinstance(decider, NativeDecider):
            assert decider.state().height < 10_000


class TestPortable(Contract):
    """The portable decider."""

    kind = PortableDecider


class TestNative(Contract):
    """The native decider."""

    kind = NativeDecider

    @pytest.fixture(autouse=True)
    def _built(self) -> None:
        native_or_skip(module._NATIVE)

    @pytest.mark.parametrize(
        "policy",
        [
            Policy(Type.NGINX, ()),
            Policy(Type.NGINX, ((0, 5),)),
            Policy(Type.SLIDING, ((MONTH, 5),)),
            Policy(Type.BUCKET, ((1000, 1), (1000, 2))),
            Policy(Type.FIXED, ((1, -1),)),
            Policy(Type.FIXED, ((1, 1),) * 9),
        ],
    )
    def test_policies_that_cannot_be_kept(self, policy: Policy) -> None:
        """A policy whose numbers would not fit is refused."""
        with pytest.raises(ValueError, match="expected a policy"):
            NativeDecider([policy])

    def test_other_frames_are_refused(self) -> None:
        """A frame of other columns is refused, and so is a state of other policies."""
        decider = NativeDecider([Policy(Type.FIXED, ((1, 1),))])
        with pytest.raises(ValueError, match="expected"):
            decider._policies.decide(pl.DataFrame({"a": [1]}).__arrow_c_stream__(), 1)
        with pytest.raises(ValueError, match="expected the state"):
            decider._policies.restore(b"\0" * 8, b"")


class Oracle:
    """A second implementation: it keeps all requests and counts again for each, in fractions, by the documents."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.counted: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self.tokens: dict[int, tuple[Fraction, int]] = {}

    def rejects(self, key: int, begin: int, end: int) -> bool:
        """Decide on a request."""
        past, second = self.counted[key], begin // 1000
        if self.policy.type is Type.BUCKET:
            ((interval, most),) = self.policy.parts
            tokens, last = self.tokens.get(key, (Fraction(most), begin))
            tokens = min(Fraction(most), tokens + Fraction(most, interval) * (begin - last))
            self.tokens[key] = (tokens - (tokens >= 1), begin)
            return tokens < 1
        if self.policy.type is Type.NGINX:
            fails = sum(each > begin for _, each in past) >= self.policy.connections
        else:
            fails = not all(self.has_room(length, most, past, second) for length, most in self.policy.parts)
        if not fails or self.policy.counts_rejected:
            past.append((second, end))
        return fails

    def has_room(self, length: int, most: int, past: list[tuple[int, int]], second: int) -> bool:
        """Whether a window has room for one more."""
        start = oracle_window(second, length)
        here = sum(each >= start for each, _ in past)
        if self.policy.type is Type.FIXED:
            return here < most
        before = sum(start - length <= each < start for each, _ in past)
        return here + 1 + before * Fraction(length - (second - start), length) <= most


def oracle_window(second: int, length: int) -> int:
    """The beginning of a window, by the calendar of the standard library."""
    if length > 0:
        return second // length * length
    day = datetime.fromtimestamp(second, UTC)
    first = datetime(day.year, day.month if length == MONTH else 1, 1, tzinfo=UTC)
    return int(first.timestamp())


PARTS = st.lists(st.tuples(st.sampled_from([1, 2, 7, 60, 3600]), st.integers(1, 12)), min_size=1, max_size=3)
CALENDAR = st.lists(st.tuples(st.sampled_from(list(WINDOWS.values())), st.integers(1, 12)), min_size=1, max_size=3)
POLICIES = st.one_of(
    st.builds(Policy, st.just(Type.FIXED), CALENDAR.map(tuple), counts_rejected=st.booleans()),
    st.builds(Policy, st.just(Type.SLIDING), PARTS.map(tuple), counts_rejected=st.booleans()),
    st.builds(Policy, st.just(Type.BUCKET), PARTS.map(lambda parts: ((parts[0][0] * 500, parts[0][1]),))),
    st.builds(Policy, st.just(Type.NGINX), st.just(()), st.integers(1, 4)),
)
RATES = st.lists(st.tuples(st.sampled_from([1, 166, 999, 1000, 5000, 10**9]), st.integers(0, 9)), max_size=3)
NGINX = st.builds(Policy, st.just(Type.NGINX), RATES.map(tuple), st.integers(1, 4))


@st.composite
def traffic(draw: st.DrawFn) -> Requests:
    """Requests of a few keys in bursts and pauses."""
    steps = st.sampled_from([0, 0, 0, 1, 199, 200, 250, 999, 1000, 1001, 7000, 60_000, 3_600_000, 40 * 86_400_000])
    requests, now = [], draw(st.sampled_from([0, 0, 400, -3_600_000_000]))
    for step, key, lasted, count in draw(
        st.lists(
            st.tuples(steps, st.integers(1, 3), st.sampled_from([0, 1, 200, 1000, 61_000]), st.integers(1, 9)),
            max_size=25,
        )
    ):
        now += step
        requests += [(key, now, now + lasted)] * count
    return requests


@settings(max_examples=300, deadline=None)
@given(POLICIES, traffic())
def test_a_second_implementation_agrees(policy: Policy, requests: Requests) -> None:
    """Every decision is that of an implementation which counts everything again."""
    oracle = Oracle(policy)
    expected = [int(oracle.rejects(key, NOON + begin, NOON + end)) for key, begin, end in requests]
    assert PortableDecider([policy]).decide(frame(requests)).to_list() == expected


@settings(max_examples=300, deadline=None)
@given(
    st.lists(POLICIES | NGINX, min_size=1, max_size=5),
    traffic(),
    st.lists(st.integers(0, 200), max_size=4),
    st.randoms(),
)
def test_a_run_that_is_saved_and_continued(
    policies: list[Policy], requests: Requests, cuts: list[int], random: Random
) -> None:
    """However requests are cut, saved and continued, by whichever decider, the decisions are those of one run."""
    native_or_skip(module._NATIVE)
    expected = PortableDecider(policies).decide(frame(requests)).to_list()
    found, state = [], None
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(requests)], strict=True):
        decider = random.choice([NativeDecider, PortableDecider])(policies)
        if state is not None:
            decider.restore(state)
        found += decider.decide(frame(requests[start:stop])).to_list()
        state = decider.state()
        assert state.schema == pl.Schema(STATE)
    assert found == expected
    assert NativeDecider(policies).decide(frame(requests)).to_list() == expected


@settings(deadline=None)
@given(st.integers(-(10**10), 10**11), st.sampled_from(list(WINDOWS.values())))
def test_windows_of_the_calendar(second: int, length: int) -> None:
    """A window begins where the calendar says, also for native deciders."""
    assert window_of(second, length) == oracle_window(second, length)
    native_or_skip(module._NATIVE)
    decider = NativeDecider([Policy(Type.FIXED, ((length, 1),))])
    decider.decide(pl.DataFrame([(1, second * 1000, second * 1000)], schema=REQUESTS, orient="row"))
    assert decider.state()["values"][0][0] == oracle_window(second, length)
