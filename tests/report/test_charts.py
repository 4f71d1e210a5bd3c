"""What a section gives to a notebook: its rows as a frame, and a chart of them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import analyzer as logscan
from analyzer.charts import draw
from analyzer.errors import UsageError
from analyzer.findings.model import Findings

if TYPE_CHECKING:
    from analyzer.findings.model import Finding
    from analyzer.report.model import Report

SECTIONS = ("input", "preservation", "trust", "skew", "geo", "rate_limit", "timeline")


def values(chart: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows that a chart carries."""
    [rows] = chart["datasets"].values()
    return list(rows)


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_has_its_rows(report: Report, empty: Report, name: str) -> None:
    """The columns are the keys of the JSON report, with the same dtypes where there is no row."""
    frame, nothing = getattr(report, name).frame, getattr(empty, name).frame
    assert frame.height > 0
    assert frame.schema == nothing.schema
    assert not [column for column in frame.columns if column.endswith("_")]
    assert pl.Null not in frame.dtypes


def test_rows_are_those_of_the_report(report: Report) -> None:
    """Nothing is lost or turned on the way."""
    assert report.skew.frame.select("name", "requests", "share_pct", "pods").rows() == [
        ("worker-1", 51, 51.0, 2),
        ("worker-2", 49, 49.0, 1),
    ]
    assert report.preservation.frame["class"].to_list() == ["node", "node", "client"]
    assert report.timeline.frame["time"].to_list() == [point.time for point in report.timeline.points]


def test_findings_are_a_list_with_rows(report: Report, empty: Report, finding: Finding) -> None:
    """Findings are a list; their frame says what to do first, and their chart what each explains."""
    found = replace(
        report, findings=Findings([finding, replace(finding, id="other", share_pct=None, fixes=[])])
    ).findings
    assert isinstance(found, list)
    assert found[:1] == [finding]
    row, other = found.frame.rows(named=True)
    assert (row["id"], row["severity"], row["share_pct"]) == (finding.id, finding.severity, finding.share_pct)
    assert (row["fix"], row["patch"]) == (finding.fixes[0].text, finding.fixes[0].patch)
    assert (other["fix"], other["share_pct"]) == (None, None)
    assert found.frame.schema == empty.findings.frame.schema
    assert [row["id"] for row in values(found.chart().to_dict())] == [finding.id, "other"]


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_draws_itself(report: Report, empty: Report, name: str) -> None:
    """A chart is valid Vega-Lite, carries its rows, and draws columns that it has; also of nothing."""
    chart = getattr(report, name).chart().to_dict()
    rows = values(chart)
    assert len(rows) == getattr(report, name).frame.height
    for layer in chart.get("layer", [chart]):
        fields = {channel["field"] for channel in layer["encoding"].values() if isinstance(channel, dict)}
        assert fields <= set(rows[0])
    assert len(values(getattr(empty, name).chart().to_dict())) == getattr(empty, name).frame.height


def test_a_section_shows_itself(report: Report) -> None:
    """A notebook shows the numbers of a section and its rows; what a log wrote is text."""
    shown = report.skew._repr_html_()
    assert "verdict even" in shown
    assert "worker-1" in shown
    hostile = replace(report.input.sources[0], uri="<script>alert(1)</script>")
    shown = replace(report.input, sources=[hostile], cluster="<img src=x>")._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "&lt;img src=x&gt;" in shown
    assert "<script" not in shown
    assert "<img" not in shown


def test_a_comparison_draws_what_changed() -> None:
    """The chart of a comparison has a bar for each percentage, by how many points it changed and for the better."""
    logs = Path(__file__).parents[2] / "sample_logs"
    compared = logscan.compare(logs / "cluster", logs / "local")
    rows = values(compared.chart().to_dict())
    first = compared.frame.row(0, named=True)
    assert rows[0] == {"measure": "preservation: preserved", "points": first["change"], "change": "for the better"}
    assert len(rows) == sum(each.unit == "%" and each.change is not None for each in compared.compared.changes)


def test_times_of_a_chart_are_utc(report: Report) -> None:
    """A browser elsewhere shows the hours of the log."""
    chart = report.timeline.chart().to_dict()
    assert chart["layer"][0]["encoding"]["x"]["scale"] == {"type": "utc"}
    assert values(chart)[1]["time"].startswith("2026-11-21T00:01:00")
    assert values(chart)[2]["preserved_pct"] is None


def test_a_limit_is_drawn_between_its_bounds(report: Report) -> None:
    """Whole seconds leave a range, and the chart shows it."""
    chart = report.rate_limit.chart().to_dict()
    assert [layer["mark"]["type"] for layer in chart["layer"]] == ["area", "line"]
    first = values(chart)[0]
    assert first["rejected_low_pct"] == pytest.approx(70.0, abs=0.01)
    assert first["rejected_high_pct"] == pytest.approx(71.5, abs=0.01)


def test_without_altair_the_error_names_the_extra(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has not installed the extra reads what to install."""
    monkeypatch.setitem(sys.modules, "altair", None)
    monkeypatch.delitem(sys.modules, "analyzer.charts.vega", raising=False)
    monkeypatch.delattr("analyzer.charts.vega", raising=False)
    with pytest.raises(UsageError, match="Altair") as error:
        draw(report.skew.plot())
    assert error.value.hint == "from a checkout: pip install '.[plot]'"
    assert "Not preserved" in report._repr_html_()


def test_a_report_is_one_line_of_text(report: Report, empty: Report) -> None:
    """Where nothing shows HTML, and in a notebook's file, a report does not fill the screen."""
    assert repr(report) == "<Report: not-preserved, 14.9 % of 3000700 considered requests keep their address>"
    assert repr(empty) == "<Report: unknown, - % of 0 considered requests keep their address>"


def test_a_report_costs_no_chart_library() -> None:
    """What draws is loaded by the first chart, what writes HTML by the first page."""
    log = Path(__file__).parents[2] / "sample_logs" / "cdn"
    code = (
        f"import sys, analyzer; analyzer.analyze({str(log)!r}).to_json()\n"
        "print([name for name in ('altair', 'jinja2', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
