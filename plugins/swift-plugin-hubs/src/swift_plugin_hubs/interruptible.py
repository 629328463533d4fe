"""Ctrl-C during a download by a library that waits for the file in flight, and for all that it has queued."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
_CLEAN_UP = 2.0  # seconds that an interrupted download gets to remove its unfinished files


def interruptibly(download: Callable[[threading.Event], Result]) -> Result:
    """Return what a download returns, which runs in a thread of its own; an interrupt here ends it.

    Args:
        download: gets an event that is set by an interrupt: from then on its progress callbacks raise, which ends each of its threads at
            the next bytes received.

    Raises:
        KeyboardInterrupt: at once, or as soon as the download has removed its unfinished files.
    """
    stopping = threading.Event()
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(download(stopping))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        thread.join()
    except BaseException:
        stopping.set()
        thread.join(_CLEAN_UP)
        raise
    if errors:
        raise errors[0]
    return results[0]
