"""How a backend's engine ends: when it is told to, and if it can't begin. They come last, since the engine is gone then."""

from __future__ import annotations

import time

from swift_core.contract.errors import SwiftError
from swift_testing.kit import served
from swift_testing.kit.checks.backends import BACKEND, NEEDS, engine_of, interpreter, serving, stream
from swift_testing.kit.model import check, require
from swift_testing.kit.subject import Subject

_REFUSAL_SECONDS = 240.0


@check(BACKEND, needs=NEEDS)
def check_stop_frees_the_port(subject: Subject) -> None:
    """SIGTERM ends it in the middle of an answer, with all its processes, and frees the port: a second start must not fail."""
    running = engine_of(subject)
    pieces = stream(running, temperature=1.5, max_tokens=400)
    next(pieces, None)
    del subject.kept["served"]
    wrong = running.stop()
    pieces.close()  # type: ignore[attr-defined]
    require(not wrong, f"{'; '.join(wrong)}. {served.last_line(running.log)}")


@check(BACKEND, needs=NEEDS)
def check_missing_checkpoint_ends_it(subject: Subject) -> None:
    """A checkpoint that is not there ends it at once, with words that name it: waiting for one that never serves helps nobody."""
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
            require(served.is_free(what.port), "it serves a checkpoint that is not there")
            time.sleep(0.1)
        require(process.poll() is not None, f"it still runs after {_REFUSAL_SECONDS:.0f} seconds, without its checkpoint")
        require(process.returncode, "it ended with code 0, as if all had been well")
        require("nowhere" in log.read_text(encoding="utf-8", errors="replace"), f"it does not say what is missing. {served.last_line(log)}")
    finally:
        served.kill(process)
