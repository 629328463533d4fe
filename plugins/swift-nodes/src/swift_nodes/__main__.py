"""A node of a run: `python -m swift_nodes RUN_FOLDER --node 1 --nodes 2 --processes 8 --host A --port 29500`.

It runs the preflight checks with the other nodes, starts torch's elastic launcher, and waits for it. `--node`, `--host` and `--port` may be
names of environment variables, since schedulers provide these values in variables.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from swift_core.contract import ResultEvent, SwiftError
from swift_core.plugins import local
from swift_core.runs import STOP_FILE, Report, conclude, read_events
from swift_core.system import read_run, supervisor
from swift_nodes.elastic import GRACE, Group, command
from swift_nodes.preflight import Meeting, preflight


def main() -> int:
    """Run this node, and return the exit code of its workers."""
    given = _parser().parse_args()
    own = folder = Path(given.run)
    node, host, port = int(_variable(given.node)), _variable(given.host), int(_variable(given.port))
    meeting = Meeting(host, port, node, given.nodes, given.wait)
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    report = Report(folder, channel)
    try:
        if (folder / "run.json").is_file():
            local.use_local_plugins(read_run(folder).plugins, where=str(folder / "run.json"))
        if given.conclude and node == 0:
            (folder / STOP_FILE).unlink(missing_ok=True)  # left by an earlier attempt of the job
        if given.nodes > 1:
            folder = preflight(folder, meeting)
    except SwiftError as error:
        sys.stderr.write(f"{error}\n")
        if own.is_dir():  # this node may not have access to it
            report.error(error)
            if given.conclude and node == 0:
                conclude(own, error.exit_code)
        return error.exit_code
    if folder.resolve() != own.resolve():
        report.note(f"This machine is node {node} of the run in {folder}.")
    group = Group(
        processes=given.processes, nodes=given.nodes, fewest=given.fewest or given.nodes, restarts=given.restarts, local=given.local_addr
    )
    code = _work(command(folder, group, meeting), own, folder)
    if code == 0 and (result := _result(folder)):
        channel.write(json.dumps(result) + "\n")
        channel.flush()
    if given.conclude and node == 0:
        conclude(folder, code)
    return code


def _work(argv: list[str], own: Path, folder: Path) -> int:
    """Run the workers, and return their exit code.

    SIGTERM or SIGINT, or a stop file in this node's own run folder, asks the workers of all nodes to save and stop; a second signal, or the
    end of the grace period, terminates this node's workers.
    """
    process = subprocess.Popen(supervisor.argv(argv, grace=GRACE), stdin=subprocess.PIPE)
    deadline: list[float] = []

    def on_signal(*_: object) -> None:
        if deadline or (folder / STOP_FILE).exists():
            process.terminate()
        deadline.append(time.monotonic() + GRACE)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    while process.poll() is None:
        if (deadline or (own / STOP_FILE).exists()) and not (folder / STOP_FILE).exists():
            with suppress(OSError):
                (folder / STOP_FILE).touch()
        if deadline and time.monotonic() > deadline[0]:
            process.terminate()
        time.sleep(0.2)
    return process.returncode


def _result(folder: Path) -> ResultEvent | None:
    """Return the result event of rank 0, on whichever node it ran."""
    return next((event for event in reversed(read_events(folder)) if event["event"] == "result"), None)


def _variable(text: str) -> str:
    return os.environ.get(text, text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m swift_nodes", description="Run one node of a multi-node run.")
    parser.add_argument("run", help="run folder")
    parser.add_argument("--node", default="0", help="rank of this node, from 0, or the name of an environment variable")
    parser.add_argument("--nodes", type=int, default=1, help="number of nodes")
    parser.add_argument("--fewest", type=int, default=0, help="minimum number of nodes to continue with when others fail; 0: all")
    parser.add_argument("--processes", type=int, default=1, help="worker processes on this node")
    parser.add_argument("--host", default="127.0.0.1", help="address of node 0, or the name of an environment variable")
    parser.add_argument("--port", default="29500", help="port of node 0, or the name of an environment variable")
    parser.add_argument("--local-addr", default="", help="address of this node, if its host name does not resolve to it")
    parser.add_argument("--restarts", type=int, default=0, help="maximum number of restarts of the workers")
    parser.add_argument("--wait", type=float, default=120.0, help="seconds to wait for all nodes to connect")
    parser.add_argument("--conclude", action="store_true", help="record the result of the run on node 0, since no command waits for it")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
