"""Fan-in: how many different things set the bits of a 64-bit map (linear counting, Whang et al. 1990).

Each user agent, or forwarded client, sets the bit its hash names. With z of 64 bits still clear the estimate is
``-64 ln(z / 64)``: 1 for one bit, 10 for nine, 44 for 32. A full map says no more than "at least 266", the value for
its last clear bit. The maps themselves are filled by the tables.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

BITS = 64
SATURATED = round(BITS * math.log(BITS))
"""Estimate of a map without a clear bit: a lower bound, about 266."""

_ESTIMATES = [round(-BITS * math.log((BITS - ones) / BITS)) for ones in range(BITS)] + [SATURATED]


def linear_count(bits: int) -> int:
    """Estimate how many different things set these bits.

    Parameters
    ----------
    bits
        A 64-bit map, as a number of 0 to 2**64 - 1.

    Returns
    -------
    int
        0 for an empty map; `SATURATED` is a lower bound.

    Examples
    --------
    >>> linear_count(0), linear_count(0b1), linear_count(0b1_1111_1111)
    (0, 1, 10)
    """
    return _ESTIMATES[bits.bit_count()]


def at_least(bits: pl.Expr, estimate: int) -> pl.Expr:
    """Tell, for a column of maps, where `linear_count` reaches `estimate`.

    Parameters
    ----------
    bits
        UInt64 maps.
    estimate
        At most `SATURATED`.

    Returns
    -------
    pl.Expr
        Boolean, null where the map is null.
    """
    ones = next(ones for ones, count in enumerate(_ESTIMATES) if count >= estimate)
    return bits.bitwise_count_ones() >= ones
