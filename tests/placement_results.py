"""Holds what `analyzer.readings.evenness` says of simulated placements against the truth, and writes the table of it.

``python tests/placement_results.py`` writes benchmarks/placements.md. The cases from `FIRST_HELD_OUT` on were not
looked at when the thresholds were set.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from placements import NOISES, SIZES, Case, frames, simulate

from analyzer.readings.evenness import dispersion, fit

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST_HELD_OUT = 1_000_000
CASES = 10_000
_BATCH = 2_500
_STEPS = (3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
_PAGE = Path(__file__).parent.parent / "benchmarks" / "placements.md"


@dataclass
class Score:
    """What was said: `alarms` of `even` placements, `missed` and `untold` of `skewed` ones.

    `clear` skews are those that can be told at all (`Case.is_told`), `lost` those of them that were not found.
    """

    even: int = 0
    alarms: int = 0
    unsure: int = 0
    skewed: int = 0
    missed: int = 0
    untold: int = 0
    clear: int = 0
    lost: int = 0

    def add(self, other: Score) -> None:
        """Add other cases."""
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


Scores = dict[tuple[str, int], Score]


def judge_cases(numbers: Sequence[int]) -> Scores:
    """Judge cases; by noise and by the size of the log, the step of `_STEPS` that it reaches."""
    scores: Scores = defaultdict(Score)
    for begin in range(0, len(numbers), _BATCH):
        _judge([simulate(number) for number in numbers[begin : begin + _BATCH]], scores)
    return scores


def _judge(cases: list[Case], scores: Scores) -> None:
    cells, clients, counts = frames(cases)
    found = fit(counts, dispersion(cells, clients))
    for case in cases:
        score = scores[case.noise, max(step for step in _STEPS if step <= max(case.requests, _STEPS[0]))]
        tested = found[case.number]
        told = tested.significant or tested.detects
        if case.skew is None:
            score.even += 1
            score.alarms += not tested.fits
            score.unsure += tested.fits and not told
        else:
            score.skewed += 1
            score.missed += tested.fits and told
            score.untold += tested.fits and not told
            score.clear += case.is_told()
            score.lost += tested.fits and case.is_told()


def _row(name: str, scores: list[Score]) -> str:
    total = Score()
    for score in scores:
        total.add(score)
    return (
        f"| {name} | {total.even:,} | {total.alarms} ({total.alarms / max(total.even, 1):.2%}) | {total.unsure:,} "
        f"| {total.skewed:,} | {total.missed} ({total.missed / max(total.skewed, 1):.2%}) | {total.untold:,} "
        f"| {total.clear:,} | {total.lost} ({total.lost / max(total.clear, 1):.2%}) |"
    )


def main() -> None:
    """Write the page."""
    scores = judge_cases(range(FIRST_HELD_OUT, FIRST_HELD_OUT + CASES))
    head = "| log | even | false alarms | cannot tell | skewed | called even | cannot tell | clear | missed |\n"
    head += 9 * "|---" + "|"
    of_noise = [_row(noise, [score for (each, _), score in scores.items() if each == noise]) for noise in NOISES]
    of_size = [
        _row(f"{step:,} requests", [score for (_, each), score in scores.items() if each == step]) for step in _STEPS
    ]
    everything = "\n".join([head, _row("all", list(scores.values())), *of_noise, *of_size])
    _PAGE.write_text(f"""# Skew or noise: the test against simulated placements

Written by `python tests/placement_results.py`: {CASES:,} logs of {SIZES[0]:,} to {SIZES[1]:,} requests over 2 to 24
pods on 2 to 8 nodes, from number {FIRST_HELD_OUT:,} on, none of which was looked at when the thresholds of
analyzer/readings/evenness.py were set. In every second one a pod gets twice to four times its share. What the noises
are stands in tests/placements.py. Against the shares that the placement makes, *even* is said where differences are
noise or too small to matter, *uneven* where they are neither, and *cannot tell* where even a doubled load could hide.
A false alarm is an even placement called uneven. A log is counted at the step that its requests reach.

A skew is *clear* where it can be told at all: where a clairvoyant test, which knows the noise, the pod and how much it
gets, and asks only whether it is so, is right in 99 % of such logs with 1 % false alarms. No other test can do better,
and this one knows none of it. *missed* are clear skews that are not called uneven, whatever else is said of them.

The simulator is ours and so are its assumptions; connections of other lengths will give other figures. `sticky` is the
hardest: with few clients, each of which keeps to one pod, no log tells a skew from luck. A pod that gets twice what
each other gets has less than twice its share, the less the fewer there are: of two pods it has 1.33 times its share.

{everything}
""")


if __name__ == "__main__":
    main()
