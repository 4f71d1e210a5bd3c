"""Rate limits as options say them."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.addresses.classify import Classifier
from analyzer.addresses.ranges import to_number
from analyzer.errors import UsageError
from analyzer.jobs.given_limits import GivenLimits
from analyzer.tables import Folds
from analyzer.tables.limits import GRID, MOST_ALONE, MOST_POLICIES, RUNGS
from analyzer.tables.replay import LogReplay


def names(**given: Any) -> list[str]:
    """What is tried beside the shipped grid."""
    return [limit.name for limit in GivenLimits(**given).limits()[len(GRID) :]]


def test_nothing_given() -> None:
    """The shipped grid needs no more than times; so does a limit in requests per minute."""
    limits = GivenLimits().limits()
    assert [limit.rps for limit in limits] == list(GRID)
    assert not Folds(Classifier(), GivenLimits(rpm=[60]).limits()).durations
    assert Folds(Classifier(), GivenLimits(connections=[5]).limits()).durations


def test_limits_of_an_ingress() -> None:
    """Limits of one kind are tried alone, those of several kinds also together, each with each."""
    assert names(rpm=[60], connections=[5]) == [
        "limit-rpm: 60", "limit-connections: 5", "limit-rpm: 60 + limit-connections: 5"
    ]  # fmt: skip
    limits = GivenLimits(rps=[3, 5], rpm=[100], burst_multiplier=2).limits()
    assert limits[2].name == "limit-rps: 3"
    assert [limit.name for limit in limits[-2:]] == ["limit-rps: 3 + limit-rpm: 100", "limit-rps: 5 + limit-rpm: 100"]
    assert limits[-2].policy.parts == ((3000, 6), (1666, 200))
    assert names(rpm=[10, 10]) == ["limit-rpm: 10"]


def test_limits_of_kong() -> None:
    """Policies that decide differently are tried apart: what they count over, and whether rejected requests count."""
    assert names(kong=["minute:100"]) == ["minute: 100 (local)", "minute: 100 (cluster, redis)"]
    assert names(kong=["second:5,minute:100"]) == [
        f"second: 5, minute: 100 ({policy})" for policy in ("local", "cluster", "redis")
    ]
    assert names(kong_sliding=["30:9,hour:100"]) == [
        f"sliding 30 s: 9, 3600 s: 100 ({strategy}{penalty})"
        for strategy in ("local", "cluster, redis")
        for penalty in ("", ", disable_penalty")
    ]


def test_ladders() -> None:
    """What is asked for keeps its place; behind it stand the rungs of its ladder, each limit once."""
    given = GivenLimits(rpm=[30], kong=["minute:3", "minute:30"])
    tried = given.tried()
    names = [(limit.controller, limit.name) for limit in tried]
    assert names[: len(given.limits())] == [(limit.controller, limit.name) for limit in given.limits()]
    assert len(set(names)) == len(names)
    assert [limit.name for limit in tried if limit.shown] == [limit.name for limit in given.limits()]
    rungs = [limit.name for limit in tried if limit.ladder == "kong minute: 3 (local)"]
    assert rungs[:4] == [f"minute: {most} (local)" for most in (3, 1, 2, 4)]
    assert {limit.rps for limit in tried if limit.ladder == "limit-rps"} == set(RUNGS)


def test_rungs_that_cannot_be_counted_are_left_out() -> None:
    """The largest limits that may be asked for have no rungs above what a simulation can hold."""
    largest = GivenLimits(rps=[10_000], rpm=[600_000], burst_multiplier=1, envoy=["second:1000000"])
    LogReplay(largest.tried(), exact_times=False)
    LogReplay(GivenLimits(rpm=[10_000], burst_multiplier=100).tried(), exact_times=True)
    smallest = GivenLimits(rpm=[1], kong=["year:1"], kong_sliding=["1:1"], envoy=["day:1"], burst_multiplier=100)
    LogReplay(smallest.tried(), exact_times=False)


def test_ladders_are_whole_or_not_there() -> None:
    """Where there is no room for a ladder the limit is tried alone."""
    tried = GivenLimits(connections=range(1001, 1051)).tried()
    assert sum(not limit.stands_alone for limit in tried) <= MOST_POLICIES
    assert {limit.ladder for limit in tried if limit.policy.connections} == {""}
    many = GivenLimits(rps=range(1001, 1051))
    assert len(many.tried()) == 50 + len({*GRID, *RUNGS}) <= MOST_ALONE


def test_limits_of_envoy_gateway() -> None:
    """A bucket for each client, or one for all of a route."""
    assert names(envoy=["second:10", "hour:1000/route"]) == ["second: 10", "hour: 1000 for all"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rps": [0]}, "--limit-rps: expected a whole number from 1 to 10,000, got 0"),
        ({"rpm": [600_001]}, "--limit-rpm: expected a whole number from 1 to 600,000, got 600001"),
        ({"rpm": [600_000]}, "--limit-rpm: expected a burst of at most 1,000,000, got 600,000 times the multiplier"),
        ({"connections": [-1]}, "--limit-connections: expected a whole number from 1 to 100,000, got -1"),
        ({"burst_multiplier": 101}, "--limit-burst-multiplier: expected a whole number from 1 to 100, got 101"),
        ({"rps": range(1, 52)}, "--limit-rps: expected at most 50 limits, got 51"),
        ({"rpm": range(1, 60)}, "rate limits: expected at most 50 to try at once, got 66"),
        ({"kong": ["fortnight:1"]}, "--kong-limit: expected WINDOW:N such as minute:100, the window one of second, "),
        ({"kong": ["minute:0"]}, "--kong-limit: expected WINDOW:N"),
        ({"kong": ["minute:9,minute:9"]}, "--kong-limit: expected WINDOW:N"),
        ({"kong": ["minute"]}, "got 'minute'"),
        ({"kong_sliding": ["month:1"]}, "--kong-sliding-limit: expected WINDOW:N such as 60:100"),
        ({"kong_sliding": ["0:1"]}, "--kong-sliding-limit: expected WINDOW:N such as 60:100"),
        ({"kong_sliding": ["60:" + "9" * 5000]}, "--kong-sliding-limit: expected WINDOW:N such as 60:100"),
        ({"envoy": ["second:1,minute:2"]}, "--envoy-limit: expected WINDOW:N, or WINDOW:N/route"),
        ({"envoy": ["second:1/all"]}, "--envoy-limit: expected WINDOW:N, or WINDOW:N/route"),
        ({"envoy": ["month:1"]}, "--envoy-limit: expected WINDOW:N"),
    ],
)
def test_what_cannot_be_meant(given: dict[str, Any], message: str) -> None:
    """A limit that cannot be meant is refused with the option, what was expected, and what was got."""
    with pytest.raises(UsageError) as error:
        GivenLimits(**given).limits()
    assert message in str(error.value)


def test_the_allowlist() -> None:
    """Networks of the allowlist; one with host bits is refused."""
    table = GivenLimits(allowlist=["10.0.0.0/8", "2001:db8::1"]).allowed()
    assert table is not None
    asked = [to_number(text) for text in ("10.9.9.9", "11.0.0.0", "2001:db8::1", "2001:db8::2")]
    assert table.lookup(pl.Series(asked, dtype=pl.UInt128)).is_not_null().to_list() == [True, False, True, False]
    assert GivenLimits().allowed() is None
    with pytest.raises(UsageError, match="--limit-allowlist: "):
        GivenLimits(allowlist=["10.0.0.1/8"]).allowed()
