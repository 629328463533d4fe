"""Base class of the embedded server's worker threads: they know which adapters their requests use."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

from swift_http.worker import Request, Worker

R = TypeVar("R", bound=Request)


class ServingWorker(Worker[R]):
    """A worker thread of the embedded server."""

    @abstractmethod
    def is_using(self, model: str) -> bool:
        """Return whether there are requests for that model. Call it in the worker thread."""

    def evict(self, model: str) -> None:
        """Drop what is cached of a model; by default nothing is. Call it in the worker thread."""
