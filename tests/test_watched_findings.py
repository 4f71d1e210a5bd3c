"""Findings while logs are watched: since when they hold, and for how long those that hold no more are told of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from analyzer.jobs.watch import Watch
from analyzer.report.watch import Noted

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def watch() -> Watch:
    """A watch that has seen nothing yet."""
    made = Watch.__new__(Watch)
    made._noted = {}
    return made


def note(watch: Watch, seconds: float, *ids: str) -> dict[str, tuple[float, float | None]]:
    """Tell of findings so many seconds after noon; return since when and until when each is told to hold."""
    found: Any = [SimpleNamespace(id=id_, severity="error", title=id_.title()) for id_ in ids]
    watch._note(SimpleNamespace(findings=found), NOON + timedelta(seconds=seconds))  # type: ignore[arg-type]

    def after(moment: datetime | None) -> float | None:
        return moment and (moment - NOON).total_seconds()

    return {each.id: (after(each.since) or 0.0, after(each.until)) for each in watch._noted.values()}


def test_a_finding_holds_since_it_was_first_seen(watch: Watch) -> None:
    """Each look leaves the beginning as it was; its severity and title are those of the finding."""
    assert note(watch, 5, "a") == {"a": (5, None)}
    assert note(watch, 50, "a", "b") == {"a": (5, None), "b": (50, None)}
    assert watch._noted["a"] == Noted("a", "error", "A", NOON + timedelta(seconds=5), None)


def test_a_finding_that_is_gone_is_told_of_for_a_minute(watch: Watch) -> None:
    """Then it is forgotten; one that comes back holds since then."""
    note(watch, 0, "a", "b")
    assert note(watch, 10, "b") == {"a": (0, 10), "b": (0, None)}
    assert note(watch, 69.9, "b")["a"] == (0, 10)
    assert note(watch, 70, "b") == {"b": (0, None)}
    assert note(watch, 80, "a", "b")["a"] == (80, None)
