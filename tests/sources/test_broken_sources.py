"""Compressed logs that are broken, through the command: what can be read counts, the rest is said, the status is 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from command import LINE, logscan
from sources.reads import PACK

if TYPE_CHECKING:
    from pathlib import Path

JSON = ("--format", "json", "--quiet")
LOG = LINE * 3000


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("stdin", [False, True])
def test_whole(kind: str, stdin: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """A compressed log is read whatever its name, as a file or on standard input."""
    stored = PACK[kind](LOG)
    (tmp_path / "access").write_bytes(stored)
    result = logscan("analyze", "-" if stdin else "access", *JSON, cwd=tmp_path, stdin=stored if stdin else b"")
    assert (result.status, result.stderr) == (0, "")
    assert result.report["input"]["parsed"] == 3000
    assert result.report["input"]["bytes"] == len(stored)


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("how", ["cut", "garbage"])
def test_broken_among_others(kind: str, how: str, tmp_path: Path) -> None:
    """A log that breaks off counts as far as it goes, with the others; stderr names it and the byte."""
    stored = PACK[kind](LOG)
    broken = stored + (stored[:-3] if how == "cut" else b"garbage")
    (tmp_path / "a.log").write_bytes(broken)
    (tmp_path / "b.log").write_bytes(stored)
    result = logscan("analyze", "a.log", "b.log", *JSON, cwd=tmp_path)
    assert result.status == 2
    place = f"ends too soon, at byte {len(broken):,}" if how == "cut" else f"the end after byte {len(stored):,}"
    assert result.stderr.startswith("logscan: a.log: ")
    assert place in result.stderr
    assert result.stderr.count("\n") == 1
    first, second = result.report["input"]["sources"]
    assert 3000 <= first["parsed"] <= 6000
    assert place in first["error"]
    assert (second["parsed"], second["error"]) == (3000, None)
    assert first["bytes"] == len(broken)
