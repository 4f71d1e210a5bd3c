"""Rejections that the log itself tells of, beside those of the simulated limit that comes nearest to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from analyzer.addresses.networks import CLASSES
from analyzer.tables.limited import KEYS, REFUSED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analyzer.tables import Limit

_TOLD = {
    "limit_req_status": ("limit_req_rejected", "limit_conn_rejected"),
    "error_log": ("status_429", "status_503"),
    "status": ("status_429",),
}


@dataclass(frozen=True, slots=True)
class LoggedClass:
    """Rejections of addresses of a class, and between what those of the nearest simulated limit lie."""

    class_: str
    rejected: int
    simulated_low: int
    simulated_high: int


@dataclass(frozen=True, slots=True)
class Logged:
    """Rejections that the log itself tells of.

    `rejected` is the best count there is, told by `told_by`: nginx's word on each request (``limit_req_status``), the
    ``error_log``, or the ``status`` 429 where no upstream was tried. 503 is what nginx answers where nothing else is
    set, but so it does where an upstream has no servers. `nearest` is the simulated limit that comes closest. `classes`
    says whose addresses were rejected; where the error log told, by requests that were answered 429 or 503 without an
    upstream.
    """

    rejected: int | None
    told_by: str | None
    limiting_requests: int
    limiting_connections: int
    status_429: int
    status_503: int
    nearest: str | None
    classes: list[LoggedClass] = field(default_factory=list)


def logged(
    labelled: pl.DataFrame,
    rejections: pl.DataFrame,
    totals: Mapping[str, int],
    limits: Sequence[Limit],
    signals: Mapping[str, int],
) -> Logged:
    """Read what the log tells of rejections.

    Parameters
    ----------
    labelled
        The address table with the columns that `Classifier.label` appends.
    rejections
        `analyzer.tables.limit_req.LIMITS`.
    totals
        `analyzer.tables.limited.TOTALS`.
    limits
        The simulated limits.
    signals
        What the error log told.
    """
    requests, connections = signals.get("limiting_requests", 0), signals.get("limiting_connections", 0)
    counts = {
        "limit_req_status": totals.get("limit_req_rejected", 0) + totals.get("limit_conn_rejected", 0),
        "error_log": requests + connections,
        "status": totals.get("status_429", 0),
    }
    said = totals.get("limit_req_logged", 0) + totals.get("limit_conn_logged", 0) > 0
    told_by = "limit_req_status" if said else next((name for name, count in counts.items() if count), None)
    rejected = counts[told_by] if told_by else None
    nearest, classes = None, []
    if told_by and rejected:
        by_class = _by_class(labelled, rejections)
        nearest = _nearest(by_class, limits, rejected)
        told = [REFUSED.index(name) for name in _TOLD[told_by]]
        classes = _classes(by_class, told, nearest)
    return Logged(
        rejected=rejected,
        told_by=told_by,
        limiting_requests=requests,
        limiting_connections=connections,
        status_429=totals.get("status_429", 0),
        status_503=totals.get("status_503", 0),
        nearest=limits[nearest].name if nearest is not None else None,
        classes=classes,
    )


def _by_class(labelled: pl.DataFrame, rejections: pl.DataFrame) -> pl.DataFrame:
    """Rejections by ``key``, ``limit`` and ``class``, of logged addresses: ``low`` and ``high``."""
    told = pl.col("address").is_not_null() | (pl.col("key") == KEYS.index("logged"))
    of_logged = rejections.filter((pl.col("key") != KEYS.index("client")) & told)
    classes = labelled.select("address", pl.col("class").cast(pl.String))
    return (
        of_logged.join(classes, on="address", how="left", nulls_equal=True)
        .group_by("key", "limit", pl.col("class").fill_null("unknown"))
        .agg(low=pl.min_horizontal("most", "fewest").sum(), high=pl.max_horizontal("most", "fewest").sum())
    )


def _nearest(by_class: pl.DataFrame, limits: Sequence[Limit], rejected: int) -> int | None:
    """The place of the shown limit whose rejections come nearest to so many; None where none rejects anything."""
    simulated = by_class.filter(pl.col("key") == KEYS.index("remote_addr")).group_by("limit").agg(pl.sum("low", "high"))
    found = {place: (low, high) for place, low, high in simulated.iter_rows() if limits[place].shown and high}
    return min(
        sorted(found), key=lambda place: max(found[place][0] - rejected, rejected - found[place][1], 0), default=None
    )


def _classes(by_class: pl.DataFrame, told: Sequence[int], nearest: int | None) -> list[LoggedClass]:
    rows = {name: [0, 0, 0] for name in CLASSES}
    for key, place, name, low, high in by_class.iter_rows():
        if KEYS[key] == "logged" and place in told:
            rows[name][0] += high
        elif KEYS[key] == "remote_addr" and place == nearest:
            rows[name][1] += low
            rows[name][2] += high
    return [LoggedClass(name, *counts) for name, counts in rows.items() if any(counts)]
