"""What addresses are by ranges, as the tables ask for it."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Protocol

import polars as pl

from analyzer.addresses.forwarded import PROXIES
from analyzer.addresses.networks import CLASSES


class Labels(Hashable, Protocol):
    """Says by ranges what addresses are (`analyzer.addresses.classify.Classifier`)."""

    @property
    def starts(self) -> pl.Series:
        """The addresses (UInt128, ascending) at which the answer changes."""

    def label(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Append ``class``, ``in_cluster`` and ``health_probe`` to a frame with a column ``address``."""


def codes(labelled: pl.DataFrame) -> pl.Series:
    """Twice the number of each class (UInt8), and 1 more where no request is considered."""
    skipped = pl.col("health_probe") | pl.col("in_cluster")
    code = pl.col("class").to_physical().cast(pl.UInt8) * 2 + skipped
    return labelled.select(code.cast(pl.UInt8).alias("code")).to_series()


def for_chains(labels: Labels) -> tuple[object, int, int]:
    """The same for chains.c: codes of ranges, the classes whose word is taken as bits, and that of visitors."""
    proxies = sum(1 << CLASSES.index(name) for name in PROXIES)
    return _ranges(labels).__arrow_c_stream__(), proxies, CLASSES.index("client")


@lru_cache(maxsize=1)
def _ranges(labels: Labels) -> pl.DataFrame:
    """A fold for each hour of a log asks for them."""
    starts = pl.concat([pl.Series("address", [0], dtype=pl.UInt128), labels.starts.alias("address")])
    return pl.DataFrame([starts, codes(labels.label(starts.to_frame()))])
