"""Hostfiles in the format of DeepSpeed and MPI (one `worker-1 slots=4` per line), and the command that starts a node on a host."""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from swift_core.contract import UsageError

_LINE = re.compile(r"(\S+)(?:\s+slots=(\d+))?")


@dataclass(frozen=True, slots=True)
class Host:
    """A machine, and its number of worker processes (0: not given)."""

    name: str
    slots: int = 0


def read_hostfile(path: Path) -> list[Host]:
    """Return the hosts in order; the first is node 0.

    Raises:
        UsageError: the file can't be read, has no hosts, or has an invalid or repeated line; with its number.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(
            f"the hostfile can't be read: {error.strerror}", code="NODE-001", where=str(path), hint="Give a file with lines 'HOST slots=4'."
        ) from error
    hosts: dict[str, Host] = {}
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        found = _LINE.fullmatch(text)
        if not found or found[2] == "0":
            raise UsageError(f"'{text}' is not a host", code="NODE-002", where=f"{path}:{number}", hint="Write HOST, or HOST slots=4.")
        if found[1] in hosts:
            raise UsageError(
                f"duplicate host '{found[1]}'",
                code="NODE-003",
                where=f"{path}:{number}",
                hint="Write one line per host, with all its slots.",
            )
        hosts[found[1]] = Host(found[1], int(found[2] or 0))
    if not hosts:
        raise UsageError("the hostfile has no hosts", code="NODE-004", where=str(path), hint="Write one line 'HOST slots=4' per machine.")
    return list(hosts.values())


def is_here(name: str) -> bool:
    """Return True if the host is this machine, so that no remote shell is needed."""
    return name in ("localhost", "127.0.0.1", "::1", socket.gethostname(), socket.getfqdn())


def on_host(shell: str, host: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> list[str]:
    """Return the command that runs `command` on `host` in `folder` through a remote shell (`ssh -p 2222`)."""
    variables = [f"{name}={value}" for name, value in environment.items()]
    return [*shlex.split(shell), host, f"cd {shlex.quote(str(folder))} && exec {shlex.join(['env', *variables, *command])}"]
