"""Calls in threads that never keep a process from ending."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_threads(function: Callable[[T], R], items: Sequence[T], count: int) -> Iterator[tuple[int, R]]:
    """Yield each item's index and result as soon as it is there, computed in up to `count` threads.

    The first exception is raised, and no further item is begun.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()
    for index in range(len(items)):
        waiting.put(index)
    failed = threading.Event()

    def work() -> None:
        while not failed.is_set():
            try:
                index = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((index, function(items[index]), None))
            except BaseException as error:
                failed.set()
                done.put((index, None, error))

    for _ in range(min(count, len(items))):
        threading.Thread(target=work, daemon=True).start()
    try:
        for _ in items:
            index, result, error = done.get()
            if error:
                raise error
            yield index, result
    finally:
        failed.set()
