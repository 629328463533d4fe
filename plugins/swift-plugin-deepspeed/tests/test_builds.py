"""Compiled operators: the lock file of a killed build does not block later builds, and concurrent builds wait for each other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

from swift_plugin_deepspeed.ops import build_lock


def hold(folder, started):
    with build_lock(folder):
        (folder / "cpu_adam").mkdir()
        (folder / "cpu_adam" / "lock").touch()  # torch's, while it compiles
        started.set()
        time.sleep(3600)


def test_a_killed_build_does_not_block_others(tmp_path):
    context = multiprocessing.get_context("fork")
    started = context.Event()
    builder = context.Process(target=hold, args=(tmp_path, started), daemon=True)
    builder.start()
    assert started.wait(300)
    waiter = context.Process(target=lambda: build_lock(tmp_path).__enter__(), daemon=True)
    waiter.start()
    waiter.join(0.5)
    assert waiter.is_alive(), "it must wait for a build that lives"
    assert (tmp_path / "cpu_adam" / "lock").exists()
    os.kill(builder.pid, signal.SIGKILL)
    waiter.join(300)
    assert waiter.exitcode == 0
    assert not (tmp_path / "cpu_adam" / "lock").exists()
