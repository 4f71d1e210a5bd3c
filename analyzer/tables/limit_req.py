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

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NATIVE = compiled("analyzer.tables._limit_req")

#: Requests per second that every report tries.
GRID = (1, 2, 5, 10, 20, 50, 100)
#: ingress-nginx's ``limit-burst-multiplier`` where none is set.
BURST_MULTIPLIER = 5

#: Milliseconds back in time that begin another log for an address (nginx's clock never goes back).
_NEW_LOG = 60_000

#: Rejections by limit (its place in the grid) and address.
REJECTIONS: dict[str, pl.DataType] = {
    "limit": pl.UInt16(),
    "address": pl.UInt128(),
    "rejected_low": pl.UInt64(),
    "rejected_high": pl.UInt64(),
}


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

    def add(self, requests: pl.DataFrame) -> None:
        """Requests in order of arrival: columns ``address`` and ``time``, without nulls."""

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
            tuple((limit.rate, limit.burst) for limit in grid), whole_seconds, random_seed()
        )

    def add(self, requests: pl.DataFrame) -> None:
        """Requests in order of arrival."""
        self._simulator.add(requests.select("address", "time").__arrow_c_stream__())

    def finish(self) -> pl.DataFrame:
        """The log is over: all rejections."""
        rows = array("Q")
        rows.frombytes(self._simulator.finish())
        names = ("limit", "high", "low", "at_once", "spread")
        found = pl.DataFrame({name: pl.Series(rows[at::5], dtype=pl.UInt64) for at, name in enumerate(names)})
        high, low = pl.col("high").cast(pl.UInt128), pl.col("low").cast(pl.UInt128)
        return _bounds(found.select("limit", "at_once", "spread", address=high * pl.lit(2**64, pl.UInt128) + low))


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

    def add(self, requests: pl.DataFrame) -> None:
        """Requests in order of arrival."""
        times = requests["time"].to_physical()
        for address, time in zip(requests["address"].to_list(), times.to_list(), strict=True):
            key = self._keys.get(address)
            if key is None:
                self._keys[address] = _Key(time, len(self._grid))
            elif (
                key.time - _NEW_LOG <= time <= key.time
            ):  # to nginx no time went by, even if the log has the lines in another order
                key.waiting += 1
            else:
                self._replay(key)
                key.fresh = time < key.time
                key.time, key.waiting = time, 1

    def finish(self) -> pl.DataFrame:
        """The log is over: all rejections."""
        found = []
        for address, key in self._keys.items():
            self._replay(key)
            for limit, (at_once, spread) in enumerate(key.states):
                counts = at_once.rejected, spread.rejected if self._whole_seconds else at_once.rejected
                if any(counts):
                    found.append((limit, address, *counts))
        self._keys = {}
        schema = {"limit": pl.UInt16, "address": pl.UInt128, "at_once": pl.UInt64, "spread": pl.UInt64}
        return _bounds(pl.DataFrame(found, schema=schema, orient="row"))

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
    counts = found.group_by("limit", "address").agg(pl.col("at_once", "spread").sum())
    bounds = counts.with_columns(
        rejected_low=pl.min_horizontal("at_once", "spread"), rejected_high=pl.max_horizontal("at_once", "spread")
    )
    return bounds.select(pl.col(name).cast(dtype) for name, dtype in REJECTIONS.items())
