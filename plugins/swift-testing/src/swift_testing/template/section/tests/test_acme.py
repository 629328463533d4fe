"""It shows the perplexity, and is left out of reports on runs without a loss."""

from __future__ import annotations

import json

from swift_report import report

from swift_core.contract import Run
from swift_core.system import write_run


def run_folder(folder, *losses):
    """A run folder with the losses of its steps."""
    write_run(Run(verb="sft", job=""), folder)
    lines = [json.dumps({"step": step, "loss": loss}) for step, loss in enumerate(losses, 1)]
    (folder / "metrics.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def test_it_is_in_the_report(tmp_path):
    page = report(run_folder(tmp_path / "run", 2.0, 0.0)).read_text(encoding="utf-8")
    assert '<section id="acme">' in page
    assert "from 7.389 at 1 to 1 at 2" in page


def test_it_is_left_out_without_a_loss(tmp_path):
    assert '<section id="acme">' not in report(run_folder(tmp_path / "run")).read_text(encoding="utf-8")
