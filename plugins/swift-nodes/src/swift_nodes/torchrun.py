"""`--launcher torchrun`: torch's elastic launcher, on this machine; on each machine, where the command is given on each; or on the hosts of
a hostfile, which are reached by a remote shell.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract.errors import UsageError
from swift_core.runs.local_launcher import watch_processes
from swift_core.system import supervisor

if TYPE_CHECKING:
    from swift_nodes.options import TorchrunOptions
from swift_core.contract.roles import Watch
from swift_core.contract.specs import Problem
from swift_nodes.command import node_command
from swift_nodes.elastic import GRACE, Group, command
from swift_nodes.hosts import Host, is_here, on_host, read_hostfile

_NODE_GRACE = GRACE + 15  # a node waits for its workers


class TorchrunLauncher:
    """`python -m torch.distributed.run`: rendezvous over machines, restarts."""

    def __init__(self, options: TorchrunOptions) -> None:
        self.options = options

    def launch(self, run: Path, *, processes: int, nodes: int, environment: Mapping[str, str], watch: Watch) -> int:
        """Start torch's launcher, here or on every host, and wait for it; see `roles.Launcher`."""
        options = self.options
        if options.hostfile:
            commands = self._on_hosts(run.resolve(), processes, nodes, environment)
        elif nodes > 1:
            commands = [(self._node(run.resolve(), options.node_rank, nodes, processes, options.master_addr), environment)]
        else:
            commands = [
                (supervisor.argv(command(run, Group(processes=processes, restarts=options.max_restarts)), grace=GRACE), environment)
            ]
        return watch_processes(commands, run, watch)

    def _on_hosts(
        self, run: Path, processes: int, nodes: int, environment: Mapping[str, str]
    ) -> list[tuple[Sequence[str], Mapping[str, str]]]:
        hosts = read_hostfile(Path(self.options.hostfile))
        hosts = hosts[:nodes] if nodes > 1 else hosts
        local = len(hosts) == 1 and is_here(hosts[0].name)
        first = "127.0.0.1" if local else hosts[0].name
        return [
            self._on_host(host, self._node(run, number, len(hosts), _processes(host, processes), first), environment)
            for number, host in enumerate(hosts)
        ]

    def _on_host(self, host: Host, argv: list[str], environment: Mapping[str, str]) -> tuple[Sequence[str], Mapping[str, str]]:
        if is_here(host.name):
            return argv, environment
        return on_host(self.options.remote_shell, host.name, argv, Path.cwd(), environment), {}  # its stdin holds the tether over there

    def _node(self, run: Path, number: int, nodes: int, processes: int, first: str) -> list[str]:
        """One node, tethered: when the command that started it is gone, so is the node."""
        options = self.options
        argv = node_command(
            run,
            python=sys.executable,
            nodes=nodes,
            processes=processes,
            node=number,
            host=first,
            port=options.master_port,
            fewest=options.min_nodes,
            restarts=options.max_restarts,
            wait=options.wait,
            local_addr=options.local_addr,
        )
        return supervisor.argv(argv, grace=_NODE_GRACE)


def _processes(host: Host, asked: int) -> int:
    """What was asked for, else the host's slots."""
    return asked if asked > 1 else host.slots or 1


def problems(options: Mapping[str, Any], nodes: int) -> Iterator[Problem]:
    """What can't be, before anything is started: a bad hostfile, numbers beyond the nodes there are."""
    if options["hostfile"]:
        try:
            there = len(read_hostfile(Path(options["hostfile"])))
        except UsageError as error:
            yield Problem(where="launcher.hostfile", message=str(error))
            return
        if nodes > there:
            message = f"{nodes} nodes are asked for, and the hostfile has {there}"
            yield Problem(where="nodes", message=message, hint="Ask for fewer, or add hosts to the file.")
        nodes = min(nodes, there) if nodes > 1 else there
    if options["node_rank"] >= nodes:
        message = f"there is no node {options['node_rank']} among {nodes}"
        hint = "Say --nodes, and count the machines from 0." if nodes == 1 else f"Count the machines from 0 to {nodes - 1}."
        yield Problem(where="launcher.node_rank", message=message, hint=hint)
    if options["min_nodes"] > nodes:
        yield Problem(
            where="launcher.min_nodes", message=f"of {nodes} nodes there can't be {options['min_nodes']} left", hint=f"At most {nodes}."
        )
