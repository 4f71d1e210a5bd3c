"""A rate limit replayed over any column of keys and times."""

from __future__ import annotations

import polars as pl

from analyzer.errors import UsageError
from analyzer.tables.columns import Outcome
from analyzer.tables.limit_req import new_simulator
from analyzer.tables.limits import BURST_MULTIPLIER, rps_limit


def simulate_limit(
    keys: pl.Series, times: pl.Series, *, limit_rps: int, limit_burst_multiplier: int = BURST_MULTIPLIER
) -> pl.DataFrame:
    """Say how many requests of each key ingress-nginx's ``limit-rps`` would have rejected.

    Parameters
    ----------
    keys
        What is limited: addresses, or anything else that tells clients apart, of any dtype. Null is no key.
    times
        When each request came (Datetime), in the order in which one controller saw them.
    limit_rps
        Requests per second.
    limit_burst_multiplier
        So many times that may come at once.

    Returns
    -------
    polars.DataFrame
        ``key``, in the order in which they first come, ``requests``, ``rejected_low`` and ``rejected_high`` (UInt64).
        The two are the same but where times are whole seconds: then they hold whenever within its second a request
        came.
        A request without a key or a time meets no limit and is not counted.

    Raises
    ------
    UsageError
        Where the columns differ in length, `times` holds no moments, or a limit cannot be meant.

    Examples
    --------
    >>> import analyzer as logscan
    >>> log = logscan.read("sample_logs/cluster")
    >>> found = logscan.simulate_limit(log["client_addr"], log["time"], limit_rps=1, limit_burst_multiplier=1)
    >>> found["requests"].sum(), found["rejected_low"].sum(), found["rejected_high"].sum()
    (334, 33, 34)
    """
    for given in (keys, times):
        if not isinstance(given, pl.Series):
            raise UsageError(f"simulate_limit: expected two Series, of keys and of times, got {type(given).__name__}")
    if not isinstance(times.dtype, pl.Datetime):
        raise UsageError(f"simulate_limit: expected times as Datetime, got {times.dtype}")
    if keys.len() != times.len():
        raise UsageError(f"simulate_limit: expected a time for each of {keys.len():,} keys, got {times.len():,}")
    for name, value, most in (
        ("limit_rps", limit_rps, 10_000),
        ("limit_burst_multiplier", limit_burst_multiplier, 100),
    ):
        if not 1 <= value <= most:
            raise UsageError(f"simulate_limit: expected {name} from 1 to {most:,}, got {value}")
    moments = times.dt.cast_time_unit("ms")
    rows = pl.DataFrame({"key": keys, "time": moments}).drop_nulls()
    known = rows.group_by("key", maintain_order=True).agg(requests=pl.len().cast(pl.UInt64))
    known = known.with_row_index("number")
    whole_seconds = bool((rows["time"].dt.epoch("ms") % 1000 == 0).all())
    arrivals = rows.join(known, on="key", how="left", maintain_order="left").select(
        "time", "number", zone=pl.lit(0, pl.UInt32()), outcome=pl.lit(Outcome.CONSIDERED.value, pl.UInt8())
    )
    simulator = new_simulator([rps_limit(limit_rps, limit_burst_multiplier)], whole_seconds=whole_seconds)
    simulator.add(arrivals)
    orders = pl.col("most", "fewest")
    rejected = simulator.finish().group_by("number").agg(orders.sum())
    found = known.join(rejected, on="number", how="left", maintain_order="left").with_columns(orders.fill_null(0))
    return found.select(
        "key", "requests", rejected_low=pl.min_horizontal(orders), rejected_high=pl.max_horizontal(orders)
    )
