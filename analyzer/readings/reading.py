"""What every section of the report offers to a notebook: its rows as a frame, and a chart of them.

Polars is loaded with the first frame: whoever only writes a report down does without.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields, is_dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from analyzer.charts import draw

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from analyzer.charts import Plot
    from analyzer.charts.vega import Chart


class Reading(ABC):
    """A section of the report that holds rows."""

    __slots__ = ()

    @property
    @abstractmethod
    def frame(self) -> pl.DataFrame:
        """The rows, a column for each of their fields, with its dtype also where there is no row."""

    @abstractmethod
    def plot(self) -> Plot:
        """What the chart shows."""

    def chart(self) -> Chart:
        """Draw the rows with Altair.

        Raises
        ------
        UsageError
            If Altair is not installed: it is the extra ``plot``.
        """
        return draw(self.plot())

    def _repr_html_(self) -> str:
        """Show the section in a notebook: its numbers, and its rows."""
        names: list[str] = [each.name for each in fields(self)] if is_dataclass(self) else []
        numbers = {name: getattr(self, name) for name in names}
        said = [f"{name} {value}" for name, value in numbers.items() if isinstance(value, (bool, int, float, str))]
        rows: str = self.frame._repr_html_()
        return f"<p>{escape(', '.join(said))}</p>{rows}"


def frame_of(rows: Sequence[Any], row: type) -> pl.DataFrame:
    """Make a frame of dataclass instances, all of type `row`; ``class_`` becomes ``class``, a dict has no column."""
    import polars as pl  # noqa: PLC0415

    dtypes = {
        "str": pl.String(),
        "bool": pl.Boolean(),
        "int": pl.Int64(),
        "float": pl.Float64(),
        "datetime": pl.Datetime("ms", "UTC"),
        "list[str]": pl.List(pl.String()),
    }
    columns = {}
    for each in fields(row):
        kind = str(each.type).removesuffix(" | None")
        if not kind.startswith("dict"):
            values = [getattr(one, each.name) for one in rows]
            columns[each.name.rstrip("_")] = pl.Series(values, dtype=dtypes[kind])
    return pl.DataFrame(columns)
