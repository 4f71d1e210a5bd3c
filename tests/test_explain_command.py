"""``logscan explain``, and the gate on findings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from command import LINE, logscan

from analyzer.findings.facts import FACTS
from analyzer.findings.rules import load_findings
from analyzer.rules import rule_files

if TYPE_CHECKING:
    from pathlib import Path

NODES = b"".join(LINE.replace(b"81.2.69.142", b"10.0.10.%d" % number) for number in range(1, 4))


def test_all_are_listed(tmp_path: Path) -> None:
    """Without a name every shipped finding is listed, with its severity and title."""
    listed = logscan("explain", cwd=tmp_path).stdout.decode()
    for rule in load_findings():
        assert f"{rule.severity:<9}{rule.id}\n" in listed
    assert len(load_findings()) == len(rule_files("findings"))


def test_all_of_each(tmp_path: Path) -> None:
    """With names all of each is said: why, every fix with its patch, how to verify it, and the source."""
    ids = [rule.id for rule in load_findings()]
    written = json.loads(logscan("explain", *ids, "--format", "json", cwd=tmp_path).stdout)
    assert written["schema"] == "logscan.explain/1"
    shown = logscan("explain", *ids, cwd=tmp_path).stdout.decode()
    assert [each["id"] for each in written["findings"]] == ids
    for finding in written["findings"]:
        assert " ".join(finding["explanation"].split())[:40] in " ".join(shown.split())
        for fix in finding["fixes"]:
            assert fix["source"] in shown
            for line in (fix["patch"] or "").splitlines():
                assert line in shown, "what is to be pasted is not broken"


def test_sentences_fit_the_width(tmp_path: Path) -> None:
    """Lines of sentences are no wider than 80 columns; what is to be pasted, and sources, may be."""
    answer = logscan("explain", "external-traffic-policy-cluster", cwd=tmp_path)
    wide = [line.strip() for line in answer.stdout.decode().splitlines() if len(line) > 80]
    assert wide
    assert all(line.startswith(("helm ", "kubectl ", "https://")) for line in wide)


def test_an_unknown_name_is_near_another(tmp_path: Path) -> None:
    """A name that is none is an error, with those that may have been meant."""
    for args in (["explain", "cilium-ingres"], ["analyze", "a.log", "--fail-on", "cilium-ingres"]):
        result = logscan(*args, cwd=tmp_path)
        assert result.status == 2
        assert "expected the id of a finding, got 'cilium-ingres'" in result.stderr
        assert "hint: did you mean cilium-ingress" in result.stderr


def test_facts_are_listed(tmp_path: Path) -> None:
    """Every fact has a name, a dtype and a meaning."""
    shown = logscan("explain", "--facts", cwd=tmp_path).stdout.decode()
    for name, (dtype, meaning) in FACTS.items():
        assert f"{name} ({dtype})" in shown
        assert meaning[:20] in shown
    assert logscan("explain", "--facts", "cilium-ingress", cwd=tmp_path).status == 2


@pytest.mark.parametrize(
    ("gates", "status"),
    [
        (["node-addresses-logged"], 1),
        (["error"], 1),
        (["warning"], 1),
        (["info"], 1),
        (["cdn-edge-logged"], 0),
        (["cdn-edge-logged", "node-addresses-logged"], 1),
        ([], 0),
    ],
)
def test_a_gate_on_findings(tmp_path: Path, gates: list[str], status: int) -> None:
    """A finding by its id, or by its severity or a milder one, makes the exit code 1, with the whole report."""
    (tmp_path / "a.log").write_bytes(100 * NODES)
    options = [part for gate in gates for part in ("--fail-on", gate)]
    result = logscan("analyze", "a.log", "--node", "10.0.10.0/24", *options, cwd=tmp_path)
    assert result.status == status
    assert b"NOT PRESERVED" in result.stdout
    assert ("--fail-on: expected no such finding, got node-addresses-logged" in result.stderr) == bool(status)


def test_a_gate_that_nothing_misses(tmp_path: Path) -> None:
    """A log of visitors passes the gate of every severity."""
    visitors = (LINE.replace(b"81.2.69.142", b"81.%d.9.7" % number) for number in range(1, 60))
    (tmp_path / "a.log").write_bytes(b"".join(visitors))
    assert logscan("analyze", "a.log", "--fail-on", "info", cwd=tmp_path).status == 0
