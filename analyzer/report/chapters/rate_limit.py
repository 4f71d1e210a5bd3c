"""What rate limits would do."""

from __future__ import annotations

import os.path
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from analyzer.readings.rate_limit import DISORDER_PCT
from analyzer.report.document import TONES, Cell, Figure, Paragraph, Part, Quoted, Section, Share, Verdict, table
from analyzer.report.sections import READY
from analyzer.report.sections.rate_limit import (
    SMALLEST,
    low_to_high,
    nothing_rejected,
    of_classes,
    over_replicas,
    told_by,
    told_too_late,
    too_strict,
)
from analyzer.report.text import number, percentage, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.readings.logged_limits import Logged
    from analyzer.readings.rate_limit import ByClient, RateLimit, RejectedKey, Simulation
    from analyzer.readings.suggested_limits import SuggestedLimit, Suggestion


def rate_limit(reading: RateLimit) -> Section:
    """Write the chapter."""
    parts: list[Part] = [Paragraph((_keys(reading),))] if reading.keys else []
    if reading.suggested is not None:
        parts.append(_suggestion(reading.suggested))
    parts += map(_suggested_limit, reading.suggested_limits)
    if reading.out_of_order_pct is not None and reading.out_of_order_pct >= DISORDER_PCT:
        behind = f"{percentage(reading.out_of_order_pct)} % of requests stand behind later ones in their log"
        parts.append(Paragraph((f"{behind}, so that the limits reject too much here.",)))
    if any(each.rejected_high for each in reading.simulations):
        parts += _curves(reading)
        parts.append(_simulations(reading.simulations, "Simulated limits"))
        parts += _most_rejected(reading.most_rejected)
    elif reading.keys and reading.simulations:
        parts.append(Paragraph((f"{nothing_rejected(reading.simulations).capitalize()}.",)))
    if reading.by_client is not None:
        parts += _by_client(reading.by_client)
    if reading.logged is not None and reading.logged.rejected is not None:
        parts.append(_logged(reading.logged, reading.logged.rejected))
    verdict = Verdict(READY[reading.verdict].capitalize(), TONES.get(reading.verdict, "plain"))
    return Section("rate-limits", "Rate limits", parts, verdict)


def _keys(reading: RateLimit) -> str:
    keys = f"{size(reading.keys, 'address', 'addresses')} would be a key of the limit"
    if not reading.shared_keys:
        known = "none is shared by many visitors" if reading.verdict == "ready" else "private ones may be shared"
        return f"{keys}; {known}."
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
    parts: list[Part] = [Paragraph((f"Under the visitors' own addresses there are {size(reading.keys, 'key')}.",))]
    if reading.inferred_proxies:
        parts.append(Paragraph((f"{': '.join(told_too_late(reading)).capitalize()}.",)))
    if reading.suggested is not None:
        parts.append(_suggestion(reading.suggested))
    parts += map(_suggested_limit, reading.suggested_limits)
    if any(each.rejected_high for each in reading.simulations):
        parts.append(_simulations(reading.simulations, "Simulated limits, by the visitors' own addresses"))
        parts += _most_rejected(reading.most_rejected)
    return parts


def _suggestion(suggested: Suggestion) -> Paragraph:
    """The limit, and what a visitor may then send to all replicas."""
    limit = Quoted(f"limit-rps: {suggested.limit_rps}")
    said = _of(suggested)
    if suggested.replicas is not None and suggested.replicas > 1:
        even, loaded = number(suggested.cluster_rps or 0), percentage(suggested.cluster_rps_with_skew)
        said = f"{said} per replica: {even} a second over {suggested.replicas} replicas, {loaded} as they are loaded"
    return Paragraph((f"{SMALLEST.capitalize()}: ", limit, f"{said}."))


def _suggested_limit(suggested: SuggestedLimit) -> Paragraph:
    over = over_replicas(suggested)
    said = f"{_of(suggested)}{over and f': {over}'}"
    return Paragraph((f"{SMALLEST.capitalize()}: ", Quoted(suggested.limit), f"{said}."))


def _of(suggested: Suggestion | SuggestedLimit) -> str:
    return f" ({', '.join(filter(None, [suggested.controller, too_strict(suggested)]))})"


def _most_rejected(keys: Sequence[RejectedKey]) -> list[Part]:
    """Whom the first limit that rejects anything rejects most."""
    if not keys:
        return []
    most = keys[0]
    rejected = f"{number(most.rejected_low)} to {number(most.rejected_high)} of {size(most.requests, 'request')}"
    behind = f"about {size(most.user_agents, 'user agent')} behind it"
    said = f" ({most.class_}), {rejected}, {behind}."
    return [Paragraph((Quoted(most.limit), " rejects most from ", Quoted(most.address), said))]


def _logged(logged: Logged, rejected: int) -> Paragraph:
    """What the log itself tells of."""
    said = f"Told by {told_by(logged)}: {size(rejected, 'rejection')}{of_classes(logged)}"
    if logged.nearest is None:
        return Paragraph((f"{said}.",))
    return Paragraph((f"{said}. The simulated limit that comes nearest: ", Quoted(logged.nearest), "."))


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
