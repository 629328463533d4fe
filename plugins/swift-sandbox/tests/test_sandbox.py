"""Untrusted code: what it may do, what stops it, and that nothing of it is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from swift_sandbox import command, isolation
from swift_sandbox.execution import run
from swift_sandbox.isolation import verify_isolation
from swift_sandbox.limits import Limits
from swift_sandbox.process_tree import usage

from swift_core.contract import SwiftError, UsageError

needs_bwrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed: apt-get install bubblewrap")
SHORT = Limits(seconds=3, cpu_seconds=2, memory=512 << 20, files=500, output=100_000)
FORK_BOMB = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"


def sandboxed_programs() -> set[int]:
    """Processes of the machine that run a program of the sandbox's working folder."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"main.py" in (folder / "cmdline").read_bytes() and os.readlink(folder / "cwd") == "/tmp":
                found.add(int(folder.name))
        except OSError:
            continue
    return found


@needs_bwrap
def test_code_runs_with_files_and_input():
    outcome = run("import sys, helper; print(helper.VALUE, sys.stdin.read())", files={"helper.py": "VALUE = 4"}, stdin="two")
    assert (outcome.status, outcome.exit_code, outcome.stdout, outcome.passed) == ("passed", 0, "4 two\n", True)
    assert run(["/usr/bin/cat", "a/b", "-"], files={"a/b": b"\xff"}, stdin=b"x").stdout == "�x"
    failed = run("raise SystemExit(3)")
    assert (failed.status, failed.exit_code, failed.passed) == ("failed", 3, False)
    assert run("import os, signal; os.kill(os.getpid(), signal.SIGTERM)").status == "killed"


@needs_bwrap
@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("while True: pass", "timeout", ""),
        ("import time; time.sleep(60)", "timeout", ""),
        ("import os, time; os.close(1); os.close(2); time.sleep(60)", "timeout", ""),
        (FORK_BOMB, "timeout", ""),
        ("x = bytearray(3 << 30)", "memory", "MemoryError"),
        (
            "import os, time\nfor _ in range(4):\n    if os.fork() == 0: x = b'x' * (200 << 20); time.sleep(60)\ntime.sleep(60)",
            "memory",
            "",
        ),
        ("import os; os.memfd_create('x')", "failed", "PermissionError"),
        ("import socket; socket.create_connection(('127.0.0.1', 22), 1)", "failed", "PermissionError"),
        ("import socket; socket.socket(socket.AF_VSOCK)", "failed", "PermissionError"),
        (f"import os; print(os.listdir({str(Path.home())!r}))", "failed", "FileNotFoundError"),
        (f"print(open({__file__!r}).read())", "failed", "FileNotFoundError"),
        ("open('/usr/lib/x', 'w')", "failed", "Read-only file system"),
        ("open('/x', 'w')", "failed", "Read-only file system"),
        ("f = open('x', 'wb')\nwhile True: f.write(bytes(1 << 20))", "failed", "No space left"),
        ("i = 0\nwhile True:\n    i += 1; open(str(i), 'w').close()", "files", ""),
        ("while True: print('x' * 1000)", "output", ""),
    ],
    ids=[
        "loop",
        "sleep",
        "closed-output",
        "fork-bomb",
        "memory",
        "memory-together",
        "memfd",
        "socket",
        "vsock",
        "home",
        "file",
        "usr",
        "root",
        "disk",
        "files",
        "output",
    ],
)
def test_what_code_must_not_do_is_stopped_within_the_limit(code, status, said):
    before = sandboxed_programs()
    started = time.monotonic()
    outcome = run(code, limits=SHORT)
    assert time.monotonic() - started < 3 + 3  # a loaded machine takes a moment to end what it has started
    assert outcome.status == status, outcome.stderr
    assert said in outcome.stderr
    assert not outcome.passed
    assert len(outcome.stdout) <= SHORT.output
    assert sandboxed_programs() <= before


@needs_bwrap
def test_cpu_time_of_all_processes_counts():
    spin = "import os\nfor _ in range(3): os.fork()\nwhile True: pass"
    outcome = run(spin, limits=Limits(seconds=60, cpu_seconds=2))
    assert outcome.status == "timeout"
    assert outcome.seconds < 30


