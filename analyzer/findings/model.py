"""A rule of ``rules/findings/``, and the findings that a report makes of them. Importing this loads no Polars."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from analyzer.charts import Bars
from analyzer.readings.reading import Reading, frame_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import polars as pl

SEVERITIES = ("error", "warning", "info")
ANY = "any"


@dataclass(frozen=True, slots=True)
class Fix:
    """A change that mends it, for one platform and one controller; ``any`` is for all.

    Parameters
    ----------
    platform, controller, load_balancer
        As the facts of these names have them; several are joined by a blank.
    text, note
        What to do, in a short sentence; what else is to know of it.
    patch
        What to paste: Helm values, a command, environment, an annotation. None where nothing can be pasted.
    verify
        How to see with logscan that it worked.
    source
        Where the product says so.
    recognised
        The platform, controller and load balancer are those that were found; False is an alternative.
    """

    platform: str
    controller: str
    load_balancer: str
    text: str
    note: str | None
    patch: str | None
    verify: str
    source: str
    recognised: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found: `because` says it in a sentence with its numbers, `evidence` holds the facts behind it.

    `share_pct` is the share of considered requests whose address it explains the loss of, None where it explains none.
    """

    id: str
    severity: str
    title: str
    because: str
    share_pct: float | None
    evidence: dict[str, object]
    fixes: list[Fix]


@dataclass(frozen=True, slots=True)
class _Row:
    id: str
    severity: str
    title: str
    because: str
    share_pct: float | None
    fix: str | None
    patch: str | None


class Findings(list[Finding], Reading):
    """The findings of a report, the gravest first."""

    __slots__ = ()

    @property
    def frame(self) -> pl.DataFrame:
        """The findings, a row each, with the first fix and its patch."""
        rows = []
        for found in self:
            fix, patch = (found.fixes[0].text, found.fixes[0].patch) if found.fixes else (None, None)
            rows.append(_Row(found.id, found.severity, found.title, found.because, found.share_pct, fix, patch))
        return frame_of(rows, _Row)

    def plot(self) -> Bars:
        """How much of the loss each explains."""
        return Bars(
            title="Findings, and the share of requests whose address each explains the loss of",
            frame=self.frame,
            name="id",
            value="share_pct",
            unit="% of requests",
            by="severity",
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """The head of a rule file: all that is needed to tell whether it holds.

    `share` names the fact that says how many requests it explains; `supersedes` are ids of more general findings.
    `is_shipped` ones are held right by tests, and not checked again.
    """

    id: str
    severity: str
    title: str
    condition: str
    because: str
    file: Path
    evidence: tuple[str, ...] = ()
    share: str | None = None
    supersedes: tuple[str, ...] = ()
    is_shipped: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """The rest of a rule file, with the places of facts still in its texts."""

    explanation: str
    fixes: tuple[Fix, ...] = field(default=())


def leading(findings: Iterable[Finding], *, lost: bool) -> Finding | None:
    """Return the finding that a headline names, of findings in order.

    Where addresses are lost it is the first that explains it, and else, or where none does, the first error.
    """
    listed = list(findings)
    explaining = (each for each in listed if lost and each.share_pct is not None)
    errors = (each for each in listed if each.severity == "error")
    return next(explaining, None) or next(errors, None)
