"""Output of a notebook: pages in frames, so that neither their styles nor those of the notebook change the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup, escape
from swift_report import ReportedRun
from swift_report.page import REPORT, Section, page
from swift_train.report import curves

from swift_core.contract import RunResult
from swift_core.system import read_result, read_run

_HEIGHT = 460  # pixels of a frame; what is longer is scrolled
_TALL = 760


class Framed:
    """A page that IPython displays as HTML."""

    def __init__(self, html: str, height: int) -> None:
        self._html, self._height = html, height

    def _repr_html_(self) -> str:
        """Return the frame. Its sandbox runs no scripts; links open elsewhere."""
        frame = '<iframe sandbox="allow-popups" title="swift-core" style="width:100%;height:{}px;border:0" srcdoc="{}"></iframe>'
        return str(Markup(frame).format(self._height, str(self._html)))

    def __repr__(self) -> str:
        return "a report of swift-core, which this front end can't show"


def framed(html: str, *, height: int = _HEIGHT) -> Framed:
    """Return a page for display."""
    return Framed(html, height)


def curves_page(folder: Path) -> str:
    """Return the curves of a run, as they are now."""
    run, result = read_run(folder), read_result(folder) or {}
    status = str(result.get("status") or "running")
    drawn = curves([ReportedRun(folder.name, folder, run, result)]) or escape("No metrics yet.")
    model = run.model.reference.rstrip("/").rpartition("/")[2] if run.model else ""
    subtitle = Markup('<span class="status {0}">{0}</span> {1}').format(status, folder.name)
    return page(f"{run.verb} {model}".strip(), subtitle, [Section("curves", "Curves", drawn)])


def show_results_as_reports(shell: Any) -> None:
    """Let the notebook show a `RunResult` as its report."""
    shell.display_formatter.formatters["text/html"].for_type(RunResult, report_html)


def report_html(result: RunResult) -> str | None:
    """Return the report of a result in a frame; None if there is none, so that the notebook shows its text."""
    file = result.folder / REPORT
    if not file.is_file():
        return None
    return framed(file.read_text(encoding="utf-8"), height=_TALL)._repr_html_()
