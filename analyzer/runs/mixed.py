"""Lines that are in other envelopes than most of their source, as where two logs were written one behind the other.

What no format reads of a piece is looked at once more: where it is in other envelopes, it is taken out of them.
Envelopes that are but words before a line are left out: any words may be what a visitor wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from analyzer.parsing.detect import detect
from analyzer.parsing.layers import Inner
from analyzer.parsing.other import unexplained
from analyzer.parsing.schema import TIME

if TYPE_CHECKING:
    from analyzer.parsing.detect import Known
    from analyzer.parsing.layers import Layer
    from analyzer.parsing.origin import Origin

#: Lines at the beginning and at the end that are looked at.
_ASKED = 1000


def layers_of(misfits: pl.DataFrame, known: Known) -> tuple[Layer, ...]:
    """The envelopes that most of these lines are in, none where no format reads what is inside."""
    if misfits.is_empty() or not known.envelopes:
        return ()
    if misfits.height > 2 * _ASKED:
        misfits = pl.concat([misfits.head(_ASKED), misfits.tail(_ASKED)])
    text = text_of(unexplained(misfits))
    shape = detect(text, known.telling) if text else None
    return shape.layers if shape is not None and shape.layout is not None else ()


def text_of(misfits: pl.DataFrame) -> bytes:
    """The lines as a text to scan; the last of a source may lack its end."""
    text = b"".join(misfits["line"].to_list())
    return text if text.endswith(b"\n") or not text else text + b"\n"


def outer_of(misfits: pl.DataFrame, inner: Inner | None, origins: list[Origin]) -> Inner:
    """What is known of misfits before they are taken out of envelopes.

    `inner` is what is known of the lines that they are of, where those are in envelopes already. A `number` is that of
    the misfit, a `start` of `parts` the row of it.
    """
    number = misfits["number"]
    if inner is None:
        blank = {"origin": pl.lit(0, pl.UInt32), "time": pl.lit(None, TIME)}
        lines = misfits.select("number", pl.col("offset").alias("start"), **blank)
    else:
        lines = inner.lines[number].with_columns(number)
    rows = pl.int_range(misfits.height, dtype=pl.UInt64, eager=True)
    parts = pl.DataFrame({"line": rows, "start": rows})
    return Inner(lines, parts, list(origins), misfits.height, misfits.height)


def left_of(misfits: pl.DataFrame, left: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """Those of the misfits that are read neither now that they are out of their envelopes (`left`), in order.

    They come as they are inside, so that it can be told what they are; parts of one record come as they were.
    """
    found = left.rename({"number": "inside"}).drop("offset").join(parts, left_on="inside", right_on="line", how="left")
    alone = pl.len().over("inside") == 1
    before = misfits[found["start"]]
    columns = ("line", "position", "field", "reason")
    kept = found.select(*(pl.when(alone).then(pl.col(name)).otherwise(before[name]).alias(name) for name in columns))
    return before.with_columns(kept).sort("number")
