"""Trust: whether the logged address is one that its client could choose, and whether somebody did.

An address that a header replaced is only as good as whoever wrote the header. Every trusted proxy appends whom it was
called by, so that the entry which the first of them wrote names the client, and what stands left of it is the client's
own word. Where the logged address stands left of an address that is no proxy, it was forged, or set by a proxy that
nobody named.

A log without the peer's address (``$realip_remote_addr``) shows less: that a chain was believed in requests so few that
no proxy in front can be writing it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from analyzer.addresses.forwarded import ENTRIES, PROXIES, take_apart
from analyzer.addresses.ranges import to_text
from analyzer.charts import Bars
from analyzer.readings.bitmap import linear_count
from analyzer.readings.reading import Reading, frame_of
from analyzer.readings.shares import considered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.addresses.cluster_model import ProxySettings
    from analyzer.tables.chains import Chains

OWN_CHAINS = 0.1
"""Below this share of visitors with a chain it is their own: a proxy in front would write one for every request."""
ROTATION = 10
"""From so many claimed addresses on the reason names how many one sender claimed."""

LOG_FORMAT = (
    'escape=json {"time":"$time_iso8601","msec":$msec,"remote_addr":"$remote_addr",'
    '"realip_remote_addr":"$realip_remote_addr","proxy_protocol_addr":"$proxy_protocol_addr",'
    '"http_x_forwarded_for":"$http_x_forwarded_for","host":"$host","request":"$request","status":$status,'
    '"body_bytes_sent":$body_bytes_sent,"http_referer":"$http_referer","http_user_agent":"$http_user_agent",'
    '"request_length":$request_length,"request_time":$request_time,"proxy_upstream_name":"$proxy_upstream_name",'
    '"upstream_addr":"$upstream_addr","upstream_status":"$upstream_status",'
    '"upstream_response_time":"$upstream_response_time","req_id":"$req_id"}'
)
"""The format that decides, as ``--log-format`` takes it. In ingress-nginx ``escape=json`` is not part of
``log-format-upstream`` but ``log-format-escape-json: "true"``."""

_HEADER = "X-Forwarded-For"
_EXAMPLES = 5
_HOPS = ("remote", "peer", "hop1", "hop2")


@dataclass(frozen=True, slots=True)
class Hop:
    """Requests whose chain has so many entries; `length` 32 is 32 or more."""

    length: int
    requests: int


@dataclass(frozen=True, slots=True)
class Forged:
    """An example of a request with a forged address, and how many came through the same proxies with as many entries.

    `x_forwarded_for` is as logged; None is what was not logged or not kept.
    """

    remote_addr: str | None
    peer: str | None
    x_forwarded_for: str | None
    requests: int


@dataclass(frozen=True, slots=True)
class Trust(Reading):
    """Whether logged addresses can be believed.

    Parameters
    ----------
    verdict
        ``sound``: what clients write is not believed. ``exposed``: it would be. ``spoofed``: it was.
        ``cannot-tell``: nothing shows either.
    forged_requests
        Requests whose logged address the client wrote; None where the format logs nothing to tell by.
    hops
        Requests by the entries of X-Forwarded-For, the shortest chains first; empty where it is not logged.
    reason
        One sentence.
    examples
        Of forged requests, the most frequent kinds first.
    log_format
        What to log to decide; None where the verdict needs no more.
    """

    verdict: str
    forged_requests: int | None
    hops: list[Hop]
    reason: str
    examples: list[Forged]
    log_format: str | None

    @property
    def frame(self) -> pl.DataFrame:
        """The lengths of chains, a row each."""
        return frame_of(self.hops, Hop)

    def plot(self) -> Bars:
        """How many entries X-Forwarded-For has."""
        frame = self.frame.with_columns(pl.col("length").cast(pl.String))
        return Bars(title="Entries of X-Forwarded-For", frame=frame, name="length", value="requests", unit="requests")


def trust(chains: Chains, labelled: pl.DataFrame, settings: Iterable[ProxySettings] = ()) -> Trust:
    """Read trust off the table of chains.

    Parameters
    ----------
    chains
        The table, made with the ranges that `labelled` is by.
    labelled
        The labelled address table, with what was inferred: an address that is in it is what it says.
    settings
        Those of the controllers in the cluster file.

    Returns
    -------
    Trust
        The log's own evidence of forgery counts before the settings, the settings before its evidence of soundness.
    """
    rows = _labelled(chains, labelled)
    counts = labelled.select("class", considered())
    total = int(counts["considered"].sum())
    visitors = int(counts.filter(pl.col("class") == "client")["considered"].sum())
    complete = chains.rows["requests"].sum() == labelled["requests"].sum()
    forged, doubt = _forged(rows, visitors if complete else 0, total)
    count = int(forged["requests"].sum()) if chains.logged else None
    configured = _configured(settings, appended=_appended(rows, total))
    passed = int(rows.filter(_disbelieved())["requests"].sum())
    if count:
        verdict, reason = "spoofed", _how(forged, count)
    elif configured is not None:
        verdict, reason = configured
    elif doubt:
        verdict, reason = "cannot-tell", doubt
    elif passed:
        verdict, reason = "sound", f"{_requests(passed)} brought other addresses in {_HEADER}, and none was believed"
    elif chains.logged:
        verdict, reason = (
            "cannot-tell",
            "no client wrote an address of its own, which would show whether it is believed",
        )
    else:
        verdict, reason = "cannot-tell", "the log holds no X-Forwarded-For and no address of the peer"
    wanting = not {"x_forwarded_for", "realip_remote_addr"} <= chains.logged
    return Trust(
        verdict=verdict,
        forged_requests=count,
        hops=_hops(rows),
        reason=reason,
        examples=_examples(forged, chains.detail),
        log_format=LOG_FORMAT if verdict == "cannot-tell" and wanting else None,
    )


def recoverable(chains: Chains, labelled: pl.DataFrame) -> int | None:
    """Count the considered requests whose logged address is not the visitor's, while another logged one is.

    An X-Forwarded-For that came through a node or load balancer counts only where enough of its requests have one: a
    few are the clients' own word.

    Returns
    -------
    int or None
        None where the format logs no other address. At most the requests that are considered and not preserved.
    """
    if not chains.logged:
        return None
    rows = _labelled(chains, labelled).filter(pl.col("found") & pl.col("remote_class").is_in(PROXIES))
    vouched = (pl.col("position") > 0) | pl.col("peer_class").is_not_null()
    lost = labelled.filter(pl.col("class").is_in(PROXIES)).group_by("class").agg(considered().sum())
    seen = rows.filter(~vouched).group_by(pl.col("remote_class").alias("class")).agg(pl.col("lost").sum())
    chained = seen.join(lost, on="class").filter(pl.col("lost") >= OWN_CHAINS * pl.col("considered"))
    return int(rows.filter(vouched)["lost"].sum()) + int(chained["lost"].sum())


def summary(reading: Trust) -> list[str]:
    """Return the parts of the terminal's section; nothing in them comes from the log."""
    parts = [f"{reading.verdict.replace('-', ' ')}: {reading.reason}"]
    if reading.log_format is not None:
        parts.append("log $http_x_forwarded_for and $realip_remote_addr to decide (the JSON report has a log_format)")
    return parts


