"""nginx's ``limit_req`` replayed over the requests of one log, as the controller that wrote it computed it.

ingress-nginx renders ``limit-rps: N`` as ``rate=Nr/s``, ``burst=N*multiplier`` and ``nodelay``
(kubernetes/ingress-nginx internal/ingress/annotations/ratelimit/main.go). The integer algorithm is that of nginx
src/http/modules/ngx_http_limit_req_module.c: a request adds 1000 to the excess of its key, time takes away
``rate * milliseconds / 1000``; above the burst it is rejected and changes nothing.

A log with whole seconds leaves open when within its second a request came. Two bounds hold for all times that it may
have been. Let ``held`` be what is charged to a key at the beginning of a second, ``count`` the requests of that second,
``room`` what may be charged at most:

=======  ===================================  ============================================================
..       requests that pass                   charged at the end of the second
=======  ===================================  ============================================================
most     as many as fit into ``room - held``  ``held + passed - min(rate, held)``: only what was there has
                                              drained, as if all came at the end
fewest   as many as fit into ``room - held``  ``max(0, held + passed - rate)``: the whole second has drained,
         and what drains in 999 ms            as if all came at the beginning
=======  ===================================  ============================================================

After each second the most that were rejected, and the sum of these and what is charged, are at least what they truly
are; for the fewest they are at most that. A key with less charged to it by as many requests as were rejected before
rejects at most these more, so that what holds after one second holds after the next.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Protocol

import polars as pl

from analyzer.native import compiled, random_seed
from analyzer.parsing.scanner import use_native
from analyzer.tables.address_table import NO_ADDRESS
from analyzer.tables.columns import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NATIVE = compiled("analyzer.tables._limit_req")

#: Milliseconds back in time that begin another log for an address (nginx's clock never goes back).
NEW_LOG = 60_000
#: Milliseconds behind a request logged before, from which on one counts as out of order.
DISORDER = 1000
#: The latest time of a simulator that has seen none.
_NEVER = -(2**62)

#: What a simulator is given of each request.
ARRIVALS = ("time", "number", "zone", "outcome")

#: Rejections by limit (its place in the grid) and number of the address: the most, and the fewest. Of a limit that does
#: not stand alone these are the two orders of `analyzer.tables.arrivals`.
REJECTIONS: dict[str, pl.DataType] = {
    "limit": pl.UInt16(),
    "number": pl.UInt32(),
    "most": pl.UInt64(),
    "fewest": pl.UInt64(),
}

#: The same of a run, by address: ``key`` is what was counted under (`analyzer.tables.limited.KEYS`). Without an address
#: stands what a limit that all share rejects of all together.
LIMITS: dict[str, pl.DataType] = {
    "key": pl.UInt8(),
    "limit": pl.UInt16(),
    "address": pl.UInt128(),
    "most": pl.UInt64(),
    "fewest": pl.UInt64(),
}

#: What a simulator remembers: requests of the last moment of each key that wait, and what was charged before them, null
#: where nothing was; the first row, with the number that no address has, holds the latest time of all.
STATE: dict[str, pl.DataType] = {
    "number": pl.UInt32(),
    "zone": pl.UInt32(),
    "time": pl.Int64(),
    "waiting": pl.UInt32(),
    "states": pl.List(pl.Int64()),
}
_NO_STATES = pl.Series(dtype=pl.List(pl.Int64()))


class Rate(Protocol):
    """A limit in nginx's units: thousandths of a request per second, and requests at once more."""

    @property
    def rate(self) -> int:
        """Thousandths of a request per second."""

    @property
    def burst(self) -> int | None:
        """So many requests may come at once beside the first."""


class Simulator(Protocol):
    """Replays one log."""

    def add(self, requests: pl.DataFrame) -> tuple[int, int]:
        """Requests in the order of the log; return how many met the limits, and how many of these were out of order.

        Columns `ARRIVALS`: ``time``, ``number`` (of the address), ``zone`` (requests of different zones do not meet),
        ``outcome``. A request that nginx could not read (`Outcome.UNPARSED_REQUEST`) never came as far as a limit, and
        one without an address or a time cannot be replayed. Out of order is what stands more than `DISORDER` behind a
        request that was logged before it.
        """

    def take(self) -> pl.DataFrame:
        """The rejections since the last time, see `REJECTIONS`; what is replayed later is not changed by asking."""

    def finish(self) -> pl.DataFrame:
        """The log is over: the rejections since the last time, and those of requests that waited for their moment."""

    def state(self) -> pl.DataFrame:
        """What the simulator remembers but for rejections, see `STATE`. Either kind of simulator can go on with it."""

    def restore(self, state: pl.DataFrame) -> None:
        """Go on, while still empty, where a simulator of the same limits was."""


def new_simulator(grid: Sequence[Rate], *, whole_seconds: bool, ladders: Sequence[int] = ()) -> Simulator:
    """Make a simulator; with `whole_seconds` the times of the log have no fraction.

    `ladders` has a number for each limit; those of a number above 0 stand together, the strictest first, and of them
    only the laxest is told that rejects a request of a key, at most and for certain.
    """
    kind = NativeSimulator if _NATIVE is not None and use_native() else PortableSimulator
    return kind(grid, whole_seconds=whole_seconds, ladders=ladders)


