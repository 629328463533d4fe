"""`--launcher torchrun`: torch's elastic launcher, on this machine, on machines where the same command is run by hand, or on the hosts of
a hostfile through a remote shell.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import UsageError
from swift_core.runs import WorkerCommand, watch_processes
from swift_core.system import supervisor

if TYPE_CHECKING:
    from swift_nodes.options import TorchrunOptions
from swift_core.contract import Problem, Watch
from swift_nodes.command import node_command
from swift_nodes.elastic import GRACE, Group, command
from swift_nodes.hosts import Host, is_here, on_host, read_hostfile

_NODE_GRACE = GRACE + 15  # a node waits for its workers


class TorchrunLauncher:
    """Launch workers with `torch.distributed.run`: multi-node rendezvous and restarts."""

    def __init__(self, options: TorchrunOptions) -> None:
        self.options = options

    def launch(self, run: Path, *, processes: int, nodes: int, environment: Mapping[str, str], watch: Watch) -> int:
        """Start torch's launcher, on this machine or on every host, and wait for it; see `roles.Launcher`."""
        options = self.options
        if options.hostfile:
            commands = self._on_hosts(run.resolve(), processes, nodes, environment)
        elif nodes > 1:
            argv = self._node(run.resolve(), options.node_rank, nodes, processes, options.master_addr)
            commands = [WorkerCommand(argv=argv, env=environment, grace=_NODE_GRACE)]
        else:
            argv = command(run, Group(processes=processes, restarts=options.max_restarts))
            commands = [WorkerCommand(argv=argv, env=environment, grace=GRACE)]
        return watch_processes(commands, run, watch)

    def _on_hosts(self, run: Path, processes: int, nodes: int, environment: Mapping[str, str]) -> list[WorkerCommand]:
        hosts = read_hostfile(Path(self.options.hostfile))
        hosts = hosts[:nodes] if nodes > 1 else hosts
        local = len(hosts) == 1 and is_here(hosts[0].name)
        first = "127.0.0.1" if local else hosts[0].name
        return [
            self._on_host(host, self._node(run, number, len(hosts), _processes(host, processes), first), environment)
            for number, host in enumerate(hosts)
        ]

    def _on_host(self, host: Host, argv: list[str], environment: Mapping[str, str]) -> WorkerCommand:
        if is_here(host.name):
            return WorkerCommand(argv=argv, env=environment, grace=_NODE_GRACE)
        supervised = supervisor.argv(argv, grace=_NODE_GRACE)  # there, where it watches the stdin that the remote shell passes on
        return WorkerCommand(argv=on_host(self.options.remote_shell, host.name, supervised, Path.cwd(), environment))

    def _node(self, run: Path, number: int, nodes: int, processes: int, first: str) -> list[str]:
        options = self.options
        return node_command(
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


def _processes(host: Host, asked: int) -> int:
    """Return the number of processes that was asked for, else the host's slots."""
    return asked if asked > 1 else host.slots or 1


def problems(options: Mapping[str, Any], nodes: int) -> Iterator[Problem]:
    """Yield problems with the options before anything is started: a bad hostfile, ranks or minimums beyond the number of nodes."""
    if options["hostfile"]:
        try:
            there = len(read_hostfile(Path(options["hostfile"])))
        except UsageError as error:
            yield Problem(code="NODE-013", where="launcher.hostfile", message=str(error))
            return
        if nodes > there:
            message = f"{nodes} nodes are requested, but the hostfile has {there}"
            yield Problem(code="NODE-014", where="nodes", message=message, hint="Request fewer nodes, or add hosts to the file.")
        nodes = min(nodes, there) if nodes > 1 else there
    if options["node_rank"] >= nodes:
        message = f"rank {options['node_rank']} is too large for {nodes} node{'s' * (nodes != 1)}"
        hint = "Set --nodes, and number the machines from 0." if nodes == 1 else f"Number the machines from 0 to {nodes - 1}."
        yield Problem(code="NODE-015", where="launcher.node_rank", message=message, hint=hint)
    if options["min_nodes"] > nodes:
        yield Problem(
            code="NODE-016",
            where="launcher.min_nodes",
            message=f"the minimum of {options['min_nodes']} nodes exceeds the {nodes} there are",
            hint=f"Set at most {nodes}.",
        )
