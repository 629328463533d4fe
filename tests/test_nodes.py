"""Several machines: nodes as processes with an address each on loopback, or in network namespaces of their own; real sockets throughout."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from swift_data.choices import choose_dataset
from swift_nodes.facts import differences, fingerprint
from swift_nodes.follow_job import follow
from swift_nodes.hosts import Host, read_hostfile
from swift_nodes.preflight import RECORD, Meeting, preflight
from swift_testing.codes import coded

from swift_core import SwiftError, UsageError
from swift_core.contract.run import Choice, Run, Source
from swift_core.plugins.registered import registry
from swift_core.runs.execution import execute
from swift_core.runs.local_launcher import free_port
from swift_core.system.run_folder import write_run
from tests.waiting import HANG, wait_for

JOBS = """
import os, time
from swift_core.contract.errors import PeerFailed, Stopped

def ranks(run, report):
    (report.folder / f"rank-{os.environ['RANK']}-of-{os.environ['WORLD_SIZE']}").write_text(os.environ.get("SWIFT_LOAD_PLUGINS", "none"))
    report.note(f"this is rank {os.environ['RANK']}")
    return report.folder / "output", {"answer": 42}

def long(run, report):
    (report.folder / f"started-{os.environ['RANK']}-of-{os.environ['WORLD_SIZE']}").touch()
    while not report.stop_requested:
        time.sleep(0.05)
        if (report.folder / "lost").exists() and os.environ["WORLD_SIZE"] == "2":
            raise PeerFailed("the connection to another process of the run broke")
    raise Stopped("stopped", hint="Go on with --resume.")
