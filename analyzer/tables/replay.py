"""Rate limits tried on the requests of all logs, each by itself: a limit is counted where one controller enforces it.

Those that count over all controllers are tried by `analyzer.tables.pooled`. `Replay` is told what each request was
counted under, an address by number and a zone, and gives what each limit would have rejected. What one log leaves
behind can be saved and continued: requests in pieces give what the whole gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from analyzer.tables.address_table import NO_ADDRESS
from analyzer.tables.arrivals import Arrivals, met
from analyzer.tables.columns import Outcome
from analyzer.tables.limit_req import ARRIVALS, REJECTIONS, new_simulator
from analyzer.tables.policies import new_decider

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analyzer.tables.limits import Limit


class Decided:
    """Limits that are decided request by request, and what they rejected.

    Parameters
    ----------
    limits
        All limits.
    places
        The places of those that are decided here, as `in_order` has them.
    orders
        How many orders of the same requests are tried: rejections of the first are the most, of the second the fewest.
    """

    def __init__(self, limits: Sequence[Limit], places: Sequence[int], *, orders: int) -> None:
        self.places = places
        policies = [limits[place].policy for place in places]
        self.deciders = [new_decider(policies) for _ in range(orders)] if places else []
        self._ladders = _numbers([limits[place] for place in places])
        self._found = [pl.DataFrame(schema=REJECTIONS)]

    def decide(self, order: int, requests: pl.DataFrame) -> None:
        """Requests of one order (`policies.REQUESTS`), and the ``number`` that each is counted for."""
        rejected = self.deciders[order].decide(requests)
        bits = pl.DataFrame({"number": requests["number"], "rejected": rejected}).filter(pl.col("rejected") > 0)
        if bits.is_empty():
            return
        count, nothing = pl.len().cast(pl.UInt64), pl.lit(0, pl.UInt64())
        if any(self._ladders):
            bits = _laxest(bits, self._ladders)
        met = int(bits.select(pl.col("rejected").bitwise_or()).item())
        for bit, place in enumerate(self.places):
            if not met >> bit & 1:
                continue
            found = bits.filter((pl.col("rejected") & pl.lit(1 << bit, pl.UInt64)) > 0).group_by("number")
            counts = found.agg(
                limit=pl.lit(place, pl.UInt16()),
                most=count if order == 0 else nothing,
                fewest=count if order == 1 or len(self.deciders) == 1 else nothing,
            )
            self._found.append(counts.select(list(REJECTIONS)))

    def take(self) -> pl.DataFrame:
        """The rejections since the last time; several rows of a key are possible."""
        found, self._found = pl.concat(self._found), [self._found[0].clear()]
        return found


class LogReplay:
    """Limits tried on the requests of one log.

    Parameters
    ----------
    limits
        What to try.
    exact_times
        Whether the log tells times to the millisecond, and how long a request lasted.
    """

    def __init__(self, limits: Sequence[Limit], *, exact_times: bool) -> None:
        order = [place for place in in_order(limits) if not limits[place].pooled]
        # Whole seconds leave bounds, which are known of a single limit_req.
        bounded = [place for place in order if limits[place].stands_alone or not exact_times]
        twins = {place: twin for place in bounded if (twin := limits[place].twin)}
        alone, routes = (
            [place for place in twins if limits[place].policy.shared is shared] for shared in (False, True)
        )
        self._exact = exact_times
        self._alone, self._of_routes = (pl.Series(places, dtype=pl.UInt16) for places in (alone, routes))
        grid = [twins[place] for place in alone]
        self._simulator = new_simulator(grid, whole_seconds=not exact_times, ladders=_numbers(grid)) if grid else None
        #: Of limits that all requests share, how many are rejected in all.
        self._routes = new_simulator([twins[place] for place in routes], whole_seconds=True) if routes else None
        #: The limits that are decided request by request: those of each key, and those that all requests share.
        self._decided = [
            Decided(limits, [place for place in order if place not in alone and limits[place].policy.shared is shared],
                    orders=1 if exact_times else 2)
            for shared in (False, True)
        ]  # fmt: skip
        ordered = any(each.places for each in self._decided) or (exact_times and self._simulator is not None)
        self._arrivals = Arrivals(exact_times=exact_times) if ordered else None

    def add(self, rows: pl.DataFrame) -> tuple[int, int]:
        """Requests in the order of the log; return how many met the limits, and how many of these were out of order.

        Columns ``time``, ``number``, ``zone``, ``outcome`` and, where logged, ``request_time``.
        """
        if self._arrivals is None or (self._simulator is not None and not self._exact):
            arrived, disordered = self._simulator.add(rows) if self._simulator is not None else (0, 0)
            if self._arrivals is None:
                return arrived, disordered
        if self._routes is not None:
            everybody = pl.when(pl.col("number") != NO_ADDRESS).then(pl.lit(0, pl.UInt32)).otherwise("number")
            self._routes.add(rows.with_columns(everybody.alias("number")))
        come = rows.filter(met(rows, exact_times=self._exact))
        before = self._arrivals.disordered
        self._decide(self._arrivals.add(come))
        return come.height, self._arrivals.disordered - before

    def _decide(self, orders: list[pl.DataFrame]) -> None:
        if self._exact and self._simulator is not None:
            outcome = pl.lit(Outcome.CONSIDERED.value, pl.UInt8()).alias("outcome")
            begun = orders[0].select(pl.col("begin").cast(pl.Datetime("ms")).alias("time"), "number", "zone", outcome)
            self._simulator.add(begun.select(ARRIVALS))
        for shared, decided in enumerate(self._decided):
            for order, rows in enumerate(orders if decided.places else ()):
                key = pl.col("zone").cast(pl.UInt64) * (1 << 32) + (0 if shared else pl.col("number"))
                decided.decide(order, rows.select(key.alias("key"), "number", "begin", "end"))

    def take(self) -> pl.DataFrame:
        """The rejections since the last time, see `limit_req.REJECTIONS`; several rows of a key are possible.

        Those of a limit that all requests share stand there a second time, for all together: of whole seconds there are
        bounds for them, while whose requests they are is an estimate. Their number is `NO_ADDRESS`.
        """
        return self._taken(*(each.take() if each is not None else None for each in (self._simulator, self._routes)))

    def finish(self) -> pl.DataFrame:
        """The log is over: the rejections since the last time."""
        if self._arrivals is not None:
            self._decide(self._arrivals.finish())
        return self._taken(*(each.finish() if each is not None else None for each in (self._simulator, self._routes)))

    def _taken(self, alone: pl.DataFrame | None, routes: pl.DataFrame | None) -> pl.DataFrame:
        found = [each.take() for each in self._decided]
        nobody = pl.lit(NO_ADDRESS, pl.UInt32()).alias("number")
        if self._exact:
            found.append(found[1].with_columns(nobody))
        elif routes is not None:
            found.append(routes.with_columns(nobody, self._of_routes.gather(routes["limit"]).alias("limit")))
        if alone is not None and alone.height:
            found.append(alone.with_columns(self._alone.gather(alone["limit"]).alias("limit")))
        return pl.concat(found)

    def state(self) -> dict[str, pl.DataFrame]:
        """What the log leaves behind for its next piece, but for rejections, in frames by name."""
        parts: dict[str, pl.DataFrame] = {}
        if self._simulator is not None:
            parts["limit_req"] = self._simulator.state()
        if self._routes is not None:
            parts["routes"] = self._routes.state()
        if self._arrivals is not None:
            parts |= self._arrivals.state()
        return parts | {
            f"policies{kind}{order}": decider.state()
            for kind, decided in enumerate(self._decided)
            for order, decider in enumerate(decided.deciders)
        }

    def restore(self, state: Mapping[str, pl.DataFrame]) -> None:
        """Go on, while still empty, where the log was when `state` was asked, with the same limits."""
        if self._simulator is not None:
            self._simulator.restore(state["limit_req"])
        if self._routes is not None:
            self._routes.restore(state["routes"])
        if self._arrivals is not None:
            self._arrivals.restore(state)
        for kind, decided in enumerate(self._decided):
            for order, decider in enumerate(decided.deciders):
                decider.restore(state[f"policies{kind}{order}"])


def in_order(limits: Sequence[Limit]) -> list[int]:
    """The places of limits as they are tried: the rungs of a ladder stand together, the strictest first.

    The laxest that rejects is all that is looked up.
    """
    return sorted(range(len(limits)), key=lambda place: _of_ladder(limits[place]))


def _of_ladder(limit: Limit) -> tuple[bool, str, int]:
    return not limit.shown, "" if limit.shown else limit.ladder, 0 if limit.shown else limit.rung


def _numbers(limits: Sequence[Limit]) -> list[int]:
    """The ladder of each limit that is not shown, from 1 on; 0 of those that are."""
    known: dict[str, int] = {}
    return [0 if limit.shown else known.setdefault(limit.ladder, len(known) + 1) for limit in limits]


def _laxest(bits: pl.DataFrame, ladders: Sequence[int]) -> pl.DataFrame:
    """Leave of the rungs of a ladder the laxest that rejects a request of a number, once."""
    shown = sum(1 << bit for bit, ladder in enumerate(ladders) if not ladder)
    looked_up = bits.group_by("number").agg(pl.col("rejected").bitwise_or()).filter(pl.col("rejected") > shown)
    parts = [bits.select("number", pl.col("rejected") & pl.lit(shown, pl.UInt64))]
    for number in sorted({*ladders} - {0}):
        rungs = [bit for bit, ladder in enumerate(ladders) if ladder == number]
        mask = pl.col("rejected") & pl.lit(sum(1 << bit for bit in rungs), pl.UInt64)
        highest = pl.coalesce(
            pl.when(mask >= pl.lit(1 << bit, pl.UInt64)).then(pl.lit(1 << bit, pl.UInt64)) for bit in reversed(rungs)
        )
        parts.append(looked_up.select("number", highest.alias("rejected")).drop_nulls())
    return pl.concat(parts)


class Replay:
    """Limits tried on all logs, which are told apart by numbers.

    Parameters
    ----------
    limits
        What to try.
    """

    def __init__(self, limits: Sequence[Limit]) -> None:
        self._limits = limits
        self._logs: dict[int, LogReplay] = {}
        self._found: list[pl.DataFrame] = []
        #: Requests that met the limits, and how many of these their log has out of order.
        self.requests = self.disordered = 0

    def log(self, source: int, *, exact_times: bool) -> LogReplay:
        """The replay of one log."""
        if source not in self._logs:
            self._logs[source] = LogReplay(self._limits, exact_times=exact_times)
        return self._logs[source]

    def has(self, source: int) -> bool:
        """Whether a log is known that is not over."""
        return source in self._logs

    def add(self, source: int, rows: pl.DataFrame, *, exact_times: bool) -> None:
        """Requests of one log, see `LogReplay.add`."""
        arrived, disordered = self.log(source, exact_times=exact_times).add(rows)
        self.requests += arrived
        self.disordered += disordered

    def close(self, source: int) -> None:
        """A log is over."""
        log = self._logs.pop(source, None)
        if log is not None:
            self._found.append(log.finish())

    def close_all(self) -> None:
        """All logs are over."""
        for source in list(self._logs):
            self.close(source)

    def take(self) -> pl.DataFrame:
        """The rejections since the last time by limit and number; logs that are not closed go on as if none asked."""
        parts = [part for part in (*self._found, *(log.take() for log in self._logs.values())) if part.height]
        self._found = []
        if not parts:  # as of most small logs
            return pl.DataFrame(schema=REJECTIONS)
        return pl.concat(parts).group_by("limit", "number").agg(pl.col("most", "fewest").sum())
