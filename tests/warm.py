"""`swift` without the imports: its processes are forked from one that has imported torch, transformers and peft.

They are real processes, with their own arguments, environment, folder, streams, process groups and exit codes; the worker of a run is one
too. Only the four seconds of CPU time that each worker's imports take are saved. What a test says of those imports, of a start of Python
or of a signal in the middle of it needs the real thing: the fixture `cold` beside the fixture `swift`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

from swift_core.runs.local_launcher import CONTROL_PIPE, WorkerCommand

PLACE = "SWIFT_TEST_WARM"  # the socket of the warm process
SPENT = ".seconds"  # beside it: CPU seconds, a line for each process that has ended
SUPERVISOR, ENGINE = "swift_core.system.supervisor", "swift_plugin_transformers.serving"
IMPORTED = (
    *("swift_core.cli.group", "swift_core.cli.verb", "swift_core.runs.worker", "swift_train.job", "transformers.models.llama", "peft"),
    *(SUPERVISOR, ENGINE, "swift_serve.serve"),
)
CLASSES = ("AutoModelForCausalLM", "AutoTokenizer", "LlamaForCausalLM", "PreTrainedTokenizerFast")


class Forked:
    """A process that the warm process started, as `subprocess.Popen` shows one."""

    def __init__(
        self, module: str, words: Sequence[str], streams: Sequence[IO[bytes] | int], *, env: Mapping[str, str], cwd: Path, session: bool
    ) -> None:
        self.stdin: IO[bytes] | None = None
        self.stdout: IO[bytes] | None = None
        self.returncode: int | None = None
        wanted = {"module": module, "words": [*words], "env": dict(env), "cwd": str(cwd), "session": session}
        self._line = socket.socket(socket.AF_UNIX)
        self._line.connect(os.environ[PLACE])
        socket.send_fds(self._line, [b"?"], [each if isinstance(each, int) else each.fileno() for each in streams])
        self._line.sendall(json.dumps(wanted).encode() + b"\n")
        self.pid = int.from_bytes(self._line.recv(8, socket.MSG_WAITALL))

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0.001)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code."""
        if self.returncode is None:
            self._line.settimeout(timeout)
            try:
                answer = self._line.recv(16)
            except TimeoutError:
                raise subprocess.TimeoutExpired("swift", timeout or 0) from None
            self.returncode = int(answer)
            self._line.close()
        return self.returncode


def run(folder: Path, words: Sequence[str], *, env: Mapping[str, str], stdin: str | None, timeout: float) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of `swift WORDS` in `folder`."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write((stdin or "").encode())
        given.seek(0)
        process = Forked("swift_core.cli.group", words, (given, out, err), env=env, cwd=folder, session=False)
        try:
            code = process.wait(timeout)
        except BaseException:
            os.kill(process.pid, signal.SIGKILL)
            raise
        for stream in (out, err):
            stream.seek(0)
        return code, out.read().decode(), err.read().decode()


def forked_seconds() -> float:
    """CPU seconds of the forked processes that have ended, theirs included."""
    spent = Path(os.environ.get(PLACE, "/nowhere") + SPENT)
    return sum(map(float, spent.read_text().split())) if spent.exists() else 0.0


