"""`--output`: held from the start for one run, on a disk with room, and never half-written or written over."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys

import pytest
from swift_convert import disk_space
from swift_testing.codes import coded

from swift_core.contract.errors import DiskFull, NotWritable, SwiftError, UsageError
from swift_core.contract.run import Run
from swift_core.runs import reservation
from swift_core.runs.context import Context, carry_out
from swift_core.runs.worker import translated
from swift_core.system import paths

JOBS = """
def good(run, report):
    from swift_core.system.paths import atomic_folder
    with atomic_folder(report.folder.parent.parent / run.options["output"]) as folder:
        (folder / "file").write_text("made")
    return None, {}
"""


@pytest.fixture
def project(swift, tmp_path, tiny_model):
    rows = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows * 4))
    (tmp_path / "model").symlink_to(tiny_model)
    return swift


SFT = ["sft", "--model", "model", "--dataset", "rows.jsonl", "--max-steps", "1"]


@pytest.mark.parametrize(
    "words",
    [SFT, ["export", "model", "--to", "gguf"], ["quantize", "model", "--quantizer", "bnb"], ["ask", "model", "--questions", "Hi"]],
    ids=["sft", "export", "quantize", "ask"],
)
def test_a_second_run_into_one_output_names_its_owner(project, tmp_path, words):
    with reservation.held(tmp_path / "out") as tell:
        tell(tmp_path / "runs/the-first")
        outcome = project(*words, "--output", "out")
    assert outcome.code == 2
    assert f"'out' is being written by the run {tmp_path / 'runs/the-first'} (process {os.getpid()} on " in outcome.err
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / ".out.lock").exists()


def test_the_output_is_held_while_a_run_works(tmp_path, monkeypatch):
    (tmp_path / "toy_jobs.py").write_text(JOBS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = Run(verb="toy", job="toy_jobs:good", options={"output": str(tmp_path / "out"), "overwrite": False})
    seen = []

    def watch(event):
        with pytest.raises(UsageError, check=coded("RUN-020"), match=r"is being written by the run .*-toy-"):
            reservation.check_unheld(tmp_path / "out")
        with pytest.raises(UsageError, check=coded("RUN-020")), reservation.held(tmp_path / "out"):
            pass
        seen.append(event)

    carry_out(run, Context(runs=tmp_path / "runs", watch=watch))
    assert seen
    reservation.check_unheld(tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == ["out", "runs", "toy_jobs.py"]


def test_a_dead_holder_holds_nothing(tmp_path):
    script = f"""
import time
from pathlib import Path
from swift_core.runs.reservation import held
with held(Path({str(tmp_path / "out")!r})) as tell:
    tell(Path("runs/dead"))
    print("held", flush=True)
    time.sleep(3600)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(UsageError, check=coded("RUN-020"), match="runs/dead"):
        reservation.check_unheld(tmp_path / "out")
    process.kill()
    process.wait()
    assert (tmp_path / ".out.lock").exists()
    reservation.check_unheld(tmp_path / "out")
    with reservation.held(tmp_path / "out"):
        pass
    assert not (tmp_path / ".out.lock").exists()


def test_folders_that_were_made_for_an_output_go_with_it(tmp_path):
    with pytest.raises(ZeroDivisionError), reservation.held(tmp_path / "a/b/out"):
        assert (tmp_path / "a/b").is_dir()
        raise ZeroDivisionError
    assert not (tmp_path / "a").exists()
    with reservation.held(tmp_path / "a/b/out"):
        (tmp_path / "a/b/out").mkdir()
    assert (tmp_path / "a/b/out").is_dir()


def test_a_place_that_is_no_place_is_refused_at_the_start(project, tmp_path):
    (tmp_path / "file").touch()
    outcome = project(*SFT, "--output", "file/out")
    assert outcome.code == 2
    assert "a part of this path is a file, not a folder" in outcome.err
    assert not (tmp_path / "runs").exists()
    outcome = project(*SFT, "--output", "x" * 300)
    assert outcome.code == 2
    assert "the name is too long for this disk" in outcome.err


