"""The parent and its workers: events, errors, stops, and every way that either of them dies. Real processes throughout."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from swift_core import SwiftError, UsageError
from swift_core.contract import Event, Server, note
from swift_core.contract.errors import Stopped
from swift_core.contract.run import Run
from swift_core.plugins.registered import registry
from swift_core.runs import WorkerCommand, parse_event, read_events, watch_processes
from swift_core.runs.execution import execute
from swift_core.runs.worker import translated
from swift_core.system import supervisor
from tests.waiting import HANG, wait_for

pytestmark = pytest.mark.slow

JOBS = """
import json, os, subprocess, sys, time
from pathlib import Path
from swift_core import SwiftError, UsageError
from swift_core.contract.errors import Stopped

def good(run, report):
    print("a library prints to stdout")
    report.progress("work", 1, 2)
    report.metric(1, loss=0.5)
    report.note("hello")
    (report.folder / "output").mkdir()
    return report.folder / "output", {"answer": 42}

def user_mistake(run, report):
    raise UsageError("the file is bad", where="rows.jsonl, row 7", hint="Mend it.")

def fault(run, report):
    raise ZeroDivisionError("a fault")

def killed(run, report):
    os.kill(os.getpid(), 9)

def long(run, report):
    assert not report.stop_requested  # it asks, so it is not interrupted
    (report.folder / f"started-{os.environ.get('RANK', '0')}").write_text(str(os.getpid()))
    report.progress("work", 0, None)
    while not report.stop_requested:
        time.sleep(0.05)
    (report.folder / "saved").touch()
    raise Stopped("stopped", hint="Go on with --resume.")

def deaf(run, report):
    assert not report.stop_requested  # one that has asked is not interrupted
    (report.folder / "started-0").write_text(str(os.getpid()))
    report.progress("work", 0, None)
    time.sleep(3600)

def deaf_with_little_grace(run, report):
    sys.modules["__main__"]._ORPHANED = 0.5
    deaf(run, report)

def one_rank_dies(run, report):
    if os.environ["RANK"] == "1":
        raise SwiftError("rank 1 has had enough")
    time.sleep(3600)

def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

def one_rank_is_killed(run, report):
    victim = report.folder / "victim"
    if os.environ["RANK"] == "1":
        victim.with_suffix(".new").write_text(str(os.getpid()))
        victim.with_suffix(".new").rename(victim)
        os.kill(os.getpid(), 9)
    while not victim.exists() or alive(victim.read_text()):
        time.sleep(0.05)
    raise RuntimeError("[../gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:4567")

def ranks(run, report):
    (report.folder / f"rank-{os.environ['RANK']}-of-{os.environ['WORLD_SIZE']}").touch()
    return None, {}

def threads(run, report):
    engine = "import json, os; print(json.dumps(dict(os.environ)))"  # what this one starts computes too
    seen = subprocess.run([sys.executable, "-c", engine], capture_output=True, check=True).stdout
    (report.folder / f"seen-{os.environ['RANK']}").write_bytes(seen)
    return None, {}