def _labelled(chains: Chains, labelled: pl.DataFrame) -> pl.DataFrame:
    """Give the addresses of the table the classes that inference left them with."""
    rows = chains.rows
    if rows.is_empty():
        return rows
    named = pl.concat([rows[hop].alias("address") for hop in _HOPS]).unique().to_frame()
    known = labelled.select("address", now="class").join(named, on="address", how="semi")
    for hop in _HOPS:
        rows = rows.join(known.rename({"address": hop}), on=hop, how="left", maintain_order="left")
        rows = rows.with_columns(pl.coalesce("now", f"{hop}_class").alias(f"{hop}_class")).drop("now")
    return rows


def _no_proxy(hop: str) -> pl.Expr:
    return ~pl.col(f"{hop}_class").is_in(PROXIES).fill_null(value=False)


def _forged(rows: pl.DataFrame, visitors: int, total: int) -> tuple[pl.DataFrame, str | None]:
    """Return the rows with forged addresses, or none and why that cannot be told."""
    position = pl.col("position")
    sent = pl.col("peer_class").is_not_null()
    taken = rows.filter(position > 0)
    by = (
        pl.when(sent & _no_proxy("peer"))
        .then("peer")
        .when((position > 1) & _no_proxy("hop1"))
        .then("hop1")
        .when((position > 2) & _no_proxy("hop2"))
        .then("hop2")
    )
    between = ((position > 1) & _no_proxy("hop1")) | ((position > 2) & _no_proxy("hop2"))
    unsent = taken.filter(~sent)
    believed = unsent["requests"].sum()
    ignored = rows.filter((position == 0) & ~sent & pl.col("found"))["requests"].sum()
    forged = taken.filter(sent & _no_proxy("peer") | between)
    forged = forged.filter(sent) if believed < ignored else forged
    if forged["requests"].sum() > total / 2:
        # Nobody forges most of a log: a proxy stands there that nobody named. What goes beyond it does count.
        usual = taken.group_by("position").agg(pl.col("requests").sum()).sort("requests", "position")["position"][-1]
        forged = forged.filter(position > usual)
        doubt = "most requests passed a public address that no rule knows as a proxy; say what it is with --lb"
        return forged.with_columns(by=by), doubt
    if ignored <= believed < OWN_CHAINS * visitors:
        forged = pl.concat([forged.filter(sent), unsent])
    return forged.with_columns(by=by), None