def test_what_came_meanwhile_is_not_replaced_and_what_was_made_is_kept(tmp_path):
    with pytest.raises(UsageError, check=coded("FILE-002")) as caught, paths.atomic_folder(tmp_path / "out") as aside:
        (aside / "ours").touch()
        (tmp_path / "out").mkdir()
        (tmp_path / "out/theirs").touch()
    (kept,) = [path for path in tmp_path.iterdir() if path.name != "out"]
    assert caught.value.hint.endswith(str(kept))
    assert [path.name for path in kept.iterdir()] == ["ours"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["theirs"]


def test_what_is_to_be_replaced_stays_if_that_fails(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/before").touch()
    rename = type(tmp_path).rename

    def fail(self, target):
        if self.name.startswith(".out.") and "old" not in self.name:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(type(tmp_path), "rename", fail)
    with pytest.raises(KeyboardInterrupt), paths.atomic_folder(tmp_path / "out", overwrite=True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["before"]


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ([*SFT, "--tuner", "full", "--output", "small/out"], "output"),
        ([*SFT, "--tuner", "full", "--runs", "small/runs"], "runs"),
        ([*SFT, "--output", "tiny/out"], "output"),
        (["export", "model", "--to", "gguf", "--output", "tiny/out"], "output"),
        (["quantize", "model", "--quantizer", "bnb", "--output", "tiny/out"], "output"),
    ],
)
@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_a_full_disk_is_reported_before_anything_starts(project, tmp_path, words, option):
    mounts = "mkdir small tiny && mount -t tmpfs -o size=200k tmpfs small && mount -t tmpfs -o size=4k tmpfs tiny"
    command = [sys.executable, "-m", "swift_core.cli", *words]
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    script = ["unshare", "-Urm", "sh", "-c", f'{mounts} && "$@"; code=$?; ls -A small tiny; exit $code', "sh", *command]
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert f"--{option}: " in done.stderr
    assert "SWIFT-RUN-023" in done.stderr
    assert done.stdout.split() == ["small:", "tiny:"], "nothing is left"
    assert not (tmp_path / "runs").exists()


def test_needs_on_one_disk_add_up(tmp_path):
    assert disk_space.sum_per_disk([(tmp_path / "a", 3), (tmp_path / "b/c", 4)]) == {tmp_path / "a": 7}
    assert disk_space.free_space(tmp_path / "not/yet") > 0
    assert [disk_space.format_size(size) for size in (7, 2_500, 3e6, 4.56e9)] == ["7 bytes", "2.5 kB", "3 MB", "4.56 GB"]


def in_a_namespace(folder, mounts: str, *command: str, **env: str):
    """Run a command where some disks are read-only; a mount is no permission that root could pass over."""
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    script = ["unshare", "-Urm", "sh", "-c", f'{mounts} && cd . && exec "$@"', "sh", *command]
    return subprocess.run(script, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **env})


READ_ONLY_HERE = 'mount --bind "$PWD" "$PWD" && mount -o remount,ro,bind "$PWD"  && cd "$PWD"'


@pytest.mark.parametrize(
    "words",
    [
        SFT,
        [*SFT, "--output", "out"],
        ["merge", "model"],
        ["export", "model", "--to", "gguf"],
        ["data", "convert", "rows.jsonl", "--output", "o"],
    ],
    ids=["sft", "sft-output", "merge", "export", "convert"],
)
@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_a_read_only_folder_is_reported(project, tmp_path, words):
    done = in_a_namespace(tmp_path, READ_ONLY_HERE, sys.executable, "-m", "swift_core.cli", *words)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    if words[0] != "merge":  # there is no adapter, which is reported first
        assert "the disk is read-only" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_a_read_only_cache_costs_time_and_no_run(project, tmp_path):
    (tmp_path / "cache").mkdir()
    command = [sys.executable, "-m", "swift_core.cli", *SFT]
    done = in_a_namespace(tmp_path, "mount -t tmpfs -o ro tmpfs cache", *command, SWIFT_HOME=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    assert "(the disk is read-only)" in done.stderr
    assert not list(tmp_path.glob("swift-tokenised-*"))


@pytest.mark.parametrize(
    ("number", "kind", "says"),
    [
        (errno.EACCES, NotWritable, "permission denied"),
        (errno.EROFS, NotWritable, "read-only"),
        (errno.ENAMETOOLONG, NotWritable, "too long"),
        (errno.ENOTDIR, NotWritable, "a file, not a folder"),
        (errno.EIO, NotWritable, "the disk failed"),
        (errno.EDQUOT, DiskFull, "quota"),
        (errno.ENOSPC, DiskFull, "the disk is full"),
        (errno.EMFILE, SwiftError, "too many files are open"),
    ],
)
def test_system_errors_of_a_worker_are_explained(tmp_path, number, kind, says):
    reported = translated(OSError(number, os.strerror(number), "/a/file"), tmp_path)
    assert type(reported) is kind
    assert says in reported.message
    assert reported.hint
    assert "Internal error" in translated(OSError(errno.ENOENT, "no", "/a/file"), tmp_path).hint
