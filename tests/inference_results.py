"""Holds what `analyzer.readings.proxies.infer` says of simulated logs against the truth, and writes the table of it.

``python tests/inference_results.py`` writes benchmarks/topologies.md. Its seeds, from `FIRST_HELD_OUT` on, were not
looked at when the terms got their weights.
"""

from __future__ import annotations

import argparse
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evidence import labelled_table
from simulated_network import PROXIES
from topologies import SCENARIOS, simulate

from analyzer.addresses.classify import Classifier
from analyzer.addresses.ranges import format_addresses
from analyzer.readings.proxies import infer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

FIRST_HELD_OUT = 5000
"""Seeds from here on belong to the results; those below were for tuning."""
PLAN = {300: 4, 3_000: 6, 30_000: 3, 200_000: 1}
"""Requests in a log -> how many logs of that size each scenario has."""
LONG = 3_000
"""Requests from which the figures are what they should be; below, a log may tell too little."""
_PAGE = Path(__file__).parent.parent / "benchmarks" / "topologies.md"


class Case(NamedTuple):
    """One log."""

    scenario: str
    requests: int
    seed: int


@dataclass
class Score:
    """What was said of addresses: `right` and `missed` of the proxies, `wrong` of the others.

    `visitors` counts private addresses with one owner; `claimed` those that were said to be visitors, `misclaimed` the
    ones among these that are none. `off` adds up how far the preserved percentage of each log is from the truth.
    """

    right: int = 0
    missed: int = 0
    wrong: int = 0
    visitors: int = 0
    claimed: int = 0
    misclaimed: int = 0
    roles: int = 0
    off: list[float] = field(default_factory=list)
    mistakes: Counter[str] = field(default_factory=Counter)

    def add(self, other: Score) -> None:
        """Add the figures of other logs."""
        for name in ("right", "missed", "wrong", "visitors", "claimed", "misclaimed", "roles"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.off += other.off
        self.mistakes += other.mistakes

    @property
    def precision(self) -> float:
        """Share of the addresses called proxies that are."""
        return self.right / max(self.right + self.wrong, 1) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        """Share of the proxies that were called so."""
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0


def judge(case: Case) -> Score:
    """Simulate, read, infer, compare."""
    log = simulate(*case)
    table = labelled_table(log.text, with_forwarded=log.with_forwarded, classifier=Classifier())
    inferred = infer(table)
    texts = format_addresses(inferred["address"])
    score = Score()
    columns = inferred.select("class", "visitor", "requests", "health_probes", "unparsed_requests").iter_rows()
    kept = truly = considered = 0
    for address, (class_, visitor, requests, probes, unparsed) in zip(texts, columns, strict=True):
        role = log.truth[address]
        proxy, said = role in PROXIES, class_ in {"node", "lb"}
        score.right += proxy and said
        score.missed += proxy and not said
        score.wrong += said and not proxy
        score.roles += proxy and said and (class_ == "node") == (role == "node")
        if proxy is not said:
            score.mistakes[role] += 1
        if class_ == "private":
            score.visitors += role in {"person", "monitor"}
            score.claimed += visitor
            score.misclaimed += visitor and role not in {"person", "monitor"}
        visits = requests - probes - unparsed
        considered += visits
        kept += visits * visitor
        # By the contract a company behind a private address counts as lost.
        truly += visits * (not proxy and not (class_ == "private" and role == "company"))
    if considered:
        score.off.append(100 * abs(kept - truly) / considered)
    return score


def cases(plan: Mapping[int, int], scenarios: Iterable[str] = SCENARIOS, first: int = FIRST_HELD_OUT) -> Iterator[Case]:
    """List the logs of a plan."""
    for name in scenarios:
        for size, count in plan.items():
            for seed in range(first, first + count):
                yield Case(name, size, seed)


def judged(wanted: Iterable[Case], workers: int) -> dict[Case, Score]:
    """Judge many logs, in as many processes."""
    wanted = list(wanted)
    if workers == 1:
        return {case: judge(case) for case in wanted}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return dict(zip(wanted, pool.map(judge, wanted, chunksize=1), strict=True))


def total(scores: Mapping[Case, Score], **only: object) -> Score:
    """Add up the logs whose scenario or size is this."""
    summed = Score()
    for case, score in scores.items():
        if all(getattr(case, name) == value for name, value in only.items()):
            summed.add(score)
    return summed


def page(scores: Mapping[Case, Score]) -> str:
    """Write the results as Markdown."""
    rows = [("all", total(scores))]
    rows += [(f"{size:,} requests", total(scores, requests=size)) for size in PLAN]
    sizes = [_row(name, score) for name, score in rows]
    scenarios = [_row(name, total(scores, scenario=name), total(_long(scores), scenario=name)) for name in SCENARIOS]
    failures = [
        f"| {case.scenario} | {case.requests:,} | {case.seed} | {score.missed} of {score.missed + score.right} "
        f"| {score.wrong} | {', '.join(f'{count} {role}' for role, count in score.mistakes.most_common())} |"
        for case, score in scores.items()
        if score.missed or score.wrong
    ]
    summed = total(scores)
    off = sorted(summed.off)
    return _TEXT.format(
        logs=len(scores),
        per_scenario=sum(PLAN.values()),
        first=FIRST_HELD_OUT,
        sizes="\n".join(sizes),
        scenarios="\n".join(scenarios),
        failures="\n".join(failures),
        missed=summed.missed,
        wrong=summed.wrong,
        roles=f"{100 * summed.roles / max(summed.right, 1):.1f}",
        visitors=f"{100 * (summed.claimed - summed.misclaimed) / max(summed.visitors, 1):.1f}",
        misclaimed=summed.misclaimed,
        claimed=f"{summed.claimed:,}",
        median=f"{off[len(off) // 2]:.2f}",
        late=f"{off[int(len(off) * 0.95)]:.2f}",
        worst=f"{off[-1]:.1f}",
    )


def _long(scores: Mapping[Case, Score]) -> dict[Case, Score]:
    return {case: score for case, score in scores.items() if case.requests >= LONG}


def _row(name: str, score: Score, *more: Score) -> str:
    figures = [f"{value:.3f}" for each in (score, *more) for value in (each.precision, each.recall)]
    return f"| {name} | {score.right + score.missed:,} | {score.missed} | {score.wrong} | {' | '.join(figures)} |"


_TEXT = """\
# Who stands behind an address: inference against simulated topologies

Written by `python tests/inference_results.py`. {logs} logs: each scenario of tests/topologies.py in {per_scenario} logs
of 300 to 200,000 requests, seeds from {first} on, none of which was looked at when the terms of
analyzer/readings/proxies.py got their weights. There is no cluster file and no word about any address: only the log.
Positive is "this address is a proxy": class `node` or `lb`. *missed* are proxies that kept the class of their range,
*wrong* are people, companies and programs that were called proxies. Addresses in published ranges (cdn-published, gclb)
are told by these.

The simulator is ours and so are its assumptions: people with one to six user agents by a Zipf law, visits of several
requests, crawlers and scanners on every public site of some length. On other traffic the figures will differ.

| log | proxies | missed | wrong | precision | recall |
|---|---|---|---|---|---|
{sizes}

Of the proxies found, {roles} % got the right one of `node` and `lb`: without a cluster file that is a guess. Of the
private addresses with one owner {visitors} % were shown to be visitors; {misclaimed} of {claimed} claims were wrong.
The preserved percentage is off by {median} points in the median log, by {late} in the 95th of a hundred, by {worst} at
the worst.

## By scenario

A scenario without proxies has no recall to speak of, and a precision of 0 as soon as one address is called a proxy. The
last two columns leave out the logs of 300 requests.

| scenario | proxies | missed | wrong | precision | recall | precision, long | recall, long |
|---|---|---|---|---|---|---|---|
{scenarios}

## Failures, each of them

{missed} proxies missed, {wrong} addresses wrongly called proxies.

| scenario | requests | seed | missed | wrong | who |
|---|---|---|---|---|---|
{failures}
"""


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description="Judge inference over all scenarios and write the table of results.")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, default=_PAGE)
    options = parser.parse_args()
    options.output.write_text(page(judged(cases(PLAN), options.workers)), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
