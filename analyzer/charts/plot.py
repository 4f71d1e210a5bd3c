"""What a chart shows: the kinds of charts there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Values by name, in the order of the frame.

    Parameters
    ----------
    title
        What is shown.
    frame
        Holds the columns below.
    name, value
        A column of names and one of numbers.
    unit
        What values count.
    by
        A column whose values share a colour; several rows of one name stand behind each other.
    """

    title: str
    frame: pl.DataFrame
    name: str
    value: str
    unit: str
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Values over time, or over steps in the order of the frame. A null interrupts its line.

    Parameters
    ----------
    title
        What is shown.
    frame
        Holds the columns below.
    x
        A column of times, or of names of steps.
    y
        A column of numbers from 0 on.
    unit
        What values count.
    top
        The end of the scale; None ends it above the largest value.
    by
        A column whose values have a line each.
    low, high
        Columns of the bounds of `y`.
    volume
        A column of how many requests each point stands for.
    """

    title: str
    frame: pl.DataFrame
    x: str
    y: str
    unit: str
    top: float | None = None
    by: str | None = None
    low: str | None = None
    high: str | None = None
    volume: str | None = None


Plot = Bars | Lines
