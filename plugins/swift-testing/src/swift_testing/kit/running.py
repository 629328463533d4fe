"""Run checks in a subprocess, so that a check that hangs or ends the process is reported and the others still run.

`results` starts the subprocess, `python -m swift_testing.kit.running`, which writes the start and the result of each check to its
stdout as JSON lines.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from swift_core.contract import UsageError, suggestion
from swift_core.plugins import KINDS
from swift_core.system import threads
from swift_testing.kit import probe
from swift_testing.kit.collect import Case, all_checks, cases, entries_of
from swift_testing.kit.model import COMMAND, PLUGIN, CheckFailed, Skip
from swift_testing.serving import end_tree

LIMIT = 300.0  # maximum seconds per check
Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a check, with the reason if it did not pass."""

    check: str
    kind: str
    subject: str
    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0


def results(
    distribution: str,
    *,
    kinds: Sequence[str] = (),
    checks: Sequence[str] = (),
    limit: float = LIMIT,
    begun: Callable[[str], None] = lambda _: None,
) -> Iterator[Result]:
    """Run the checks of a distribution's plugins, or of a local file, and yield their results.

    Args:
        distribution: a distribution or plugin name, or the path of a FILE.py.
        kinds: run only the checks of these kinds of part.
        checks: run only the checks of these names, or with these ids, such as `check_merge[tuner lora]`.
        limit: maximum seconds per check.
        begun: called with the name of each check before it runs.

    Raises:
        UsageError: the distribution is not installed or has no plugin, or a kind or check is unknown.
    """
    entries_of(distribution)
    _check("kind", kinds, [PLUGIN, COMMAND, *KINDS])
    _check("check", [name.partition("[")[0] for name in checks], [check.name for check in all_checks()])
    done = 0
    while True:
        ended, now = True, dict[str, Any]()
        for line in _lines([distribution, str(done), json.dumps(kinds), json.dumps(checks), str(limit)], limit):
            if "begin" in line:
                now, ended = line["begin"], False
                begun("{kind} {subject}: {check}".format(**now))
            elif "fault" in line:
                yield Result(**now, outcome="failed", reason=line["fault"])
            else:
                yield Result(**line)
                ended = True
            done += "begin" not in line
        if ended:
            return


def _check(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            hint = suggestion(name, known) or f"Available: {', '.join(dict.fromkeys(known))}."
            raise UsageError(f"there is no {what} '{name}'", code="TEST-006", where=what, hint=hint)


def _lines(words: Sequence[str], limit: float) -> Iterator[dict[str, Any]]:
    """Yield the lines that the subprocess writes, and a `fault` if it ends, or has to be ended, during a check."""
    process = subprocess.Popen(
        [sys.executable, "-m", "swift_testing.kit.running", *words],
        env={**os.environ, **threads.waiting(), "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    late = threading.Event()
    timer: threading.Timer | None = None
    errors: list[str] = []
    assert process.stdout
    assert process.stderr
    stderr = process.stderr
    reader = threading.Thread(target=lambda: errors.extend(stderr), daemon=True)
    reader.start()

    def end() -> None:
        late.set()
        end_tree(process.pid)

    open_check = False
    try:
        for text in process.stdout:
            if timer:
                timer.cancel()
            line = json.loads(text)
            open_check = "begin" in line
            timer = threading.Timer(limit, end)
            timer.daemon = True
            timer.start()
            yield line
        process.wait()
        reader.join(10)
        if open_check:
            last = " ".join(line.strip() for line in errors[-1:])
            timeout = f"the check did not finish within {limit:.0f} seconds"
            yield {"fault": timeout if late.is_set() else f"the check ended the process. {last}".strip()}
        elif process.returncode:
            raise RuntimeError("".join(errors))
    finally:
        if timer:
            timer.cancel()
        if process.poll() is None:
            end_tree(process.pid)
        process.wait()


def do(case: Case) -> Result:
    """Run a check in this process. Any exception other than Skip counts as a failure, with its type."""
    begin = time.monotonic()
    outcome: Outcome = "passed"
    reason = ""
    try:
        case()
    except Skip as error:
        outcome, reason = "skipped", str(error)
    except CheckFailed as error:
        outcome, reason = "failed", str(error)
    except BaseException as error:
        outcome, reason = "failed", f"{type(error).__name__}: {error}"
    return Result(case.check.name, case.subject.kind, _name(case), outcome, reason, round(time.monotonic() - begin, 2))


def _name(case: Case) -> str:
    return str(case.subject.entry.name if case.subject.spec is None else case.subject.spec.name)


def main() -> None:
    """Run as the subprocess; arguments: DISTRIBUTION, number of finished cases, kinds and checks (JSON), and the limit per check."""
    distribution, done, kinds, checks = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4])
    probe.LIMIT = min(probe.LIMIT, 0.8 * float(sys.argv[5]))  # below the limit of a check, so that a slow import is reported as such
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def write(line: dict[str, Any]) -> None:
        channel.write(json.dumps(line) + "\n")
        channel.flush()

    chosen = (case for entry in entries_of(distribution) for case in cases(entry, environments=True, kinds=kinds, checks=checks))
    for number, case in enumerate(chosen):
        if number >= done:
            write({"begin": {"check": case.check.name, "kind": case.subject.kind, "subject": _name(case)}})
            write(asdict(do(case)))


if __name__ == "__main__":
    main()
