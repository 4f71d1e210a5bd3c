"""The example notebooks run as they stand, in a kernel of their own; what they show is not committed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from analyzer.jobs.progress import notebook_bar

NOTEBOOKS = sorted((Path(__file__).parent.parent / "docs" / "notebooks").glob("*.ipynb"))


def run(path: Path) -> list[list[dict[str, Any]]]:
    """Run a notebook where it stands, and return what each cell of code shows."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    return [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path) -> None:
    """Every cell runs without an error and a warning; reports and charts show themselves."""
    shown = run(path)
    said = [output["text"].strip() for outputs in shown for output in outputs if output.get("name") == "stderr"]
    assert not [text for text in said if text and not text.startswith("reading: ")]  # the bar of a slow machine
    pages = [
        output["data"]["text/html"] for outputs in shown for output in outputs if "text/html" in output.get("data", {})
    ]
    assert any("vega" in page for page in pages), "no chart"
    assert any('class="dataframe"' in page for page in pages), "no frame"
    assert path.stem != "explore-one-log" or any('<div class="logscan">' in page for page in pages), "no report"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_without_results(path: Path) -> None:
    """A notebook holds what was written, not what came of it."""
    cells = json.loads(path.read_text())["cells"]
    assert cells[0]["source"][0].startswith("# ")
    assert [cell["id"] for cell in cells] == [f"cell-{number}" for number in range(len(cells))]
    for cell in cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_a_bar_shows_in_notebooks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel of a notebook gets a bar, a plain Python none, and who gives a function of their own gets that."""
    with notebook_bar(None) as plain:
        assert plain is None
    kernel = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    with notebook_bar(print) as given:
        assert given is print
    with notebook_bar(None) as bar:
        assert bar is not None
        bar(1_000_000)
        assert "1.00MB" in str(bar.__self__)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    with notebook_bar(None) as shell:
        assert shell is None
