"""Executors: work on many independent items, in processes of this machine or of a cluster.

An executor is registered in the entry-point group `swift.executors`; its fields are its options. `local` is one.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from swift_core.contract import Ref, SwiftError
from swift_core.options import Options, option

GROUP = "swift.executors"
Json = Mapping[str, Any]
_worker: Any = None  # of this process


class Executor(Options):
    """Base of every executor.

    The work is a class: an object of it is built once in each process, `Work(setup)`, and called with each item, `work(item)`. Setup, items
    and results are JSON objects. An item may be worked on twice, when a process was lost, and also at the same time.
    """

    def map(self, work: Ref, setup: Json, items: Sequence[Json]) -> Iterator[Json]:
        """Yield the results of all items, in any order, as they are ready.

        Raises:
            SwiftError: one from the work, or a process was lost and could not be replaced.
        """
        raise NotImplementedError


class LocalExecutor(Executor):
    """Processes of this machine; one of them is this process itself."""

    processes: int = option(1, "Number of processes.", ge=1)

    def map(self, work: Ref, setup: Json, items: Sequence[Json]) -> Iterator[Json]:
        """Yield the results as they are ready."""
        if self.processes == 1 or len(items) < 2:
            worker = work.load()(setup)
            yield from map(worker, items)
            return
        count = min(self.processes, len(items))
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(count, mp_context=context, initializer=_build, initargs=(work, setup)) as pool:
            waiting: list[Future[Json]] = [pool.submit(_work, item) for item in items]
            try:
                for done in as_completed(waiting):
                    yield done.result()
            except BrokenProcessPool as error:
                hint = "Often memory ran out: use fewer processes. Run the command again: finished items are kept."
                raise SwiftError("a process was killed", code="NODE-046", where="executor", hint=hint) from error
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def _build(work: Ref, setup: Json) -> None:
    """Build the work of this process; a pool whose initializer fails would only say that it is broken."""
    global _worker  # noqa: PLW0603  # one for each process of the pool
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C in a terminal ends it without a traceback
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _worker = work.load()(setup)
    except SwiftError as error:
        _worker = _Failed(error)


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


class _Failed:
    def __init__(self, error: SwiftError) -> None:
        self._error = error

    def __call__(self, item: Json) -> Json:
        raise self._error


def _work(item: Json) -> Json:
    found: Json = _worker(item)
    return found