def _disbelieved() -> pl.Expr:
    """Whether an address was there for the server to take, and it did not."""
    # What stands left of a proxy's own address is the proxy's word.
    left = (pl.col("position") > 0) & _no_proxy("remote")
    return pl.col("passed") & (left | pl.col("peer_class").is_null())


def _appended(rows: pl.DataFrame, total: int) -> bool:
    """Whether a proxy in front writes the chain of most requests."""
    return bool(rows.filter(pl.col("length") > 0)["requests"].sum() > total / 2)


def _configured(settings: Iterable[ProxySettings], *, appended: bool) -> tuple[str, str] | None:
    """Say what the settings of the controllers make of it, None where they are not known."""
    known = [each for each in settings if each.sources]
    if not known:
        return None
    for each in known:
        if not _reads_header(each) or not each.trusts_everyone or each.trusted_hops is not None:
            continue
        header = each.header or _HEADER
        # Its last entry is that of the proxy in front, and no other counts.
        if each.recursive is False and appended and header.casefold() == _HEADER.casefold():
            continue
        return "exposed", f"everybody is trusted to write {header}, clients too ({_source(each)})"
    readers = [each for each in known if _reads_header(each)]
    if not readers:
        return "sound", "no header is read for the client's address"
    trusted = list(dict.fromkeys(cidr for each in readers for cidr in each.trusted))
    if not trusted:
        return "sound", "the client's address is taken from trusted proxies alone"
    return "sound", f"only {', '.join(trusted[:4])}{' and others' if len(trusted) > 4 else ''} may name the client"


def _reads_header(settings: ProxySettings) -> bool:
    return settings.in_use and settings.header != "proxy_protocol"


def _source(settings: ProxySettings) -> str:
    return settings.sources.get("trusted", "default")


def _how(forged: pl.DataFrame, count: int) -> str:
    senders = forged.filter(pl.col("by").is_not_null()).group_by("by").agg(pl.col("claimed").bitwise_or())
    most = max((linear_count(bits) for bits in senders["claimed"]), default=0)
    rotation = f"; one sender claimed about {most} addresses" if most >= ROTATION else ""
    return f"the logged address of {_requests(count)} is what the client wrote{rotation}"


def _requests(count: int) -> str:
    return f"{count:,} request{'' if count == 1 else 's'}"


def _hops(rows: pl.DataFrame) -> list[Hop]:
    counted = rows.filter(pl.col("length").is_not_null()).group_by("length").agg(pl.col("requests").sum())
    return [Hop(length, requests) for length, requests in counted.sort("length").iter_rows()]


def _examples(forged: pl.DataFrame, detail: int) -> list[Forged]:
    shown = forged.filter(pl.col("chain").is_not_null() | pl.col("single").is_not_null() | pl.col("length").is_null())
    order = ["requests", "chain", "single", "peer"]
    shown = shown.sort(order, descending=[True, False, False, False], nulls_last=True).head(_EXAMPLES)
    return [
        Forged(
            # At detail 2 the place in a long chain is forgotten.
            remote_addr=_claimed(row) if detail < 2 or row["position"] < 3 else None,
            peer=None if row["peer"] is None else to_text(row["peer"]),
            x_forwarded_for=row["chain"] or (None if row["single"] is None else to_text(row["single"])),
            requests=row["requests"],
        )
        for row in shown.iter_rows(named=True)
    ]


def _claimed(row: dict[str, Any]) -> str | None:
    """Return the logged address, which stands in the example; the table keeps it nowhere else."""
    if row["chain"] is None:
        return None if row["single"] is None else to_text(row["single"])
    parts = take_apart(pl.Series([row["chain"]]))
    entries = parts.leftmost if row["position"] > ENTRIES else parts.entries["address"].slice(row["position"] - 1, 1)
    return next((to_text(number) for number in entries if number is not None), None)
