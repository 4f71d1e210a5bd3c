"""Charts drawn by Altair, for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import altair as alt

from analyzer.charts.plot import Bars, Lines, Plot

if TYPE_CHECKING:
    import polars as pl

Chart = alt.Chart | alt.LayerChart | alt.FacetChart

WIDTH = 600
HEIGHT = 240
BAND_OPACITY = 0.25
MARKED_POINTS = 60
"""Most points of a line that are marked; more of them are a line as well."""


def draw(plot: Plot) -> Chart:
    """Draw a chart."""
    return _bars(plot) if isinstance(plot, Bars) else _lines(plot)


def _bars(plot: Bars) -> Chart:
    chart: alt.Chart = alt.Chart(plot.frame.select(_columns(plot))).mark_bar()
    chart = chart.encode(
        alt.X(plot.value, type="quantitative").title(plot.unit),
        alt.Y(plot.name, type="nominal").title(None).sort(None),
        tooltip=_tooltip(plot),
    )
    if plot.by is not None:
        chart = chart.encode(color=alt.Color(plot.by, type="nominal"))
    sized: Chart = chart.properties(title=plot.title, width=WIDTH)
    return sized


def _lines(plot: Lines) -> Chart:
    if plot.frame.schema[plot.x].is_temporal():
        x = alt.X(plot.x, type="temporal").scale(type="utc")
    else:
        x = alt.X(plot.x, type="ordinal").sort(None)
    scale = alt.Scale(zero=True) if plot.top is None else alt.Scale(domain=[0, plot.top])
    base = alt.Chart(plot.frame.select(_columns(plot))).encode(x.title(None))
    if plot.by is not None:
        base = base.encode(color=alt.Color(plot.by, type="nominal"))
    y = alt.Y(plot.y, type="quantitative").title(plot.unit).scale(scale)
    line = base.mark_line(point=plot.frame.height <= MARKED_POINTS).encode(y, tooltip=_tooltip(plot))
    layers = [line]
    if plot.low is not None and plot.high is not None:
        low = alt.Y(plot.low, type="quantitative").scale(scale)
        layers.insert(0, base.mark_area(opacity=BAND_OPACITY).encode(low, alt.Y2(plot.high)))
    return alt.layer(*layers).properties(title=plot.title, width=WIDTH, height=HEIGHT)


def _columns(plot: Plot) -> list[str]:
    if isinstance(plot, Bars):
        wanted = [plot.name, plot.value, plot.by]
    else:
        wanted = [plot.x, plot.y, plot.by, plot.low, plot.high, plot.volume]
    return list(dict.fromkeys(name for name in wanted if name is not None))


def _tooltip(plot: Plot) -> list[alt.Tooltip]:
    return [alt.Tooltip(name, type=_type(plot.frame.schema[name])) for name in _columns(plot)]


def _type(dtype: pl.DataType) -> Literal["temporal", "quantitative", "nominal"]:
    return "temporal" if dtype.is_temporal() else "quantitative" if dtype.is_numeric() else "nominal"
