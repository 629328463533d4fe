"""Traces in a process of their own, which imports torch once and answers one request after another.

A fake mode changes torch's and transformers' behaviour while it lasts, and the command line imports neither: so nothing is traced here.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from typing import IO, TYPE_CHECKING, Any, ClassVar

from swift_core.contract import SwiftError
from swift_plan.trace import Peak, Trace, Work

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_plan.workload import Rows, Workload


class Tracer:
    """A process that traces steps. It ends with this one, whose pipe it reads from."""

    _one: ClassVar[Tracer | None] = None

    def __init__(self) -> None:
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONSAFEPATH": "1", "TOKENIZERS_PARALLELISM": "false"}
        self._process: subprocess.Popen[str] | None = None
        self._environment = environment

    @classmethod
    def shared(cls) -> Tracer:
        """Return the tracer of this process."""
        if cls._one is None:
            cls._one = cls()
            atexit.register(cls._one.close)
        return cls._one

    def trace(self, run: Run, work: Workload, dtype: str) -> Trace:
        """Trace a run's step.

        Raises:
            SwiftError: it can't be traced.
        """
        answer = self._ask({"do": "trace", "run": run.to_json(), "work": work.to_json(), "dtype": dtype})
        return Trace(
            {name: Peak(**peak) for name, peak in answer["peaks"].items()},
            {name: Work(**done) for name, done in answer["work"].items()},
            answer["trained"],
            answer["weights"],
        )

    def rows(self, run: Run) -> Rows:
        """Measure a run's first rows: encoded as training would, with its tokenizer.

        Raises:
            SwiftError: a row or the tokenizer is wrong.
        """
        from swift_plan.workload import Rows

        return Rows.from_json(self._ask({"do": "rows", "run": run.to_json()}))

    def measure(self) -> dict[str, float]:
        """Measure the speed of this machine's CPU, and keep it."""
        return dict(self._ask({"do": "measure"}))

    def close(self) -> None:
        """End the process, in the middle of a trace too."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _ask(self, request: dict[str, Any]) -> Any:
        process = self._process or self._start()
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._process = None
            raise SwiftError("the tracing process ended unexpectedly", code="PLAN-002", hint="SWIFT_DEBUG=1 shows what it printed.")
        answer = json.loads(line)
        if "error" in answer:
            raise SwiftError(answer["error"], code="PLAN-003", hint="--no-trace plans by formulas.")
        return answer

    def _start(self) -> subprocess.Popen[str]:
        log: IO[str] | int = sys.stderr if os.environ.get("SWIFT_DEBUG") == "1" else subprocess.DEVNULL
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "swift_plan.server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            env=self._environment, start_new_session=True,
        )  # fmt: skip
