"""What rate limits would do."""

from __future__ import annotations

import os.path
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from analyzer.readings.rate_limit import DISORDER_PCT
from analyzer.report.document import TONES, Cell, Figure, Paragraph, Part, Quoted, Section, Share, Verdict, table
from analyzer.report.sections import READY
from analyzer.report.sections.rate_limit import low_to_high
from analyzer.report.text import number, percentage, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.readings.rate_limit import ByClient, RateLimit, Simulation


def rate_limit(reading: RateLimit) -> Section:
    """Write the chapter."""
    parts: list[Part] = [Paragraph((_keys(reading),))] if reading.keys else []
    if reading.suggested is not None:
        parts.append(
            Paragraph(
                (
                    "Smallest limit that spares visitors: ",
                    Quoted(f"limit-rps: {reading.suggested.limit_rps}"),
                    f" ({reading.suggested.controller}).",
                )
            )
        )
    if reading.out_of_order_pct is not None and reading.out_of_order_pct >= DISORDER_PCT:
        behind = f"{percentage(reading.out_of_order_pct)} % of requests stand behind later ones in their log"
        parts.append(Paragraph((f"{behind}, so that the limits reject too much here.",)))
    if any(each.rejected_high for each in reading.simulations):
        parts += _curves(reading)
        parts.append(_simulations(reading.simulations, "Simulated limits"))
    elif reading.keys and reading.simulations:
        parts.append(Paragraph(("None of the simulated limits would reject a request.",)))
    if reading.by_client is not None:
        parts += _by_client(reading.by_client)
    verdict = Verdict(READY[reading.verdict].capitalize(), TONES.get(reading.verdict, "plain"))
    return Section("rate-limits", "Rate limits", parts, verdict)


def _keys(reading: RateLimit) -> str:
    keys = f"{size(reading.keys, 'address', 'addresses')} would be a key of the limit"
    if not reading.shared_keys:
        return f"{keys}; none is shared by many visitors."
    share = percentage(reading.shared_key_pct)
    verb = "stands" if reading.shared_keys == 1 else "stand"
    return f"{keys}; {number(reading.shared_keys)} shared by many visitors {verb} for {share} % of requests."


def _curves(reading: RateLimit) -> list[Figure]:
    plot = reading.plot()
    figures = []
    for (controller,), rows in plot.frame.group_by("controller", maintain_order=True):
        if rows.height < 2:
            continue
        ends = [f"{name} rejects {percentage(pct)} %" for name, pct in rows.select("limit", "rejected_pct").iter_rows()]
        title, frame = f"{plot.title} ({controller})", rows
        names = rows["limit"].to_list()
        common = os.path.commonprefix(names).rpartition(" ")[0]  # noqa: RUF071 - of characters is meant
        if common:  # the values alone have room below a plot
            title = f"{title}, {common.rstrip(':')}"
            frame = rows.with_columns(limit=pl.Series([name[len(common) + 1 :] for name in names]))
        figures.append(Figure(replace(plot, title=title, frame=frame, by=None), f"{ends[0]}, {ends[-1]}"))
    return figures


def _by_client(reading: ByClient) -> list[Part]:
    """What the limits would do under the visitors' own addresses."""
    said = f"Under the visitors' own addresses there are {size(reading.keys, 'key')}"
    if reading.suggested is not None:
        said = f"{said}, and limit-rps: {reading.suggested.limit_rps} is the smallest limit that spares visitors"
    parts: list[Part] = [Paragraph((f"{said}.",))]
    if any(each.rejected_high for each in reading.simulations):
        parts.append(_simulations(reading.simulations, "Simulated limits, by the visitors' own addresses"))
    return parts


def _simulations(simulations: Sequence[Simulation], title: str) -> Part:
    rows: list[list[Cell]] = [
        [
            Quoted(each.limit),
            Share(each.rejected_pct, "bad"),
            low_to_high(each),
            percentage(each.rejected_on_shared_keys_pct),
            "" if each.burst is None else number(each.burst),
            each.controller,
        ]
        for each in simulations
    ]
    columns = ("Limit", "Rejected %", "Low to high %", "On shared addresses %", "Burst", "Controller")
    return table(title, columns, rows, numeric=(1, 2, 3, 4))
