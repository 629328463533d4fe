"""The other side of `CodeProcess`: JSON lines on stdin and stdout, `[number, message]` in and `[number, reply]` out.

Whatever the code prints goes to stderr. The process ends as soon as stdin is closed, even if the code hangs.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

from swift_core.contract import SwiftError, UsageError

Answer = Callable[[Any], Any]


def serve(load: Callable[[Any], tuple[Answer, int]]) -> NoReturn:
    """Answer every line of stdin, until it is closed.

    Args:
        load: gets the first message, and returns what answers the others, and in how many threads; 0: in the main thread.
    """
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lines: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    lock = threading.Lock()
    answer: Answer | None = None
    pool: ThreadPoolExecutor | None = None

    def reply(work: Answer, number: int, message: Any) -> None:
        found = _reply(work, message)
        with lock:
            channel.write(json.dumps([number, found]) + "\n")
            channel.flush()

    def first(message: Any) -> None:
        nonlocal answer, pool
        answer, threads = load(message)
        pool = ThreadPoolExecutor(threads) if threads else None

    while True:
        number, message = lines.get()
        if answer is None:
            reply(first, number, message)
        elif pool:
            pool.submit(reply, answer, number, message)
        else:
            reply(answer, number, message)


def _reply(work: Answer, message: Any) -> dict[str, Any]:
    try:
        return {"result": work(message)}
    except SwiftError as error:
        return {"error": error.to_json()}
    except BaseException as error:
        traceback.print_exc()
        failure = SwiftError(
            f"code of the run failed: {type(error).__name__}: {error}", code="RL-040", hint="log.txt in the run folder has its traceback."
        )
        return {"error": failure.to_json()}


def _read(lines: queue.SimpleQueue[tuple[int, Any]]) -> None:
    for line in sys.stdin:
        lines.put(tuple(json.loads(line)))
    os._exit(0)


def raised(error: Exception, kind: str, name: str, where: str) -> UsageError:
    """Return the error to raise for one that a user's function has raised; its traceback is printed."""
    traceback.print_exc()
    last = traceback.extract_tb(error.__traceback__)[-1]
    message = f"the {kind} '{name}' raised {type(error).__name__}: {error} ({last.filename}, line {last.lineno})"
    return UsageError(message, code="RL-018", where=where, hint="Correct the function; log.txt has its traceback.")
