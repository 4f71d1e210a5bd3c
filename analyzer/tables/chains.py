"""The table of chains: who handed requests on to the server, in as many rows as there are proxies, not visitors.

Whether a logged address was forged depends on whom to trust, and that is known only when all is read. Kept is therefore
which addresses stand between the connection and the logged address, for these are proxies, or else somebody forges.
Of what stands left of the logged address no more is kept than that a visitor is there.

=====================  ==========================================================================================
column                 what it holds
=====================  ==========================================================================================
remote                 the logged address where no header was its source, unless it is a visitor and no other is found
peer                   who sent the request, where the logged address is another: whom the PROXY header names, else
                       the connection's own address
hop1                   the rightmost entry, where it stands right of the logged address
hop2                   of the other entries there the rightmost that is no proxy by ranges, else the rightmost
``*_class``            their classes by ranges; ``remote_class`` also where the address is not kept, but not where a
                       header was its source and no other visitor is found
position               which entry from the right the logged address is, `ENTRIES` + 1 for a leftmost one further away;
                       0 where it is none or the connection's own; 1 where the server took it from elsewhere and the
                       format logs no chain
length                 entries of the chain, at most `ENTRIES`; null where the format logs no chain
passed                 the next entry to the left is an address, and the server did not take it
found                  a visitor other than the logged address is there: the peer, or an entry that has nothing
                       unreadable right of it
requests               how many
lost                   requests with another visitor found that count for the preserved percentage
claimed                where the logged address may be forged: a fan-in bitmap of what was logged
chain, single          there too, an example: the least chain of at most `SAMPLE` characters, and the least address that
                       was all of a chain
=====================  ==========================================================================================

The table stays small: with more than `ROWS` rows it forgets which visitor is meant (detail 1), then which proxy
(detail 2), and keeps their classes. How much it forgets is up to all rows together and not to how they came in, so that
tables of parts make the table of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from analyzer.addresses.forwarded import PROXIES
from analyzer.parsing.schema import Kind, Output
from analyzer.tables.address_table import COUNT

if TYPE_CHECKING:
    from analyzer.parsing.formats import Layout

ROWS = 20_000
"""Rows that the table may have before it forgets."""
SAMPLE = 200
"""Characters that a chain may have which is kept as an example."""

_ADDRESS = pl.UInt128()
_FAR = 3
"""At detail 2 no position is told from those further away than this."""

#: name -> (access-log column, kind)
WANTED = {
    "peer": ("realip_remote_addr", Kind.ADDRESS),
    "proxied": ("proxy_protocol_addr", Kind.ADDRESS),
    "single": ("x_forwarded_for", Kind.ADDRESS),
    "chain": ("x_forwarded_for", Kind.CHAIN),
}
#: What is read of each row, as far as its format logs it.
SAID: dict[str, pl.DataType] = {"address": _ADDRESS, **dict.fromkeys(("peer", "proxied", "single"), _ADDRESS),
                                "chain": pl.String()}  # fmt: skip
HOPS = ("remote", "peer", "hop1", "hop2")
CLASSES = tuple(f"{hop}_class" for hop in HOPS)
KEY = (*HOPS, *CLASSES, "position", "length", "passed", "found")
#: The other columns.
DTYPES: dict[str, pl.DataType] = {
    **dict.fromkeys(HOPS, _ADDRESS),
    "position": pl.UInt8(),
    "length": pl.UInt8(),
    "passed": pl.Boolean(),
    "found": pl.Boolean(),
    **dict.fromkeys(("requests", "lost", "claimed"), COUNT),
    "chain": pl.String(),
    "single": _ADDRESS,
}


@dataclass(frozen=True, slots=True)
class Chains:
    """The table, see above.

    `logged` are those of ``x_forwarded_for``, ``realip_remote_addr`` and ``proxy_protocol_addr`` that at least some
    lines could have; `detail` is how much was forgotten, 0 to 2.
    """

    rows: pl.DataFrame
    logged: frozenset[str]
    detail: int


def chain_outputs(layout: Layout) -> list[Output]:
    """What to ask a scanner for; nothing where the format logs no more than the remote address."""
    carried = layout.columns
    return [Output(name, kind, carried[column]) for name, (column, kind) in WANTED.items() if column in carried]


def narrowed(rows: pl.DataFrame, detail: int) -> tuple[pl.DataFrame, int]:
    """Add up rows, and forget of them what makes them too many; return them and how much was forgotten."""
    while (rows := forget(rows, detail)).height > ROWS and detail < 2:
        detail += 1
    return rows, detail


def forget(rows: pl.DataFrame, detail: int) -> pl.DataFrame:
    """Add up rows that are the same at this detail."""
    if detail == 1:
        rows = rows.with_columns(pl.when(pl.col(f"{hop}_class").is_in(PROXIES)).then(hop).alias(hop) for hop in HOPS)
    elif detail == 2:
        stranger = (pl.col("position") > 2) & ~pl.col("hop2_class").is_in(PROXIES).fill_null(value=False)
        rows = rows.with_columns(
            *(pl.lit(None, _ADDRESS).alias(hop) for hop in HOPS),
            hop1_class=pl.when(stranger).then("hop2_class").otherwise("hop1_class"),
            hop2_class=pl.when(stranger).then("hop2_class").otherwise("hop1_class"),
            position=pl.min_horizontal("position", pl.lit(_FAR, pl.UInt8)),
        )
    return rows.group_by(KEY).agg(
        pl.col("requests", "lost").sum(), pl.col("claimed").bitwise_or(), pl.col("chain", "single").min()
    )
