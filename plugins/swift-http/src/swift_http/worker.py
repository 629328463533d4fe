"""The thread that has the model. It takes requests and other work from a queue until it is closed, or fails.

An exception that belongs to one request ends that request. One that belongs to none ends the thread: `fault` is the exception, and all
that waits or comes later gets an error, so that nobody hangs.
"""

from __future__ import annotations

import logging
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

from swift_core.contract.errors import SwiftError

log = logging.getLogger("swift_http")
T = TypeVar("T")
JOIN_SECONDS = 30.0  # that `close` waits for the step under way


class Request(Protocol):
    """What a worker is given."""

    def done(self, error: BaseException | None, /) -> None:
        """Called once, at the end, with the error if there was one."""
        ...


R = TypeVar("R", bound=Request)


class Worker(ABC, Generic[R]):
    """A thread for requests of one type. Subclasses say how they are answered; all methods with an underscore run in the thread."""

    def __init__(self, name: str) -> None:
        self._inbox: queue.SimpleQueue[R | _Call[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._ended: SwiftError | None = None
        self._fault: BaseException | None = None
        self._open = True
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    @property
    def fault(self) -> BaseException | None:
        """Why it works no more; None while it works, and once it was closed."""
        return self._fault

    def submit(self, request: R) -> None:
        """Answer a request when its turn comes; from any thread."""
        self._put(request)

    def run(self, work: Callable[[], T]) -> Future[T]:
        """Do something else with the model between two steps, unless the future is cancelled before; from any thread."""
        call = _Call(work)
        self._put(call)
        return call.future

    def close(self) -> None:
        """End after the step under way; what waits gets an error."""
        self._inbox.put(None)
        self._thread.join(JOIN_SECONDS)

    @abstractmethod
    def _busy(self) -> bool:
        """Whether there is something to compute."""

    @abstractmethod
    def _take(self, request: R) -> None:
        """A request has come."""

    @abstractmethod
    def _step(self) -> None:
        """Compute a little, when busy. Errors of one request go to its `done`; what is raised ends the worker."""

    @abstractmethod
    def _unfinished(self) -> Iterable[R]:
        """The requests that were taken and are not done."""

    def _put(self, item: R | _Call[Any]) -> None:
        with self._lock:
            ended = self._ended
            if ended is None:
                self._inbox.put(item)
        if ended is not None:
            item.done(ended)

    def _main(self) -> None:
        end = SwiftError("the server is stopping")
        try:
            while self._open:
                self._read_inbox()
                if self._open and self._busy():
                    self._step()
        except BaseException as error:
            log.critical("the worker that has the model has failed", exc_info=error)
            self._fault = error
            end = SwiftError("the worker that has the model has failed; the server's log says why", hint="Start the server again.")
        with self._lock:
            self._ended = end
        for item in [*self._unfinished(), *self._waiting()]:
            tell(item, end)

    def _read_inbox(self) -> None:
        """Take what has come; wait for something if there is nothing to do."""
        idle = not self._busy()
        while idle or not self._inbox.empty():
            item = self._inbox.get()
            if item is None:
                self._open = False
            elif isinstance(item, _Call):
                item()
            else:
                self._take(item)
            idle = False

    def _waiting(self) -> Iterable[R | _Call[Any]]:
        while not self._inbox.empty():
            if (item := self._inbox.get()) is not None:
                yield item


def tell(request: Request, error: BaseException | None) -> None:
    """End a request, whatever it does when it is told."""
    try:
        request.done(error)
    except Exception:
        log.exception("the end of a request could not be told")


class _Call(Generic[T]):
    """Work with a future. One that was cancelled is not begun; one that has begun can't be cancelled."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.future: Future[T] = Future()
        self._work = work

    def __call__(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self._work()
        except BaseException as error:
            self.future.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            self.future.set_result(result)

    def done(self, error: BaseException | None) -> None:
        """It will not be done."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)
