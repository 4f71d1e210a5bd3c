"""A seeded simulator of controllers behind a load balancer: what each pod answered over time, and the truth apart.

A *case* is one log. The load balancer spreads over nodes and each node over its pods (``local``), or every pod gets the
same (``cluster``). In half of the cases one pod gets twice to four times its share. Requests come on connections, each
of which stays with its pod:

=========  =========================================================================================================
requests   one request to a connection: chance alone
short      connections of 1 to 40 requests on average, over within a slot
long       the same, spread over a tenth to a third of the log
heavy      a few connections hold most of the requests of their slot (mirrors, crawlers, other services)
sticky     each address keeps to one pod for the whole log; its share follows a Zipf law, and the addresses are known
=========  =========================================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

NOISES = ("requests", "short", "long", "heavy", "sticky")
SIZES = (3_000, 3_000_000)
"""Requests of a log, from and to, evenly by their logarithm."""
ONE_PERCENT = 2.326
"""Standard deviations above which a normal distribution has one percent."""
Noisy = tuple[np.ndarray, float, float]
"""Counts, and `Case.clients` and `Case.spread`."""


@dataclass(frozen=True)
class Case:
    """One log: the pods on each node, how the load balancer spreads, what noise there is, and the truth."""

    number: int
    pods: tuple[int, ...]
    policy: str
    noise: str
    requests: int
    skew: float | None
    shares: np.ndarray
    """Of each pod, as its placement makes them, before any skew."""
    counts: np.ndarray
    """Requests by slot and pod."""
    clients: float
    """Sum of the squares of the requests of each address over all requests; 1 where addresses are not known."""
    actual: np.ndarray
    """Of each pod, with any skew."""
    spread: float
    """How many times wider than chance the counts of this noise spread."""

    def is_told(self) -> bool:
        """Whether a clairvoyant test could tell the skew of such a log: rightly in 99 % of them, with 1 % false alarms.

        It knows the noise, the pod and how much it gets, and asks only whether it is so. By the lemma of Neyman and
        Pearson no test, which knows less, tells more.
        """
        pod = int(np.argmax(self.actual / self.shares))
        even, skewed = self.shares[pod], self.actual[pod]
        independent = self.requests / self.spread
        deviations = np.sqrt([even * (1 - even) / independent, skewed * (1 - skewed) / independent])
        return bool(skewed - even > ONE_PERCENT * deviations.sum())


def simulate(number: int, *, noise: str | None = None, skew: float | None = None, even: bool | None = None) -> Case:
    """Make the case of a number; what is not given is drawn."""
    rng = np.random.default_rng(number)
    pods = tuple(int(count) for count in rng.choice([1, 1, 1, 2, 3], size=rng.integers(2, 9)))
    policy = str(rng.choice(["local", "cluster"]))
    noise = noise or str(rng.choice(NOISES))
    requests = int(np.exp(rng.uniform(*np.log(SIZES))))
    nodes, total = len(pods), sum(pods)
    shares = np.concatenate([np.full(count, 1 / (nodes * count) if policy == "local" else 1 / total) for count in pods])
    is_even = bool(number % 2) if even is None else even
    factor = None if is_even else (skew or float(rng.uniform(2, 4)))
    actual = shares.copy()
    if factor is not None:
        actual[rng.integers(total)] *= factor
        actual /= actual.sum()
    slots = int(rng.integers(30, 90))
    rhythm = rng.gamma(4, size=slots) * (1.5 + np.sin(np.arange(slots) / slots * 2 * np.pi * rng.uniform(0.2, 2)))
    counts, clients, spread = _NOISE[noise](rng, actual, requests * rhythm / rhythm.sum())
    return Case(number, pods, policy, noise, requests, factor, shares, counts, clients, actual, spread)


def _requests(rng: np.random.Generator, shares: np.ndarray, rate: np.ndarray) -> Noisy:
    return rng.poisson(rate[:, None] * shares), 1.0, 1.0


def _short(rng: np.random.Generator, shares: np.ndarray, rate: np.ndarray) -> Noisy:
    mean = rng.uniform(1.5, 40)
    connections = rng.poisson(rate[:, None] * shares / mean)
    # Each holds a geometric number of requests: the sum is negative binomial.
    more = np.where(connections > 0, rng.negative_binomial(np.maximum(connections, 1), 1 / mean), 0)
    return connections + more, 1.0, 2 * mean - 1


def _long(rng: np.random.Generator, shares: np.ndarray, rate: np.ndarray) -> Noisy:
    begun, clients, of_connections = _short(rng, shares, rate)
    length = int(len(rate) * rng.uniform(0.1, 0.33))
    spread = np.zeros((len(rate) + length, len(shares)))
    for later in range(length):
        spread[later : later + len(rate)] += begun / length
    return rng.poisson(spread[length // 2 : length // 2 + len(rate)]), clients, of_connections


def _heavy(rng: np.random.Generator, shares: np.ndarray, rate: np.ndarray) -> Noisy:
    counts = rng.poisson(rate[:, None] * shares * 0.6)
    each = rng.uniform(5, 30)  # connections in a slot that hold the rest of its requests
    chosen = rng.poisson(each * shares, size=(len(rate), len(shares)))
    of_each = rate * 0.4 / each
    of_time = 0.6 + 0.4 * (1 + float((of_each * rate).sum() / rate.sum()))
    return counts + rng.poisson(chosen * of_each[:, None]), 1.0, of_time


def _sticky(rng: np.random.Generator, shares: np.ndarray, rate: np.ndarray) -> Noisy:
    addresses = int(rate.sum() / rng.uniform(5, 100)) + 20
    weights = 1 / np.arange(1, addresses + 1) ** rng.uniform(0.3, 0.9)
    expected = rate.sum() * weights / weights.sum()
    pod = rng.choice(len(shares), size=addresses, p=shares)
    of_pod = np.bincount(pod, weights=expected, minlength=len(shares)) / expected.sum()
    clients = float((expected**2 + expected).sum() / expected.sum())
    return rng.poisson(rate[:, None] * of_pod), clients, clients


_NOISE = {"requests": _requests, "short": _short, "long": _long, "heavy": _heavy, "sticky": _sticky}


def frames(cases: list[Case]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return cells, clients and counts as `analyzer.readings.evenness` wants them."""
    sizes = [case.counts.size for case in cases]
    cells = pl.DataFrame(
        {
            "case": np.repeat([case.number for case in cases], sizes),
            "group": np.concatenate([np.tile(np.arange(case.counts.shape[1]), case.counts.shape[0]) for case in cases]),
            "slot": np.concatenate(
                [np.repeat(np.arange(case.counts.shape[0]), case.counts.shape[1]) for case in cases]
            ),
            "requests": np.concatenate([case.counts.ravel() for case in cases]).astype(np.uint64),
        }
    )
    clients = pl.DataFrame({"case": [case.number for case in cases], "dispersion": [case.clients for case in cases]})
    counts = pl.DataFrame(
        {
            "case": np.repeat([case.number for case in cases], [len(case.shares) for case in cases]),
            "requests": np.concatenate([case.counts.sum(axis=0) for case in cases]).astype(np.uint64),
            "expected": np.concatenate([case.shares for case in cases]),
        }
    )
    return cells, clients, counts
