"""Run an installer: log its output as it arrives, report progress, and end it together with this process."""

from __future__ import annotations

import queue
import re
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from swift_core.contract import Watch, progress
from swift_core.system import supervisor
from swift_environments.installer_errors import failure
from swift_environments.record import log_of, size_of
from swift_environments.variables import cleared_variables

_COLLECTED = re.compile(r"^(Collecting|Processing|Downloading) ")  # pip indents its own "Downloading", which must not be counted again
_TOTAL = re.compile(r"^Resolved (\d+) packages?|^Installing collected packages: (.*)")
_COUNT_SIZE = 2.0  # seconds between two measurements of the folder's size


class Work:
    """Runs the commands that build one environment; the child processes inherit its lock."""

    def __init__(self, folder: Path, claimed: int, watch: Watch | None) -> None:
        self.folder, self.claimed, self.watch = folder, claimed, watch
        self.lines: deque[str] = deque(maxlen=2000)
        self._collected = 0
        log_of(folder).unlink(missing_ok=True)

    def run(self, argv: Sequence[str]) -> None:
        """Run a command and wait for it.

        Raises:
            SwiftError: the command failed; the message is extracted from its output.
        """
        self._keep(f"$ {' '.join(argv)}")
        process = subprocess.Popen(
            supervisor.argv(list(argv)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=cleared_variables(),
            pass_fds=(self.claimed,),
        )
        printed: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_read, args=(process.stdout, printed), daemon=True).start()
        try:
            self._follow(printed)
        finally:
            if process.stdin:
                with suppress(OSError):
                    process.stdin.close()  # ends the command if it is still running
            code = process.wait()
        if code:
            raise failure(list(self.lines), str(log_of(self.folder)))

    def _follow(self, printed: queue.Queue[str | None]) -> None:
        looked = time.monotonic()
        while True:
            with suppress(queue.Empty):
                line = printed.get(timeout=_COUNT_SIZE)
                if line is None:
                    return
                self._keep(line)
                self._count(line)
            if self.watch and time.monotonic() - looked >= _COUNT_SIZE:
                looked = time.monotonic()
                self.watch(progress("installed", size_of(self.folder), None, "bytes"))

    def _count(self, line: str) -> None:
        if not self.watch:
            return
        total = None
        if match := _TOTAL.match(line):
            total = int(match[1]) if match[1] else match[2].count(",") + 1
            self._collected = total
        elif _COLLECTED.match(line):
            self._collected += 1
        else:
            return
        self.watch(progress("collected", self._collected, total, "packages"))

    def _keep(self, line: str) -> None:
        self.lines.append(line)
        with suppress(OSError), log_of(self.folder).open("a", encoding="utf-8") as log:  # a full disk must not hide the reason
            log.write(f"{line}\n")

    def keep_log(self) -> None:
        """Write the last lines again, in case the disk was too full for them before."""
        with suppress(OSError):
            log_of(self.folder).write_text("".join(f"{line}\n" for line in self.lines), encoding="utf-8")


def _read(stream: IO[str] | None, printed: queue.Queue[str | None]) -> None:
    for line in stream or ():
        printed.put(line.rstrip("\n"))
    printed.put(None)