"""


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    (tmp_path / "toy_jobs.py").write_text(JOBS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return lambda name, **options: Run(verb="toy", job=f"toy_jobs:{name}", options=options)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def of_threads(variables) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name.startswith(("OMP_", "KMP_", "GOMP_"))}


def drop_time(event):
    assert event.pop("time") > 0
    return event


def test_what_a_library_prints_is_no_event():
    assert [parse_event(line) for line in (b"loading 10%\n", b"[1, 2]", '{"level": "info"}', b"\xff")] == [None] * 4
    assert parse_event(b'{"event": "note", "text": "up"}') == note("up")


def test_a_ready_event_becomes_a_server(tmp_path):
    event = {"event": "ready", "url": "http://127.0.0.1:1/v1", "models": ["base", "lora"], "api_key": "made", "metrics": ""}
    assert Server.from_event(event, tmp_path) == Server("http://127.0.0.1:1/v1", ("base", "lora"), "made", tmp_path)


def test_events_metrics_and_result(jobs, tmp_path):
    events = []
    result = execute(jobs("good"), tmp_path / "runs", watch=events.append)
    assert result.figures == {"answer": 42}
    assert result.output == result.folder / "output"
    assert [event["event"] for event in events] == ["progress", "metric", "note", "result"]
    shapes = {kind: shape for shape in get_args(Event) for kind in get_args(get_type_hints(shape)["event"])}
    assert all(set(event) == shapes[event["event"]].__required_keys__ for event in events)
    assert [event for event in events if event["event"] != "progress"] == [drop_time(event) for event in read_events(result.folder)]
    assert json.loads((result.folder / "metrics.jsonl").read_text()) == {"step": 1, "loss": 0.5}
    assert "a library prints to stdout" in (result.folder / "log.txt").read_text()
    assert json.loads((result.folder / "result.json").read_text())["status"] == "done"
    assert json.loads((result.folder / "run.json").read_text())["job"] == "toy_jobs:good"


@pytest.mark.parametrize(
    ("launcher", "said", "expected"),
    [
        ("local", {}, {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}),
        ("torchrun", {}, {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}),
        ("local", {"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ("local", {"GOMP_SPINCOUNT": "1000", "OMP_NUM_THREADS": "3"}, {"GOMP_SPINCOUNT": "1000", "OMP_NUM_THREADS": "3"}),
    ],
)
def test_threads_wait_asleep_unless_the_user_says_otherwise(jobs, monkeypatch, launcher, said, expected):
    for name in of_threads(os.environ):
        monkeypatch.delenv(name)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    run = replace(jobs("threads", processes=2), parts={"launcher": registry().choose("launcher", launcher)})
    folder = execute(run, Path(os.environ["PYTHONPATH"]) / "runs").folder
    share = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // 2)) if launcher == "local" else "1"}
    for rank in (0, 1):
        assert of_threads(json.loads((folder / f"seen-{rank}").read_text())) == share | expected


def test_a_users_mistake_comes_back_as_one(jobs, tmp_path):
    with pytest.raises(UsageError) as caught:
        execute(jobs("user_mistake"), tmp_path / "runs")
    assert str(caught.value) == "rows.jsonl, row 7: the file is bad\n  Mend it."
    assert caught.value.exit_code == 2


def test_a_fault_names_the_log(jobs, tmp_path):
    with pytest.raises(SwiftError, match="ZeroDivisionError: a fault") as caught:
        execute(jobs("fault"), tmp_path / "runs")
    assert caught.value.exit_code == 1
    (folder,) = (tmp_path / "runs").iterdir()
    assert "Traceback" in (folder / "log.txt").read_text()
    assert json.loads((folder / "result.json").read_text())["status"] == "failed"


def test_a_killed_worker_is_reported(jobs, tmp_path):
    with pytest.raises(SwiftError, match="code 137"):
        execute(jobs("killed"), tmp_path / "runs")


def test_the_ranks_of_a_local_run(jobs, tmp_path):
    result = execute(jobs("ranks", processes=3), tmp_path / "runs")
    assert sorted(path.name for path in result.folder.glob("rank-*")) == [f"rank-{rank}-of-3" for rank in range(3)]


def test_when_one_rank_dies_the_others_do_not_stay(jobs, tmp_path):
    begin = time.monotonic()
    with pytest.raises(SwiftError, match="rank 1 has had enough"):
        execute(jobs("one_rank_dies", processes=2), tmp_path / "runs")
    assert time.monotonic() - begin < 1800, "the other sleeps for an hour"


def test_a_rank_that_is_killed_is_named_and_not_the_ones_that_miss_it(jobs, tmp_path):
    with pytest.raises(SwiftError, match=r"process 1 of the run's 2 ended with code 137 \(killed: often a sign that memory ran out\)"):
        execute(jobs("one_rank_is_killed", processes=2), tmp_path / "runs")


PARENT = """
import sys
from pathlib import Path
from swift_core.runs import WorkerCommand, parse_event, read_events, watch_processes
from swift_core.runs.execution import execute
from swift_core.runs.worker import translated
from swift_core.plugins.registered import registry
from swift_core.contract.run import Run
execute(Run(verb="toy", job=sys.argv[1]), Path("runs"))
"""


@pytest.fixture
def parent(jobs, tmp_path):
    started = []

    def start(job: str) -> tuple[subprocess.Popen, Path, int]:
        process = subprocess.Popen([sys.executable, "-c", PARENT, f"toy_jobs:{job}"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        started.append(process)
        pid = wait_for(lambda: next((path for path in tmp_path.glob("runs/*/started-0") if path.read_text()), None))
        return process, pid.parent, int(pid.read_text())

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_ctrl_c_once_saves_and_ends(parent):
    process, folder, worker = parent("long")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=HANG)
    assert "Stopped: stopped" in errors
    assert (folder / "saved").exists()
    assert json.loads((folder / "result.json").read_text())["status"] == "stopped"
    assert not alive(worker)


def test_sigterm_to_a_worker_saves_and_ends(parent):
    """As a cluster does that takes the machine back: it signals every process."""
    process, folder, worker = parent("long")
    os.kill(worker, signal.SIGTERM)
    _, errors = process.communicate(timeout=HANG)
    assert "Stopped: stopped" in errors
    assert (folder / "saved").exists()


def test_ctrl_c_twice_ends_at_once(parent):
    process, folder, worker = parent("deaf")
    process.send_signal(signal.SIGINT)
    wait_for((folder / "stop").exists)  # else two signals might be taken as one
    assert alive(worker)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=HANG)
    assert not alive(worker)


def test_a_worker_outlives_no_killed_parent(parent):
    process, folder, worker = parent("long")
    process.kill()
    process.communicate()
    wait_for(lambda: not alive(worker))
    assert (folder / "saved").exists()


def test_a_worker_that_hears_nothing_outlives_no_killed_parent_for_long(parent):
    process, _, worker = parent("deaf_with_little_grace")
    process.kill()
    process.communicate()
    wait_for(lambda: not alive(worker))


def test_a_stop_file_is_heard(jobs, tmp_path):
    thread_error = []

    def work():
        try:
            execute(jobs("long"), tmp_path / "runs")
        except Stopped as error:
            thread_error.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    started = wait_for(lambda: next(iter((tmp_path / "runs").glob("*/started-0")), None))
    (started.parent / "stop").touch()
    thread.join(HANG)
    assert str(thread_error[0]).endswith("Go on with --resume.")


def test_the_tether_ends_the_whole_group_when_it_is_cut(tmp_path):
    script = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
time.sleep(3600)
"""
    process = subprocess.Popen(supervisor.argv([sys.executable, "-c", script], grace=2), stdin=subprocess.PIPE)
    grandchild = int(wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    assert alive(grandchild)
    process.stdin.close()
    assert process.wait(HANG) != 0
    wait_for(lambda: not alive(grandchild))


def test_the_tether_passes_the_exit_code_on():
    for code in (0, 3):
        process = subprocess.Popen(supervisor.argv([sys.executable, "-c", f"raise SystemExit({code})"]), stdin=subprocess.PIPE)
        assert process.wait(HANG) == code
        process.stdin.close()


def test_observers_hear_of_the_run(jobs, tmp_path, monkeypatch):
    from swift_core import hookimpl
    from swift_core.plugins import loader as loading, registered as registries

    heard = []

    class Observer:
        @hookimpl
        def swift_run_started(self, run, folder):
            heard.append(("started", run.verb))

        @hookimpl
        def swift_metrics(self, metrics):
            heard.append(("metrics", metrics))

        @hookimpl
        def swift_run_finished(self, result):
            heard.append(("finished", result["status"]))

    loaded = loading.Plugins()
    loaded.load_installed()
    loaded.register(Observer(), "observer")
    monkeypatch.setattr("swift_core.runs.execution.registry", lambda: registries.Registry(loaded))
    execute(jobs("good"), tmp_path / "runs")
    assert heard == [("started", "toy"), ("metrics", {"step": 1, "loss": 0.5}), ("finished", "done")]


def test_environment_is_left_as_it_was(jobs, tmp_path):
    before = dict(os.environ)
    execute(jobs("good"), tmp_path / "runs")
    assert dict(os.environ) == before


WRAPPED = """
import json, signal, sys, time
from pathlib import Path
def on_term(*_):
    Path(sys.argv[1]).touch()
    sys.exit(1)
signal.signal(signal.SIGTERM, on_term)
for _ in range(2):
    print(json.dumps({"event": "note", "text": "up"}), flush=True)
sys.stdin.read() if sys.argv[2] == "pipe" else time.sleep(3600)
sys.exit(7)
"""


def interrupt(times):
    """Return a watch function that is interrupted, as by Ctrl-C, at the first events of the command."""
    left = [None] * times

    def watch(event):
        if event["text"] == "up" and left:
            left.pop()
            raise KeyboardInterrupt

    return watch


def test_a_command_says_itself_whether_it_stops_when_its_stdin_closes(tmp_path):
    argv = ["env", "WRAPPED=1", sys.executable, "-c", WRAPPED, str(tmp_path / "ended"), "pipe"]
    assert watch_processes([WorkerCommand(argv=argv, control_pipe=True)], tmp_path, interrupt(1)) == 7


@pytest.mark.parametrize(("grace", "reported"), [(10.0, True), (0.0, False)])
def test_a_command_says_itself_how_it_is_ended(tmp_path, grace, reported):
    argv = ["env", "WRAPPED=1", sys.executable, "-c", WRAPPED, str(tmp_path / "ended"), "sleep"]
    assert watch_processes([WorkerCommand(argv=argv, grace=grace)], tmp_path, interrupt(2)) == 130
    assert (tmp_path / "ended").exists() is reported


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "out of memory"),
        (RuntimeError("pair.cc:553] Connection reset by peer"), "the connection to another process of the run broke"),
        (type("OutOfMemoryError", (RuntimeError,), {})("of another library"), "OutOfMemoryError: of another library"),
    ],
)
def test_errors_of_libraries_are_recognised(tmp_path, error, message):
    assert translated(error, tmp_path).message == message


def test_memory_that_runs_out_on_an_accelerator_is_recognised_by_the_type(tmp_path):
    torch = pytest.importorskip("torch")
    assert translated(torch.OutOfMemoryError("CUDA out of memory"), tmp_path).message == "out of memory"
