"""The tables of many small cells at once: what `Fold` makes of each by itself, with the cell as a part of the key.

Thousands of small objects are thousands of cells, and a fold costs more by the cell than by the row. So few rows are
taken together that no table of them has to forget anything or to widen its buckets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from analyzer.parsing.schema import TIME
from analyzer.tables import chains, loads, timeline
from analyzer.tables.address_table import COUNT, new_address_table, sums_of
from analyzer.tables.chain_table import new_chain_table
from analyzer.tables.clients import CLIENT
from analyzer.tables.columns import complete, name_signals
from analyzer.tables.fold import CONSIDERED, ENTRANCES
from analyzer.tables.merge import PLACE, names_of_totals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from analyzer.tables.labels import Labels

#: Rows that are taken together at most, and cells, because a small frame may keep the memory of a large one.
MOST, MOST_CELLS = min(chains.ROWS, loads.MOST, timeline.MOST), 256

_CELL = "cell"
_HIGH = 1 << 32


class Cell(NamedTuple):
    """Some rows of a stream, all of one hour (its start in milliseconds; None without a time).

    They have a column `CLIENT` where the log tells of others behind the logged address.
    """

    stream: int
    hour: int | None
    rows: pl.DataFrame


def tables_of_cells(cells: Sequence[Cell], labels: Labels) -> Iterator[tuple[str, pl.DataFrame]]:
    """The tables of cells by name, with `PLACE`; those that hold nothing may be left out."""
    alike: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells:
        alike.setdefault(tuple(cell.rows.columns), []).append(cell)
    for some in alike.values():
        places = pl.DataFrame({
            PLACE[0]: pl.Series([cell.stream for cell in some], dtype=pl.UInt32),
            PLACE[1]: pl.Series([cell.hour for cell in some], dtype=pl.Int64).cast(TIME),
        })  # fmt: skip
        for name, frame in _tables(some, labels):
            placed = frame.with_columns(*places[frame[_CELL]]).drop(_CELL)
            yield name, placed.with_columns(source=PLACE[0]) if name in {"sources", "loads"} else placed


def _tables(cells: Sequence[Cell], labels: Labels) -> Iterator[tuple[str, pl.DataFrame]]:
    """The tables by cell, whose number stands in place of its stream."""
    heights = [cell.rows.height for cell in cells]
    numbered = pl.DataFrame({_CELL: pl.Series(range(len(cells)), dtype=pl.UInt32), "rows": heights})
    rows = complete(pl.concat([cell.rows for cell in cells]))
    rows = rows.with_columns(numbered.select(pl.col(_CELL).repeat_by("rows").explode()).to_series())
    addresses, requests = new_address_table(), timeline.TimelineTable(labels)
    rows = rows.with_columns(addresses.add(rows)["number"])
    requests.label(addresses.since(0))
    _, label = requests.add(rows)
    rows = rows.with_columns(label.alias("label"), considered=label % 2 == 0)

    yield "addresses", sums_of(rows, _CELL, "address")
    yield "timeline", _timeline(rows, requests)
    yield "sources", rows.group_by(_CELL).agg(pl.col("considered").sum().cast(COUNT))
    yield "loads", _loads(rows, rows[_CELL], CONSIDERED).rename({"key": _CELL})
    yield "entries", _entries(rows, addresses.since(0))
    for cell, tag, count in rows.filter(pl.col("request") > 0).group_by(_CELL, "request").len().iter_rows():
        yield "totals", _totals(cell, names_of_totals(name_signals({tag: count})))
    if CLIENT not in rows.columns:
        return
    yield "clients", sums_of(rows.with_columns(rows[CLIENT].alias("address")), _CELL, "address")
    first = 0
    for cell, height in enumerate(heights):
        table = new_chain_table(labels)
        table.add(rows[first : first + height])
        found, first = table.table(), first + height
        yield "chains", found.rows.with_columns(pl.lit(cell, pl.UInt32()).alias(_CELL))
        yield "totals", _totals(cell, names_of_totals(logged=found.logged))


def _timeline(rows: pl.DataFrame, requests: timeline.TimelineTable) -> pl.DataFrame:
    seconds = timeline.BUCKET_SECONDS[0]
    counted = rows.select(_CELL, timeline.bucket(seconds), pl.col("label").alias("class") // 2, "considered")
    counts = (pl.len().alias("requests"), pl.col("considered").sum())
    found = counted.group_by(_CELL, "time", "class").agg(each.cast(COUNT) for each in counts)
    return requests.named(found).with_columns(bucket_seconds=pl.lit(seconds, pl.UInt32()))


def _loads(rows: pl.DataFrame, keys: pl.Series, wanted: Sequence[int]) -> pl.DataFrame:
    table = loads.new_load_table("key", wanted)
    table.add(rows.with_columns(keys.alias("key")), rows["label"])
    found = table.table()
    return found.rows.with_columns(bucket_seconds=pl.lit(found.bucket_seconds, pl.UInt32()))


def _entries(rows: pl.DataFrame, addresses: pl.Series) -> pl.DataFrame:
    """Loads by cell and address, which have a number together."""
    both = rows.select(pl.col(_CELL).cast(pl.UInt64) * _HIGH + pl.col("number")).to_series()
    known = both.unique().sort()
    found = _loads(rows, known.search_sorted(both).cast(pl.UInt32), ENTRANCES)
    key = known.gather(found["key"])
    return found.drop("key").with_columns(
        (key // _HIGH).cast(pl.UInt32).alias(_CELL), addresses.gather(key % _HIGH).alias("address")
    )


def _totals(cell: int, counts: Mapping[str, int]) -> pl.DataFrame:
    names = list(counts)
    return pl.DataFrame(
        {_CELL: [cell] * len(names), "name": names, "count": list(counts.values())},
        schema={_CELL: pl.UInt32(), "name": pl.String(), "count": COUNT},
    )