@contextmanager
def warm_process(folder: Path) -> Iterator[None]:
    """The warm process, for as long as this lasts; its socket is in the folder."""
    place = folder / f"warm-{os.getpid()}"
    env = {**os.environ, PLACE: str(place)}
    process = subprocess.Popen([sys.executable, __file__], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"warm\n"
    os.environ[PLACE] = str(place)
    try:
        yield
    finally:
        process.communicate()
        del os.environ[PLACE]
        place.unlink()
        Path(f"{place}{SPENT}").unlink(missing_ok=True)


def start_worker(started: Any, command: Any, log: IO[bytes]) -> Any:
    """In place of `WorkerCommand.start`, which is `started`: a worker of the local launcher is forked, any other command is not."""
    argv = list(command.argv)
    if argv[:3] != [sys.executable, "-m", "swift_core.runs.worker"] or command.grace:
        return started(command, log)
    (theirs_in, ours_in), (ours_out, theirs_out) = os.pipe(), os.pipe()
    env = {**os.environ, **command.env, CONTROL_PIPE: "1" if command.control_pipe else ""}
    process = Forked("swift_core.runs.worker", argv[3:], (theirs_in, theirs_out, log), env=env, cwd=Path.cwd(), session=True)
    os.close(theirs_in)
    os.close(theirs_out)
    process.stdin, process.stdout = os.fdopen(ours_in, "wb"), os.fdopen(ours_out, "rb")
    return process


@contextmanager
def warm_workers() -> Iterator[None]:
    """The workers that this process starts are forked, and so are the embedded servers that those start."""
    started = WorkerCommand.start
    WorkerCommand.start = lambda command, log: start_worker(started, command, log)
    try:
        yield
    finally:
        WorkerCommand.start = started


def start_engine(argv: Sequence[str], *, stdin: int, env: Mapping[str, str] | None = None, start_new_session: bool = False) -> Any:
    """In place of `subprocess.Popen` where an engine is started: the embedded server and its supervisor are forked."""
    argv = list(argv)
    if argv[:2] != [sys.executable, "-m"] or argv[2] not in (SUPERVISOR, ENGINE):
        return subprocess.Popen(argv, stdin=stdin, env=env, start_new_session=start_new_session)
    theirs, ours = os.pipe()
    process = Forked(argv[2], argv[3:], (theirs, 1, 2), env={**(env or os.environ)}, cwd=Path.cwd(), session=start_new_session)
    os.close(theirs)
    if stdin == subprocess.PIPE:
        process.stdin = os.fdopen(ours, "wb")
    else:
        os.close(ours)
    return process


def main() -> None:
    """The warm process: import everything, then fork a process for each connection, until stdin closes."""
    sys.path.remove(str(Path(__file__).parent))
    for name in IMPORTED:
        importlib.import_module(name)
    for name in CLASSES:
        getattr(importlib.import_module("transformers"), name)
    gc.freeze()  # so that no fork visits, and thereby copies, what was imported
    place = socket.socket(socket.AF_UNIX)
    place.bind(os.environ[PLACE])
    place.listen()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, which closes stdin
    os.write(1, b"warm\n")
    while place in select.select([0, place], [], [])[0]:
        line, _ = place.accept()
        if os.fork() == 0:
            place.close()
            _answer(line)
        line.close()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _answer(line: socket.socket) -> None:
    """Fork the process that is asked for, tell its number and, when it has ended, its exit code."""
    line.settimeout(None)
    _, fds, _, _ = socket.recv_fds(line, 1, 3)
    wanted = json.loads(line.makefile("rb").readline())
    child = os.fork()
    if child == 0:
        line.close()
        os._exit(_become(wanted, fds))
    for each in fds:
        os.close(each)
    line.sendall(child.to_bytes(8))
    _, ended, usage = os.wait4(child, 0)
    status = os.waitstatus_to_exitcode(ended)
    with Path(os.environ[PLACE] + SPENT).open("a") as spent:
        spent.write(f"{usage.ru_utime + usage.ru_stime}\n")
    with suppress(OSError):
        line.sendall(str(status).encode())
    os._exit(0)


def _become(wanted: Mapping[str, Any], fds: Sequence[int]) -> int:
    """Be `python -P -m MODULE WORDS`; the exit code."""
    if wanted["session"]:
        os.setsid()
    for number, each in enumerate(fds):
        os.dup2(each, number)
        os.close(each)
    os.chdir(wanted["cwd"])
    os.environ.clear()
    os.environ.update(wanted["env"])
    sys.path[:0] = [path for path in wanted["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    module = importlib.import_module(wanted["module"])
    sys.argv = [str(module.__file__), *wanted["words"]]
    engines = SimpleNamespace(**{**vars(subprocess), "Popen": start_engine})
    for name in (SUPERVISOR, "swift_serve.serve"):
        vars(sys.modules[name])["subprocess"] = engines
    code: Any = 1
    try:
        with warm_workers():
            code = module.main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    if isinstance(code, str):
        sys.stderr.write(code + "\n")
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    return code if isinstance(code, int) else int(code is not None)


if __name__ == "__main__":
    main()
