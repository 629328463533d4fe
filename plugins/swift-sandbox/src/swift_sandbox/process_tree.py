"""Resource usage of all processes of a running sandbox, read from /proc."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")
_GONE = (FileNotFoundError, ProcessLookupError)


@dataclass(slots=True)
class Usage:
    """Resources of the processes below one process, the sandbox's own two included.

    Args:
        init: first process of the sandbox's process namespace; 0 if there is none yet. When it is killed, the kernel kills all others.
        inside: a process that sees the file system of the sandbox; 0 if there is none.
        pids: all processes.
        memory: resident memory in bytes, shared pages counted for each process.
        cpu: CPU seconds, those of ended processes included.
    """

    init: int = 0
    inside: int = 0
    pids: list[int] = field(default_factory=list)
    memory: int = 0
    cpu: float = 0.0

    def shared_memory(self) -> int:
        """Return the resident memory with shared pages counted once (PSS); slower to read."""
        return sum(_proportional(pid) for pid in self.pids)

    def files(self, folder: str) -> int:
        """Return how many files the file system of `folder` has inside the sandbox."""
        if self.inside:
            with suppress(OSError):  # it has ended
                volume = os.statvfs(f"/proc/{self.inside}/root{folder}")
                return volume.f_files - volume.f_ffree
        return 0


def usage(sandbox: int) -> Usage:
    """Return what the processes below the process `sandbox` use."""
    found = Usage()
    generation = children(sandbox)
    found.init = generation[0] if generation else 0
    depth = 0
    while generation:
        if depth == 1:
            found.inside = generation[0]
        for pid in generation:
            with suppress(*_GONE):
                found.memory += _resident(pid)
                times = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[11:15]
                found.cpu += sum(map(int, times)) / _TICK
                found.pids.append(pid)
        generation = [child for pid in generation for child in children(pid)]
        depth += 1
    return found


def children(pid: int) -> list[int]:
    """Return the children of a process, those of all its threads; none if it has ended."""
    found: list[int] = []
    with suppress(*_GONE):
        for task in os.listdir(f"/proc/{pid}/task"):
            with suppress(*_GONE):
                found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text(encoding="ascii").split())
    return found


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def _proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except _GONE:
        return 0
    except PermissionError:
        return _resident(pid)