@needs_bwrap
def test_memory_shared_after_a_fork_counts_once():
    children = "for _ in range(6):\n    if os.fork() == 0: time.sleep(0.3); os._exit(0)\nfor _ in range(6): os.wait()"
    code = f"import os, time\nx = b'x' * (150 << 20)\n{children}"
    assert run(code, limits=SHORT).status == "passed"


@needs_bwrap
def test_what_code_sees_of_the_machine(monkeypatch):
    monkeypatch.setenv("SWIFT_SECRET", "hunter2")
    seen = run(
        "import os, socket\n"
        "print(sorted(os.environ), os.getuid(), socket.gethostname(), sorted(map(int, os.listdir('/proc/self/fd')))[:4])\n"
        "print(len([p for p in os.listdir('/proc') if p.isdigit()]), os.path.exists('/etc/passwd'))"
    )
    assert "SECRET" not in seen.stdout
    assert "65534 sandbox [0, 1, 2, 3]" in seen.stdout
    assert seen.stdout.splitlines()[1] == "2 False"


@needs_bwrap
def test_a_sandbox_ends_with_the_process_that_started_it(tmp_path):
    before = sandboxed_programs()
    script = tmp_path / "start.py"
    script.write_text(
        "from swift_sandbox.execution import run\nfrom swift_sandbox.limits import Limits\n"
        "run('import os, time\\nfor _ in range(3): os.fork()\\ntime.sleep(60)', limits=Limits(seconds=60))"
    )
    process = subprocess.Popen([sys.executable, str(script)])
    deadline = time.monotonic() + 20
    while len(sandboxed_programs() - before) < 8 and time.monotonic() < deadline:
        time.sleep(0.1)
    inside = usage(process.pid).pids
    users = {os.stat(f"/proc/{pid}").st_uid for pid in inside}
    if os.geteuid() == 0:
        assert users == {command.USER}
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    while sandboxed_programs() - before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert sandboxed_programs() <= before


@needs_bwrap
def test_several_sandboxes_at_once_do_not_share_their_limits():
    with ThreadPoolExecutor(4) as pool:
        bomb = pool.submit(run, FORK_BOMB, limits=SHORT)
        others = [
            pool.submit(run, f"import threading as t; x = t.Thread(target=print, args=({n},)); x.start(); x.join()") for n in range(6)
        ]
        assert [future.result().stdout for future in others] == [f"{n}\n" for n in range(6)]
        assert bomb.result().status == "timeout"


@needs_bwrap
@pytest.mark.parametrize("path", ["../x", "/etc/x", "", "a/../../x"])
def test_a_file_stays_in_the_working_folder(path):
    with pytest.raises(UsageError, match="working folder"):
        run("", files={path: ""})


def test_nothing_runs_without_bubblewrap(monkeypatch):
    isolation._verified.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None if name == "bwrap" else f"/usr/bin/{name}")
    with pytest.raises(UsageError) as caught:
        run("print(1)")
    assert "apt-get install bubblewrap" in caught.value.hint


@needs_bwrap
@pytest.mark.parametrize(
    ("flag", "broken"),
    [
        ("--unshare-net", "a Unix socket of the host"),
        ("--unshare-pid", "processes are visible"),
        ("--seccomp", "a network socket can be opened"),
        ("--remount-ro", "can be written"),
        ("--nproc", "processes are not limited"),
        ("--as", "memory is not limited"),
        ("home", "is visible"),
    ],
)
def test_a_sandbox_that_does_not_isolate_is_refused(monkeypatch, flag, broken):
    """Each protection is taken away once; the probe has to see it."""
    isolation._verified.cache_clear()
    original = command.sandbox_command

    def weakened(*args, **kwargs):
        words = original(*args, **kwargs)
        if flag == "home":
            at = words.index("--remount-ro")  # after the private /tmp, which would hide a checkout in the host's
            return [*words[:at], "--ro-bind", str(isolation._PROBE.parent), str(isolation._PROBE.parent), *words[at:]]
        if flag in ("--nproc", "--as"):
            return [word for word in words if not word.startswith(f"{flag}=")]
        takes = {"--seccomp": 2, "--remount-ro": 2}.get(flag, 1)
        while flag in words:
            at = words.index(flag)
            words = words[:at] + words[at + takes :]
        return words

    monkeypatch.setattr("swift_sandbox.sandboxed_process.sandbox_command", weakened)
    with pytest.raises(SwiftError) as caught:
        verify_isolation()
    assert caught.value.code == "SANDBOX-005"
    assert broken in caught.value.message
    isolation._verified.cache_clear()
