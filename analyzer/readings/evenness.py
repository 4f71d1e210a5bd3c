"""Whether a difference between groups is more than noise, and whether it is worth a word.

The statistic is Pearson's chi-square of the requests of each group against the share expected of it. Requests do not
come one by one: those of a connection go to one pod, so that counts spread wider than chance would have it. The
statistic is therefore divided by a *dispersion*, the larger of two estimates (Rao and Scott's first-order correction):

- over time: the log is cut into up to `BATCHES` parts of equal weight, and each two parts are compared as two rows of a
  table. What parts far from one another differ by is their variance; that neighbours differ by less shows connections
  longer than a part, which make the variance of the whole larger.
- of clients: were all requests of an address to go to one group, the variance would grow by the sum of their squares
  over the requests. This is a bound from above; it counts where visitors' own addresses are in the log.

Chi-square looks at all groups at once, so that among many groups one that stands out alone is lost in the chance of the
others. It is therefore also asked of the group that stands out most how often chance makes any of them so busy.

With millions of requests every difference is significant, so the size of the effect counts as well: a skew is both
significant and beyond `UNEVEN`. Where even a group with twice the load of the others could hide in the noise, nothing
is said (`Fit.detects`).

Everything is done for many cases at once: a case is one way to group one log.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import polars as pl

#: A group above this many times its share, or below its inverse, is beyond even.
UNEVEN = 1.2
#: A difference that chance makes less often than this is no noise; there are two tests.
ALPHA = 0.002
#: Parts of a log that are compared with one another, and how many are needed to learn anything.
BATCHES = 24
_FEWEST = 6
#: Below this share in common, parts have nothing in common but noise.
_SHARED = 0.2
#: The part of the noise that a skew must still stand out from: 99 % of the normal distribution.
_SURE = 2.33
#: From so many requests (of those that count) on, a binomial tail is as good as a normal one.
_MANY = 1000
#: So many degrees of freedom are as good as all.
_ENDLESS = 1e4
_STEPS, _EXACT = 1000, 1e-12


@dataclass(frozen=True, slots=True)
class Fit:
    """Counts against expected shares.

    `p_value` is how often chance makes such a difference, by the test that finds it rarer: chi-square's, or that of the
    group that stands out most. `effect_size` is Cohen's w; `largest` and `least` are the extreme ratios of a share to
    the expected one. `dispersion` says how many times wider counts spread than those of independent requests. `detects`
    says whether a group with twice the load of the others would have been found.
    """

    chi_square: float
    degrees: int
    dispersion: float
    p_value: float
    effect_size: float
    largest: float
    least: float
    detects: bool

    @property
    def significant(self) -> bool:
        """Whether the difference is more than noise."""
        return self.p_value < ALPHA

    @property
    def fits(self) -> bool:
        """Whether the counts are those that were expected, but for noise and what is too small to matter."""
        return not (self.significant and (self.largest > UNEVEN or self.least < 1 / UNEVEN))


def fit(counts: pl.DataFrame, noise: pl.DataFrame) -> dict[int, Fit]:
    """Test counts against expectations.

    Parameters
    ----------
    counts
        Columns ``case``, ``requests``, and ``expected``, the share (above 0; those of a case add up to 1).
    noise
        What `dispersion` returns, by case.

    Returns
    -------
    dict
        By case; none for a case without two groups or without a request.
    """
    share = pl.col("requests") / pl.col("requests").sum()
    ratio = share / pl.col("expected")
    squared = (share - pl.col("expected")) ** 2 / pl.col("expected")
    above = (share - pl.col("expected")) / (pl.col("expected") * (1 - pl.col("expected"))).sqrt()
    cases = (
        counts.group_by("case")
        .agg(
            groups=pl.len(),
            total=pl.col("requests").sum(),
            squared=squared.sum(),
            largest=ratio.max(),
            least=ratio.min(),
            most=pl.col("requests").sort_by(above).last(),
            most_expected=pl.col("expected").sort_by(above).last(),
        )
        .filter((pl.col("groups") > 1) & (pl.col("total") > 0))
        .join(noise, on="case", how="left")
    )
    return {row["case"]: _fit(row) for row in cases.iter_rows(named=True)}


def _fit(row: dict[str, Any]) -> Fit:
    chi_square, freedom = row["squared"] * row["total"], row["groups"] - 1
    noise, degrees = row["dispersion"], row["degrees"]
    doubled = row["total"] / noise * freedom / (freedom + 2) ** 2
    # Of what a doubled load would make of the statistic, the value that it exceeds nearly always.
    middle, width = math.sqrt(freedom + doubled), math.sqrt((freedom + 2 * doubled) / (2 * (freedom + doubled)))
    hidden = max(middle - _SURE * width, 0.0) ** 2
    return Fit(
        chi_square=chi_square,
        degrees=freedom,
        dispersion=noise,
        p_value=min(f_tail(chi_square / noise / freedom, freedom, degrees), _stands_out(row)),
        effect_size=math.sqrt(row["squared"]),
        largest=row["largest"],
        least=row["least"],
        detects=f_tail(hidden / freedom, freedom, degrees) < ALPHA,
    )


def _stands_out(row: dict[str, Any]) -> float:
    """How often chance makes any group as busy as the one that stands out most (Bonferroni's correction).

    The rarer the requests that count are, the more lopsided is their number: then the binomial tail is the larger one.
    """
    total, most, share = row["total"] / row["dispersion"], row["most"] / row["dispersion"], row["most_expected"]
    if most <= total * share:
        return 1.0
    tail = f_tail((most - total * share) ** 2 / (total * share * (1 - share)), 1, row["degrees"]) / 2
    if most < _MANY:
        tail = max(tail, _incomplete_beta(share, most, total - most + 1))
    return min(1.0, tail * float(row["groups"]))


def dispersion(cells: pl.DataFrame, clients: pl.DataFrame) -> pl.DataFrame:
    """Estimate how much wider than chance the counts of groups spread.

    Parameters
    ----------
    cells
        Columns ``case``, ``group``, ``slot`` (when, in any unit; null where not known) and ``requests``; a slot without
        a request of a group may be left out.
    clients
        Columns ``case`` and ``dispersion``: the bound that clients set, at least 1.

    Returns
    -------
    DataFrame
        ``case``, ``dispersion`` (at least 1) and ``degrees``, those of freedom that it was estimated with.
    """
    timed = _over_time(cells.filter(pl.col("slot").is_not_null()))
    return (
        clients.join(timed, on="case", how="left")
        .with_columns(pl.col("degrees").fill_null(_ENDLESS), pl.max_horizontal("dispersion", "of_time"))
        .drop("of_time")
    )


def _over_time(cells: pl.DataFrame) -> pl.DataFrame:
    """The dispersion over time of each case that has enough parts: ``case``, ``of_time``, ``degrees``."""
    slots = cells.group_by("case", "slot").agg(pl.col("requests").sum()).filter(pl.col("requests") > 0)
    before = pl.col("requests").cum_sum() - pl.col("requests") / 2
    batch = (before / pl.col("requests").sum() * BATCHES).floor().rank("dense").cast(pl.Int64)
    slots = slots.sort("case", "slot").select("case", "slot", batch=batch.over("case"))
    slots = slots.with_columns(last=pl.col("batch").max().over("case")).filter(pl.col("last") >= _FEWEST)
    counted = cells.join(slots, on=["case", "slot"]).group_by("case", "batch", "group").agg(pl.col("requests").sum())
    batches = slots.select("case", "batch", "last").unique()
    every = counted.select("case", "group").unique().join(batches, on="case")
    here, there = pl.col("requests").cast(pl.Float64).fill_null(0.0), pl.col("requests").sum().over("case", "batch")
    parts = (
        every.join(counted, on=["case", "group", "batch"], how="left")
        .with_columns(here.alias("requests"))
        .select("case", "batch", "last", "group", "requests", whole=there)
        .sort("case", "group", "batch")
    )
    lags = range(1, BATCHES // 2 + 1)
    sums = (
        parts.select("case", "last", *(each for lag in lags for each in _apart(lag)))
        .group_by("case")
        .agg(pl.col("last").first(), pl.exclude("case", "last").sum())
    )
    differ = sums.select(
        "case",
        lag=pl.lit(list(lags)),
        # A pair of parts has one degree of freedom less than groups.
        freedom=pl.concat_list(pl.col(f"groups_{lag}") - (pl.col("last") - lag).clip(0) for lag in lags),
        differ=pl.concat_list(f"squared_{lag}" for lag in lags),
    ).explode("lag", "freedom", "differ")
    differ = differ.filter(pl.col("freedom") > 0).with_columns(pl.col("differ") / pl.col("freedom"))
    # A variance of the whole from those of its parts: theirs, and twice what each has in common with those after it.
    own = pl.col("differ").filter(pl.col("lag") > pl.col("lag").max() / 2).mean()
    shared = (1 - pl.col("differ") / own).fill_nan(0.0)
    longer = 1 + 2 * shared.filter((shared < _SHARED).cum_sum() == 0).sum()
    return (
        differ.sort("case", "lag")
        .group_by("case")
        .agg(of_time=own * longer, degrees=pl.col("freedom").first() / longer)
    )


def _apart(lag: int) -> tuple[pl.Expr, pl.Expr]:
    """Chi-square of a group in parts that are so far from one another, and whether it is in either."""
    a, b, of_a, of_b = pl.col("requests"), pl.col("requests").shift(-lag), pl.col("whole"), pl.col("whole").shift(-lag)
    there = (pl.col("batch") + lag <= pl.col("last")) & (a + b > 0)
    squared = (a * of_b - b * of_a) ** 2 / (of_a * of_b * (a + b))
    return pl.when(there).then(squared).otherwise(0.0).alias(f"squared_{lag}"), there.alias(f"groups_{lag}").cast(
        pl.Int64
    )


def spread(counts: list[int]) -> tuple[float | None, float | None, float | None]:
    """Return coefficient of variation, max over mean and Gini coefficient of counts; None below two groups."""
    total, size = sum(counts), len(counts)
    if size < 2 or total <= 0:
        return None, None, None
    mean = total / size
    deviation = (sum((count - mean) ** 2 for count in counts) / size) ** 0.5
    ranked = sum(rank * count for rank, count in enumerate(sorted(counts), 1))
    gini = 2 * ranked / (size * total) - (size + 1) / size
    return round(deviation / mean, 4), round(max(counts) / mean, 4), round(gini, 4)


def f_tail(value: float, first: float, second: float) -> float:
    """Return how often an F distributed value with these degrees of freedom is above `value`."""
    if value <= 0:
        return 1.0
    return _incomplete_beta(second / (second + first * value), second / 2, first / 2)


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Regularised, by its continued fraction (Lentz's method), which converges fast below the mean."""
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _incomplete_beta(1 - x, b, a)
    front = math.exp(a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)) / a
    above, below = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    fraction = below
    for step in range(1, _STEPS):
        for term in (
            step * (b - step) / ((a + 2 * step - 1) * (a + 2 * step)),
            -(a + step) * (a + b + step) / ((a + 2 * step) * (a + 2 * step + 1)),
        ):
            below = 1 / (1 + term * x * below)
            above = 1 + term * x / above
            fraction *= above * below
        if abs(above * below - 1) < _EXACT:
            break
    return front * fraction
