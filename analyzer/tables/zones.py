"""What a limit is counted under besides the address: the zone, one for each Ingress object, which its hosts share.

A log tells it by ``$namespace`` and ``$ingress_name``. Where it does not, the upstream stands for the Ingress, and
where that is missing too, the host: an Ingress with several backends, or several hosts, then has more zones than in
truth, and a limit rejects too little rather than too much. A log with none of them has one zone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from analyzer.parsing.schema import Kind, Output

if TYPE_CHECKING:
    from analyzer.parsing.formats import Layout

#: The columns that tell a zone, the best first.
TOLD_BY = (("namespace", "ingress"), ("upstream_name",), ("host",))
_NAMES = ("zone", "zone_ingress")


def told_by(layout: Layout) -> tuple[str, ...]:
    """The columns of a format that tell the zone."""
    return next((columns for columns in TOLD_BY if all(column in layout.columns for column in columns)), ())


def zone_outputs(layout: Layout) -> list[Output]:
    """What to ask a scanner for."""
    columns = told_by(layout)
    return [Output(name, Kind.HASH, layout.columns[column]) for name, column in zip(_NAMES, columns, strict=False)]


def zones(rows: pl.DataFrame) -> pl.Series:
    """The zone (UInt32) of each row."""
    if _NAMES[1] in rows.columns:
        pair = pl.col(_NAMES[0]).cast(pl.UInt64) * 0x9E37_79B1 + pl.col(_NAMES[1])
        return rows.select((pair % (1 << 32)).cast(pl.UInt32).alias("zone")).to_series()
    return rows["zone"] if "zone" in rows.columns else pl.zeros(rows.height, pl.UInt32, eager=True).alias("zone")
