"""The channel of a job: it reports events to the run folder and to the command that started it (`swift_core.contract.events`)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

from swift_core.contract import DiskFull, ErrorEvent, Event, NotWritable, SwiftError, note, progress
from swift_core.system import disk_error

EVENTS = "events.jsonl"  # in the run folder


def parse_event(line: str | bytes) -> Event | None:
    """Return the event of a line; None for one that is not an event, such as what a library prints."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return cast(Event, value) if isinstance(value, dict) and "event" in value else None


def read_events(folder: Path) -> list[Event]:
    """Return the events of the run in `folder` so far; none before the first."""
    path = folder / EVENTS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [event for line in lines if (event := parse_event(line))]


class Report:
    """The reporting channel of a job. Only the rank that `speaks` reports; all ranks see a stop request.

    Args:
        folder: the run folder.
        channel: where the events go beside `events.jsonl`, line by line.
        speaks: False on ranks other than 0.

    Attributes:
        asked: whether the job has ever asked, in its main thread, if it is to stop.
    """

    def __init__(self, folder: Path, channel: IO[str] | None = None, *, speaks: bool = True) -> None:
        self.folder = folder
        self.speaks = speaks
        self._channel = channel
        self.asked = False
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._lost = False

    @property
    def stop_requested(self) -> bool:
        """True if the user has asked the job to save and end. A job that reads this is not interrupted by force."""
        self._ask()
        return self._stop.is_set()

    def wait_for_stop(self, timeout: float | None = None) -> bool:
        """Block until a stop is requested, for at most `timeout` seconds; return whether it was. Such a job is not interrupted by force."""
        self._ask()
        return self._stop.wait(timeout)

    def _ask(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self.asked = True

    def request_stop(self) -> None:
        """Ask the job to save and end at the next safe point."""
        self._stop.set()

    def progress(self, what: str, done: int, total: int | None, *, unit: str = "", **figures: float) -> None:
        """Report the progress of a stage; `figures` are shown beside the bar."""
        self.send(progress(what, done, total, unit, **figures))

    def metric(self, step: int, **values: float) -> None:
        """Report metrics of a step, which are written to metrics.jsonl."""
        if self.speaks:
            self._append("metrics.jsonl", {"step": step, **values})
        self.send({"event": "metric", "step": step, "values": values})

    def note(self, text: str) -> None:
        """Report a note to the user."""
        self.send(note(text))

    def result(self, output: str, figures: Mapping[str, Any]) -> None:
        """Report the result of the job."""
        self.send({"event": "result", "status": "done", "output": output, "figures": dict(figures)})

    def error(self, error: SwiftError) -> None:
        """Report that the job failed for a known reason. Any rank may do so, since the others would wait for the one that failed."""
        self.send(cast(ErrorEvent, {"event": "error", **error.to_json()}), always=True)

    def send(self, event: Event, *, always: bool = False) -> None:
        """Send an event to the parent process."""
        if not self.speaks and not always:
            return
        if event["event"] != "progress":
            self._append(EVENTS, {"time": round(time.time(), 3), **event})
        self._pass_on(event)

    def _pass_on(self, event: Event) -> None:
        if self._channel:
            with self._lock:
                try:
                    self._channel.write(json.dumps(event, ensure_ascii=False, default=str) + "\n")
                    self._channel.flush()
                except (BrokenPipeError, ValueError):  # whoever started us is gone
                    self._channel = None

    def _append(self, name: str, value: Mapping[str, Any]) -> None:
        """Append a whole line or nothing. If the disk is full or fails, lines are lost, which is reported once and does not end the run."""
        line = (json.dumps(value, ensure_ascii=False, default=str) + "\n").encode()
        lost = ""
        try:
            with self._lock, (self.folder / name).open("ab", buffering=0) as file:
                length = file.seek(0, 2)
                if file.write(line) < len(line):
                    lost = "the disk is full"
                    file.truncate(length)
        except OSError as error:
            translated = disk_error(error, self.folder)
            if not isinstance(translated, DiskFull | NotWritable):
                raise
            lost = translated.message
        if lost and not self._lost:
            self._pass_on(note(f"WARNING: {lost}: lines are missing in {self.folder / name}."))
        self._lost = bool(lost)
