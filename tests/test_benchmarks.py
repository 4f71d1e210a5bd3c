"""The benchmark's log generator: the same bytes every time, true totals, and lines that nginx could have written."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

LINES = 60_000
UPSTREAM = r"(\S+(?:(?:, | : )\S+)*)"
# Written for this test from nginx's documentation; shares nothing with the generator or with logscan's scanner.
INGRESS = re.compile(
    r"(?P<address>[0-9a-f.:]+) - (?P<user>\S+) \[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "
    r'"(?P<request>[^"]*)" (?P<status>\d{3}) (?P<bytes>\d+) "(?P<referer>[^"]*)" "(?P<agent>[^"]*)" '
    r"\d+ \d+\.\d{3} \[(?P<upstream>[^\]]*)\] \[[^\]]*\] "
    rf"(?P<servers>{UPSTREAM}) (?P<lengths>{UPSTREAM}) (?P<seconds>{UPSTREAM}) (?P<codes>{UPSTREAM}) [0-9a-f]{{32}}"
)


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """Load the generator, which is a script and no part of the package."""
    path = Path(__file__).parents[1] / "benchmarks" / "generate.py"
    spec = importlib.util.spec_from_file_location("benchmark_generate", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def log(generate: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Generate one log that ends in the middle of a batch."""
    path = tmp_path_factory.mktemp("benchmark") / "ingress.log"
    return path, generate.generate(path, LINES, 1)


def test_same_seed_same_bytes(generate: ModuleType, log: tuple[Path, Any], tmp_path: Path) -> None:
    """A seed gives the same bytes and totals again, and another seed gives others."""
    path, summary = log
    assert generate.generate(tmp_path / "again.log", LINES, 1) == summary
    assert (tmp_path / "again.log").read_bytes() == path.read_bytes()
    generate.generate(tmp_path / "other.log", 1000, 2)
    assert not path.read_bytes().startswith((tmp_path / "other.log").read_bytes())


def test_shorter_log_is_a_prefix(generate: ModuleType, log: tuple[Path, Any], tmp_path: Path) -> None:
    """A slice of a log can be made without the log."""
    generate.generate(tmp_path / "short.log", 777, 1)
    short = (tmp_path / "short.log").read_bytes()
    assert short.count(b"\n") == 777
    assert log[0].read_bytes().startswith(short)


def test_every_line_fits_the_layout_and_totals_are_true(log: tuple[Path, Any]) -> None:
    """Every line is a default ingress-nginx line, and the summary says what an independent reading finds."""
    path, summary = log
    text = path.read_text(encoding="ascii")
    matches = [INGRESS.fullmatch(line) for line in text.splitlines()]
    found = [match for match in matches if match is not None]
    assert len(found) == len(matches) == summary.lines == LINES
    assert len(text) == summary.bytes
    assert sum(int(match["status"]) >= 500 for match in found) == summary.errors
    assert sum(int(match["bytes"]) for match in found) == summary.body_bytes
    assert len({match["address"] for match in found}) == summary.addresses
    assert sum(re.search(", | : ", match["servers"]) is not None for match in found) == summary.kinds["retried"]
    assert sum(match["upstream"] == "" for match in found) == summary.kinds["unreadable"]
    assert sum(match["status"] == "499" for match in found) == summary.kinds["aborted"]
    assert sum(":" in match["address"] for match in found) == summary.visitors["ipv6"]
    assert sum(summary.kinds.values()) == sum(summary.visitors.values()) == LINES


def test_upstream_lists_have_equal_length(log: tuple[Path, Any]) -> None:
    """The four upstream variables of one line list the same servers, as nginx writes them."""
    for line in log[0].read_text(encoding="ascii").splitlines():
        match = INGRESS.fullmatch(line)
        assert match is not None
        columns = [re.split(", | : ", match[name]) for name in ("servers", "lengths", "seconds", "codes")]
        assert len({len(column) for column in columns}) == 1, line


def test_time_order_and_shares(log: tuple[Path, Any]) -> None:
    """Time never runs backwards at about 1,000 requests a second, and the shares are near what is promised."""
    path, summary = log
    times = re.findall(r"\[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d) ", path.read_text(encoding="ascii"))
    assert times == sorted(times)
    assert 900 < LINES / len(set(times)) < 1100
    assert summary.bytes / LINES == pytest.approx(267, abs=5)
    assert summary.visitors["ipv6"] / LINES == pytest.approx(0.08, abs=0.01)
    assert summary.visitors["node"] / LINES == pytest.approx(0.15, abs=0.01)
    assert summary.kinds["retried"] / LINES == pytest.approx(0.043, abs=0.002)


def test_whole_batches_have_exact_quotas(generate: ModuleType, tmp_path: Path) -> None:
    """A log of whole batches holds each kind exactly as often as its quota says."""
    summary = generate.generate(tmp_path / "batch.log", generate.BATCH, 3)
    assert {kind: summary.kinds[kind] for kind in generate.QUOTAS} == generate.QUOTAS
