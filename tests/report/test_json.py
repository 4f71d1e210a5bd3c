"""The JSON report against its schema."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from analyzer.errors import UsageError
from analyzer.findings.model import Findings
from analyzer.report import FORMATS, write_report

if TYPE_CHECKING:
    from analyzer.findings.model import Finding
    from analyzer.report.model import RejectedSample, Report

CONTRACT = {
    "": "schema version input preservation trust signals skew geo rate_limit timeline findings",
    "input": "sources bytes lines parsed rejected other first_time last_time rejected_samples",
    "input.sources.0": "uri format envelope node pod bytes lines parsed rejected other",
    "input.rejected_samples.0": "uri line reason text",
    "preservation": "requests considered preserved preserved_pct recoverable_pct excluded classes addresses",
    "preservation.excluded": "health_probe unparsed_request in_cluster unknown",
    "preservation.classes": "client node lb private unknown",
    "preservation.classes.node": "requests addresses pct",
    "preservation.addresses.0": "address class kind rule requests user_agents forwarded_clients",
    "skew": "by groups cv max_over_mean gini idle verdict",
    "skew.groups.0": "name requests share_pct pods",
    "geo": "verdict locatable_pct locatable_if_recovered_pct database countries asns",
    "geo.countries.0": "code requests pct",
    "geo.asns.0": "asn name requests pct",
    "rate_limit": "verdict keys shared_key_pct simulations suggested",
    "rate_limit.simulations.0": "controller limit burst requests rejected rejected_pct rejected_on_shared_keys_pct "
    "rejected_low rejected_high",
    "rate_limit.suggested": "controller limit_rps",
    "timeline": "bucket_seconds points",
    "timeline.points.0": "time requests preserved_pct",
}


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    """Return a validator of the shipped schema, which is itself checked."""
    schema = json.loads(files("analyzer.report").joinpath("schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def with_samples(report: Report, *samples: RejectedSample) -> Report:
    """Return the report with these rejected lines."""
    return replace(report, input=replace(report.input, rejected_samples=list(samples)))


def look_up(document: Any, path: str) -> Any:
    """Return what stands at a dotted path."""
    for step in filter(None, path.split(".")):
        document = document[int(step) if step.isdigit() else step]
    return document


def test_reports_match_the_schema(
    validator: jsonschema.Draft202012Validator, report: Report, empty: Report, rejected_sample: RejectedSample
) -> None:
    """A full report, one with rejected lines and one of an empty log are valid."""
    for each in (report, with_samples(report, rejected_sample), empty):
        validator.validate(json.loads(each.to_json()))


def test_every_key_of_the_contract_is_there(report: Report, rejected_sample: RejectedSample) -> None:
    """No key that a user was promised is missing, at any depth."""
    document = json.loads(with_samples(report, rejected_sample).to_json())
    for path, keys in CONTRACT.items():
        assert set(keys.split()) <= set(look_up(document, path)), path


def test_schema_refuses_what_is_not_a_report(validator: jsonschema.Draft202012Validator, report: Report) -> None:
    """A dropped key, a percentage above 100 and an unknown verdict are found; an added key is not an error."""
    for path, value in {
        "geo.verdict": "perfect",
        "preservation.preserved_pct": 100.1,
        "rate_limit.keys": -1,
        "timeline.points.0.time": "2026-11-21 00:00",
        "schema": "logscan.report/2",
    }.items():
        document = json.loads(report.to_json())
        *parent, key = path.split(".")
        look_up(document, ".".join(parent))[key] = value
        assert not validator.is_valid(document), path
    document = json.loads(report.to_json())
    document["preservation"]["added"] = 1
    assert validator.is_valid(document)
    del document["skew"]["idle"]
    assert not validator.is_valid(document)


def test_findings_are_valid(validator: jsonschema.Draft202012Validator, report: Report, finding: Finding) -> None:
    """A finding has every key of the contract."""
    document = json.loads(replace(report, findings=Findings([finding])).to_json())
    validator.validate(document)
    assert {"id", "severity", "title", "evidence", "fixes"} <= set(document["findings"][0])
    assert {"platform", "controller", "text", "patch", "source"} <= set(document["findings"][0]["fixes"][0])
    del document["findings"][0]["evidence"]
    assert not validator.is_valid(document)


def test_times_are_utc_and_numbers_are_short(report: Report) -> None:
    """Times end in Z, whole seconds stay whole, and no float drags a tail."""
    document = json.loads(report.to_json())
    assert document["input"]["first_time"] == "2026-11-21T00:00:00Z"
    assert document["timeline"]["points"][1]["time"] == "2026-11-21T00:01:00Z"
    assert document["input"]["elapsed_seconds"] == 0.8123
    early = replace(report, input=replace(report.input, first_time=datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)))
    assert json.loads(early.to_json())["input"]["first_time"].startswith("2026-01-02T03:04:05.678")


def test_a_float_that_is_no_number_is_null(report: Report) -> None:
    """NaN is not JSON, whatever a reading computed."""
    text = replace(report, skew=replace(report.skew, cv=float("nan"), gini=float("inf"))).to_json()
    assert json.loads(text)["skew"]["cv"] is None
    assert "NaN" not in text


def test_hostile_text_is_kept_and_harmless(report: Report, rejected_sample: RejectedSample) -> None:
    """A reader of the JSON gets the very text that was logged; a terminal that shows the document is not driven."""
    hostile = '\x1b[2J\x9b31m\x7f"\\ \u202egnp\u2066\u2028\ufeff</script> 東京'
    text = with_samples(report, replace(rejected_sample, text=hostile)).to_json()
    assert json.loads(text)["input"]["rejected_samples"][0]["text"] == hostile
    assert all(char.isprintable() or char == "\n" for char in text)


def test_a_file_name_that_is_no_utf8_does_not_break_the_report(report: Report) -> None:
    """Linux file names are bytes; what cannot be text is replaced."""
    source = replace(report.input.sources[0], uri="caf\udce9.log")
    document = json.loads(replace(report, input=replace(report.input, sources=[source])).to_json())
    assert document["input"]["sources"][0]["uri"] == "caf?.log"


def test_json_needs_neither_polars_nor_rich() -> None:
    """Whoever only wants JSON written waits for no renderer."""
    code = (
        "import sys; import analyzer.report.model, analyzer.report.json\n"
        "print([name for name in ('polars', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_formats_load_by_name_and_end_their_text(report: Report) -> None:
    """Every named format writes the report, and another name is a usage error that lists them."""
    for name in FORMATS:
        assert write_report(report, name).endswith("\n")
    with pytest.raises(UsageError, match=f'--format: expected {" or ".join(FORMATS)}, got "yaml"'):
        write_report(report, "yaml")
