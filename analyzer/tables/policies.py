"""Rate limits that are decided request by request: several limits of an Ingress, Kong's, Envoy's (`limits.Type`).

Requests come in the order in which they began, each with the key that it is counted under, and leave with the policies
that reject them. Requests of one key are told apart from those of others by nothing but their times.
"""

from __future__ import annotations

import heapq
from array import array
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import polars as pl

from analyzer.native import compiled, random_seed
from analyzer.parsing.scanner import use_native
from analyzer.tables.limits import MONTH, Policy, Type

if TYPE_CHECKING:
    from collections.abc import Sequence

_NATIVE = compiled("analyzer.tables._policies")

#: What a decider is given of each request: its key, and from when to when it took place, in milliseconds.
REQUESTS: dict[str, pl.DataType] = {"key": pl.UInt64(), "begin": pl.Int64(), "end": pl.Int64()}
#: What a decider remembers: a row for each key (``time`` of its last request, ``values`` of its policies) and for each
#: request in progress (``time`` at which it ends, ``values`` one: the policy that counts it).
STATE: dict[str, pl.DataType] = {
    "in_progress": pl.Boolean(),
    "key": pl.UInt64(),
    "time": pl.Int64(),
    "values": pl.List(pl.Int64()),
}
#: A value that was never set.
NEVER = -(2**63)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Decider(Protocol):
    """Decides on requests."""

    def decide(self, requests: pl.DataFrame) -> pl.Series:
        """A bit of a UInt64 for every policy that rejects a request, see `REQUESTS`."""

    def state(self) -> pl.DataFrame:
        """What is remembered, see `STATE`. Either kind of decider can go on with it."""

    def restore(self, state: pl.DataFrame) -> None:
        """Go on, before any request, where a decider of the same policies was."""


def new_decider(policies: Sequence[Policy]) -> Decider:
    """Make a decider."""
    return NativeDecider(policies) if _NATIVE is not None and use_native() else PortableDecider(policies)


def widths(policies: Sequence[Policy]) -> list[int]:
    """How many values each policy keeps of a key."""
    return [len(each.parts) * (3 if each.type is Type.SLIDING else 2) + bool(each.connections) for each in policies]