class NativeSimulator:
    """limit_req.c behind the contract of `Simulator`."""

    def __init__(self, grid: Sequence[Rate], *, whole_seconds: bool, ladders: Sequence[int] = ()) -> None:
        numbers = ladders or [0] * len(grid)
        limits = tuple((limit.rate, limit.burst or 0, ladder) for limit, ladder in zip(grid, numbers, strict=True))
        self._simulator = _NATIVE.Simulator(limits, whole_seconds, random_seed()[0])
        self._per_key = len(limits) * (4 if whole_seconds else 2)

    def add(self, requests: pl.DataFrame) -> tuple[int, int]:
        """Requests in the order of the log."""
        arrived: tuple[int, int] = self._simulator.add(requests.select(ARRIVALS).__arrow_c_stream__())
        return arrived

    def take(self) -> pl.DataFrame:
        """The rejections since the last time."""
        return _columns(self._simulator.take(), "Q", REJECTIONS)

    def finish(self) -> pl.DataFrame:
        """The log is over: the rejections since the last time."""
        return _columns(self._simulator.finish(), "Q", REJECTIONS)

    def state(self) -> pl.DataFrame:
        """What the simulator remembers."""
        keys, values, latest = self._simulator.state()
        known = _columns(keys, "q", dict.fromkeys((*list(STATE)[:4], "place"), pl.Int64()))
        states = _numbers(values, "q").reshape((-1, self._per_key)).arr.to_list() if values else _NO_STATES
        place = known["place"].replace(-1, None)
        return as_state(latest, known.drop("place").with_columns(states=states.gather(place)))

    def restore(self, state: pl.DataFrame) -> None:
        """Go on where another simulator was."""
        keys, latest = keys_of(state)
        known = pl.col("states").is_not_null()
        place = pl.when(known).then(known.cast(pl.Int64).cum_sum() - 1).otherwise(-1)
        rows = keys.select(*(pl.col(name).cast(pl.Int64) for name in list(STATE)[:4]), place)
        self._simulator.restore(
            _bytes_of(rows.select(pl.concat_list(pl.all())).to_series()), _bytes_of(keys["states"].drop_nulls()), latest
        )


def _numbers(values: bytes, code: str) -> pl.Series:
    return pl.Series(array(code, values), dtype=pl.UInt64() if code == "Q" else pl.Int64())


