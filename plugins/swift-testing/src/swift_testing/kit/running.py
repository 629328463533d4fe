"""Checks in a process of their own, so that one that hangs or ends the process is seen and named, and the rest are done.

`results` is for whoever wants them; `python -m swift_testing.kit.running` is that process: it says on its stdout, as JSON lines,
which check it begins and how that ended.
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

from swift_core.contract.errors import UsageError, suggestion
from swift_core.plugins.registry import HOOKS
from swift_core.system import threads
from swift_testing.kit import probe
from swift_testing.kit.collect import Case, all_checks, cases, entries_of
from swift_testing.kit.model import COMMAND, PLUGIN, CheckFailed, Skip
from swift_testing.serving import end_tree

LIMIT = 300.0  # seconds that one check may take
Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Result:
    """How a check ended, and why where it did not pass."""

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
    """Do the checks of a distribution's plugins, or of those of a local file; those of the kinds or names that are given alone.

    `begun` is called with the name of each check before it is done.

    Raises:
        UsageError: it is not installed or has no plugin, or there is no such kind or check.
    """
    entries_of(distribution)
    _check("kind", kinds, [PLUGIN, COMMAND, *HOOKS])
    _check("check", checks, [check.name for check in all_checks()])
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
            hint = suggestion(name, known) or f"There are: {', '.join(dict.fromkeys(known))}."
            raise UsageError(f"there is no {what} '{name}'", where=what, hint=hint)


def _lines(words: Sequence[str], limit: float) -> Iterator[dict[str, Any]]:
    """What the process says; a `fault` where it ends, or has to be ended, in the middle of a check."""
    process = subprocess.Popen(
        [sys.executable, "-m", "swift_testing.kit.running", *words],
        env={**os.environ, **threads.waiting(), "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    late = threading.Event()
    timer: threading.Timer | None = None
    said: list[str] = []
    assert process.stdout
    assert process.stderr
    stderr = process.stderr
    reader = threading.Thread(target=lambda: said.extend(stderr), daemon=True)
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
            words_left = " ".join(line.strip() for line in said[-1:])
            yield {"fault": f"it was not done after {limit:.0f} seconds" if late.is_set() else f"the process ended. {words_left}".strip()}
        elif process.returncode:
            raise RuntimeError("".join(said))
    finally:
        if timer:
            timer.cancel()
        if process.poll() is None:
            end_tree(process.pid)
        process.wait()


def do(case: Case) -> Result:
    """Do a check in this process. A fault that is no CheckFailed fails it too, with its type: it is the plugin's, or the kit's."""
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
    """The process: DISTRIBUTION, how many cases are done already, kinds and names of checks as JSON, and the limit of one."""
    distribution, done, kinds, checks = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4])
    probe.LIMIT = min(probe.LIMIT, 0.8 * float(sys.argv[5]))  # so that a slow import is said to be one
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(line: dict[str, Any]) -> None:
        channel.write(json.dumps(line) + "\n")
        channel.flush()

    chosen = (
        case
        for entry in entries_of(distribution)
        for case in cases(entry, environments=True)
        if (not kinds or case.subject.kind in kinds) and (not checks or case.check.name in checks)
    )
    for number, case in enumerate(chosen):
        if number >= done:
            say({"begin": {"check": case.check.name, "kind": case.subject.kind, "subject": _name(case)}})
            say(asdict(do(case)))


if __name__ == "__main__":
    main()
