"""What the tests of a grouping mean, in a word and in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.readings.evenness import UNEVEN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.readings.evenness import Fit
    from analyzer.readings.skew_groups import Grouped

#: One group with at least this part of all requests has them to itself.
LEADER = 0.95
#: With a dispersion above this, few clients or connections make the noise.
_CLUSTERED = 3.0

_EXPLAINED = {
    "by_pod": ("uneven", "as the pods are placed: every pod gets the same"),
    "by_node": ("uneven", "as the pods are placed: every node gets the same, and shares it among its pods"),
    "present": ("even", "even over those that were there at the time"),
}


def judge(each: Grouped, tests: Mapping[str, Fit], fits: str | None) -> tuple[str, str]:
    """Return the verdict, ``even``, ``uneven`` or ``unknown``, and the reason."""
    if each.height < 2:
        return "unknown", f"one {each.by} is known" if each.height else f"no {each.by} is known"
    if not tests:
        return "unknown", "no request to judge"
    if fits == "even":
        return _even(tests["even"])
    verdict, reason = ("uneven", _extreme(each, tests["even"])) if fits is None else _EXPLAINED[fits]
    if verdict == "uneven" and _may_be_even(each):
        left = each.total - int(each.groups["requests"].sum())
        return "unknown", f"{left:,} requests belong to no {each.by} that is known: with them it may be even"
    return verdict, reason


def _may_be_even(each: Grouped) -> bool:
    """Whether the requests that belong to no group could make the groups even, if they were theirs."""
    requests: list[int] = each.groups["requests"].to_list()
    left, mean = each.total - sum(requests), each.total / each.height
    lacking = sum(max(0.0, mean / UNEVEN - count) for count in requests)
    return each.basis == "serving" and left > 0 and max(requests) <= UNEVEN * mean and lacking <= left


def _even(even: Fit) -> tuple[str, str]:
    if even.significant:
        return "even", f"no more than {100 * max(even.largest - 1, 1 - even.least):.1f} % from an even share"
    if even.detects:
        return "even", "differences are no more than noise"
    few = "connections or clients" if even.dispersion > _CLUSTERED else "requests"
    return "unknown", f"too few {few} for a verdict"


def _extreme(each: Grouped, even: Fit) -> str:
    name, requests = each.groups.select("name", "requests").row(0)
    total = int(each.groups["requests"].sum())
    if requests >= LEADER * total:
        why = ": one node announces the address, or the others fail its health check" if each.by == "node" else ""
        return f"{name} has nearly all requests{why}"
    if even.largest > UNEVEN:
        return f"{name} has {even.largest:.1f} times an even share"
    return f"{each.groups['name'][-1]} has {even.least:.2f} of an even share"