def _columns(values: bytes, code: str, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The columns of rows that came as numbers of eight bytes."""
    if not values:
        return pl.DataFrame(schema=schema)
    numbers = _numbers(values, code)
    return pl.DataFrame({
        name: numbers.gather_every(len(schema), at).cast(dtype) for at, (name, dtype) in enumerate(schema.items())
    })  # fmt: skip


def _bytes_of(lists: pl.Series) -> bytes:
    return array("q", lists.explode().to_list() if lists.len() else ()).tobytes()


def as_state(latest: int, keys: pl.DataFrame) -> pl.DataFrame:
    """The latest time and the keys in one frame, see `STATE`."""
    row = (NO_ADDRESS, 0, latest, 0, None)
    first = pl.DataFrame([row], schema=STATE, orient="row")
    return pl.concat([first, keys.select(pl.col(name).cast(dtype) for name, dtype in STATE.items())])


def keys_of(state: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """The keys of a state, and the latest time."""
    return state[1:], state["time"][0]


class _State:
    __slots__ = ("excess", "last", "rejected")

    def __init__(self) -> None:
        self.excess = self.last = self.rejected = 0


class _Key:
    __slots__ = ("fresh", "met", "past", "states", "time", "waiting")

    def __init__(self, time: int) -> None:
        self.time = time
        self.waiting = 1
        self.fresh = True
        self.met = 0
        #: what came before, of a key that has met too few requests for any limit: time, waiting, fresh
        self.past: list[tuple[int, int, bool]] = []
        #: for each limit one state of the most rejections, and one of the fewest
        self.states: list[tuple[_State, _State]] = []


class PortableSimulator:
    """The same in plain Python."""

    def __init__(self, grid: Sequence[Rate], *, whole_seconds: bool, ladders: Sequence[int] = ()) -> None:
        self._grid = [(limit.rate, (limit.burst or 0) * 1000) for limit in grid]
        #: So many requests of a key no limit rejects, whenever they come: most keys meet no more.
        self._spared = min((burst + 1000) // _charge(rate) for rate, burst in self._grid)
        self._ladders = ladders or [0] * len(grid)
        self._whole_seconds = whole_seconds
        self._keys: dict[tuple[int, int], _Key] = {}
        self._latest = _NEVER

    def add(self, requests: pl.DataFrame) -> tuple[int, int]:
        """Requests in the order of the log."""
        met = (pl.col("outcome") != Outcome.UNPARSED_REQUEST.value) & (pl.col("number") != NO_ADDRESS)
        arrivals = requests.filter(met & pl.col("time").is_not_null())
        disordered = 0
        for number, zone, time in arrivals.select("number", "zone", pl.col("time").to_physical()).iter_rows():
            if time < self._latest - DISORDER:
                disordered += 1
            if time > self._latest or time < self._latest - NEW_LOG:
                self._latest = time
            key = self._keys.get((number, zone))
            if key is None:
                self._keys[number, zone] = _Key(time)
            elif key.time - NEW_LOG <= time <= key.time:
                key.waiting += 1  # to nginx no time went by, even if the log has the lines in another order
            else:
                self._replay(key)
                key.fresh = time < key.time
                key.time, key.waiting = time, 1
        return arrivals.height, disordered

    def take(self) -> pl.DataFrame:
        """The rejections since the last time."""
        found = []
        for (number, _), key in self._keys.items():
            noted = [0, 0]
            for limit, (most, fewest) in reversed(list(enumerate(key.states))):
                ladder, rejected = self._ladders[limit], (most.rejected, fewest.rejected)
                if any(
                    count and not (ladder and ladder == known) for count, known in zip(rejected, noted, strict=True)
                ):
                    found.append((limit, number, *rejected))
                    noted = [ladder if count else known for count, known in zip(rejected, noted, strict=True)]
                most.rejected = fewest.rejected = 0
        return pl.DataFrame(found, schema=REJECTIONS, orient="row")

    def finish(self) -> pl.DataFrame:
        """The log is over: the rejections since the last time."""
        for key in self._keys.values():
            self._replay(key)
        found = self.take()
        self._keys, self._latest = {}, _NEVER
        return found

    def state(self) -> pl.DataFrame:
        """What the simulator remembers."""
        variants = 2 if self._whole_seconds else 1
        rows = [
            (number, zone, key.time, key.waiting, None if key.fresh else [
                value
                for pair in self._stated(key).states
                for state in pair[:variants]
                for value in (state.excess, state.last)
            ])
            for (number, zone), key in self._keys.items()
        ]  # fmt: skip
        return as_state(self._latest, pl.DataFrame(rows, schema=STATE, orient="row"))

    def restore(self, state: pl.DataFrame) -> None:
        """Go on where another simulator was."""
        keys, self._latest = keys_of(state)
        for number, zone, time, waiting, values in keys.iter_rows():
            key = self._keys[number, zone] = _Key(time)
            key.waiting = waiting
            if values is None:
                continue
            key.fresh = False
            self._stated(key)
            known = iter(values)
            for pair in key.states:
                for each in pair if self._whole_seconds else pair[:1]:
                    each.excess, each.last = next(known), next(known)

    def _stated(self, key: _Key) -> _Key:
        """The key, with states."""
        if not key.states:
            key.states = [(_State(), _State()) for _ in self._grid]
            now = key.time, key.waiting, key.fresh
            past, key.past = key.past, []
            for before in past:
                key.time, key.waiting, key.fresh = before
                self._replay(key)
            key.time, key.waiting, key.fresh = now
        return key

    def _replay(self, key: _Key) -> None:
        key.met += key.waiting
        if not key.states and key.met <= self._spared:
            key.past.append((key.time, key.waiting, key.fresh))
            key.fresh = False
            return
        self._stated(key)
        for (rate, burst), (most, fewest) in zip(self._grid, key.states, strict=True):
            if self._whole_seconds:
                if key.fresh:
                    most.excess = fewest.excess = 0
                _most(rate, burst, most, key)
                _fewest(rate, burst, fewest, key)
                continue
            for number in range(key.waiting):
                if key.fresh and number == 0:
                    most.excess, most.last = 0, key.time
                else:
                    _limit_req(rate, burst, most, key.time)
            fewest.rejected = most.rejected
        key.fresh = False


def _held(rate: int, state: _State, second: int) -> int:
    """What is charged at the beginning of a second, where `last` is the end of the one before."""
    return max(0, state.excess - rate * max(0, second - state.last) // 1000)


def _charge(rate: int) -> int:
    """What a request that passes is charged: nginx rounds down what has drained before it."""
    return 1001 if rate % 1000 else 1000


def _most(rate: int, burst: int, state: _State, key: _Key) -> None:
    held, charge = _held(rate, state, key.time), _charge(rate)
    passed = min(key.waiting, (burst + 1000 - held) // charge)
    state.rejected += key.waiting - passed
    state.excess, state.last = held + passed * charge - min(rate, held), key.time + 1000


def _fewest(rate: int, burst: int, state: _State, key: _Key) -> None:
    held = _held(rate, state, key.time)
    passed = min(key.waiting, (burst + 1000 + rate * 999 // 1000 - held) // 1000)
    state.rejected += key.waiting - passed
    state.excess, state.last = max(0, held + passed * 1000 - rate), key.time + 1000


def _limit_req(rate: int, burst: int, state: _State, now: int) -> None:
    elapsed = max(0, now - state.last)
    excess = max(0, state.excess - rate * elapsed // 1000 + 1000)
    if excess > burst:
        state.rejected += 1
        return
    state.excess = excess
    state.last = max(state.last, now)
