"""pass@k: generated code is executed in the sandbox against the tests of its row."""

from __future__ import annotations

import math
import os
import re
import secrets
import statistics
import threading
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, PositiveInt
from swift_sandbox.execution import run
from swift_sandbox.isolation import verify_isolation
from swift_sandbox.limits import Limits

from swift_core.options import Options, listed, option
from swift_evaluate.metrics.metric import Graded, Metric, Summary

_FENCED = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)```", re.DOTALL)
_CORES = threading.BoundedSemaphore(os.cpu_count() or 1)
_MAIN = """\
import sys
proof = sys.stdin.readline()
import solution
sys.stdout.write("\\n" + proof)
"""


class ExecutionLimits(Options):
    """Limits of an execution of generated code."""

    seconds: int = option(10, "Limit of CPU time of each execution; by the clock it may take three times as long.", ge=1)
    memory: int = option(1 << 30, "Memory limit of each execution, in bytes.", gt=0)


class PassAtK(ExecutionLimits, Metric):
    """Share of answers that pass the row's tests (`pass@1`), and the unbiased estimate of pass@k for every larger k (Chen et al., 2021).

    The row has `prompt`, which the code completes, `test` and `entry_point`, as HumanEval; or `test` alone.
    """

    runs_code: ClassVar[bool] = True

    k: Annotated[list[PositiveInt], BeforeValidator(listed)] = option(lambda: [1], "Numbers of samples of which one has to pass.")

    def check(self, row: Mapping[str, Any], expected: Sequence[str]) -> None:
        """Check that the row has tests, and that the sandbox isolates."""
        if not isinstance(row.get("test"), str):
            raise ValueError("the row has no tests in its field 'test'")
        verify_isolation()

    def score(self, given: Graded) -> Mapping[str, float]:
        """Return `pass@1` of one answer."""
        return {"pass@1": float(self.passes(given))}

    def passes(self, given: Graded) -> bool:
        """Execute the code and its tests; they pass if the program runs to its end."""
        proof = secrets.token_hex(16)
        limits = Limits(seconds=3 * self.seconds, cpu_seconds=self.seconds, memory=self.memory)
        with _CORES:  # more at once would run into the limit by the clock, and the score would depend on the machine's load
            outcome = run(_MAIN, files={"solution.py": program(given)}, stdin=proof + "\n", limits=limits)
        return outcome.passed and outcome.stdout.endswith(f"\n{proof}\n")

    def summarize(self, questions: Sequence[Sequence[Graded]]) -> Summary:
        """Return pass@k for each k larger than 1, estimated per question, over those with at least k samples."""
        found: dict[str, tuple[float, float | None]] = {}
        for k in sorted(set(self.k) - {1}):
            each = [
                estimate_pass_at_k(len(answers), sum(answer.scores["pass@1"] == 1 for answer in answers), k)
                for answers in questions
                if len(answers) >= k
            ]
            if each:
                error = statistics.stdev(each) / math.sqrt(len(each)) if len(each) > 1 else None
                found[f"pass@{k}"] = (statistics.fmean(each), error)
        return found


def program(given: Graded) -> str:
    """Return the code of an answer with its tests; a body without a function header completes the prompt of its row."""
    blocks = _FENCED.findall(given.text)
    code = "\n".join(blocks) if blocks else given.text
    prompt, entry = str(given.row.get("prompt", "")), str(given.row.get("entry_point", ""))
    if entry and f"def {entry}" in code:
        imports = [line for line in prompt.splitlines() if line.startswith(("import ", "from "))]
        code = "\n".join([*imports, code])
    elif entry:
        code = prompt + code
    tests = str(given.row["test"]) + (f"\ncheck({entry})" if entry else "")
    return f"{code}\n{tests}\n"


def estimate_pass_at_k(samples: int, passed: int, k: int) -> float:
    """Return the unbiased estimate of the probability that at least one of k samples passes, from `samples` of which `passed` do."""
    if samples - passed < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / number for number in range(samples - passed + 1, samples + 1))
