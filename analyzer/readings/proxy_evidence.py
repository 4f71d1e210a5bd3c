"""What the address table tells of who stands behind an address: the columns that `analyzer.readings.proxies` weighs.

An address is a *crowd* where it shows more user agents than one person's devices would in so many requests. Public
addresses are *grouped* where several of their /24 (IPv6: /64) are crowds, or where there are more of them than chance
would put into one subnet, and they do not look like one person each. *Shared* is either.

Only addresses that may turn out to be proxies, and their subnets, get all columns: every private one, and of the public
ones in a log of more than `SCATTERED` addresses those with `STRONG` bits of user agents and their neighbours.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from analyzer.addresses.ranges import MAPPED
from analyzer.readings.bitmap import BITS
from analyzer.tables.columns import Sign

if TYPE_CHECKING:
    from datetime import datetime

SCATTERED = 20_000
"""Public addresses beyond which many of them in one subnet are no news."""
STRONG = 5
"""Bits of user agents that make a public address of a long log worth a look."""
_SUBNETS = 2000
"""Subnets, at the least, that the visitors of a public site come from."""
_VISIT = 4
"""Requests that come together from one visitor: behind a proxy, so many bring one user agent between them."""
OUTSIDE = Sign.CRAWLER | Sign.PROXY_HEADER | Sign.BINARY | Sign.SCAN
"""What the Internet sends and nobody inside does."""

_COLUMNS = (
    "requests", "unparsed_requests", "first_time", "last_time", "user_agents", "forwarded", "kind", "signs", "crawlers",
)  # fmt: skip
_ESTIMATES = pl.Series([-BITS * math.log((BITS - min(ones, BITS - 1)) / BITS) for ones in range(BITS + 1)])
_HAS = pl.col("signs")
_NAT64 = 0x64_FF9B << 96
"""``64:ff9b::``: a translator puts it before a visitor's IPv4 address (RFC 6052, RFC 7755)."""
_SUBNET = ("public", "subnet")


class _Log(NamedTuple):
    """What the columns need of the whole log."""

    agents: int
    crawled: float
    forwarded: int
    quiet: bool
    first: datetime | None
    last: datetime | None