"""


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    (tmp_path / "node_jobs.py").write_text(JOBS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def a_run(job: str = "ranks", *, nodes: int = 2, options: dict | None = None, **launcher) -> Run:
    launcher = {"wait": HANG, **launcher}
    torchrun = Choice(
        kind="launcher", name="torchrun", plugin="swift-core", distribution="swift-core", version="0", options=launcher,
        factory="swift_nodes.torchrun:TorchrunLauncher", options_class="swift_nodes.options:TorchrunOptions",
    )  # fmt: skip
    return Run(
        verb="toy", job=f"node_jobs:{job}", options={"nodes": nodes, "processes": 1, **(options or {})}, parts={"launcher": torchrun}
    )


def outcome(run: Run, runs: Path, events: list | None = None):
    try:
        return execute(run, runs, watch=(events if events is not None else []).append)
    except SwiftError as error:
        return error


def on_two(job: str, folder: Path, pool: ThreadPoolExecutor) -> list[Future]:
    """The same command on two machines: node 0 on 127.0.0.1, node 1 on 127.0.0.2, each with run folders of its own."""
    port = free_port()
    return [
        pool.submit(outcome, a_run(job, master_port=port, node_rank=number, local_addr=f"127.0.0.{number + 1}"), folder / f"runs-{number}")
        for number in range(2)
    ]


# -- the same command on each machine --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_nodes_are_one_run(jobs, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        first, second = (node.result() for node in on_two("ranks", tmp_path, pool))
    assert not isinstance(first, SwiftError), first
    assert not isinstance(second, SwiftError), second
    assert sorted(path.name for path in first.folder.glob("rank-*")) == ["rank-0-of-2", "rank-1-of-2"]
    assert not list(second.folder.glob("rank-*"))  # all nodes write into the run folder of node 0
    assert first.figures == second.figures == {"answer": 42}
    assert "node 1 of the run in" in (second.folder / "events.jsonl").read_text()


@pytest.mark.slow
def test_a_stop_on_any_node_stops_the_run(jobs, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        nodes = on_two("long", tmp_path, pool)
        wait_for(lambda: len(list(tmp_path.glob("runs-0/*/started-*"))) == 2)
        (own,) = (tmp_path / "runs-1").iterdir()
        (own / "stop").touch()
        assert ["stopped" in str(node.result(HANG)) for node in nodes] == [True, True]


def test_numbers_that_can_not_be_are_refused_before_anything_is_loaded(tiny_model, swift_project):
    swift_project.write({"rows.jsonl": [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]})
    swift_project.write({"hosts": "alpha slots=4\nbeta slots=4\n"})
    common = ["sft", "--model", str(tiny_model), "--dataset", "rows.jsonl", "--device", "cpu", "--dry-run"]
    for words, said in {
        ("--nodes", "2"): "[SWIFT-RUN-002]",
        ("--nodes", "2", "--launcher", "torchrun", "--launcher.node-rank", "2"): "rank 2 is too large for 2 nodes",
        ("--nodes", "2", "--launcher", "torchrun", "--launcher.min-nodes", "3"): "the minimum of 3 nodes exceeds",
        ("--num_nodes", "3", "--hostfile", "hosts"): "3 nodes are requested, but the hostfile has 2",
        ("--num_gpus", "2", "--hostfile", "absent"): "the hostfile can't be read: No such file",
    }.items():
        swift_project.run(*common, *words).assert_failure(said)
    run = swift_project.run(*common, "--num_gpus", "2", "--hostfile", "hosts").json()
    assert run["options"]["processes"] == 2
    assert run["parts"]["launcher"]["name"] == "torchrun"


@pytest.mark.slow
def test_a_scheduler_that_takes_the_machine_back(jobs, tmp_path):
    """SIGTERM stops in good order: no worker is started again, and the node records it, since nobody waits for it."""
    folder = tmp_path / "run"
    write_run(a_run("long"), folder)
    node = subprocess.Popen([sys.executable, "-m", "swift_nodes", str(folder), "--conclude", "--restarts=2"])
    try:
        wait_for((folder / "started-0-of-1").exists)
        node.send_signal(signal.SIGTERM)
        assert node.wait(HANG) == 0
    finally:
        node.kill()
    assert json.loads((folder / "result.json").read_text())["status"] == "stopped"
    assert (folder / "events.jsonl").read_text().count("Stopped") == 1


# -- somebody else's job ---------------------------------------------------------------------------------------------------


def test_a_job_is_followed_and_stopped(tmp_path, monkeypatch):
    """Ctrl-C once leaves the stop file, twice cancels; events are passed on when their lines are whole."""
    monkeypatch.setattr("swift_nodes.follow_job._PATIENCE", 0.01)
    events: list = []
    cancelled: list = []

    def job():
        yield None
        (tmp_path / "events.jsonl").write_text('{"event": "note", "text": "one"}\n{"event": "no')
        yield None
        assert [event["text"] for event in events] == ["one"]
        yield KeyboardInterrupt
        assert (tmp_path / "stop").exists()
        assert not cancelled
        with (tmp_path / "events.jsonl").open("a") as file:
            file.write('te", "text": "two"}\n')
        yield KeyboardInterrupt
        assert cancelled
        yield 3

    steps = job()

    def poll():
        step = next(steps)
        if step is KeyboardInterrupt:
            raise step
        return step

    assert follow(tmp_path, events.append, poll, lambda: cancelled.append(True)) == 130
    assert [event["text"] for event in events if "Ctrl-C" not in event["text"]] == ["one", "The job is being cancelled.", "two"]
    assert not (tmp_path / "stop").exists()


# -- a hostfile ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_hostfile_starts_every_host(jobs, tmp_path):
    shell = tmp_path / "shell"
    shell.write_text('#!/bin/sh\necho "$1" >> hosts-asked\nshift\nexec env -u SWIFT_LOAD_PLUGINS sh -c "$*"\n')
    shell.chmod(0o755)
    (tmp_path / "hosts").write_text("127.0.0.1 slots=2  # the first\n\n127.0.0.2 slots=1\n")
    run = a_run(nodes=1, hostfile="hosts", remote_shell=str(shell), master_port=free_port())
    result = outcome(run, tmp_path / "runs")
    assert not isinstance(result, SwiftError), result
    assert sorted(path.name for path in result.folder.glob("rank-*")) == [f"rank-{rank}-of-3" for rank in range(3)]
    assert {path.read_text() for path in result.folder.glob("rank-*")} == {"formats,openvino,swift-core"}  # the environment went along
    assert (tmp_path / "hosts-asked").read_text() == "127.0.0.2\n"


@pytest.mark.slow
def test_a_host_that_can_not_be_reached_is_named(jobs, tmp_path):
    shell = tmp_path / "shell"
    shell.write_text('#!/bin/sh\necho "ssh: connect to host $1 port 22: Connection refused" >&2\nexit 255\n')
    shell.chmod(0o755)
    (tmp_path / "hosts").write_text("127.0.0.1\nbeta\n")
    begin = time.monotonic()
    error = outcome(a_run(nodes=1, hostfile="hosts", remote_shell=str(shell), master_port=free_port()), tmp_path / "runs")
    assert "connect to host beta" in str(error)
    assert time.monotonic() - begin < HANG


def test_a_hostfile_is_read_with_its_faults(tmp_path):
    path = tmp_path / "hosts"
    path.write_text("alpha slots=4\nbeta\n# gamma\n")
    assert read_hostfile(path) == [Host("alpha", 4), Host("beta", 0)]
    for text, words in {
        "alpha slots=4\nalpha\n": ":2: duplicate host 'alpha'",
        "alpha slots=x\n": ":1: 'alpha slots=x' is not a host",
        "# none\n": "the hostfile has no hosts",
    }.items():
        path.write_text(text)
        with pytest.raises(UsageError, match=words):
            read_hostfile(path)
    with pytest.raises(UsageError, check=coded("NODE-001")):
        read_hostfile(tmp_path / "absent")


# -- the preflight ---------------------------------------------------------------------------------------------------------


def meet(folders: list[Path], *, numbers: Sequence[int] = (0, 1, 2)) -> list[Path | SwiftError]:
    port = free_port()

    def node(number: int, folder: Path) -> Path | SwiftError:
        try:
            return preflight(folder, Meeting("127.0.0.1", port, number, len(folders), HANG))
        except SwiftError as error:
            return error

    with ThreadPoolExecutor(len(folders)) as pool:
        return list(pool.map(node, numbers, folders))


def nodes_with(tmp_path, *runs: Run) -> list[Path]:
    folders = [tmp_path / f"node-{number}" for number in range(len(runs))]
    for run, folder in zip(runs, folders, strict=True):
        write_run(run, folder)
    return folders


def test_nodes_that_are_alike_take_the_folder_of_node_0(tmp_path):
    folders = nodes_with(tmp_path, a_run(), a_run(), a_run())
    assert meet(folders) == [folders[0]] * 3
    assert (folders[0] / RECORD).is_file()


def test_other_settings_are_named_on_every_node(tmp_path):
    folders = nodes_with(tmp_path, a_run(), a_run(options={"dtype": "bfloat16"}), a_run())
    begin = time.monotonic()
    for error in meet(folders):
        assert isinstance(error, UsageError)
        assert f'node 1 ({socket.gethostname()}): the option dtype is "bfloat16", but absent on node 0' in str(error)
        assert "node 2" not in str(error)
    assert time.monotonic() - begin < HANG
    assert not (folders[0] / RECORD).exists()


def test_another_model_is_named(tmp_path):
    runs = []
    for number in range(2):
        model = tmp_path / f"model-{number}"
        model.mkdir()
        (model / "config.json").write_text('{"a": 1}')
        (model / "model.safetensors").write_bytes(bytes([number]) * 10)
        runs.append(a_run())
        source = Source(reference="hf:org/moon", path=str(model), hash="x", format="safetensors", family="llama")
        runs[-1] = Run(verb="toy", job="j:j", model=source)
    first, second = meet(nodes_with(tmp_path, *runs))
    assert "the model hf:org/moon is" in str(first)
    assert str(first) == str(second)
    assert first.code == "NODE-005"


def test_other_rows_are_named(tmp_path):
    runs = []
    for number in range(2):
        path = tmp_path / f"rows-{number}" / "rows.jsonl"
        path.parent.mkdir()
        path.write_text(json.dumps({"messages": [{"role": "user", "content": str(number)}]}) + "\n")
        choice = replace(choose_dataset(registry(), str(path), {}, "dataset"), asked="rows.jsonl")
        runs.append(Run(verb="toy", job="j:j", datasets=(choice,)))
    alike = nodes_with(tmp_path, runs[0], runs[0])
    assert meet(alike) == [alike[0]] * 2
    for error in meet(nodes_with(tmp_path / "other", *runs)):
        assert "the dataset rows.jsonl is" in str(error)


def test_other_versions_and_plugins_are_named():
    ours = {"torch": "2.13.0", "the plugin swift-plugin-peft": "0.1.0"}
    assert differences(ours, {"torch": "2.12.0"}, we="node 0", they="node 3 (beta)") == [
        "node 3 (beta): the plugin swift-plugin-peft is absent, but 0.1.0 on node 0",
        "node 3 (beta): torch is 2.12.0, but 2.13.0 on node 0",
    ]


def test_both_ends_of_a_big_file_count(tmp_path):
    path = tmp_path / "big"
    seen = set()
    for where in (None, 0, (3 << 20) - 1):
        content = bytearray(3 << 20)
        if where is not None:
            content[where] = 1
        path.write_bytes(content)
        seen.add(fingerprint(path))
    assert len(seen) == 3
    assert fingerprint(tmp_path / "none") == "absent"


def test_a_node_that_does_not_come_is_named(tmp_path):
    (folder,) = nodes_with(tmp_path, a_run())
    with pytest.raises(SwiftError, check=coded("NODE-006"), match=r"node 1, 2 of 3 did not connect to 127.0.0.1:\d+ in time"):
        preflight(folder, Meeting("127.0.0.1", free_port(), 0, 3, 0.5))


def test_node_0_that_is_not_there_is_named(tmp_path):
    (folder,) = nodes_with(tmp_path, a_run())
    with pytest.raises(SwiftError, check=coded("NODE-008"), match=r"node 1 can't reach node 0 at 127.0.0.1:\d+: .*refused"):
        preflight(folder, Meeting("127.0.0.1", free_port(), 1, 2, 0.5))


@pytest.mark.slow
def test_a_number_twice_is_named(tmp_path):
    folders = nodes_with(tmp_path, a_run(), a_run(), a_run())
    for error in meet(folders, numbers=(0, 1, 1)):
        assert "has a rank that is taken" in str(error)


def test_a_taken_port_is_named(tmp_path):
    (folder,) = nodes_with(tmp_path, a_run())
    with socket.create_server(("", 0)) as other, pytest.raises(UsageError, check=coded("NODE-007")):
        preflight(folder, Meeting("127.0.0.1", other.getsockname()[1], 0, 2, 1))


def test_a_stranger_at_the_port_disturbs_nobody(tmp_path):
    folders = nodes_with(tmp_path, a_run(), a_run())
    port = free_port()
    with ThreadPoolExecutor(2) as pool:
        lead = pool.submit(preflight, folders[0], Meeting("127.0.0.1", port, 0, 2, HANG))
        with wait_for(lambda: connected(port)) as stranger:
            stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert pool.submit(preflight, folders[1], Meeting("127.0.0.1", port, 1, 2, HANG)).result() == folders[0]
        assert lead.result() == folders[0]


def connected(port: int) -> socket.socket | None:
    try:
        return socket.create_connection(("127.0.0.1", port))
    except OSError:
        return None


def test_a_node_that_comes_later_is_compared_with_what_node_0_had(tmp_path):
    folders = nodes_with(tmp_path, a_run(), a_run())
    assert meet(folders) == [folders[0]] * 2
    with socket.create_server(("127.0.0.1", 0)) as other:  # where torch's store is by now, which hangs up on us

        def hang_up():
            for _ in range(2):
                other.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        late = Meeting("127.0.0.1", other.getsockname()[1], 1, 2, 5)
        assert preflight(folders[0], late) == folders[0]
        with pytest.raises(SwiftError, check=coded("NODE-009"), match="node 0"):
            preflight(folders[1], late)


# -- machines of their own: what is not shared, and other addresses --------------------------------------------------------


def may(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not may("unshare", "-m", "true"), reason="no mount namespaces here")
def test_a_folder_that_is_not_shared_is_named(jobs, tmp_path):
    """Node 1 has another disk mounted where node 0 has its run folder."""
    write_run(a_run(), tmp_path / "disk" / "run")
    folder, port = str(tmp_path / "disk" / "run"), free_port()
    words = [sys.executable, "-m", "swift_nodes", folder, "--nodes=2", f"--port={port}", f"--wait={HANG}"]
    elsewhere = f'mount -t tmpfs none {tmp_path / "disk"} && exec "$@"'
    begin = time.monotonic()
    nodes = [
        subprocess.Popen([*words, "--node=0"], stderr=subprocess.PIPE, text=True),
        subprocess.Popen(["unshare", "-m", "sh", "-c", elsewhere, "sh", *words, "--node=1"], stderr=subprocess.PIPE, text=True),
    ]
    for node in nodes:
        text = node.communicate(timeout=HANG)[1]
        assert node.returncode == 2, text
        assert f"node 1 ({socket.gethostname()}): the run folder is absent, but present on node 0" in text
    assert time.monotonic() - begin < HANG
    events = [json.loads(line) for line in (tmp_path / "disk" / "run" / "events.jsonl").read_text().splitlines()]
    assert events[-1]["event"] == "error"


@pytest.fixture
def machines():
    """Two network namespaces with a cable between them, 10.77.0.1 and 10.77.0.2; None where the system does not let us."""
    names = [f"swift-{os.getpid()}-{number}" for number in range(2)]
    cable = [f"sw{os.getpid() % 100000}{letter}" for letter in "ab"]
    if not may("ip", "netns", "add", names[0]):
        pytest.skip("no network namespaces here")
    try:
        commands = [f"netns add {names[1]}", f"link add {cable[0]} netns {names[0]} type veth peer name {cable[1]} netns {names[1]}"]
        for number in range(2):
            inside = f"-n {names[number]}"
            commands += [f"{inside} addr add 10.77.0.{number + 1}/24 dev {cable[number]}"]
            commands += [f"{inside} link set {name} up" for name in (cable[number], "lo")]
        for command in commands:
            subprocess.run(["ip", *command.split()], check=True)
        yield [(["ip", "netns", "exec", name], link) for name, link in zip(names, cable, strict=True)]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.mark.full("nodes")
def test_two_machines_learn_what_two_processes_do(machines, tmp_path):
    """DDP over a cable: `swift sft` on each machine, against two processes on one."""
    from swift_testing.rig import write_tiny_model

    write_tiny_model(tmp_path / "model")
    rows = [{"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": f"{n}!"}]} for n in range(16)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    common = ["sft", "--model", "model", "--dataset", "rows.jsonl", "--max-steps", "4", "--json", "--tuner.dropout", "0"]
    swift = [sys.executable, "-m", "swift_core.cli", *common]
    alone = subprocess.run([*swift, "--processes", "2"], cwd=tmp_path, capture_output=True, text=True, check=True)
    nodes = []
    for number, (inside, link) in enumerate(machines):
        words = ["--nodes", "2", "--launcher", "torchrun", "--launcher.node-rank", str(number), "--launcher.master-addr", "10.77.0.1"]
        words += ["--launcher.local-addr", f"10.77.0.{number + 1}"]
        env = {**os.environ, "GLOO_SOCKET_IFNAME": link}
        nodes.append(
            subprocess.Popen([*inside, *swift, *words], cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    said = [node.communicate(timeout=300) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    losses = [losses_of(json.loads(text)["folder"], tmp_path) for text in (alone.stdout, said[0][0])]
    assert losses[0].keys() == losses[1].keys()
    assert max(abs(losses[0][step] - losses[1][step]) for step in losses[0]) < 1e-5
    assert json.loads(said[1][0])["figures"]["steps"] == 4


def losses_of(folder: str, base: Path) -> dict[int, float]:
    lines = map(json.loads, (base / folder / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def family(pid: int) -> list[int]:
    """The process and all that it has started, in whatever sessions."""
    lines = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.splitlines()
    parents = {int(child): int(parent) for child, parent in map(str.split, lines)}
    found = [pid]
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return found


@pytest.mark.full("nodes")
def test_a_lost_node_is_done_without(jobs, tmp_path):
    """With one node enough and a restart left, node 0 goes on alone when node 1 is killed."""
    folder = tmp_path / "run"
    write_run(a_run("long"), folder)
    words = [sys.executable, "-m", "swift_nodes", str(folder), "--nodes=2", "--fewest=1", f"--port={free_port()}", "--restarts=3"]
    nodes = [subprocess.Popen([*words, f"--node={number}", f"--local-addr=127.0.0.{number + 1}"]) for number in range(2)]
    try:
        wait_for(lambda: (folder / "started-1-of-2").exists() and (folder / "started-0-of-2").exists(), 60)
        for pid in family(nodes[1].pid):
            os.kill(pid, signal.SIGKILL)
        (folder / "lost").touch()
        wait_for((folder / "started-0-of-1").exists, 120)
        (folder / "stop").touch()
        assert nodes[0].wait(60) == 0  # and no worker that was stopped is started again
    finally:
        for node in nodes:
            node.kill()
            node.wait()
