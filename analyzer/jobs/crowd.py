"""More addresses than can be kept one by one for as long as a log is watched: the rare ones are put together.

What is put together are addresses of one class and kind; one of them, drawn when the first were, stands for all and is
not told of any more. No request is lost or judged otherwise for it: what is lost is who sent it.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from analyzer.readings.preservation import preservation
from analyzer.readings.proxy_evidence import OUTSIDE
from analyzer.tables.merge import add_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.addresses.classify import Classifier
    from analyzer.readings.preservation import Preservation

#: Addresses that are kept at most, each on its own; where there are more, the busier half of so many stays.
MOST = 20_000
_ALIKE = ("class", "kind", "in_cluster", "health_probe")
_BY_ADDRESS = ("entries", "clients")
_SHOWN = {"user_agents": 0, "forwarded": 0, "signs": int(OUTSIDE)}
"""What an address shows of who stands behind it, and what of that is kept of several: all would show one proxy."""


class Crowd:
    """Those that were put together.

    Parameters
    ----------
    classifier
        Says by ranges what addresses are.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._stands_for: dict[tuple[Any, ...], int] = {}
        self._seed = random.getrandbits(64)  # which one is drawn must be nobody's choice

    def bounded(self, frames: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        """The tables of a part (`analyzer.tables.merge.frames_of`) with not too many addresses."""
        addresses = frames.get("addresses", pl.DataFrame())
        if addresses.height <= MOST + len(self._stands_for):
            return dict(frames)
        addresses = addresses.sort("requests", descending=True)
        rare = (pl.int_range(pl.len()) >= MOST // 2) & pl.col("address").is_not_null()
        together = add_up("addresses", [addresses.filter(~rare), self._put_together(addresses.filter(rare))])
        others = pl.col("address").is_in(self._others())
        shown = [pl.when(others).then(pl.col(name) & kept).otherwise(name) for name, kept in _SHOWN.items()]
        together = together.select(addresses.columns).with_columns(shown)
        left = {name: frames[name].join(together.select("address"), on="address", how="semi") for name in _BY_ADDRESS}
        return {**frames, "addresses": together, **left}

    def requests(self, labelled: pl.DataFrame) -> int:
        """How many requests came from addresses that were put together, of an address table."""
        return int(labelled.filter(pl.col("address").is_in(self._others()))["requests"].sum())

    def told(self, reading: Preservation, labelled: pl.DataFrame, top: int) -> Preservation:
        """The reading of a labelled address table, where it tells of addresses without those that were put together."""
        others = pl.col("address").is_in(self._others())
        if not self._stands_for or labelled.filter(others).is_empty():
            return reading
        kept = preservation(labelled.filter(others.not_() | pl.col("address").is_null()), top=top)
        of_kind = {(each.class_, each.kind): (each.addresses, each.examples) for each in kept.kinds}
        kinds = []
        for each in reading.kinds:
            count, examples = of_kind.get((each.class_, each.kind), (0, []))
            kinds.append(replace(each, addresses=count, examples=examples))
        return replace(
            reading,
            classes={name: replace(of, addresses=kept.classes[name].addresses) for name, of in reading.classes.items()},
            kinds=kinds,
            addresses=kept.addresses,
            suspicions=kept.suspicions,
        )

    def _others(self) -> pl.Series:
        return pl.Series([*self._stands_for.values()], dtype=pl.UInt128()).implode()

    def _put_together(self, rare: pl.DataFrame) -> pl.DataFrame:
        """Give the address to all that is alike which stands for it."""
        groups = self._classifier.label(rare.select("address"))
        drawn = groups.group_by(_ALIKE).agg(pl.col("address").sort_by(pl.col("address").hash(self._seed)).first())
        for *alike, address in drawn.select(*_ALIKE, "address").iter_rows():
            self._stands_for.setdefault(tuple(alike), address)
        drawn = drawn.with_columns(
            pl.Series(
                "stands_for", [self._stands_for[alike] for alike in drawn.select(_ALIKE).iter_rows()], pl.UInt128()
            )
        )
        found = groups.join(drawn.select(*_ALIKE, "stands_for"), on=_ALIKE, how="left", maintain_order="left")
        return rare.with_columns(found["stands_for"].alias("address"))
