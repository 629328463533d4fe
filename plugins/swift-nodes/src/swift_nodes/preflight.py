"""Preflight checks before any worker starts: the nodes connect to node 0, and differences between them end the run on all nodes, within
seconds, with a message that names them.

Node 0 listens at the endpoint that torch's rendezvous uses afterwards, so only one port has to be open. A node sends its facts, receives
the run folder, reports whether it can read there what node 0 has just written, and receives the verdict. A node that joins a running
job, in place of a failed one, compares its facts with those that node 0 has saved in the run folder.
"""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from swift_core.contract import SwiftError, UsageError
from swift_core.system import paths
from swift_nodes.facts import SAME, Facts, differences, facts_of, unseen

RECORD = "preflight.json"
_MARK = ".preflight"  # a random number in node 0's folder, which a node with access can read
_REST = 5.0  # seconds for the remaining nodes to connect, once a difference is known


@dataclass(frozen=True, slots=True)
class Meeting:
    """The rendezvous of `nodes` nodes at `host`:`port`, this node's rank, and the seconds to wait for all of them."""

    host: str
    port: int
    node: int
    nodes: int
    wait: float


def preflight(folder: Path, meeting: Meeting) -> Path:
    """Compare this node with the others, and return the run folder of node 0, which all use.

    Args:
        folder: this node's own run folder, which may already be node 0's.
        meeting: the rendezvous.

    Raises:
        UsageError: nodes differ, or have no access to the run folder; each difference is named.
        SwiftError: a node did not connect in time, or node 0 can't be reached.
    """
    facts = facts_of(folder)
    return _lead(folder, meeting, facts) if meeting.node == 0 else _join(folder, meeting, facts)


def _lead(folder: Path, meeting: Meeting, facts: Facts) -> Path:
    mark = secrets.token_hex(8)
    paths.write_text(folder / _MARK, mark)
    with ExitStack() as stack:
        stack.callback((folder / _MARK).unlink, missing_ok=True)
        lines, problems, late = _meet(stack, folder, meeting, facts, mark)
        for line in lines:
            with suppress(OSError):
                _send(line, {"problems": problems, "late": late})
                line.readline()  # the other node closes first: the side that does keeps the port busy (TIME_WAIT)
    if problems:
        raise UsageError("\n".join(problems), code="NODE-005", hint=SAME)
    if late:
        raise SwiftError(
            late, code="NODE-006", hint="Check that the command runs on every machine, with the same --nodes, address and port."
        )
    paths.write_json(folder / RECORD, {"schema": 1, "nodes": meeting.nodes, "facts": dict(facts)})
    return folder


def _meet(stack: ExitStack, folder: Path, meeting: Meeting, facts: Facts, mark: str) -> tuple[list[IO[str]], list[str], str]:
    """Return the connections to the nodes, the problems found, and a sentence on missing nodes."""
    try:
        server = stack.enter_context(socket.create_server(("", meeting.port)))
    except OSError as error:
        hint = "Another run may use the port; choose another one, the same on every machine."
        raise UsageError(f"node 0 can't listen on port {meeting.port}: {error.strerror}", code="NODE-007", hint=hint) from error
    lines: list[IO[str]] = []
    came: set[int] = set()
    problems: list[str] = []
    deadline = time.monotonic() + meeting.wait
    while len(came) < meeting.nodes - 1 and (left := deadline - time.monotonic()) > 0:
        server.settimeout(left)
        try:
            connection, _ = server.accept()
            connection.settimeout(_REST)
            line = stack.enter_context(connection.makefile("rw", encoding="utf-8"))
            stack.enter_context(connection)
            hello = json.loads(line.readline())
            number, they = int(hello["node"]), f"node {hello['node']} ({hello['host']})"
            _send(line, {"folder": str(folder), "mark": mark})
            sees = json.loads(line.readline())["sees"]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # not a node, or disconnected: reported as missing at the end
        if number in came or not 0 < number < meeting.nodes:
            problems.append(f"{they} has a rank that is taken or not below {meeting.nodes}: give each machine a rank of its own")
        found = differences(facts, hello["facts"], we="node 0", they=they)
        if not sees:
            found.append(unseen(folder, we="node 0", they=they))
        problems += found
        lines.append(line)
        came.add(number)
        if problems:
            deadline = min(deadline, time.monotonic() + _REST)
    missing = [str(number) for number in range(1, meeting.nodes) if number not in came]
    late = f"node {', '.join(missing)} of {meeting.nodes} did not connect to {meeting.host}:{meeting.port} in time" if missing else ""
    return lines, problems, late


def _join(folder: Path, meeting: Meeting, facts: Facts) -> Path:
    deadline = time.monotonic() + meeting.wait
    while True:
        try:
            connection = socket.create_connection((meeting.host, meeting.port), timeout=max(1.0, deadline - time.monotonic()))
            break
        except OSError as error:
            if time.monotonic() > deadline:
                message = f"node {meeting.node} can't reach node 0 at {meeting.host}:{meeting.port}: {error}"
                raise SwiftError(
                    message, code="NODE-008", hint="Check that the command runs there, and check address, port and firewall."
                ) from error
            time.sleep(0.3)
    with connection, connection.makefile("rw", encoding="utf-8") as line:
        connection.settimeout(meeting.wait + 2 * _REST)
        try:
            _send(line, {"node": meeting.node, "host": socket.gethostname(), "facts": dict(facts)})
            welcome = json.loads(line.readline())
            shared = Path(welcome["folder"])
            _send(line, {"sees": _reads(shared / _MARK) == welcome["mark"]})
            verdict = json.loads(line.readline())
        except (OSError, ValueError) as error:
            if (folder / RECORD).is_file():
                return _join_late(folder, meeting, facts)
            message = f"node {meeting.node}: {meeting.host}:{meeting.port} responds, but not as node 0 of this run"
            raise SwiftError(
                message, code="NODE-009", hint="Another program may use that port; otherwise read the log of node 0."
            ) from error
    if verdict["problems"]:
        raise UsageError("\n".join(verdict["problems"]), code="NODE-005", hint=SAME)
    if verdict["late"]:
        raise SwiftError(verdict["late"], code="NODE-006", hint="The run did not start. Start the command on the missing machines too.")
    return shared


def _join_late(folder: Path, meeting: Meeting, facts: Facts) -> Path:
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    problems = differences(record["facts"], facts, we="node 0", they=f"node {meeting.node} ({socket.gethostname()})")
    if problems:
        raise UsageError("\n".join(problems), code="NODE-005", hint=SAME)
    return folder


def _reads(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _send(line: IO[str], message: Mapping[str, Any]) -> None:
    line.write(json.dumps(message) + "\n")
    line.flush()
