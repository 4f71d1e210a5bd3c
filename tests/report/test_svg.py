"""Charts as drawings: where lines begin, end and are interrupted."""

from __future__ import annotations

import re

import polars as pl

from analyzer.charts import Lines
from analyzer.report.html import svg


def outlines(plot: Lines) -> list[str]:
    """The lines that are drawn."""
    return re.findall(r'class="line s\d+" d="([^"]*)"', str(svg.lines(plot, "a chart")))


def plot(*values: float | None) -> Lines:
    """Values over steps, on a scale to 100."""
    frame = pl.DataFrame(
        {"step": list("abcdefgh"[: len(values)]), "value": values}, schema_overrides={"value": pl.Float64}
    )
    return Lines(title="Values", frame=frame, x="step", y="value", unit="%", top=100)


def test_a_line_goes_from_value_to_value() -> None:
    """All of the width is used; 0 is at the bottom, the end of the scale at the top."""
    assert outlines(plot(0, 100, 50)) == ["M0.0,1000.0L500.0,0.0L1000.0,500.0"]


def test_what_is_not_known_interrupts_a_line() -> None:
    """A value between two that are not known is a dot, which would not be seen as a line of no length."""
    assert outlines(plot(0, None, 50, None, 100, 100)) == [
        "M0.0,1000.0h0M400.0,500.0h0M800.0,0.0L1000.0,0.0",
    ]
