"""nginx's ``limit_req`` replayed over the requests of one log, as the controller that wrote it computed it.

ingress-nginx renders ``limit-rps: N`` as ``rate=Nr/s``, ``burst=N*multiplier`` and ``nodelay``
(kubernetes/ingress-nginx internal/ingress/annotations/ratelimit/main.go). The integer algorithm is that of nginx
src/http/modules/ngx_http_limit_req_module.c: a request adds 1000 to the excess of its key, time takes away
``rate * milliseconds / 1000``; above the burst it is rejected and changes nothing.

A log with whole seconds leaves open when within its second a request came. Two replays bound the truth: all requests
of a second at its beginning (most rejections) and evenly spread over it (fewest).
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple, Protocol

import polars as pl

from analyzer.native import compiled, random_seed
from analyzer.parsing.scanner import use_native
from analyzer.tables.address_table import NO_ADDRESS
from analyzer.tables.columns import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NATIVE = compiled("analyzer.tables._limit_req")

#: Requests per second that every report tries.
GRID = (1, 2, 5, 10, 20, 50, 100)
#: ingress-nginx's ``limit-burst-multiplier`` where none is set.
BURST_MULTIPLIER = 5

#: Milliseconds back in time that begin another log for an address (nginx's clock never goes back).
_NEW_LOG = 60_000
#: Milliseconds that a request is taken to have lasted at most.
_LONGEST_REQUEST = 60_000

#: Rejections by limit (its place in the grid) and number of the address.
REJECTIONS: dict[str, pl.DataType] = {
    "limit": pl.UInt16(),
    "number": pl.UInt32(),
    "rejected_low": pl.UInt64(),
    "rejected_high": pl.UInt64(),
}

#: What a simulator finds, perhaps at several times for an address.
_FOUND = dict.fromkeys(("limit", "number", "at_once", "spread"), pl.UInt64)


class Limit(NamedTuple):
    """A limit to try: `rps` requests per second and address, `burst` more at once."""

    rps: int
    burst: int
    controller: str = "ingress-nginx"

    @property
    def name(self) -> str:
        """As the annotation says it."""
        return f"limit-rps: {self.rps}"

    @property
    def rate(self) -> int:
        """In nginx's unit, a thousandth of a request per second."""
        return self.rps * 1000


def limit_grid(more: Iterable[int] = (), multiplier: int = BURST_MULTIPLIER) -> list[Limit]:
    """The limits of the shipped grid and these, in ascending order, each with ``rps * multiplier`` as burst."""
    return [Limit(rps, rps * multiplier) for rps in sorted({*GRID, *more})]


class Simulator(Protocol):
    """Replays one log."""

    def add(self, requests: pl.DataFrame) -> int:
        """Requests in the order of the log; return how many of them met the limits.

        Columns ``time``, ``number`` (of the address), ``outcome`` and, unless times are whole seconds,
        ``request_time``: logged is the end of a request, limited is its beginning. A request that nginx could not read
        (`Outcome.UNPARSED_REQUEST`) never came as far as a limit, and one without an address or a time cannot be
        replayed.
        """

    def finish(self) -> pl.DataFrame:
        """The log is over: all rejections, see `REJECTIONS`; rows only where a request was rejected."""


def new_simulator(grid: Sequence[Limit], *, whole_seconds: bool) -> Simulator:
    """Make a simulator; with `whole_seconds` the times of the log have no fraction."""
    kind = NativeSimulator if _NATIVE is not None and use_native() else PortableSimulator
    return kind(grid, whole_seconds=whole_seconds)


class NativeSimulator:
    """limit_req.c behind the contract of `Simulator`."""

    def __init__(self, grid: Sequence[Limit], *, whole_seconds: bool) -> None:
        self._simulator = _NATIVE.Simulator(
            tuple((limit.rate, limit.burst) for limit in grid), whole_seconds, random_seed()[0]
        )

    def add(self, requests: pl.DataFrame) -> int:
        """Requests in the order of the log."""
        arrived: int = self._simulator.add(requests.__arrow_c_stream__())
        return arrived

    def finish(self) -> pl.DataFrame:
        """The log is over: all rejections."""
        rows = array("Q")
        rows.frombytes(self._simulator.finish())
        return _bounds(pl.DataFrame({name: rows[at :: len(_FOUND)] for at, name in enumerate(_FOUND)}, schema=_FOUND))


