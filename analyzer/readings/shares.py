"""What every reading divides by: the considered requests, and the percentage of a part.

One definition, so that no two sections of a report can disagree about the denominator.
"""

from __future__ import annotations

import polars as pl


def considered() -> pl.Expr:
    """Count the considered requests of each address of a labelled table.

    What is left out is left out once, for the first reason that holds: health probe, unreadable request, live pod, no
    address. `considered` and the four sums of `excluded` add up to all requests.

    Returns
    -------
    pl.Expr
        UInt64, one value per address: ``requests`` less health probes, unreadable requests, live pods and rows
        without an address.
    """
    none = pl.lit(0, dtype=pl.UInt64)
    left_out = pl.col("health_probe") | pl.col("in_cluster") | (pl.col("class") == "unknown")
    return pl.when(left_out).then(none).otherwise(_visits()).alias("considered")


def excluded() -> list[pl.Expr]:
    """Sum what `considered` leaves out, by reason.

    Returns
    -------
    list of pl.Expr
        Four UInt64 sums: ``health_probe``, ``unparsed_request``, ``in_cluster``, ``unknown``.
    """
    probe = pl.col("health_probe")
    pod = ~probe & pl.col("in_cluster")
    nobody = ~probe & ~pl.col("in_cluster") & (pl.col("class") == "unknown")
    probes = pl.when(probe).then("requests").otherwise("health_probes")
    return [
        probes.sum().alias("health_probe"),
        pl.col("unparsed_requests").filter(~probe).sum().alias("unparsed_request"),
        _visits().filter(pod).sum().alias("in_cluster"),
        _visits().filter(nobody).sum().alias("unknown"),
    ]


def percent(part: int, whole: int) -> float | None:
    """Share of `whole` that `part` is, 0 to 100 with four digits.

    Only nothing is 0 and only all is 100: one request among a billion keeps its trace on either side.

    Returns
    -------
    float or None
        None when there is nothing to take a share of.
    """
    if whole == 0:
        return None
    if part in (0, whole):
        return 100.0 * part / whole
    return min(max(round(100 * part / whole, 4), 0.0001), 99.9999)


def _visits() -> pl.Expr:
    return pl.col("requests") - pl.col("health_probes") - pl.col("unparsed_requests")
