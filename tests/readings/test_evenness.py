"""Noise is no skew and a skew is no noise: the test of shares, over placements whose truth is known."""

from __future__ import annotations

import math

import polars as pl
import pytest
from placement_results import FIRST_HELD_OUT, Scores, judge_cases
from placements import NOISES, frames, simulate

from analyzer.readings.evenness import UNEVEN, Fit, dispersion, f_tail, fit, spread

CASES = 10_000


def compared(*counts: int, expected: list[float] | None = None, noise: float = 1.0) -> Fit:
    """Test one case without times."""
    shares = expected or [1 / len(counts)] * len(counts)
    cells = pl.DataFrame(schema={"case": pl.Int64, "group": pl.Int64, "slot": pl.Int64, "requests": pl.UInt64})
    measured = dispersion(cells, pl.DataFrame({"case": [0], "dispersion": [noise]}))
    frame = pl.DataFrame({"case": 0, "requests": pl.Series(counts, dtype=pl.UInt64), "expected": shares})
    return fit(frame, measured)[0]


@pytest.mark.parametrize(
    ("value", "first", "second", "tail"),
    [
        (21.04, 1, 10, 0.001),
        (5.849, 2, 20, 0.01),
        (2.534, 5, 30, 0.05),
        (4.965, 1, 10, 0.05),
        (16.266 / 3, 3, 1e4, 0.001),
        (10.828, 1, 1e4, 0.001),
    ],
)
def test_tail_of_f(value: float, first: float, second: float, tail: float) -> None:
    """The tail of F is that of printed tables; with many degrees of freedom it is chi-square's."""
    assert f_tail(value, first, second) == pytest.approx(tail, rel=0.02)


def test_tail_at_its_ends() -> None:
    """Nothing is above everything, everything is above nothing, and no value breaks it."""
    assert (f_tail(0.0, 3, 8), f_tail(-1.0, 3, 8)) == (1.0, 1.0)
    assert f_tail(1e300, 1, 1e4) == 0.0
    assert f_tail(1e-9, 50, 1e4) == pytest.approx(1.0)


def test_measures_of_a_known_spread() -> None:
    """Of 1, 2 and 6: population cv 0.7201, maximum twice the mean, Gini 10/27; of one group or of nothing none."""
    cv, largest, gini = spread([1, 6, 2])
    assert (cv, largest) == (pytest.approx(0.7201, abs=1e-4), 2.0)
    assert gini == pytest.approx(10 / 27, abs=1e-4)
    assert spread([5, 5]) == (0.0, 1.0, 0.0)
    assert spread([5]) == spread([]) == spread([0, 0]) == (None, None, None)


def test_chi_square_of_a_known_table() -> None:
    """Of 60 and 40 against even shares chi-square is 4 and Cohen's w 0.2."""
    found = compared(60, 40)
    assert (found.chi_square, found.effect_size, found.degrees) == (pytest.approx(4.0), pytest.approx(0.2), 1)
    assert (found.largest, found.least) == (pytest.approx(1.2), pytest.approx(0.8))
    assert found.p_value == pytest.approx(0.0455, abs=1e-3)


def test_millions_of_requests_make_no_skew_of_a_trifle() -> None:
    """A difference of 2 % is significant in millions of requests, and still even."""
    found = compared(1_020_000, 980_000)
    assert found.significant
    assert found.fits


def test_dispersion_makes_a_difference_noise() -> None:
    """What is a skew of independent requests is none where they come forty on a connection."""
    assert not compared(1200, 800).fits
    assert compared(1200, 800, noise=40.0).fits
    assert not compared(1200, 800, noise=40.0).detects


def test_one_among_many_stands_out() -> None:
    """Of 24 pods one with more than twice its share is found, where over all of them it would pass for noise."""
    counts = [100] * 23 + [240]
    of_all = f_tail(compared(*counts, noise=8.0).chi_square / 8 / 23, 23, 1e4)
    found = compared(*counts, noise=8.0)
    assert of_all > 0.005
    assert found.p_value < 0.002
    assert not found.fits
    assert compared(*[100] * 23, 190, noise=8.0).fits


def test_few_requests_are_counted_as_such() -> None:
    """Of 30 requests over ten pods one has 12: binomial, for any of the ten, once in 6,543 times."""
    assert compared(12, *[2] * 9).p_value == pytest.approx(1 / 6543, rel=1e-3)


def test_other_shares_than_even_may_be_expected() -> None:
    """Two pods on one node and one on the other get 25, 25 and 50 % where nodes get the same."""
    assert not compared(2500, 2510, 4990).fits
    assert compared(2500, 2510, 4990, expected=[0.25, 0.25, 0.5]).fits


@pytest.mark.parametrize("mean", [1, 4, 16])
def test_dispersion_is_that_of_connections(mean: int) -> None:
    """Where each connection brings so many requests at once, counts spread as many times wider than chance."""
    cases = [simulate(number, noise="requests", even=True) for number in range(40)]
    cells, clients, _ = frames(cases)
    found = dispersion(cells.with_columns(pl.col("requests") * mean), clients)
    assert found["dispersion"].median() == pytest.approx(max(mean, 1), rel=0.35)


def test_a_short_log_tells_nothing_of_dispersion() -> None:
    """With too few parts only what clients say counts."""
    cells = pl.DataFrame({"case": 0, "group": [0, 1, 0, 1], "slot": [0, 0, 1, 1], "requests": [9, 900, 900, 9]})
    found = dispersion(cells, pl.DataFrame({"case": [0], "dispersion": [3.0]}))
    assert found["dispersion"].to_list() == [3.0]


@pytest.fixture(scope="module")
def scores() -> Scores:
    """Judge ten thousand placements that nobody tuned for."""
    return judge_cases(range(FIRST_HELD_OUT, FIRST_HELD_OUT + CASES))


def test_false_alarms(scores: Scores) -> None:
    """Of ten thousand placements under one in a hundred that have no skew is called uneven, whatever the noise."""
    assert sum(score.even for score in scores.values()) > CASES / 3
    assert sum(score.alarms for score in scores.values()) < 0.01 * sum(score.even for score in scores.values())
    for noise in NOISES:
        of_noise = [score for (each, _), score in scores.items() if each == noise]
        assert sum(score.alarms for score in of_noise) < 0.02 * sum(score.even for score in of_noise)


def test_missed_skews(scores: Scores) -> None:
    """Under one in a hundred placements with a pod at twice the load of the others is called even."""
    assert sum(score.skewed for score in scores.values()) > CASES / 3
    assert sum(score.missed for score in scores.values()) < 0.01 * sum(score.skewed for score in scores.values())


def test_skews_that_are_not_found(scores: Scores) -> None:
    """Of the skews that any test could tell, under one in a hundred is not called uneven, whatever is said instead."""
    assert sum(score.clear for score in scores.values()) > 0.9 * sum(score.skewed for score in scores.values())
    assert sum(score.lost for score in scores.values()) < 0.01 * sum(score.clear for score in scores.values())


def test_enough_requests_always_tell(scores: Scores) -> None:
    """From a hundred thousand requests on, "cannot tell" is said of skews only where few clients make the load."""
    plenty = [score for (noise, size), score in scores.items() if size >= 100_000 and noise != "sticky"]
    assert sum(score.untold for score in plenty) < 0.01 * sum(score.skewed for score in plenty)


def test_extreme_ratios_count_in_both_directions() -> None:
    """A pod that gets little is a skew as one that gets much."""
    assert not compared(100_000, 100_000, 50_000).fits
    assert math.isclose(UNEVEN, 1.2)
