"""Every shipped rule: its samples, its references, and what is said of one that cannot be used."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from command import LINE, logscan

from analyzer.errors import RuleError
from analyzer.findings.evaluate import check, findings
from analyzer.findings.facts import FACTS, SCHEMA
from analyzer.findings.rules import load_body, load_findings, load_rule
from analyzer.rules import load_toml, rule_files

if TYPE_CHECKING:
    from pathlib import Path

    from analyzer.findings.model import Rule

RULES = [load_rule(file) for file in rule_files("findings")]
PLACE = re.compile(r"\{\{(\w+)\}\}")


def ids(rule: Rule) -> str:
    """Name a rule."""
    return rule.id


def facts(**known: Any) -> pl.DataFrame:
    """Make a row of facts; the others are null."""
    assert known.keys() <= SCHEMA.keys()
    return pl.DataFrame([{name: known.get(name) for name in SCHEMA}], schema=SCHEMA, orient="row")


@pytest.mark.parametrize("rule", RULES, ids=ids)
def test_samples(rule: Rule) -> None:
    """A rule holds for each of its samples, and no longer with any of the changes named beside it."""
    samples = load_toml(rule.file)["sample"]
    assert samples
    assert findings([rule], facts()) == [], "nothing is known, and it holds"
    for sample in samples:
        found = findings([rule], facts(**sample["holds"]))
        assert [each.id for each in found] == [rule.id], sample
        for change in sample["fails"]:
            assert findings([rule], facts(**sample["holds"] | change)) == [], change


@pytest.mark.parametrize("rule", RULES, ids=ids)
def test_a_rule_is_whole(rule: Rule) -> None:
    """The file has the rule's name; what it names exists; each fix says where the product says so and how to verify."""
    check([rule])
    body = load_body(rule)
    assert rule.file.stem == rule.id
    assert body.fixes
    assert {each.id for each in RULES}.issuperset(rule.supersedes)
    for fix in body.fixes:
        assert fix.source.startswith("https://")
        assert fix.verify.startswith("logscan ")
        assert len(fix.text) <= 110, "it stands in the first lines of the report"
        assert set(PLACE.findall(f"{fix.text} {fix.patch} {fix.verify}")) <= FACTS.keys()


UNSETTLED = [rule for rule in RULES if re.search(r"\b(cluster|external_traffic_policy) IS NULL", rule.condition)]


@pytest.mark.parametrize("rule", UNSETTLED, ids=ids)
def test_what_a_cluster_file_settles_is_verified_by_more_than_its_name(rule: Rule) -> None:
    """A finding of logs without a cluster file is never one of a run with it, which would look like success."""
    assert [fix.verify for fix in load_body(rule).fixes if f"--fail-on {rule.id}" in fix.verify] == []


def test_ids_are_unique() -> None:
    """No two shipped rules have one id."""
    assert len({rule.id for rule in RULES}) == len(RULES)


GOOD = """\
id = "own-rule"
severity = "warning"
title = "Much traffic"
condition = "requests > 1"
because = "{{requests}} requests"

explanation = "It is much."

[[fix]]
text = "Do something"
source = "https://example.org/"
"""


def written(folder: Path, text: str) -> Path:
    """Write a rule of a user's own; return the folder for ``--rules``."""
    (folder / "own" / "findings").mkdir(parents=True)
    (folder / "own" / "findings" / "mine.toml").write_text(text)
    return folder / "own"


def test_a_rule_of_ones_own(tmp_path: Path) -> None:
    """A rule of `--rules` is held against the facts like a shipped one, and can be gated on."""
    folder = written(tmp_path, GOOD)
    (tmp_path / "a.log").write_bytes(3 * LINE)
    report = logscan("analyze", "a.log", "--rules", folder, "--format", "json", cwd=tmp_path).report
    (found,) = report["findings"]
    assert (found["id"], found["because"], found["severity"]) == ("own-rule", "3 requests", "warning")
    assert found["fixes"][0]["verify"].endswith("--fail-on own-rule")
    gated = logscan("analyze", "a.log", "--rules", folder, "--fail-on", "own-rule", cwd=tmp_path)
    assert gated.status == 1


