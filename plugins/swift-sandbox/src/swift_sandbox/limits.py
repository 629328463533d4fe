"""Limits of sandboxed code, and the outcome of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["passed", "failed", "timeout", "memory", "files", "output", "killed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one run; sizes in bytes, times in seconds.

    Args:
        seconds: wall-clock time.
        cpu_seconds: CPU time of all processes together.
        memory: address space of each process, and resident memory of all processes together.
        processes: processes and threads that exist at the same time.
        disk: size of the private `/tmp`.
        files: files in the private `/tmp`.
        output: standard output and standard error together.
    """

    seconds: float = 15.0
    cpu_seconds: int = 10
    memory: int = 1 << 30
    processes: int = 32
    disk: int = 64 << 20
    files: int = 4096
    output: int = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a run.

    Args:
        status: `passed` if the exit code is 0, `failed` if it is another; `timeout` (wall-clock or CPU), `memory`, `files` or `output` if
            that limit ended it; `killed` if another signal did.
        exit_code: exit code of the code; None if a limit ended it.
        stdout: standard output, at most as long as the limit.
        stderr: standard error, at most as long as the limit.
        seconds: wall-clock time it took.
    """

    status: Status
    exit_code: int | None
    stdout: str
    stderr: str
    seconds: float

    @property
    def passed(self) -> bool:
        """True if the code ended by itself with exit code 0."""
        return self.status == "passed"
