"""Run untrusted code: `run`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from swift_sandbox.command import PYTHON
from swift_sandbox.isolation import verify_isolation
from swift_sandbox.limits import Limits, Outcome
from swift_sandbox.sandboxed_process import run_sandboxed

MAIN = "main.py"


def run(
    code: str | Sequence[str], *, files: Mapping[str, str | bytes] | None = None, stdin: str | bytes = "", limits: Limits | None = None
) -> Outcome:
    """Run untrusted code in the sandbox and return how it ended.

    The first call of a process verifies that the isolation holds.

    Args:
        code: Python source, run by the system's `/usr/bin/python3`; or a program of the system and its arguments.
        files: relative path → content, put into the working folder.
        stdin: standard input.
        limits: limits of the run; default: `Limits()`.

    Raises:
        UsageError: the sandbox can't be made on this machine, or a path leaves its working folder.
        SwiftError: the isolation does not hold.
    """
    verify_isolation()
    given = {path: _encoded(content) for path, content in (files or {}).items()}
    if isinstance(code, str):
        argv: Sequence[str] = (PYTHON, "-B", MAIN)
        given[MAIN] = _encoded(code)
    else:
        argv = code
    return run_sandboxed(argv, files=given, stdin=_encoded(stdin), limits=limits or Limits())


def _encoded(content: str | bytes) -> bytes:
    return content.encode("utf-8", errors="surrogatepass") if isinstance(content, str) else content
