"""What the tables need of each line: a few narrow values, made by the scanner in its one pass.

Health probes are told by their user agent: kube-probe (kubernetes pkg/probe/http), AWS ELB-HealthChecker, Google's
GoogleHC, Azure's "Load Balancer Agent" and HealthProbe, each in its vendor's documentation on health checks.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING

import polars as pl

from analyzer.parsing.log_format import Type
from analyzer.parsing.schema import DTYPES, Kind, Output

if TYPE_CHECKING:
    from analyzer.parsing.formats import Layout

HEALTH_PROBES = (b"kube-probe/", b"ELB-HealthChecker/", b"GoogleHC/", b"Load Balancer Agent", b"HealthProbe")

#: What a request line gives away, in the contract's words: PROXY protocol v1 and v2 and TLS sent to a listener that
#: expects none of them, as nginx escapes what it could not read (measured on nginx 1.22.1).
REQUEST_SIGNALS = {
    "proxy_v1_to_plain_listener": (b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN"),
    "proxy_v2_to_plain_listener": (b"\\x00\0", b"\\u0000\0", b"\\x0D\\x0A\\x0D\\x0A\\x00\\x0D\\x0AQUIT"),
    "tls_to_plain_listener": (b"\\x16\\x03", b"\\u0016\\u0003"),
}
_REQUEST_TAGS = [(name, pattern) for name, patterns in REQUEST_SIGNALS.items() for pattern in patterns]


class Sign(IntFlag):
    """What an address sent at least once: who does so stands inside, or lets the Internet through."""

    KUBE_PROBE = 1
    ELB_PROBE = 2
    GOOGLE_PROBE = 4
    AZURE_PROBE = 8
    OTHER_PROBE = 16
    CRAWLER = 32
    PROXY_HEADER = 64
    BINARY = 128
    SCAN = 256


PROBES = Sign.KUBE_PROBE | Sign.ELB_PROBE | Sign.GOOGLE_PROBE | Sign.AZURE_PROBE | Sign.OTHER_PROBE

#: Beginnings of user agents; the first that fits counts. Crawlers name themselves as Mozilla does, and an old browser
#: did so as well.
_AGENTS = {
    **dict(zip(HEALTH_PROBES, (Sign(1 << bit) for bit in (0, 1, 2, 3, 4)), strict=True)),
    b"Mozilla/5.0 (compatible; MSIE ": Sign(0),
    b"Mozilla/5.0 (compatible; ": Sign.CRAWLER,
    b"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ": Sign.CRAWLER,
    b"facebookexternalhit/": Sign.CRAWLER,
    b"Twitterbot/": Sign.CRAWLER,
    b"Googlebot": Sign.CRAWLER,
}
_PATHS_SCANNED = (b"/.env", b"/.git/", b"/vendor/phpunit/", b"/boaform/", b"/cgi-bin/", b"/HNAP1")
#: The same of requests: what gives a protocol away, other bytes that are no text, paths that only scanners ask for.
_REQUESTS = {
    **{pattern: Sign.BINARY if name.startswith("tls") else Sign.PROXY_HEADER for name, pattern in _REQUEST_TAGS},
    b"\\x": Sign.BINARY,
    b"\\u00": Sign.BINARY,
    **{method + path: Sign.SCAN for path in _PATHS_SCANNED for method in (b"GET ", b"POST ")},
}
#: The signs of each value of ``agent`` and of ``request``, whose patterns these are; 0 is none of them.
AGENT_SIGNS, REQUEST_SIGNS = ((0, *map(int, signs.values())) for signs in (_AGENTS, _REQUESTS))

#: nginx could not read the request with these, so it never looked for the client behind the peer.
_UNREAD_STATUS = (400, 408, 497, 505)


class Outcome(IntEnum):
    """What a request was, for the preserved percentage."""

    CONSIDERED = 0
    HEALTH_PROBE = 1
    UNPARSED_REQUEST = 2


#: name -> (access-log column, kind, patterns, value where the format does not carry the column)
_WANTED: dict[str, tuple[str, Kind, tuple[bytes, ...], object]] = {
    "address": ("remote_addr", Kind.ADDRESS, (), None),
    "time": ("time", Kind.TIME, (), None),
    "status": ("status", Kind.UINT16, (), None),
    "bytes": ("body_bytes_sent", Kind.UINT64, (), None),
    "user_agents": ("user_agent", Kind.FANIN, (), 0),
    "forwarded": ("x_forwarded_for", Kind.FANIN_FIRST, (), 0),
    "agent": ("user_agent", Kind.TAG, tuple(_AGENTS), 0),
    "request": ("request", Kind.TAG, tuple(_REQUESTS), 0),
    "readable": ("request", Kind.READABLE, (), 1),
    "untried": ("upstream_addr", Kind.TAG, (b"-", b""), 1),
    "unnamed": ("upstream_name", Kind.TAG, (b"",), 0),
    "upstream_time": ("upstream_response_time", Kind.SECONDS_SUM, (), None),
}


def narrow_outputs(layout: Layout) -> list[Output]:
    """What to ask a scanner for."""
    carried = layout.columns
    wanted = [
        Output(name, kind, carried[column], patterns)
        for name, (column, kind, patterns, _) in _WANTED.items()
        if column in carried
    ]
    return wanted or [Output("offset", Kind.OFFSET, 0)]


def has_exact_times(layout: Layout) -> bool:
    """Whether the format says to the millisecond when a request came: so, or by ``$msec`` and ``$request_time``."""
    carried = layout.columns
    msec = "time" in carried and layout.fields[carried["time"]].type is Type.MSEC
    return (msec and "request_time" in carried) or tells_begin(layout)


def tells_begin(layout: Layout) -> bool:
    """Whether the time that the format logs is, to the millisecond, when the request began."""
    return "time" in layout.columns and layout.fields[layout.columns["time"]].variable == "time_begun"


def complete(rows: pl.DataFrame) -> pl.DataFrame:
    """Fill in what the format does not carry, and say of each row what its request was (`Outcome`) and shows (`Sign`).

    A request counts as unread where nginx refused it before it looked for the client (status 400, 408, 497, 505),
    tried no upstream, and either could not read the request line or had not chosen a server: ingress-nginx then writes
    empty brackets. A 403 is not among them: there the client was looked for.
    """
    missing = [
        pl.lit(absent, DTYPES[kind]).alias(name)
        for name, (_, kind, _, absent) in _WANTED.items()
        if name not in rows.columns
    ]
    probe = (pl.col("sign") & int(PROBES)) > 0
    unread = (
        pl.col("status").is_in(_UNREAD_STATUS).fill_null(value=False)
        & (pl.col("untried") > 0)
        & ((pl.col("readable") == 0) | (pl.col("unnamed") > 0))
    )
    outcome = (
        pl.when(probe)
        .then(pl.lit(Outcome.HEALTH_PROBE.value, pl.UInt8()))
        .when(unread)
        .then(pl.lit(Outcome.UNPARSED_REQUEST.value, pl.UInt8()))
        .otherwise(pl.lit(Outcome.CONSIDERED.value, pl.UInt8()))
    )
    rows = rows.with_columns(missing)
    signs = [
        pl.Series(table, dtype=pl.UInt64).gather(rows[tag])
        for tag, table in (("agent", AGENT_SIGNS), ("request", REQUEST_SIGNS))
    ]
    return rows.with_columns((signs[0] | signs[1]).alias("sign")).with_columns(outcome=outcome)


def name_signals(tags: dict[int, int]) -> dict[str, int]:
    """How many requests carry each of `REQUEST_SIGNALS`, by how many had each value of ``request``."""
    counts = dict.fromkeys(REQUEST_SIGNALS, 0)
    for tag, (name, _) in enumerate(_REQUEST_TAGS, 1):
        counts[name] += tags.get(tag, 0)
    return counts
