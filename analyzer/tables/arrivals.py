"""The requests of one log in the order in which they began, which is when a limit is asked; logged is when they ended.

A request is held back until none that began before it can follow in the log: a minute, for no request is taken to have
lasted longer. Where times are whole seconds, two orders are tried: all requests of a second end at its beginning, or
those of a key spread evenly over it. They show what the order makes of it and are no proven bound; a single limit_req,
and what decides alike, has one in `analyzer.tables.limit_req`. To windows that begin with a second the order in it is
nothing. What the log tells of the order does not depend on how its lines come in pieces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from analyzer.tables.address_table import NO_ADDRESS
from analyzer.tables.columns import Outcome
from analyzer.tables.limit_req import DISORDER, NEW_LOG

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Milliseconds that a request is taken to have lasted at most.
LONGEST_REQUEST = 60_000
#: What is told of each request. A zone is another in each log of a source: where its time goes back, all begins anew.
REQUESTS: dict[str, pl.DataType] = {
    "number": pl.UInt32(),
    "zone": pl.UInt32(),
    "begin": pl.Int64(),
    "end": pl.Int64(),
}
_HELD: dict[str, pl.DataType] = {"log": pl.UInt32(), **REQUESTS}
_FORMING: dict[str, pl.DataType] = {
    "log": pl.UInt32(),
    "number": pl.UInt32(),
    "zone": pl.UInt32(),
    "time": pl.Int64(),
    "took": pl.Int64(),
}
_CLOCK: dict[str, pl.DataType] = {"log": pl.UInt32(), "newest": pl.Int64(), "last": pl.Int64()}
_NEVER = -(2**62)


def met(rows: pl.DataFrame, *, exact_times: bool) -> pl.Expr:
    """Which rows are of requests that meet limits: those that nginx could read, and of which it is known when.

    Columns ``outcome``, ``number``, ``time`` and, where logged, ``request_time``.
    """
    needed = ["time", "request_time"] if exact_times and "request_time" in rows.columns else ["time"]
    readable = (pl.col("outcome") != Outcome.UNPARSED_REQUEST.value) & (pl.col("number") != NO_ADDRESS)
    return readable & pl.all_horizontal(pl.col(needed).is_not_null())


def lasted() -> pl.Expr:
    """Milliseconds that each request lasted."""
    took = (pl.col("request_time") * 1000).round().cast(pl.Int64, strict=False)
    return took.clip(0, LONGEST_REQUEST).fill_null(0)


class Arrivals:
    """Puts requests in order.

    Parameters
    ----------
    exact_times
        Whether the log tells times to the millisecond.
    """

    def __init__(self, *, exact_times: bool) -> None:
        self._exact = exact_times
        self._log, self._newest, self._last = 0, _NEVER, _NEVER
        self._forming = pl.DataFrame(schema=_FORMING)  # of the second that may not be over
        self._held = [pl.DataFrame(schema=_HELD) for _ in range(1 if exact_times else 2)]
        #: How many stood more than `limit_req.DISORDER` behind a request logged before, and logs that went back.
        self.disordered = 0

    def add(self, rows: pl.DataFrame) -> list[pl.DataFrame]:
        """Take requests in the order of the log; return those whose turn has come (`REQUESTS`), in each order.

        Columns ``time`` (Datetime or Int64, ms), ``number``, ``zone`` and, where logged, ``request_time`` (seconds).
        """
        if rows.is_empty():
            return [pl.DataFrame(schema=REQUESTS) for _ in self._held]
        rows = rows.select(
            "number",
            "zone",
            pl.col("time").to_physical().alias("time"),
            (lasted() if "request_time" in rows.columns else pl.lit(0, pl.Int64)).alias("took"),
        )
        jump = pl.col("time") < pl.col("time").shift(1, fill_value=self._last) - NEW_LOG
        rows = rows.with_columns(log=(jump.cast(pl.UInt32).cum_sum() + self._log).cast(pl.UInt32))
        same = pl.when(pl.col("log") == self._log).then(self._newest).otherwise(_NEVER)
        rows = rows.with_columns(newest=pl.max_horizontal(pl.col("time").cum_max().over("log"), same))
        behind = (pl.col("time") < pl.col("newest") - DISORDER).sum()
        log, newest, last = rows.select("log", "newest", "time").row(-1)
        self.disordered += rows.select(behind).item() + log - self._log
        self._log, self._newest, self._last = log, newest, last
        if self._exact:
            begin = pl.max_horizontal(pl.col("time") - pl.col("took"), pl.col("newest") - LONGEST_REQUEST)
            return self._in_turn([_held(rows, begin, pl.col("time"))])
        forming = pl.concat([self._forming, rows.with_columns(time="newest").select(*_FORMING)])
        over = (pl.col("log") < self._log) | (pl.col("time") < self._newest)
        self._forming = forming.filter(~over)
        return self._in_turn(_bounds(forming.filter(over)))

    def finish(self) -> list[pl.DataFrame]:
        """The log is over: the rest."""
        rest = _bounds(self._forming) if not self._exact else [pl.DataFrame(schema=_HELD)]
        self._log += 1  # all that is held back belongs to a log that is over
        self._forming, self._newest, self._last = self._forming.clear(), _NEVER, _NEVER
        return self._in_turn(rest)

    def _in_turn(self, come: list[pl.DataFrame]) -> list[pl.DataFrame]:
        ready = []
        turn = (pl.col("log") < self._log) | (pl.col("begin") < self._newest - LONGEST_REQUEST)
        for place, rows in enumerate(come):
            held = pl.concat([self._held[place], rows])
            self._held[place] = held.filter(~turn)
            zone = (pl.col("zone").cast(pl.UInt64) + pl.col("log").cast(pl.UInt64) * 0x9E37_79B1) % (1 << 32)
            # Of those that begin at once the longest goes first: one that was rejected then took no time, and no place.
            order = ("log", "begin", "end")
            due = held.filter(turn).sort(order, descending=[False, False, True], maintain_order=True)
            ready.append(due.select("number", zone.cast(pl.UInt32), "begin", "end"))
        return ready

    def state(self) -> dict[str, pl.DataFrame]:
        """What is held back, in frames by name."""
        clock = pl.DataFrame([(self._log, self._newest, self._last)], schema=_CLOCK, orient="row")
        held = {f"held{place}": rows for place, rows in enumerate(self._held)}
        return {"clock": clock, "forming": self._forming, **held}

    def restore(self, state: Mapping[str, pl.DataFrame]) -> None:
        """Go on where others were."""
        self._log, self._newest, self._last = state["clock"].row(0)
        self._forming = state["forming"]
        self._held = [state[f"held{place}"] for place in range(len(self._held))]


def _held(rows: pl.DataFrame, begin: pl.Expr, end: pl.Expr) -> pl.DataFrame:
    return rows.select("log", "number", "zone", begin.alias("begin"), end.alias("end"))


def _bounds(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """The requests of whole seconds, all of a second at once, and those of a key spread over it."""
    key = pl.col("zone").cast(pl.UInt64) * (1 << 32) + pl.col("number")
    rows = rows.with_row_index("place").sort("log", "time", key, maintain_order=True)
    # Rows of a key stand together: where they begin and end says which of how many each is. over() takes far longer.
    at = pl.int_range(pl.len(), dtype=pl.Int64)
    begins = pl.struct("log", "time", "zone", "number").rle_id().diff() != 0
    first = pl.when(begins.fill_null(value=True)).then(at).forward_fill()
    behind = pl.when(begins.shift(-1).fill_null(value=True)).then(at + 1).backward_fill()
    rows = rows.with_columns(moment=pl.col("time") + (at - first) * 1000 // (behind - first)).sort("place")
    return [
        _held(rows, pl.max_horizontal(end - pl.col("took"), pl.col("time") - LONGEST_REQUEST), end)
        for end in (pl.col("time"), pl.col("moment"))
    ]
