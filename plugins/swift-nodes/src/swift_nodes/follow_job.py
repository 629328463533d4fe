"""Follow a run that a scheduler executes: forward the events in its run folder until the job ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swift_core.contract import Status, Watch, note
from swift_core.runs import EVENTS, STOP_FILE, STOPPED, STOPPING, parse_event
from swift_core.system import forget

_PATIENCE = 1.0  # seconds between two polls
_LAST_LOOKS = 10  # further reads after the end, since a shared file system may show the last lines late


def hand_over(watch: Watch, status: Status, output: Path, text: str, **figures: Any) -> int:
    """Report the run as `prepared` or `submitted`, for launchers that do not wait for it; return the exit code 0."""
    watch(note(text))
    watch({"event": "result", "status": status, "output": str(output), "figures": figures})
    return 0


def follow(run: Path, watch: Watch, poll: Callable[[], int | None], cancel: Callable[[], None]) -> int:
    """Forward the events of the run in folder `run` until `poll` returns the job's exit code; return that code.

    Ctrl-C once asks the workers to save and stop; twice calls `cancel`.
    """
    events = _Tail(run / EVENTS, watch)
    interrupts = 0
    try:
        while True:
            try:
                code = poll()
                events.read()
                if code is not None:
                    return STOPPED if interrupts > 1 else _rest(events, code)
                time.sleep(_PATIENCE)
            except KeyboardInterrupt:
                interrupts += 1
                forget()
                watch(STOPPING if interrupts == 1 else _ENDING)
                if interrupts == 1:
                    (run / STOP_FILE).touch()
                else:
                    cancel()
    finally:
        (run / STOP_FILE).unlink(missing_ok=True)


_ENDING = note("The job is being cancelled.")


def _rest(events: _Tail, code: int) -> int:
    for _ in range(_LAST_LOOKS):
        if events.ended:
            break
        time.sleep(_PATIENCE / 4)
        events.read()
    return code


class _Tail:
    """Forward the lines appended to a JSONL file, once complete. `ended`: the run has reported its result or error."""

    def __init__(self, path: Path, watch: Watch) -> None:
        self.path, self.watch = path, watch
        self.ended = False
        self._at = path.stat().st_size if path.is_file() else 0

    def read(self) -> None:
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            file.seek(self._at)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._at += len(line)
                if event := parse_event(line):
                    self.ended = self.ended or event["event"] in ("result", "error")
                    self.watch(event)
