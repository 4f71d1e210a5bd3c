"""Options are read without Typer's validators where nothing needs to be checked, and mean the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from typer.exceptions import TyperException

from analyzer import cli
from analyzer.commands import app as commands
from analyzer.errors import UsageError
from analyzer.jobs import analyze as job
from analyzer.jobs.times import as_length

VALUES = {
    "--format": ["json", "JSON", "xml", ""],
    "--by": ["pod", "POD"],
    "--top": ["0", "-1", "007", " 5 ", "5.0", "1_000", "x", "", "٣", "9" * 5000],
    "--workers": ["2", "0"],
    "--fail-under": ["50", "101", "nan", "x"],
    "--limit-rps": ["3", "x"],
    "--node": ["10.0.0.0/8", ""],
    "--output": ["x.json", "/nonexistent/x", ""],
    "--geoip": ["a.mmdb"],
    "--quiet=1": [""],
}


def outcome(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `analyze` is called with, or the error."""
    seen: dict[str, Any] = {}

    def analyze(source: list[str], **options: Any) -> None:
        del options["progress"]
        seen.update(options, source=source)
        raise UsageError("far enough")

    monkeypatch.setattr(job, "analyze", analyze)
    try:
        cli.app(arguments, standalone_mode=False)
    except UsageError:
        return seen
    except TyperException as error:
        return type(error), error.format_message()
    return None


@pytest.mark.parametrize(
    "arguments",
    [["analyze"], ["analyze", "a", "b"], ["analyze", "a", "--node", "1.2.3.4", "--node", "::1"]]
    + [["analyze", "a", option, value] for option, values in VALUES.items() for value in values],
)
def test_plain_values_mean_the_same(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that is read plainly is the one that Typer reads, and what Typer refuses is refused in its words."""
    plain = outcome(arguments, monkeypatch)
    monkeypatch.setattr(commands, "_read_plainly", lambda options: options)
    assert plain == outcome(arguments, monkeypatch)
    assert plain is not None


@pytest.mark.parametrize(
    ("text", "hours"), [("90m", 1.5), ("1h", 1), ("24h", 24), ("7d", 168), ("4w", 672), ("000001h", 1)]
)
def test_a_length_of_time(text: str, hours: float) -> None:
    """A number and a unit."""
    assert as_length("--window", text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["0h", "", "h", "5", "-1d", "1.5h", "1y", "1 h", "1H", "1234567h", "٣h"])
def test_what_is_no_length_of_time(text: str) -> None:
    """No time at all is none, and what it should look like is said."""
    with pytest.raises(UsageError, match="--window: expected a length of time such as 90m, 24h, 7d or 4w, got"):
        as_length("--window", text)