class NativeDecider:
    """policies.c behind the contract of `Decider`."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        given = tuple((int(each.type), each.counts_rejected, each.connections, each.parts) for each in policies)
        self._policies = _NATIVE.Policies(given, random_seed()[0])
        self._values = sum(widths(policies))

    def decide(self, requests: pl.DataFrame) -> pl.Series:
        """Which policies reject each request."""
        stream = requests.select(list(REQUESTS)).__arrow_c_stream__()
        return pl.Series(array("Q", self._policies.decide(stream, requests.height)), dtype=pl.UInt64)

    def state(self) -> pl.DataFrame:
        """What is remembered."""
        keys, active = (pl.Series(array("q", rows), dtype=pl.Int64) for rows in self._policies.state())
        width = self._values + 2
        rows = keys.reshape((-1, width)).arr.to_list().list if keys.len() else pl.Series(dtype=pl.List(pl.Int64)).list
        known = {"in_progress": False, "key": rows.get(0), "time": rows.get(1), "values": rows.slice(2)}
        ends, key, policy = (active.gather_every(3, at) for at in range(3))
        going = {"in_progress": True, "key": key, "time": ends, "values": pl.select(pl.concat_list(policy)).to_series()}
        return pl.concat([_state(known), _state(going)])

    def restore(self, state: pl.DataFrame) -> None:
        """Go on where another decider was."""
        rows = [
            state.filter(pl.col("in_progress") == going).select(pl.concat_list(order)).to_series()
            for going, order in (
                (False, (pl.col("key").reinterpret(signed=True), "time", "values")),
                (True, ("time", pl.col("key").reinterpret(signed=True), "values")),
            )
        ]
        self._policies.restore(*(array("q", each.explode().to_list() if each.len() else ()).tobytes() for each in rows))


def _state(columns: dict[str, object]) -> pl.DataFrame:
    frame = pl.DataFrame({name: value for name, value in columns.items() if isinstance(value, pl.Series)})
    return frame.select(
        pl.lit(columns["in_progress"]).alias("in_progress"),
        pl.col("key").reinterpret(signed=False),
        "time",
        "values",
    )


class PortableDecider:
    """The same in plain Python."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self._policies = policies
        self._widths = widths(policies)
        self._keys: dict[int, tuple[list[int], list[list[int]]]] = {}
        self._active: list[tuple[int, int, int]] = []

    def decide(self, requests: pl.DataFrame) -> pl.Series:
        """Which policies reject each request."""
        rows = requests.select(list(REQUESTS)).iter_rows()
        return pl.Series([self._decide(*row) for row in rows], dtype=pl.UInt64)

    def _decide(self, number: int, begin: int, end: int) -> int:
        while self._active and self._active[0][0] <= begin:
            _, ended, counted_by = heapq.heappop(self._active)
            self._keys[ended][1][counted_by][-1] -= 1
        if number not in self._keys:
            self._keys[number] = [begin], [[NEVER] * width for width in self._widths]
        last, known = self._keys[number]
        last[0] = begin
        rejected = 0
        for place, (policy, values) in enumerate(zip(self._policies, known, strict=True)):
            if policy.type is Type.NGINX:
                passes = _nginx(policy, values, begin)
                if passes and policy.connections and end > begin:
                    values[-1] += 1
                    heapq.heappush(self._active, (end, number, place))
            elif policy.type is Type.BUCKET:
                passes = _bucket(policy, values, begin)
            else:
                passes = (_fixed if policy.type is Type.FIXED else _sliding)(policy, values, begin // 1000)
            rejected |= (not passes) << place
        return rejected

    def state(self) -> pl.DataFrame:
        """What is remembered."""
        keys = [
            (False, number, last[0], [value for values in known for value in values])
            for number, (last, known) in self._keys.items()
        ]
        going = [(True, number, end, [policy]) for end, number, policy in self._active]
        return pl.DataFrame([*keys, *going], schema=STATE, orient="row")

    def restore(self, state: pl.DataFrame) -> None:
        """Go on where another decider was."""
        for going, number, time, values in state.iter_rows():
            if going:
                heapq.heappush(self._active, (time, number, values[0]))
                continue
            each = iter(values)
            self._keys[number] = [time], [[next(each) for _ in range(width)] for width in self._widths]


def _nginx(policy: Policy, values: list[int], now: int) -> bool:
    """Charge what is known of the limits of an Ingress, unless one of them is full; see policies.c."""
    charged = []
    for place, (rate, burst) in enumerate(policy.parts):
        excess, last = values[2 * place : 2 * place + 2]
        left = 0 if last == NEVER else max(0, excess - rate * max(0, now - last) // 1000 + 1000)
        if left > burst * 1000:
            return False
        charged += [left, now]
    values[: len(charged)] = charged
    if policy.connections and values[-1] == NEVER:
        values[-1] = 0
    return not policy.connections or values[-1] < policy.connections


def _fixed(policy: Policy, values: list[int], second: int) -> bool:
    passes = True
    for place, (length, most) in enumerate(policy.parts):
        window = window_of(second, length)
        if values[2 * place] != window:
            values[2 * place : 2 * place + 2] = window, 0
        passes = passes and values[2 * place + 1] < most
    for place in range(len(policy.parts)):
        values[2 * place + 1] += passes or policy.counts_rejected
    return passes


def _sliding(policy: Policy, values: list[int], second: int) -> bool:
    passes = True
    for place, (length, most) in enumerate(policy.parts):
        window = window_of(second, length)
        before, count, _ = values[3 * place : 3 * place + 3]
        if before != window:
            values[3 * place : 3 * place + 3] = window, 0, count if before == window - length else 0
        _, count, past = values[3 * place : 3 * place + 3]
        passes = passes and (count + 1) * length + past * (length - (second - window)) <= most * length
    for place in range(len(policy.parts)):
        values[3 * place + 1] += passes or policy.counts_rejected
    return passes


def _bucket(policy: Policy, values: list[int], now: int) -> bool:
    """A token is worth as many units as the bucket takes milliseconds to fill."""
    ((interval, most),) = policy.parts
    level, last = values
    level = most * interval if last == NEVER else min(most * interval, level + most * max(0, now - last))
    passes = level >= interval
    values[:] = level - interval * passes, max(last, now)
    return passes


def window_of(second: int, length: int) -> int:
    """The second (since 1970) at which the window of a length begins that a second lies in, see `limits.WINDOWS`."""
    if length > 0:
        return second - second % length
    day = _EPOCH + timedelta(seconds=second)
    first = day.replace(day=1, month=day.month if length == MONTH else 1, hour=0, minute=0, second=0)
    return int((first - _EPOCH).total_seconds())
