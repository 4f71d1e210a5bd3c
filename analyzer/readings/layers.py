"""The layers of one path side by side: where a request loses its visitor's address.

A request is found again in the next layer's log by its id where both log one, else by time, path and status: of those
that are alone with their path and status within `TOLERANCE` on both sides, for the others may be anybody's.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import polars as pl

from analyzer.readings.shares import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS = ("time", "remote_addr", "x_forwarded_for", "path", "status", "request_id")
"""What is needed of a layer's log, as `analyzer.scan` names it."""
TOLERANCE = "2s"
"""How far the same request may be apart in two logs: whole seconds, and the time that the layer behind took."""
CHANGED_PCT = 50.0
"""From this share of found requests on a hop is said to change the address."""

_MOST = 10


@dataclass(frozen=True, slots=True)
class AddressChange:
    """Requests whose address became another of a class; one of them as an example."""

    from_class: str
    to_class: str
    requests: int
    pct: float | None
    example: str


@dataclass(frozen=True, slots=True)
class Hop:
    """Two neighbouring layers.

    Parameters
    ----------
    before, after
        Their names.
    joined_by
        ``request_id``, or ``time, path, status``; None where the logs have nothing in common.
    found
        Requests of the layer behind that were found in the one before, of `requests` there.
    same_pct
        The share of these with the same address in both.
    carried_pct
        Of those with another address, the share whose X-Forwarded-For in the layer behind holds the one before; None
        where it logs none.
    changes
        The others by class, the most frequent first.
    """

    before: str
    after: str
    joined_by: str | None
    requests: int
    found: int
    same_pct: float | None
    carried_pct: float | None
    changes: list[AddressChange]

    @property
    def changes_address(self) -> bool:
        """Whether most requests have another address behind it."""
        return self.same_pct is not None and self.same_pct < CHANGED_PCT


def layers(frames: Sequence[pl.DataFrame], names: Sequence[str]) -> list[Hop]:
    """Follow requests from layer to layer.

    Parameters
    ----------
    frames
        A frame for each layer, the outermost first, with `COLUMNS` and ``class``.
    names
        What the layers are called.
    """
    return [
        _hop(before, after, between) for (before, after), between in zip(pairwise(frames), pairwise(names), strict=True)
    ]


def _hop(before: pl.DataFrame, after: pl.DataFrame, names: tuple[str, str]) -> Hop:
    joined_by = "request_id"
    pairs = _by_id(before, after)
    if pairs.is_empty():
        joined_by, pairs = "time, path, status", _by_time(before, after)
    found = pairs.height
    same = pl.col("remote_addr") == pl.col("remote_addr_before")
    changed = pairs.filter(~same.fill_null(value=False))
    carried = None
    if changed["x_forwarded_for"].null_count() < changed.height:
        there = pl.col("x_forwarded_for").str.contains(pl.col("remote_addr_before"), literal=True)
        carried = percent(int(changed.select(there.fill_null(value=False).sum()).item()), changed.height)
    example = pl.concat_str("remote_addr_before", pl.lit(" to "), "remote_addr", ignore_nulls=True)
    kinds = changed.group_by("class_before", "class").agg(pl.len(), example.drop_nulls().first())
    kinds = kinds.sort("len", "class_before", "class", descending=[True, False, False]).head(_MOST)
    return Hop(
        *names,
        joined_by if found else None,
        after.height,
        found,
        percent(found - changed.height, found),
        carried,
        [
            AddressChange(first, second, count, percent(count, found), example or "-")
            for first, second, count, example in kinds.iter_rows()
        ],
    )


def _by_id(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    alone = pl.col("request_id").is_not_null() & pl.col("request_id").is_unique()
    known = [frame.filter(alone) for frame in (before, after)]
    return known[1].join(_renamed(known[0], "request_id"), on="request_id")


def _by_time(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    sides = [_alone(frame) for frame in (before, after)]
    return (
        sides[1]
        .join_asof(
            _renamed(sides[0], "time", "path", "status"),
            on="time",
            by=["path", "status"],
            strategy="nearest",
            tolerance=TOLERANCE,
            check_sortedness=False,
        )
        .filter(pl.col("class_before").is_not_null())
    )


def _alone(frame: pl.DataFrame) -> pl.DataFrame:
    """Requests that have no like near them, in order of time."""
    known = frame.drop_nulls(["time", "path", "status"]).sort("time")
    apart = pl.duration(seconds=2 * int(TOLERANCE.removesuffix("s")))
    since, until = (
        (pl.col("time").diff(n).abs().over("path", "status") > apart).fill_null(value=True) for n in (1, -1)
    )
    return known.filter(since & until)


def _renamed(frame: pl.DataFrame, *keys: str) -> pl.DataFrame:
    return frame.select(*keys, pl.col("remote_addr", "class").name.suffix("_before"))
