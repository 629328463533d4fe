"""Checks of how a backend's engine shuts down and fails to start. They run last, since the engine has ended after them."""

from __future__ import annotations

import time

from swift_core.contract import SwiftError
from swift_testing.kit import served
from swift_testing.kit.checks.backends import BACKEND, NEEDS, engine_of, interpreter, serving, stream
from swift_testing.kit.model import check, require
from swift_testing.kit.subject import Subject

_REFUSAL_SECONDS = 240.0


@check(BACKEND, needs=NEEDS)
def check_shutdown_frees_port(subject: Subject) -> None:
    """SIGTERM during an answer ends the engine and all its processes and frees the port, so that it can be started again."""
    running = engine_of(subject)
    pieces = stream(running, temperature=1.5, max_tokens=400)
    next(pieces, None)
    del subject.kept["served"]
    wrong = running.stop()
    pieces.close()  # type: ignore[attr-defined]
    require(not wrong, f"{'; '.join(wrong)}. {served.last_line(running.log)}")


@check(BACKEND, needs=NEEDS)
def check_missing_checkpoint_exits(subject: Subject) -> None:
    """With a missing checkpoint the engine ends with an error that names the checkpoint, instead of never becoming ready."""
    missing = subject.folder / "nowhere"
    what = serving(subject, missing, python=interpreter(subject))
    backend = subject.build()
    try:
        backend.command(what)
    except SwiftError as error:
        require(error.hint, f"the error has no hint: {error.message}")
        return
    process, log = served.launch(backend, what, subject.new_folder("missing"))
    end = time.monotonic() + _REFUSAL_SECONDS
    try:
        while process.poll() is None and time.monotonic() < end:
            require(served.is_free(what.port), "it serves although the checkpoint is missing")
            time.sleep(0.1)
        require(process.poll() is not None, f"it still runs after {_REFUSAL_SECONDS:.0f} seconds, although the checkpoint is missing")
        require(process.returncode, "it exited with code 0, although the checkpoint is missing")
        named = "nowhere" in log.read_text(encoding="utf-8", errors="replace")
        require(named, f"its log does not name the missing checkpoint. {served.last_line(log)}")
    finally:
        served.kill(process)