def test_a_rule_of_ones_own_replaces_the_shipped_one(tmp_path: Path) -> None:
    """A rule with the id of a shipped one stands in its place."""
    folder = written(tmp_path, GOOD.replace("own-rule", "cdn-edge-logged"))
    rules = {rule.id: rule.title for rule in load_findings([folder])}
    assert rules["cdn-edge-logged"] == "Much traffic"
    assert len(rules) == len(RULES)


@pytest.mark.parametrize(
    ("old", "new", "key", "reason"),
    [
        ('id = "own-rule"\n', "", "id", "got nothing"),
        ('"own-rule"', '"Own Rule"', "id", "got 'Own Rule'"),
        ('"own-rule"', '"error"', "id", "none a severity"),
        ('"warning"', '"fatal"', "severity", "got 'fatal'"),
        ('"requests > 1"', '"requests >"', "condition", "unable to parse"),
        ('"requests > 1"', '"nothing_such > 1"', "condition", 'unable to find column "nothing_such"'),
        ('"requests > 1"', "\"requests > 'x'\"", "condition", "cannot compare"),
        ('"requests > 1"', '"requests + 1"', "condition", "true or false, got Int64"),
        ('"requests > 1"', '"pg_sleep(3)"', "condition", "unsupported function"),
        ('"requests > 1"', "1", "condition", "a text"),
        ("{{requests}}", "{{request}}", "because", "names of facts, got 'request'"),
        ('title = "Much traffic"\n', 'titel = "Much traffic"\n', "titel", "one of because"),
        ('title = "Much traffic"\n', 'title = "x"\nevidence = ["nope"]\n', "evidence", "names of facts, got 'nope'"),
        ('title = "Much traffic"\n', 'title = "x"\nshare = "nope"\n', "share", "names of facts, got 'nope'"),
        ('title = "Much traffic"\n', 'title = "x"\nsupersedes = "a"\n', "supersedes", "a list of texts"),
        ('explanation = "It is much."\n', "", "fix", "got `fix`"),
        ('text = "Do something"\n', "", "text", "[[fix]] 1"),
        ('source = "https://example.org/"\n', "", "source", "[[fix]] 1"),
        ('source = "https://example.org/"\n', 'source = "x"\nplattform = "eks"\n', "plattform", "[[fix]] 1"),
        ('source = "https://example.org/"\n', 'source = "x"\nplatform = []\n', "platform", "a name or a list"),
        ("[[fix]]", "[[fix]", "mine.toml", "expected TOML"),
        ("[[fix]]", "[fix]", "fix", "tables, each begun by [[fix]]"),
    ],
)
def test_a_broken_rule_names_file_key_and_reason(tmp_path: Path, old: str, new: str, key: str, reason: str) -> None:
    """What is wrong with a rule of a user's own is one line, before any log is read."""
    assert old in GOOD
    folder = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(RuleError) as raised:
        check(load_findings([folder]))
    message = str(raised.value)
    assert "mine.toml: expected" in message
    assert key in message
    assert reason in message
    assert "\n" not in message


def test_a_broken_rule_on_the_command_line(tmp_path: Path) -> None:
    """It ends the run with status 2 and one line, whether a log is read or findings are listed."""
    folder = written(tmp_path, GOOD.replace("requests > 1", "requests >"))
    (tmp_path / "a.log").write_bytes(LINE)
    for args in (["analyze", "a.log"], ["explain"]):
        result = logscan(*args, "--rules", folder, cwd=tmp_path)
        assert result.status == 2
        assert "own/findings/mine.toml: expected under `condition` SQL over the facts, got" in result.stderr
        assert "Traceback" not in result.stderr
