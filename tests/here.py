"""`swift` in this process, its worker too: the command line, the run, its job, its events and its errors are real; a second Python is not.

Importing torch and transformers takes some five seconds of CPU time in every worker. What a test has to say of results needs none of
that twice; what it has to say of processes (their ends, signals, memory, first imports) does, and uses the fixture `swift` itself.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import random
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from swift_core.cli import invoke as command_line
from swift_core.contract import Watch
from swift_core.runs.events import Report
from swift_core.runs.local_launcher import LocalLauncher
from swift_core.runs.worker import _pass_warnings_on, work
from swift_core.system.run_folder import read_run


class _Channel(io.StringIO):
    """What a worker's stdout is to its parent: events, one a line. The parent has the streams of where this is made."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch, self._out, self._err = watch, sys.stdout, sys.stderr

    def write(self, text: str) -> int:
        with contextlib.redirect_stdout(self._out), contextlib.redirect_stderr(self._err):
            for line in text.splitlines():
                self._watch(json.loads(line))
        return len(text)


def launch(self: LocalLauncher, run: Path, *, processes: int, nodes: int, environment: Mapping[str, str], watch: Watch) -> int:
    """The local launcher's, without a process for a run that needs only one and serves nothing."""
    if processes > 1 or nodes > 1 or "backend" in read_run(run).parts:
        return _launch(self, run, processes=processes, nodes=nodes, environment=environment, watch=watch)
    report = Report(run, _Channel(watch))
    with (
        (run / "log.txt").open("a", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
        mock.patch.object(logging.getLogger(), "handlers", []),
    ):
        _pass_warnings_on(report)
        return work(report)


_launch = LocalLauncher.launch


def swift_here(folder: Path, *words: str, stdin: str | None = None, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of `swift WORDS` in `folder`."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, {"COLUMNS": "200", **(env or {})}),
        mock.patch.object(sys, "stdin", io.StringIO(stdin or "")),
        mock.patch.object(LocalLauncher, "launch", launch),
        _random_states(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = command_line(words)
    return code, out.getvalue(), err.getvalue()


@contextlib.contextmanager
def _random_states() -> Iterator[None]:
    """Leave the generators as they were: a job seeds them for its process."""
    python, others = random.getstate(), _others()
    yield
    random.setstate(python)
    for restore, state in others:
        restore(state)


def _others() -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    if "numpy" in sys.modules:
        import numpy as np

        found.append((np.random.set_state, np.random.get_state()))
    if "torch" in sys.modules:
        import torch

        found.append((torch.random.set_rng_state, torch.random.get_rng_state()))
    return found
