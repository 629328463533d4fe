"""One process in the sandbox: started, its output read, its limits watched, ended with all that it has started."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress

from swift_core.contract import SwiftError
from swift_sandbox.command import HOME, sandbox_command
from swift_sandbox.limits import Limits, Outcome, Status
from swift_sandbox.process_tree import Usage, usage
from swift_sandbox.system_calls import seccomp_program

_TICK = 0.02  # seconds between looks at what the processes use
_BY_SIGNAL = 128  # bubblewrap's exit code for a command that a signal ended is this plus the signal
_CHUNK = 1 << 16


def run_sandboxed(argv: Sequence[str], *, files: Mapping[str, bytes], stdin: bytes, limits: Limits) -> Outcome:
    """Run a program in the sandbox and return how it ended; no process and no file of it is left.

    Raises:
        UsageError: the sandbox can't be made, or the path of a file leaves it.
    """
    with ExitStack() as stack:
        descriptors = {path: _memory_file(content, stack) for path, content in files.items()}
        seccomp = _memory_file(seccomp_program(), stack)
        command = sandbox_command(argv, files=descriptors, seccomp=seccomp, limits=limits)
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            stdin=_memory_file(stdin, stack),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={"PATH": "/usr/bin:/bin"},
            pass_fds=[*descriptors.values(), seccomp],
            start_new_session=True,
        )
        try:
            exceeded, output = _watch(process, started, limits)
        finally:
            _end(process)
        seconds = time.monotonic() - started
    stdout, stderr = (part.decode("utf-8", errors="replace") for part in output)
    status, code = (exceeded, None) if exceeded else _ended(process.returncode, stderr)
    return Outcome(status=status, exit_code=code, stdout=stdout, stderr=stderr, seconds=seconds)


def _watch(process: subprocess.Popen[bytes], started: float, limits: Limits) -> tuple[Status | None, tuple[bytes, bytes]]:
    """Read the output until the process ends; return which limit was exceeded, if any, and the output."""
    assert process.stdout is not None
    assert process.stderr is not None
    output = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    exceeded: Status | None = None
    with selectors.DefaultSelector() as selector, process.stdout, process.stderr:
        for descriptor in output:
            selector.register(descriptor, selectors.EVENT_READ)
        looked = started
        while selector.get_map() and not exceeded:
            for key, _ in selector.select(_TICK):
                chunk = os.read(key.fd, _CHUNK)
                output[key.fd] += chunk
                if not chunk:
                    selector.unregister(key.fd)
            if sum(map(len, output.values())) > limits.output:
                exceeded = "output"
            elif (now := time.monotonic()) - looked >= _TICK:
                looked = now
                exceeded = "timeout" if now - started > limits.seconds else _exceeded(usage(process.pid), limits)
        while not exceeded and process.poll() is None:  # both streams are closed, and it still runs
            time.sleep(_TICK)
            exceeded = "timeout" if time.monotonic() - started > limits.seconds else _exceeded(usage(process.pid), limits)
    stdout, stderr = (bytes(part[: limits.output]) for part in output.values())
    return exceeded, (stdout, stderr)


def _exceeded(used: Usage, limits: Limits) -> Status | None:
    if used.cpu > limits.cpu_seconds:
        return "timeout"
    if used.memory > limits.memory and used.shared_memory() > limits.memory:
        return "memory"
    if used.files(HOME) > limits.files:
        return "files"
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the sandbox: its first process, with which the kernel ends all others; bubblewrap returns when they are gone."""
    if process.poll() is None and (init := usage(process.pid).init):
        with suppress(ProcessLookupError):
            os.kill(init, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
    with suppress(ProcessLookupError):
        process.kill()
    process.wait()


def _ended(code: int, stderr: str) -> tuple[Status, int | None]:
    if code == 0:
        return "passed", code
    if code == _BY_SIGNAL + signal.SIGXCPU:
        return "timeout", None
    if code > _BY_SIGNAL:
        return "killed", None
    last = stderr.rstrip().rpartition("\n")[2]
    return ("memory", None) if last.startswith("MemoryError") else ("failed", code)


def _memory_file(content: bytes, stack: ExitStack) -> int:
    """Return a file descriptor with this content, which no path leads to."""
    try:
        descriptor = os.memfd_create("sandbox")
    except OSError as error:
        raise SwiftError(f"the sandbox can't hand over a file: {error.strerror}", code="SANDBOX-006") from error
    stack.callback(os.close, descriptor)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
