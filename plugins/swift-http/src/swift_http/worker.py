"""Worker thread that owns the model and processes requests and other calls from a queue until it is closed or fails.

An exception caused by one request ends that request only. Any other exception ends the thread: it is kept in `fault`, and all pending and
later requests get an error, so that no client hangs.
"""

from __future__ import annotations

import logging
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

from swift_core.contract import SwiftError

log = logging.getLogger("swift_http")
T = TypeVar("T")
JOIN_SECONDS = 30.0  # maximum time that `close` waits for the current step


class Request(Protocol):
    """A request as the worker sees it."""

    def done(self, error: BaseException | None, /) -> None:
        """Called exactly once, when the request ends; `error` is None on success."""
        ...


R = TypeVar("R", bound=Request)


class Worker(ABC, Generic[R]):
    """Base class of worker threads for requests of type `R`. The abstract methods, and all with an underscore, run in the thread."""

    def __init__(self, name: str) -> None:
        self._inbox: queue.SimpleQueue[R | _Call[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._ended: SwiftError | None = None
        self._fault: BaseException | None = None
        self._open = True
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def fault(self) -> BaseException | None:
        """The exception that ended the thread; None while it runs and after `close`."""
        return self._fault

    def submit(self, request: R) -> None:
        """Queue a request; callable from any thread."""
        self._put(request)

    def run(self, work: Callable[[], T]) -> Future[T]:
        """Queue a function to run in the thread between two steps, unless its future is cancelled first; callable from any thread."""
        call = _Call(work)
        self._put(call)
        return call.future

    def close(self) -> None:
        """Stop after the current step; pending requests get an error."""
        self._inbox.put(None)
        self._thread.join(JOIN_SECONDS)

    @abstractmethod
    def _busy(self) -> bool:
        """Return whether there is something to compute."""

    @abstractmethod
    def _take(self, request: R) -> None:
        """Accept a request from the queue."""

    @abstractmethod
    def _step(self) -> None:
        """Run one step of the computation, when busy. Pass errors of one request to its `done`; a raised exception ends the worker."""

    @abstractmethod
    def _unfinished(self) -> Iterable[R]:
        """Return the requests that were accepted and are not done."""

    def _put(self, item: R | _Call[Any]) -> None:
        with self._lock:
            ended = self._ended
            if ended is None:
                self._inbox.put(item)
        if ended is not None:
            item.done(ended)

    def _main(self) -> None:
        end = SwiftError("the server is stopping", code="SERVE-019")
        try:
            while self._open:
                self._read_inbox()
                if self._open and self._busy():
                    self._step()
        except BaseException as error:
            log.critical("the model's worker thread has failed", exc_info=error)
            self._fault = error
            end = SwiftError("the model's worker thread has failed; see the server's log", code="SERVE-020", hint="Restart the server.")
        with self._lock:
            self._ended = end
        for item in [*self._unfinished(), *self._waiting()]:
            finish_request(item, end)

    def _read_inbox(self) -> None:
        """Process queued items; block for the next one if idle."""
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


def finish_request(request: Request, error: BaseException | None) -> None:
    """Call `done` of a request; an exception that it raises is logged."""
    try:
        request.done(error)
    except Exception:
        log.exception("the callback at the end of a request failed")


class _Call(Generic[T]):
    """A queued function with its future, which can be cancelled until the function starts."""

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
        """Fail the future: the function will not run."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)
