"""Charts as inline SVG without a script: bars, stacks, and lines over time or steps.

They stretch with the page and their letters do not: places are percentages, and only the plot itself, which holds no
text, is stretched. Colours are the style sheet's. The tree is written by ElementTree, which escapes.
"""

from __future__ import annotations

from datetime import datetime
from itertools import groupby, pairwise
from math import floor, log10
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

from analyzer.report.text import percentage, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import polars as pl

    from analyzer.charts import Lines
    from analyzer.report.document import Share

HEIGHT = 160
"""Of the plot, in pixels."""
LABELS = 20
"""Room for the labels above it and below it, in pixels."""
UNIT = 1000
"""The plot is so many units wide and high before it is stretched."""
VOLUME = 0.25
"""The part of the height that the volume takes."""
COLOURS = 6
"""Lines beyond have the colours of the first again."""
NAMED_STEPS = 8
"""Most steps that are named below a plot: a telephone has room for no more."""
LABEL = 300
"""Longest text that stands for a chart."""
TIP = 150
"""Longest text beside the pointer."""
_SCALE = (0.0, 0.5, 1.0)


def bar(share: Share) -> Markup:
    """Draw a share beside its number, which says the same to a screen reader."""
    long = "" if share.largest is None else " long-bar"
    root = Element("svg", {"class": f"bar{long}", "aria-hidden": "true", "focusable": "false"})
    width = min(max(100 * (share.pct or 0.0) / (share.largest or 100.0), 0.0), 100.0)
    SubElement(root, "rect", {"class": "ground", "width": "100%", "height": "100%"})
    SubElement(root, "rect", {"class": share.tone, "width": f"{width:.4g}%", "height": "100%"})
    return _markup(root)


def stack(shares: dict[str, Share]) -> Markup:
    """Draw the parts of a whole beside each other."""
    label = ", ".join(f"{name} {percentage(share.pct)} %" for name, share in shares.items())
    root = _image("stack", label)
    begin = 0.0
    for place, (name, share) in enumerate(shares.items()):
        width = share.pct or 0.0
        part = SubElement(root, "rect", {
            "class": f"{share.tone} part{place % 2}", "x": f"{begin:.4g}%", "width": f"{width:.4g}%", "height": "100%",
        })  # fmt: skip
        _tell(part, f"{name} {percentage(share.pct)} %")
        begin += width
    return _markup(root)


def lines(plot: Lines, summary: str) -> Markup:
    """Draw a chart of lines, one for each value of `Lines.by`."""
    root = _image("chart", summary)
    root.set("height", str(HEIGHT + 2 * LABELS))
    steps = plot.frame[plot.x].unique(maintain_order=True).to_list()
    top = plot.top or _round_up(_largest(plot))
    places = dict(zip(steps, _places(steps), strict=True))
    _grid(root)
    inner = SubElement(root, "svg", {
        "y": str(LABELS), "width": "100%", "height": str(HEIGHT), "viewBox": f"0 0 {UNIT} {UNIT}",
        "preserveAspectRatio": "none", "class": "plot",
    })  # fmt: skip
    series = list(_series(plot))
    for number, (_, rows) in enumerate(series):
        at = [places[step] for step in rows[plot.x]]
        if plot.volume is not None:
            _volume(inner, at, rows[plot.volume].to_list())
        outline, area = _line(list(zip(at, rows[plot.y], strict=True)), top)
        if plot.low is not None and plot.high is not None:
            bounds = [*zip(at, rows[plot.high], strict=True), *reversed([*zip(at, rows[plot.low], strict=True)])]
            area = _path([(x, y or 0.0) for x, y in bounds], top) + "Z"
        if plot.low is not None or len(series) == 1:
            SubElement(inner, "path", {"class": f"area s{number % COLOURS}", "d": area})
        SubElement(inner, "path", {"class": f"line s{number % COLOURS}", "d": outline})
    _name_grid(root, top, plot.unit)
    _name_steps(root, steps, list(places.values()))
    _tell_steps(root, plot, places, series)
    return _markup(root)


def legend(plot: Lines) -> list[str]:
    """The names of the lines, in the order of their colours; none where there is but one line."""
    names = [name for name, _ in _series(plot)]
    return names if len(names) > 1 else []


def _series(plot: Lines) -> Iterator[tuple[str, pl.DataFrame]]:
    if plot.by is None:
        yield "", plot.frame
        return
    for (name,), rows in plot.frame.group_by(plot.by, maintain_order=True):
        yield str(name), rows


def _largest(plot: Lines) -> float:
    columns = plot.frame.select(name for name in (plot.y, plot.high) if name is not None)
    return float(max((value for value in columns.max().row(0) if value is not None), default=0.0))


