"""Bounds on what clients can ask of a server at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from swift_http.errors import ApiError

End = Callable[[Exception], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`requests`: how many may run or wait; `body`: bytes of a request; `seconds`: of a request, from its arrival to its end;
    `retry_after`: seconds a refused client is told to wait; `slow`: seconds in which a request's body has to be here; `answers`: most
    that one request may ask for (prompts times `n`).
    """

    requests: int = 64
    body: int = 4 * 1024 * 1024
    retry_after: int = 1
    seconds: float = 600
    slow: float = 30
    answers: int = 128


class Gate:
    """Holds the requests that are inside and refuses more than the limit: a bounded queue, the order of which is the engine's."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._inside: set[End] = set()

    @property
    def seconds(self) -> float:
        """How long one may stay inside."""
        return self._limits.seconds

    def enter(self, end: End) -> None:
        """Let one more in; `end` is called with the reason if it has to leave early.

        Raises:
            ApiError: 429, the server is full.
        """
        if len(self._inside) >= self._limits.requests:
            raise ApiError(
                429,
                f"the server is busy: {len(self._inside)} requests are running or waiting; try again later",
                kind="rate_limit_error",
                code="server_busy",
                headers={"Retry-After": str(self._limits.retry_after)},
            )
        self._inside.add(end)

    def leave(self, end: End) -> None:
        """One is done."""
        self._inside.discard(end)

    def too_long(self, end: End) -> None:
        """Send one away whose time is up."""
        message = f"the answer took longer than {self._limits.seconds:g} seconds"
        end(ApiError(504, message, kind="server_error", code="request_timeout"))

    def clear(self) -> None:
        """Send all away: the server is stopping."""
        for end in tuple(self._inside):
            end(ApiError(503, "the server is stopping", kind="server_error", code="server_stopping"))
