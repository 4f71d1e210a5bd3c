"""Charts as data: a frame, and which of its columns are drawn how.

A chart says what it shows once; `draw` draws it with Altair for notebooks, the HTML report in a way of its own. Nothing
here knows what the numbers mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.charts.plot import Bars, Lines, Plot
from analyzer.errors import UsageError

if TYPE_CHECKING:
    from analyzer.charts.vega import Chart

__all__ = ["Bars", "Lines", "Plot", "draw"]


def draw(plot: Plot) -> Chart:
    """Draw a chart with Altair, which is an extra.

    Raises
    ------
    UsageError
        If it is not installed.
    """
    try:
        from analyzer.charts import vega  # noqa: PLC0415
    except ImportError:
        raise UsageError(
            "expected Altair to draw charts with, which is not installed", "from a checkout: pip install '.[plot]'"
        ) from None
    return vega.draw(plot)
