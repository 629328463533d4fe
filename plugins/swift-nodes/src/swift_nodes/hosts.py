"""Hostfiles as DeepSpeed and MPI have them, `worker-1 slots=4` a line, and the command that starts a node on a host."""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from swift_core.contract.errors import UsageError

_LINE = re.compile(r"(\S+)(?:\s+slots=(\d+))?")


@dataclass(frozen=True, slots=True)
class Host:
    """A machine, and how many processes it takes (0: it does not say)."""

    name: str
    slots: int = 0


def read_hostfile(path: Path) -> list[Host]:
    """The hosts in order; the first is node 0.

    Raises:
        UsageError: no such file, no host in it, one twice, or a line that is none; with its number.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(
            f"the hostfile can't be read: {error.strerror}", where=str(path), hint="Name a file of lines 'HOST slots=4'."
        ) from error
    hosts: dict[str, Host] = {}
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        found = _LINE.fullmatch(text)
        if not found or found[2] == "0":
            raise UsageError(f"'{text}' is no host", where=f"{path}:{number}", hint="Write HOST, or HOST slots=4.")
        if found[1] in hosts:
            raise UsageError(
                f"the host '{found[1]}' stands here twice", where=f"{path}:{number}", hint="One line a host, with all its slots."
            )
        hosts[found[1]] = Host(found[1], int(found[2] or 0))
    if not hosts:
        raise UsageError("there is no host in it", where=str(path), hint="Write a line 'HOST slots=4' a machine.")
    return list(hosts.values())


def is_here(name: str) -> bool:
    """Whether a host is this very machine, so that nothing has to be started from afar."""
    return name in ("localhost", "127.0.0.1", "::1", socket.gethostname(), socket.getfqdn())


def on_host(shell: str, host: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> list[str]:
    """The command, run on `host` in `folder` through a remote shell (`ssh -p 2222`)."""
    variables = [f"{name}={value}" for name, value in environment.items()]
    return [*shlex.split(shell), host, f"cd {shlex.quote(str(folder))} && exec {shlex.join(['env', *variables, *command])}"]