def evidence(labelled: pl.DataFrame) -> pl.DataFrame:
    """Return the addresses that no rule decides and that may be proxies, with what is to be weighed.

    Parameters
    ----------
    labelled
        The address table with the columns that `Classifier.label` appends.

    Returns
    -------
    polars.DataFrame
        A row for each such address, `row` being its place in `labelled`.
    """
    visits = (pl.col("requests") - pl.col("health_probes") - pl.col("unparsed_requests")).cast(pl.Int64)
    log = _log(labelled.select(*_COLUMNS, visits=visits))
    public = (pl.col("class") == "client").alias("public")
    undecided = pl.col("step").is_in(["registry", "none"]) & pl.col("address").is_not_null()
    above = pl.col("address") // 2**32
    v4 = ((above == MAPPED >> 32) | (above == _NAT64 >> 32)).alias("v4")
    subnet = pl.when("v4").then(pl.col("address") % 2**32 // 2**8).otherwise(pl.col("address") // 2**64)
    # Lazy: of ten million addresses these columns are never all in memory.
    found = labelled.lazy().with_row_index("row").filter(undecided)
    found = found.select("row", "address", "user_agents", "crawlers", public, v4, visits=visits)
    found = found.with_columns(subnet=subnet.cast(pl.UInt64))
    groups = found.group_by("public").agg(pl.len(), pl.sum("visits"), inhabited=_INHABITED.sum())
    counts = groups.collect(engine="streaming")
    total = int(counts["visits"].sum())
    frame, sampled = _worth_a_look(found, int(counts.filter("public")["len"].sum()))
    counts = counts.drop("len", "visits")
    frame, sampled = _fan_in(frame, log), _fan_in(sampled, log)
    sums = sampled.group_by("public").agg(all_like=pl.col("like").sum(), all_told=pl.col("told").sum())
    sums = counts.join(sums, on="public", how="left").fill_null(0.0)
    more = labelled.select(*_COLUMNS)[frame["row"]]
    frame = _subnets(frame.with_columns(more.get_columns()).join(sums, on="public", maintain_order="left"))
    frame = _groups(frame, log, total)
    return frame.join(_evenness(frame), on="address", how="left", maintain_order="left").with_columns(
        pl.col("even").fill_null(0.0),
        last_byte=pl.col("address") % 2**8,
        forwarded_bits=pl.col("forwarded").bitwise_count_ones(),
        log_crawled=pl.lit(log.crawled),
        log_forwarded=pl.lit(log.forwarded),
        log_quiet=pl.lit(log.quiet),
    )


def _log(frame: pl.DataFrame) -> _Log:
    outside = pl.col("signs").bitwise_or() & int(OUTSIDE)
    return _Log(
        *frame.select(
            pl.col("user_agents").bitwise_or().bitwise_count_ones(),
            (pl.col("crawlers").sum() / pl.col("visits").sum()).alias("crawled"),
            pl.col("forwarded").bitwise_or().bitwise_count_ones(),
            # Of a few hundred requests, noise may be absent by chance.
            (outside.eq(0) & (pl.col("visits").sum() >= 1000)).fill_null(value=False).alias("quiet"),
            pl.col("first_time").min(),
            pl.col("last_time").max(),
        ).row(0)
    )


def _fan_in(frame: pl.DataFrame, log: _Log) -> pl.DataFrame:
    """Hold the user agents of each address against those that so many requests of everybody would bring."""
    # A common user agent comes again and again: 0.6 fits the Zipf-like shares of browsers, and pages of one visit.
    variety = max(float(_ESTIMATES[log.agents or 0]), 1.0)
    expected = 1 + 0.6 * variety * (1 - (pl.col("visits") / (-_VISIT * variety)).exp())
    agents = _ESTIMATES.gather(frame["user_agents"].bitwise_count_ones()).alias("agents")
    fan_in = pl.when((pl.col("visits") > 0) & (pl.col("user_agents") > 0)).then(
        pl.col("agents").clip(1).log() - pl.col("expected").log() / 2
    )
    likely = 1 / (1 + (-4 * pl.col("fan_in")).exp())
    return (
        frame.with_columns(agents, expected=expected)
        .with_columns(fan_in=fan_in.otherwise(0.0))
        .with_columns(told=pl.col("fan_in").abs().clip(0, 1))
        .with_columns(like=likely * pl.col("told"))
    )


#: Crawlers have subnets of their own.
_INHABITED = (pl.col("visits") > 0) & (pl.col("crawlers").fill_null(0) < 0.7 * pl.col("visits"))


def _worth_a_look(found: pl.LazyFrame, public: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the addresses that may be proxies, with their neighbours, and those that speak for all others."""
    if public <= SCATTERED:
        frame = found.collect()
        return frame, frame
    strong = ~pl.col("public") | (pl.col("user_agents").bitwise_count_ones() >= STRONG)
    subnets = found.filter(strong & pl.col("public")).select("subnet").collect(engine="streaming")["subnet"].unique()
    near = found.filter(strong | pl.col("subnet").is_in(subnets.implode()))
    # Of so many, one in sixteen tells as much as all.
    sampled = found.filter(~pl.col("public") | (pl.col("address") % 16 == 0))
    return near.collect(engine="streaming"), sampled.collect(engine="streaming")


def _subnets(frame: pl.DataFrame) -> pl.DataFrame:
    """Look at the neighbours: do they look like proxies, and are there more of them than chance puts together."""
    sums = frame.group_by(_SUBNET).agg(
        subnet_like=pl.col("like").sum(),
        subnet_told=pl.col("told").sum(),
        members=_INHABITED.sum(),
        subnet_visits=pl.col("visits").sum(),
    )
    frame = frame.join(sums, on=_SUBNET, maintain_order="left").with_columns(
        pool=_odds(pl.col("all_like") - pl.col("like"), pl.col("all_told") - pl.col("told")),
        neighbours=_odds(pl.col("subnet_like") - pl.col("like"), pl.col("subnet_told") - pl.col("told")),
    )
    prior = pl.when(pl.col("neighbours").abs() > pl.col("pool").abs()).then("neighbours").otherwise("pool")
    # The deviance of a Poisson count: 8 and more is beyond chance.
    members, by_chance = pl.col("members"), (pl.col("inhabited") / _SUBNETS).clip(0.01)
    deviance = members * (members / by_chance).log() - members + by_chance
    surprising = pl.col("public") & (members >= 3) & (members > by_chance) & (pl.col("user_agents") > 0)
    frame = frame.with_columns(
        crowd=(4 * pl.col("fan_in") + 0.7 * prior > 0) & (pl.col("agents") > 1.5),
        surprise=pl.when(surprising).then(deviance / 4).otherwise(0.0),
    )
    clustered = (pl.col("surprise") >= 2) & (pl.col("neighbours") > -1.6)
    like, told = pl.col("like").filter(clustered).sum(), pl.col("told").filter(clustered).sum()
    no_persons = (1.4 + 1.2 * _odds(like, told)).clip(0, 1)
    return frame.with_columns(dense=pl.when(clustered).then(pl.col("surprise").clip(0, 8) * no_persons).otherwise(0.0))


def _groups(frame: pl.DataFrame, log: _Log, total: int) -> pl.DataFrame:
    """Say which addresses belong together, and what they carry between them."""
    dense = pl.col("dense") >= 2
    frame = frame.with_columns(
        shared=pl.col("crowd") | dense,
        grouped=pl.col("public") & (dense | (pl.col("crowd").sum().over(_SUBNET) >= 3)),
    )
    shared = frame.filter("shared")
    spans = shared.group_by(_SUBNET).agg(span=pl.col("last_time").max() - pl.col("first_time").min())
    sums = shared.group_by("public", "grouped").agg(
        group_crawlers=pl.col("crawlers").sum(),
        group_visits=pl.col("visits").sum(),
        group_span=pl.col("last_time").max() - pl.col("first_time").min(),
    )
    frame = frame.join(spans, on=_SUBNET, how="left", maintain_order="left")
    frame = frame.join(sums, on=["public", "grouped"], how="left", maintain_order="left")
    # Working hours, too, end while the log goes on.
    length = log.last - log.first if log.first is not None and log.last is not None else timedelta()
    telling = not timedelta(hours=8) < length < timedelta(days=3)
    outside = (_HAS & int(OUTSIDE) > 0) & pl.col("crowd")
    carried = pl.when("shared").then("visits").otherwise(0)
    frame = frame.with_columns(
        outside_peers=outside.sum().over("public") - outside,
        carried=carried.sum().over("grouped") / total,
        stops=telling
        & (
            ((pl.col("span") < 0.65 * length) & (pl.col("subnet_visits") >= 60))
            | ((pl.col("group_span") < 0.65 * length) & (pl.col("group_visits") >= 60))
        ),
    )
    pooled = pl.col("shared") & (pl.col("grouped") | (pl.col("carried") > 0.9))
    return frame.with_columns(
        of_visits=pl.when(pooled).then("group_visits").otherwise("visits"),
        of_crawlers=pl.when(pooled).then("group_crawlers").otherwise("crawlers"),
    )


def _evenness(frame: pl.DataFrame) -> pl.DataFrame:
    """Count, for each considerable crowd, how many of the others have near-equal shares, less those that have not."""
    considerable = pl.col("crowd") & (pl.col("agents") > 2.5) & (pl.col("visits") >= 20)
    crowds = frame.filter(considerable).filter(pl.col("visits") >= 0.02 * pl.col("visits").sum().over("public"))
    parts = [pl.DataFrame(schema={"address": pl.UInt128, "even": pl.Float64})]
    for part in crowds.sort("visits").partition_by("public"):
        size, slack = part["visits"].log(), 0.25 + 2.5 / part["visits"].sqrt()
        above = size.search_sorted(size + slack, side="right").cast(pl.Int64)
        near = above - size.search_sorted(size - slack, side="left").cast(pl.Int64) - 1
        even = (2 * near - (part.height - 1)).cast(pl.Float64).alias("even")
        parts.append(part.select("address", even))
    return pl.concat(parts)


def _odds(like: pl.Expr, told: pl.Expr) -> pl.Expr:
    """Log-odds that addresses are proxies, by the sum of their likelihoods and of what they tell at all."""
    return ((like + 0.3) / (told - like + 0.3)).log()
