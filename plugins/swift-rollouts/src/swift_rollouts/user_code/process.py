"""A process with code of the user: whatever it does, the training goes on or ends with a message."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from types import TracebackType
from typing import IO, Any

from swift_core.runs import error_of
from swift_core.system import supervisor

_START = 120.0  # minimum seconds to start the process and load the code


class TooSlow(Exception):
    """The code did not answer in time; its process was ended."""


class Ended(Exception):
    """The process has ended."""


class CodeProcess:
    """A context manager that asks code in a child process. May be asked from several threads.

    Args:
        module: is run as the process; it calls `swift_rollouts.user_code.worker.serve`.
        first: the message with which it loads the code.
        timeout: maximum seconds for an answer.
    """

    def __init__(self, module: str, first: Any, timeout: float) -> None:
        self._module, self._first, self._timeout = module, first, timeout
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: dict[int, queue.SimpleQueue[dict[str, Any] | None]] = {}
        self._asked, self._ended, self._slow = 0, False, False

    def __enter__(self) -> CodeProcess:
        """Start the process and load the code; raises what `ask` raises."""
        argv = [sys.executable, "-P", "-m", self._module]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()
        try:
            self._ask(self._first, max(self._timeout, _START))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def ask(self, message: Any) -> Any:
        """Send a message and return the answer.

        Raises:
            TooSlow: there was none in time.
            Ended: the process has ended.
            SwiftError: what the process reports.
        """
        return self._ask(message, self._timeout)

    def _ask(self, message: Any, timeout: float) -> Any:
        assert self._process is not None
        assert self._process.stdin is not None
        replies: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        with self._lock:
            self._asked += 1
            number = self._asked
            self._waiting[number] = replies
            line = json.dumps([number, message], ensure_ascii=False, default=str).encode("utf-8", "replace") + b"\n"
            try:
                if not self._ended:
                    self._process.stdin.write(line)
                    self._process.stdin.flush()
            except OSError:
                self._ended = True
            if self._ended:
                raise TooSlow if self._slow else Ended
        try:
            reply = replies.get(timeout=timeout)
        except queue.Empty:
            self._slow = True
            self._end()
            raise TooSlow from None
        if reply is None:
            raise TooSlow if self._slow else Ended
        if "error" in reply:
            raise error_of(reply["error"])
        return reply["result"]

    def _read(self, stream: IO[bytes] | None) -> None:
        for line in stream or ():
            number, reply = json.loads(line)
            with self._lock:
                waiting = self._waiting.pop(number)
            waiting.put(reply)
        with self._lock:
            self._ended = True
            left = list(self._waiting.values())
        for waiting in left:
            waiting.put(None)

    def _end(self) -> None:
        if self._process:
            supervisor.signal_group(self._process, signal.SIGKILL)
            self._process.wait()