class _State:
    __slots__ = ("excess", "last", "rejected")

    def __init__(self) -> None:
        self.excess = self.last = self.rejected = 0


class _Key:
    __slots__ = ("fresh", "states", "time", "waiting")

    def __init__(self, time: int, limits: int) -> None:
        self.time = time
        self.waiting = 1
        self.fresh = True
        #: for each limit one state with all requests of a moment at once, and one with them spread over the second
        self.states = [(_State(), _State()) for _ in range(limits)]


class PortableSimulator:
    """The same in plain Python."""

    def __init__(self, grid: Sequence[Limit], *, whole_seconds: bool) -> None:
        self._grid = [(limit.rate, limit.burst * 1000) for limit in grid]
        self._whole_seconds = whole_seconds
        self._keys: dict[int, _Key] = {}

    def add(self, requests: pl.DataFrame) -> int:
        """Requests in the order of the log."""
        met = (pl.col("outcome") != Outcome.UNPARSED_REQUEST.value) & (pl.col("number") != NO_ADDRESS)
        arrivals = requests.filter(met).drop_nulls()
        times = arrivals["time"].to_physical()
        if not self._whole_seconds:
            # A request that took longer than the limits remember must not look like another log.
            times -= (arrivals["request_time"] * 1000).cast(pl.Int64).clip(0, _LONGEST_REQUEST)
        for number, time in zip(arrivals["number"].to_list(), times.to_list(), strict=True):
            key = self._keys.get(number)
            if key is None:
                self._keys[number] = _Key(time, len(self._grid))
            elif (
                key.time - _NEW_LOG <= time <= key.time
            ):  # to nginx no time went by, even if the log has the lines in another order
                key.waiting += 1
            else:
                self._replay(key)
                key.fresh = time < key.time
                key.time, key.waiting = time, 1
        return arrivals.height

    def finish(self) -> pl.DataFrame:
        """The log is over: all rejections."""
        found = []
        for number, key in self._keys.items():
            self._replay(key)
            for limit, (at_once, spread) in enumerate(key.states):
                counts = at_once.rejected, spread.rejected if self._whole_seconds else at_once.rejected
                if any(counts):
                    found.append((limit, number, *counts))
        self._keys = {}
        return _bounds(pl.DataFrame(found, schema=_FOUND, orient="row"))

    def _replay(self, key: _Key) -> None:
        for (rate, burst), (at_once, spread) in zip(self._grid, key.states, strict=True):
            for number in range(key.waiting):
                for state, moment in ((at_once, key.time), (spread, key.time + number * 1000 // key.waiting)):
                    if key.fresh and number == 0:
                        state.excess, state.last = 0, moment
                    else:
                        _limit_req(rate, burst, state, moment)
        if key.waiting:
            key.fresh = False
        key.waiting = 0


def _limit_req(rate: int, burst: int, state: _State, now: int) -> None:
    elapsed = max(0, now - state.last)
    excess = max(0, state.excess - rate * elapsed // 1000 + 1000)
    if excess > burst:
        state.rejected += 1
        return
    state.excess = excess
    state.last = max(state.last, now)


def _bounds(found: pl.DataFrame) -> pl.DataFrame:
    """Add up what was found of each address. Only then: at once may reject more at one time, spread at another."""
    counts = found.group_by("limit", "number").agg(pl.col("at_once", "spread").sum())
    bounds = counts.with_columns(
        rejected_low=pl.min_horizontal("at_once", "spread"), rejected_high=pl.max_horizontal("at_once", "spread")
    )
    return bounds.select(pl.col(name).cast(dtype) for name, dtype in REJECTIONS.items())
