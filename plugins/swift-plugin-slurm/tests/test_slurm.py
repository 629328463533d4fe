"""The script as bash and a stand-in of Slurm read it, and runs that go through it."""

from __future__ import annotations

import json
import subprocess
import time

import pytest
from swift_plugin_slurm import swift_check
from swift_plugin_slurm.launcher import SlurmLauncher
from swift_plugin_slurm.options import SlurmOptions
from swift_plugin_slurm.script import script
from swift_testing.codes import coded

from swift_core.contract.errors import SwiftError
from swift_core.contract.run import Run
from swift_core.plugins.registered import registry
from swift_core.runs.local_launcher import free_port
from swift_core.system.run_folder import write_run

JOBS = """
import os
from swift_core import SwiftError

def ranks(run, report):
    (report.folder / f"rank-{os.environ['RANK']}-of-{os.environ['WORLD_SIZE']}").write_text(os.environ["SWIFT_CHECK"])
    return report.folder / "output", {"answer": 42}

def fail(run, report):
    raise SwiftError("as it should")
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    (tmp_path / "slurm_jobs.py").write_text(JOBS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def make(job: str, name: str = "run"):
        write_run(Run(verb="toy", job=f"slurm_jobs:{job}"), tmp_path / name)
        return tmp_path / name

    return make


def launch(folder, *, nodes=1, **options):
    events: list = []
    launcher = SlurmLauncher(SlurmOptions(port=free_port(), **options))
    return launcher.launch(folder, processes=1, nodes=nodes, environment={"SWIFT_CHECK": "se en"}, watch=events.append), events


def test_what_is_asked_of_slurm(run, tmp_path):
    options = SlurmOptions(
        partition="gpu", time="2-12:00:00", gpus=8, cpus=64, memory="200G", extra=["--exclusive"], setup=["module load cuda"]
    )
    text = script(tmp_path / "a run", options, processes=8, nodes=4, environment={"A": "it's"})
    (tmp_path / "job").write_text(text)
    subprocess.run(["bash", "-n", str(tmp_path / "job")], check=True)
    asked = [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH")]
    assert asked == [
        '--job-name="a run"', "--nodes=4", "--ntasks-per-node=1", f'--output="{tmp_path}/a run/slurm-%j.txt"', "--open-mode=append",
        "--signal=TERM@90", "--partition=gpu", "--time=2-12:00:00", "--mem=200G", "--gpus-per-node=8", "--cpus-per-task=64", "--exclusive",
    ]  # fmt: skip
    assert "module load cuda" in text
    assert "--processes=8" in text


@pytest.mark.slow
def test_two_nodes_through_the_scheduler(run, slurm):
    folder = run("ranks")
    code, events = launch(folder, nodes=2)
    assert code == 0, [path.read_text() for path in folder.glob("slurm-*.txt")]
    assert sorted(path.name for path in folder.glob("rank-*")) == ["rank-0-of-2", "rank-1-of-2"]
    assert (folder / "rank-1-of-2").read_text() == "se en"
    assert next(event for event in events if event["event"] == "result")["figures"] == {"answer": 42}


def test_a_script_alone(run):
    """Without Slurm, too."""
    folder = run("ranks")
    code, events = launch(folder, submit=False)
    assert code == 0
    assert f"sbatch {folder / 'job.sbatch'}" in events[0]["text"]
    assert events[-1]["status"] == "prepared"
    assert "--conclude" in (folder / "job.sbatch").read_text()


@pytest.mark.slow
def test_a_run_that_nobody_waits_for_records_its_own_end(run, slurm, tmp_path):
    expected = {"ranks": "done", "fail": "failed"}
    for job in expected:
        code, events = launch(run(job, job), follow=False)
        assert (code, events[-1]["status"]) == (0, "submitted")
    for job, status in expected.items():
        folder = tmp_path / job
        end = time.monotonic() + 300
        while not (folder / "report.html").exists() and time.monotonic() < end:
            time.sleep(0.1)
        result = json.loads((folder / "result.json").read_text())
        assert result["status"] == status
        assert result.get("error", "as it should").startswith("as it should")


def test_no_slurm_is_said_before_anything_is_loaded(slurm, monkeypatch):
    def said(**options):
        return [problem.message for problem in swift_check(Run(verb="toy", job="j:j", parts={"launcher": chosen(options)}))]

    def chosen(options):
        return registry().choose("launcher", "slurm", options)

    assert said() == []
    monkeypatch.setenv("PATH", "/nowhere")
    assert said() == ["sbatch is not installed on this machine"]
    assert said(submit=False) == []


def test_slurms_own_words_reach_the_user(run, slurm):
    (slurm / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: gpu' >&2\nexit 1\n")
    with pytest.raises(SwiftError, check=coded("NODE-027"), match="sbatch failed: sbatch: error: invalid partition specified: gpu"):
        launch(run("ranks"), partition="gpu")
