"""It runs a job to its end, and refuses a multi-node launch."""

from __future__ import annotations

import os

import pytest
from swift_plugin_acme.launcher import Acme
from swift_plugin_acme.options import AcmeOptions

from swift_core.contract import Run, UsageError
from swift_core.system import write_run

JOB = "import os\ndef job(run, report):\n    return None, {'niceness': os.nice(0)}\n"


def test_a_worker_runs_with_a_low_priority(tmp_path, monkeypatch):
    (tmp_path / "niceness_job.py").write_text(JOB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    write_run(Run(verb="ask", job="niceness_job:job"), tmp_path / "run")
    events: list = []
    code = Acme(AcmeOptions(priority=7)).launch(tmp_path / "run", processes=1, nodes=1, environment={}, watch=events.append)
    assert code == 0, (tmp_path / "run" / "log.txt").read_text()
    result = next(event for event in events if event["event"] == "result")
    assert result["figures"] == {"niceness": 7 + os.nice(0)}


def test_a_multi_node_launch_is_refused(tmp_path):
    with pytest.raises(UsageError, match="a single node only"):
        Acme(AcmeOptions()).launch(tmp_path, processes=1, nodes=2, environment={}, watch=print)
