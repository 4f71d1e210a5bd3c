"""Linear counting of 64-bit maps."""

from __future__ import annotations

import random

import polars as pl
import pytest

from analyzer.readings.bitmap import SATURATED, at_least, linear_count


def test_empty_map_counts_nothing() -> None:
    """No bit means nobody was seen, one bit one."""
    assert linear_count(0) == 0
    assert linear_count(1 << 63) == 1


@pytest.mark.parametrize("true_count", [5, 20, 41, 60])
def test_estimate_is_near_the_truth(true_count: int) -> None:
    """Over many random hashes the mean estimate lies within a tenth of the true count."""
    chance = random.Random(true_count)
    estimates = []
    for _ in range(400):
        bits = 0
        for _ in range(true_count):
            bits |= 1 << chance.randrange(64)
        estimates.append(linear_count(bits))
    assert sum(estimates) / len(estimates) == pytest.approx(true_count, rel=0.1)


def test_estimate_grows_with_every_bit() -> None:
    """A fuller map never counts less, and a full one counts the lower bound."""
    estimates = [linear_count((1 << ones) - 1) for ones in range(65)]
    assert estimates == sorted(estimates)
    assert estimates[-1] == SATURATED == 266


@pytest.mark.parametrize("estimate", [1, 2, 10, 44, SATURATED])
def test_column_test_agrees_with_the_estimate(estimate: int) -> None:
    """`at_least` says for a column what `linear_count` says for each of its maps."""
    maps = [(1 << ones) - 1 for ones in range(65)]
    frame = pl.DataFrame({"bits": pl.Series(maps, dtype=pl.UInt64)})
    reached = frame.select(at_least(pl.col("bits"), estimate)).to_series().to_list()
    assert reached == [linear_count(bits) >= estimate for bits in maps]
