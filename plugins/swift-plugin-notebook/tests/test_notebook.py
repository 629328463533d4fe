"""Runs in a notebook: the tutorial executed by a real kernel, and the display by a stand-in for IPython."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import ClassVar

import pytest
from swift_plugin_notebook import live, swift_metrics, swift_run_finished, swift_run_started
from swift_plugin_notebook.pages import report_html
from swift_train.testing import ragged_chats, run_training, training_run, write_rows

from swift_core.contract import RunResult
from swift_core.system import write_result, write_run

TUTORIAL = Path(__file__).parents[3] / "docs" / "tutorial" / "notebook.ipynb"


class Handle:
    shown: ClassVar = []

    def display(self, value):
        Handle.shown.append(value._repr_html_())

    update = display


class Formatter(dict):
    for_type = dict.__setitem__


@pytest.fixture
def shell(monkeypatch):
    """IPython as far as the plugin uses it, in a kernel."""

    class ZMQInteractiveShell:
        display_formatter = types.SimpleNamespace(formatters={"text/html": Formatter()})

    shell, ipython, display = ZMQInteractiveShell(), types.ModuleType("IPython"), types.ModuleType("IPython.display")
    ipython.get_ipython, ipython.display, display.DisplayHandle = lambda: shell, display, Handle
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(Handle, "shown", [])
    return shell


@pytest.fixture
def run(tiny_model, tmp_path):
    return training_run(tiny_model, write_rows(tmp_path / "rows.jsonl", ragged_chats(4)), max_steps=2)


def test_the_curves_are_drawn_while_it_runs(shell, run, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    write_run(run, folder)
    monkeypatch.setattr(live, "SECONDS", 1000.0)
    swift_run_started(run=run, folder=folder)
    assert "No metrics yet." in Handle.shown[0]
    run_training(run, folder)
    swift_metrics(run=run, folder=folder, metrics={"step": 1})
    assert len(Handle.shown) == 1, "not drawn with every step"
    monkeypatch.setattr(live, "SECONDS", 0.0)
    swift_metrics(run=run, folder=folder, metrics={"step": 2})
    assert "polyline" in Handle.shown[1]
    write_result(folder, {"status": "done"})
    swift_run_finished(run=run, folder=folder, result={"status": "done"})
    assert "done" in Handle.shown[-1]
    swift_metrics(run=run, folder=folder, metrics={"step": 3})
    assert len(Handle.shown) == 3, "its display is closed"
    assert all(shown.startswith('<iframe sandbox="allow-popups"') and "<script" not in shown for shown in Handle.shown)


def test_a_result_is_shown_as_its_report(shell, run, tmp_path):
    write_run(run, tmp_path)
    swift_run_started(run=run, folder=tmp_path)
    shows = shell.display_formatter.formatters["text/html"][RunResult]
    result = RunResult(status="done", folder=tmp_path)
    assert shows(result) is None, "without a report the notebook shows the text of the result"
    (tmp_path / "report.html").write_text("<p>It is “done”</p>")
    assert report_html(result).count('"') == 8, "the page is one attribute, whatever it holds"


def test_outside_of_notebooks_nothing_is_shown(run, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    swift_run_started(run=run, folder=tmp_path)
    swift_metrics(run=run, folder=tmp_path, metrics={})
    swift_run_finished(run=run, folder=tmp_path, result={"status": "done"})
    assert "IPython" not in sys.modules


@pytest.mark.slow
def test_the_tutorial_runs_in_a_kernel(tiny_model, tmp_path):
    """As it stands, but for its parameters: a tiny model, which has nothing to say."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(TUTORIAL, as_version=4)
    rows = write_rows(tmp_path / "rows.jsonl", ragged_chats(6))
    given = {"MODEL": str(tiny_model), "DATASET": [str(rows)], "ROWS": {}, "STEPS": 2}
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    parameters.source = "\n".join(f"{name} = {json.loads(json.dumps(value))!r}" for name, value in given.items())
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    assert "fits: True" in outputs["plan"][0].text
    assert any("polyline" in output.get("data", {}).get("text/html", "") for output in outputs["train"]), outputs["train"]
    (report,) = outputs["report"]
    assert report.data["text/html"].startswith("<iframe")
    assert "loss" in str(outputs["figures"])
    assert outputs["ask"][-1].data["text/plain"].startswith("'")
