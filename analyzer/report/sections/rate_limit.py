"""What rate limits would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.readings.rate_limit import DISORDER_PCT
from analyzer.readings.shares import percent
from analyzer.readings.suggested_limits import SuggestedLimit
from analyzer.report.sections import READY
from analyzer.report.text import number, percentage, printable, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.readings.logged_limits import Logged
    from analyzer.readings.rate_limit import ByClient, RateLimit, Simulation
    from analyzer.readings.suggested_limits import Suggestion
    from analyzer.report.page import Page


#: Characters that the name of a limit may have to stand beside its numbers in 80 columns.
_NAME = 16


def rate_limit(page: Page, reading: RateLimit) -> None:
    """Write the section."""
    parts = [READY[reading.verdict]]
    if reading.shared_keys:
        who = size(reading.shared_keys, "shared address", "shared addresses")
        verb = "stands" if reading.shared_keys == 1 else "stand"
        parts.append(f"{who} {verb} for {percentage(reading.shared_key_pct)} % of requests")
    elif reading.verdict == "ready":
        parts.append("no address is shared by many visitors")
    if reading.verdict == "unknown" and reading.keys:
        parts.append("nothing says whether private addresses are shared")
    page.section("Rate limits", [*parts, *_suggestion(reading.suggested)])
    _suggested_limits(page, reading.suggested_limits)
    if reading.out_of_order_pct is not None and reading.out_of_order_pct >= DISORDER_PCT:
        behind = percentage(reading.out_of_order_pct)
        page.section("", [f"{behind} % of requests stand behind later ones: too much is rejected here, sort the log"])
    _simulations(page, reading, named=bool(reading.keys))
    behind_proxies = reading.by_client
    if behind_proxies is not None:
        keys = f"by the visitors' own addresses: {number(behind_proxies.keys)} keys instead of {number(reading.keys)}"
        page.section("", [keys, *_suggestion(behind_proxies.suggested)])
        _suggested_limits(page, behind_proxies.suggested_limits)
        if behind_proxies.inferred_proxies:
            page.section("", told_too_late(behind_proxies))
        _simulations(page, behind_proxies, named=bool(behind_proxies.keys))
    if reading.logged is not None and reading.logged.rejected is not None:
        page.section("", _logged(reading.logged))


def nothing_rejected(simulations: Sequence[Simulation]) -> str:
    """What to say of limits that reject nothing."""
    if not simulations[0].requests:
        return "no limit was tried: no request with a time met one"
    return "none of the simulated limits would reject a request"


def told_too_late(reading: ByClient) -> list[str]:
    """What to say to logscan so that visitors behind proxies that it had to infer are told apart."""
    if not reading.inferred_proxies:
        return []
    first, *others = reading.inferred_proxies
    more = f" and {number(len(others))} more" if others else ""
    return [
        f"run again with --lb {printable(first)}{more}",
        "told to be a proxy too late, it stands for its visitors here",
    ]


def low_to_high(each: Simulation) -> str:
    """The bounds of what a limit would reject, in percent; with a tilde where these are no proven bounds."""
    low, high = percent(each.rejected_low, each.requests), percent(each.rejected_high, each.requests)
    return f"{'~' if each.certainty == 'estimate' else ''}{percentage(low)} to {percentage(high)}"


#: What is suggested.
SMALLEST = "smallest limit that spares visitors"


def too_strict(suggested: Suggestion | SuggestedLimit) -> str:
    """The next smaller limit that was tried, where others lie between; of limits in several numbers they may."""
    if isinstance(suggested, SuggestedLimit):
        return f"too strict: {printable(suggested.above, limit=60)}" if suggested.above else ""
    above = suggested.above_rps
    return f"too strict: {above}" if above is not None and suggested.limit_rps - above > 1 else ""


def over_replicas(suggested: SuggestedLimit) -> str:
    """What a visitor may have of a limit over all replicas, where there are several."""
    if suggested.cluster_factor is None or suggested.cluster_factor == 1:
        return ""
    loaded = percentage(suggested.cluster_factor_with_skew)
    return f"{suggested.cluster_factor} times as much over all replicas, {loaded} times as they are loaded"


def _suggested_limits(page: Page, suggested: Sequence[SuggestedLimit]) -> None:
    for each in suggested:
        limit = f"smallest for {each.controller}: {printable(each.limit, limit=60)}"
        page.section("", [text for text in (limit, too_strict(each), over_replicas(each)) if text])


def _suggestion(suggested: Suggestion | None) -> list[str]:
    if suggested is None:
        return []
    text, strict = f"{SMALLEST}: limit-rps {suggested.limit_rps}", too_strict(suggested)
    if suggested.replicas is None or suggested.replicas == 1:
        return [text, *([strict] if strict else [])]
    even, loaded = number(suggested.cluster_rps or 0), percentage(suggested.cluster_rps_with_skew)
    return [
        f"{text} per replica",
        *([strict] if strict else []),
        f"over {suggested.replicas} replicas: {even} a second, {loaded} as they are loaded",
    ]


_TOLD_BY = {"limit_req_status": "$limit_req_status", "error_log": "the error log", "status": "status 429"}


def told_by(logged: Logged) -> str:
    """What tells of rejections."""
    return _TOLD_BY[logged.told_by or "status"]


def of_classes(logged: Logged) -> str:
    """Whose addresses were rejected."""
    found = [f"{number(each.rejected)} {each.class_}" for each in logged.classes if each.rejected]
    return f" ({', '.join(found)})" if found else ""


def _logged(logged: Logged) -> list[str]:
    told = f"told by {told_by(logged)}: {size(logged.rejected or 0, 'rejection')}{of_classes(logged)}"
    return [told, *([f"nearest: {printable(logged.nearest, limit=60)}"] if logged.nearest else [])]


def _simulations(page: Page, reading: RateLimit | ByClient, *, named: bool) -> None:
    simulations = reading.simulations
    if not any(each.rejected_high for each in simulations):
        if simulations and named:
            page.section("", [nothing_rejected(simulations)])
        return
    rows = [("limit", "burst", "rejected %", "low to high", "on shared %")]
    harmless = [each for each in simulations if not each.rejected_high]
    for each in simulations:
        if each in harmless[1:]:  # one limit that rejects nothing says it for all
            continue
        rows.append(
            (
                printable(each.limit, limit=40),
                "" if each.burst is None else number(each.burst),
                percentage(each.rejected_pct),
                low_to_high(each),
                percentage(each.rejected_on_shared_keys_pct),
            )
        )
    first = max(len(row[0]) for row in rows if len(row[0]) <= _NAME)
    for index, (name, burst, *shares) in enumerate(rows):
        limit = name
        if len(name) > first:  # too long to stand beside its numbers
            page.section("", [name])
            limit = ""
        line = f"{limit:<{first}}{burst:>7}{shares[0]:>12}{shares[1]:>15}{shares[2]:>13}"
        page.section("", [line], style="" if index else "dim")
    worst = next(iter(reading.most_rejected), None)
    if worst is not None and worst.user_agents > 1:
        who = f"rejected most: {printable(worst.address)} ({worst.class_})"
        page.section("", [who, f"about {size(worst.user_agents, 'user agent')} behind it"])