def _round_up(value: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, 50 ... that is not below `value`."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= value)


def _places(steps: Sequence[Any]) -> list[float]:
    """Where each step stands on the width: times by their distance, names evenly."""
    first = steps[0]
    if isinstance(first, datetime):
        distances = [(step - first).total_seconds() for step in steps]
    else:
        distances = [float(number) for number in range(len(steps))]
    return [UNIT * distance / (distances[-1] or 1.0) for distance in distances]


def _grid(root: Element) -> None:
    for part in _SCALE:
        y = f"{LABELS + HEIGHT * (1 - part):g}"
        SubElement(root, "line", {"class": "grid", "x1": "0", "x2": "100%", "y1": y, "y2": y})


def _name_grid(root: Element, top: float, unit: str) -> None:
    sign = " %" if unit.startswith("%") else ""
    for part in _SCALE:
        y = f"{LABELS + HEIGHT * (1 - part):g}"
        label = SubElement(root, "text", {"class": "scale", "x": "0", "y": y, "dy": "-4"})
        label.text = f"{top * part:,g}{sign}"


def _line(points: list[tuple[float, float | None]], top: float) -> tuple[str, str]:
    """The outline of a line, and of the area below it; a null interrupts both."""
    outline, area = "", ""
    for is_known, group in groupby(points, key=lambda point: point[1] is not None):
        if is_known:
            run = [(x, y or 0.0) for x, y in group]
            path = _path(run, top)
            outline += path if len(run) > 1 else f"{path}h0"
            area += f"{path}L{run[-1][0]:.1f},{UNIT}L{run[0][0]:.1f},{UNIT}Z"
    return outline, area


def _path(points: Iterable[tuple[float, float]], top: float) -> str:
    return "M" + "L".join(f"{x:.1f},{UNIT * (1 - min(y / top, 1.0)):.1f}" for x, y in points)


def _volume(plot: Element, at: list[float], counts: list[int]) -> None:
    """Draw how many requests stand behind each point, small and pale at the bottom."""
    most = max(counts, default=0) or 1
    half = min((b - a for a, b in pairwise(at)), default=UNIT / 10) * 0.4
    columns = [
        f"M{max(x - half, 0):.1f},{UNIT}V{UNIT * (1 - VOLUME * count / most):.1f}H{min(x + half, UNIT):.1f}V{UNIT}Z"
        for x, count in zip(at, counts, strict=True)
    ]
    SubElement(plot, "path", {"class": "volume", "d": "".join(columns)})


def _name_steps(root: Element, steps: Sequence[Any], places: list[float]) -> None:
    """Name the steps below the plot: of times the first, the middle and the last, of names at most `NAMED_STEPS`."""
    last = len(steps) - 1
    if isinstance(steps[0], datetime):
        middle = steps[0] + (steps[last] - steps[0]) / 2
        form = "%H:%M" if steps[0].date() == steps[last].date() else "%m-%d %H:%M"
        labels = [(0.0, steps[0].strftime("%Y-%m-%d %H:%M")), (UNIT / 2, middle.strftime(form)),
                  (UNIT, f"{steps[last].strftime(form)} UTC")]  # fmt: skip
    else:
        every = -(-len(steps) // NAMED_STEPS)
        labels = [(places[number], steps[number]) for number in range(0, last + 1, every)]
    for place, text in labels:
        anchor = "start" if place == 0 else "end" if place == UNIT else "middle"
        at = {"x": f"{100 * place / UNIT:.4g}%", "y": str(HEIGHT + 2 * LABELS - 4), "text-anchor": anchor}
        SubElement(root, "text", {"class": "scale", **at}).text = printable(text, 24)


def _tell_steps(root: Element, plot: Lines, places: dict[Any, float], series: list[tuple[str, pl.DataFrame]]) -> None:
    """Say the values of a step where the pointer rests on it."""
    told: dict[Any, list[str]] = {step: [] for step in places}
    for name, rows in series:
        for step, value in rows.select(plot.x, plot.y).iter_rows():
            told[step].append(f"{name} {value:,.4g}".strip() if value is not None else f"{name} -".strip())
    at = list(places.values())
    edges = [0.0, *((a + b) / 2 for a, b in pairwise(at)), float(UNIT)]
    for step, begin, end in zip(places, edges, edges[1:], strict=False):
        area = SubElement(root, "rect", {
            "class": "step", "x": f"{100 * begin / UNIT:.4g}%", "width": f"{100 * (end - begin) / UNIT:.4g}%",
            "y": str(LABELS), "height": str(HEIGHT),
        })  # fmt: skip
        when = f"{step:%Y-%m-%d %H:%M}" if isinstance(step, datetime) else step
        _tell(area, f"{when}: {', '.join(told[step])} {plot.unit}")


def _image(class_: str, label: str) -> Element:
    return Element("svg", {"class": class_, "width": "100%", "role": "img", "aria-label": printable(label, LABEL)})


def _tell(element: Element, text: str) -> None:
    SubElement(element, "title").text = printable(text, TIP)


def _markup(root: Element) -> Markup:
    return Markup(tostring(root, encoding="unicode"))  # noqa: S704 - escaped by ElementTree
