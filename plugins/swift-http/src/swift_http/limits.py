"""Bounds on what clients can ask of a server at once."""

from __future__ import annotations

from dataclasses import dataclass

from swift_http.errors import ApiError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`requests`: how many may run or wait; `body`: bytes of a request; `retry_after`: seconds a refused client is told to wait."""

    requests: int = 64
    body: int = 4 * 1024 * 1024
    retry_after: int = 1


class Gate:
    """Counts the requests that are inside and refuses more than the limit: a bounded queue, the order of which is the engine's."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.inside = 0

    def enter(self) -> None:
        """Count one more.

        Raises:
            ApiError: 429, the server is full.
        """
        if self.inside >= self._limits.requests:
            raise ApiError(
                429,
                f"the server is busy: {self.inside} requests are running or waiting; try again later",
                kind="rate_limit_error",
                code="server_busy",
                headers={"Retry-After": str(self._limits.retry_after)},
            )
        self.inside += 1

    def leave(self) -> None:
        """One fewer."""
        self.inside -= 1
