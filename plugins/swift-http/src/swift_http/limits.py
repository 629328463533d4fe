"""Limits on what clients can request at the same time, and their enforcement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from swift_http.errors import ApiError

Abort = Callable[[Exception], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a server.

    Attributes:
        max_requests: maximum number of requests that run or wait; further ones get 429.
        max_body_bytes: maximum size of a request body, in bytes; larger ones get 413.
        retry_after: value of the `Retry-After` header of a 429 response, in seconds.
        timeout: maximum duration of a request from arrival to the last token, in seconds; then it ends with 504.
        body_timeout: maximum time for a request body to arrive, in seconds; then it ends with 408.
        max_choices: maximum number of completions per request (prompts times `n`).
        max_logprobs: maximum number of log-probabilities per token.
    """

    max_requests: int = 64
    max_body_bytes: int = 4 * 1024 * 1024
    retry_after: int = 1
    timeout: float = 600
    body_timeout: float = 30
    max_choices: int = 128
    max_logprobs: int = 20


class AdmissionControl:
    """The set of active requests, bounded by `Limits.max_requests`. The engine decides in which order they run."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._active: set[Abort] = set()

    @property
    def timeout(self) -> float:
        """Maximum duration of a request, in seconds."""
        return self._limits.timeout

    def admit(self, abort: Abort) -> None:
        """Add a request; `abort` is called with the reason if it has to stop early.

        Raises:
            ApiError: 429, the server is full.
        """
        if len(self._active) >= self._limits.max_requests:
            raise ApiError(
                429,
                f"the server is busy: {len(self._active)} requests are running or waiting; try again later",
                kind="rate_limit_error",
                code="server_busy",
                headers={"Retry-After": str(self._limits.retry_after)},
            )
        self._active.add(abort)

    def release(self, abort: Abort) -> None:
        """Remove a request that has ended."""
        self._active.discard(abort)

    def expire(self, abort: Abort) -> None:
        """Abort a request that exceeded its time limit (504)."""
        message = f"the request exceeded the time limit of {self._limits.timeout:g} seconds"
        abort(ApiError(504, message, kind="server_error", code="request_timeout"))

    def abort_all(self) -> None:
        """Abort every active request because the server is stopping (503)."""
        for abort in tuple(self._active):
            abort(ApiError(503, "the server is stopping", kind="server_error", code="server_stopping"))
