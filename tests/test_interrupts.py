"""Ctrl-C and SIGTERM at any moment: exit code 130, one line, nothing half-written, no process left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swift_core.contract.errors import Stopped
from swift_core.contract.run import Run
from swift_core.runs.execution import execute
from swift_core.system import interrupts
from tests.waiting import HANG, wait_for

ROWS = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}] * 8


@pytest.fixture
def project(swift, tmp_path, tiny_model):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "model").symlink_to(tiny_model)
    return swift


def ended(process: subprocess.Popen) -> None:
    out, err = process.communicate(timeout=HANG)
    assert process.returncode == 130, (process.returncode, out, err)
    assert "Traceback" not in err, err
    said = [line for line in err.splitlines() if line and not line.startswith("note: ")]
    assert said == ["stopped"], err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.1, ["sft", "--model", "model", "--dataset", "rows.jsonl", "--max-steps", "1"]),
        (0.15, ["merge", "--help"]),
        (0.2, ["plugins"]),
        (0.25, ["sft", "--model", "model", "--dataset", "rows.jsonl", "--max-steps", "1"]),
        (0.3, ["data", "check", "rows.jsonl"]),
        (0.35, ["quantize", "model", "--quantizer", "bnb"]),
    ],
)
def test_in_the_first_tenths_of_a_second(project, tmp_path, number, seconds, words):
    """Whatever it is importing then. A command that is faster than the signal has done what it was asked.

    On a busy machine the interpreter itself may take longer to start: no code of ours can answer then, and the signal comes later.
    """
    for delay in (seconds, 2 * seconds, 5 * seconds):
        process = project.popen(*words, "--json") if words[0] != "plugins" and "--help" not in words else project.popen(*words)
        time.sleep(delay)
        process.send_signal(number)
        out, err = process.communicate(timeout=HANG)
        if process.returncode != -number or err or out:
            break
    assert "Traceback" not in err, err
    assert process.returncode in ((130, 0) if out else (130,)), (process.returncode, err)
    if process.returncode == 130:
        assert [line for line in err.splitlines() if not line.startswith("note: ")] == ["stopped"]


@pytest.mark.parametrize("module", ["swift_core.start", "swift_core.cli"])
def test_before_the_command_line_is_there(tmp_path, module):
    """The first module that it imports waits for the signal."""
    (tmp_path / "click.py").write_text("import pathlib, time\npathlib.Path('waiting').touch()\ntime.sleep(60)\n")
    command = ["-c", "from swift_core.start import main; main()"] if module.endswith("start") else ["-m", module]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parent.parent)])}
    process = subprocess.Popen([sys.executable, *command, "plugins"], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
    wait_for((tmp_path / "waiting").exists)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=HANG)
    assert (process.returncode, err) == (130, "stopped\n")


SLOW = """
import pathlib, time
from swift_core import hookimpl
from swift_core.contract.specs import QuantizerSpec, Ref

@hookimpl
def swift_quantizers():
    {import_}
    return [QuantizerSpec(name="slow", summary="Slow.", factory=Ref("slow_options:Slow"), options=Ref("slow_options:Options"), when="load",
                          format="slow", bits=(4,))]
"""
WAIT = "import pathlib, time; pathlib.Path('waiting').touch(); time.sleep(60)"
CAUGHT = f"""
try:
    {WAIT}
except BaseException as error:
    raise ImportError("what a library makes of it") from error
"""


@pytest.mark.parametrize("where", ["a plugin's import", "a plugin's hook", "its options", "options that make another error of it"])
def test_while_plugins_and_options_are_loaded(project, tmp_path, distribution, where):
    distribution(
        "swift-plugin-slow", ("" if where != "a plugin's import" else WAIT + "\n") + SLOW.format(import_=WAIT if "hook" in where else "")
    )
    (tmp_path / "site/slow_options.py").write_text({"its options": WAIT, "a plugin's import": ""}.get(where, CAUGHT))
    process = project.popen("quantize", "model", "--quantizer", "slow")
    wait_for((tmp_path / "waiting").exists)
    process.send_signal(signal.SIGINT)
    ended(process)
    assert not (tmp_path / "runs").exists()


JOBS = """
import os, sys, time
from pathlib import Path
from swift_core.system.paths import atomic_folder

def merges(run, report):
    "Never asks whether it should stop, as most jobs."
    with atomic_folder(Path(run.options["output"])) as folder:
        (folder / "half").write_text("half")
        (report.folder / "started").write_text(str(os.getpid()))
        time.sleep(3600)

def in_native_code(run, report):
    sys.modules["__main__"]._UNHEARD = 0.2
    (report.folder / "started").write_text(str(os.getpid()))
    while True:
        try:
            time.sleep(3600)
        except BaseException:
            pass
"""


@pytest.fixture
def started(tmp_path, monkeypatch):
    (tmp_path / "toy_jobs.py").write_text(JOBS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    script = """
import sys
from pathlib import Path
from swift_core import cli
import swift_core.cli.group
from swift_core.system import interrupts
from swift_core.runs.execution import execute
from swift_core.contract.run import Run
cli.group._invoked = lambda _: execute(Run(verb="toy", job=f"toy_jobs:{sys.argv[1]}", options={"output": "out"}), Path("runs"))
cli.main([])
"""
    processes = []

    def start(job: str) -> tuple[subprocess.Popen, Path, int]:
        process = subprocess.Popen(
            [sys.executable, "-c", script, job], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        processes.append(process)
        file = wait_for(lambda: next((path for path in tmp_path.glob("runs/*/started") if path.read_text()), None))
        return process, file.parent, int(file.read_text())

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_job_that_never_asks_is_interrupted_and_leaves_nothing(started, tmp_path, number):
    process, folder, worker = started("merges")
    process.send_signal(number)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not Path(f"/proc/{worker}").exists()
    assert not [path.name for path in tmp_path.iterdir() if "out" in path.name]
    assert json.loads((folder / "result.json").read_text())["status"] == "stopped"


def test_a_job_that_hears_nothing_is_ended(started):
    process, _, worker = started("in_native_code")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 130, err
    assert not Path(f"/proc/{worker}").exists()


def test_twice_is_a_stop_and_no_lack_of_memory(started):
    process, folder, worker = started("in_native_code")
    process.send_signal(signal.SIGINT)
    wait_for((folder / "stop").exists)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 130, err
    assert "memory" not in err
    assert not Path(f"/proc/{worker}").exists()


def test_a_stop_before_the_worker_speaks(tmp_path, monkeypatch):
    """An interrupt that nobody handles in between is a stop all the same: result and report say so."""

    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("swift_core.runs.execution._launch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        execute(Run(verb="toy", job="x:y"), tmp_path)
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "result.json").read_text())["status"] == "stopped"


def test_a_signal_that_was_dealt_with_hides_no_error():
    interrupts._seen = True
    interrupts.forget()
    assert not interrupts.seen()
    assert Stopped.exit_code == interrupts.CODE
