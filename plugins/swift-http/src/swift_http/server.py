"""Running the app: a port that is taken before anything is loaded, and a clean end on SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from swift_core.contract.errors import SwiftError, UsageError
from swift_http.engine import CanFail
from swift_http.limits import Gate

GRACE = 5.0  # seconds that answers under way are given when the server is stopped


def bind(host: str, port: int) -> socket.socket:
    """Take the port (0: any free one). Nothing can connect before `run` listens on it.

    Raises:
        UsageError: the port is in use or not allowed, or the host is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise UsageError(f"can't use {host}:{port}: {error.strerror or error}", where="port", hint="Choose another with --port.") from error
    return bound


def url_of(bound: socket.socket) -> str:
    """The base URL of the API on a bound socket, ending in /v1."""
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


class PromptProtocol(H11Protocol):
    """uvicorn's HTTP, less its patience: a connection on which no request comes, or only in drips, is closed."""

    seconds = 10.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._waiting: asyncio.TimerHandle | None = self.loop.call_later(self.seconds, transport.close)

    def data_received(self, data: bytes) -> None:
        """Stop to wait once the head of a request is whole; begin again with the next one's first bytes."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(self.seconds, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class Server(uvicorn.Server):
    """uvicorn's server for an app of `create_app`. It says when it listens, and ends answers that take too long when it is stopped.

    Args:
        app: the app.
        ready: called once requests are taken.
        grace: seconds that answers under way have.
    """

    def __init__(self, app: FastAPI, ready: Callable[[], None], *, grace: float = GRACE) -> None:
        # Paths and headers are not logged: they may hold private things.
        super().__init__(
            uvicorn.Config(
                app,
                http=PromptProtocol,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=int(grace) + 2,
            )
        )
        self._gate: Gate = app.state.gate
        self._engine: object = app.state.engine
        self._ready = ready
        self._grace = grace

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Whether to end: also when the engine has failed."""
        return await super().on_tick(counter) or self.fault is not None

    @property
    def fault(self) -> BaseException | None:
        """Why the engine answers no more."""
        return self._engine.fault if isinstance(self._engine, CanFail) else None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more requests, wait for those under way, and end what is left of them."""
        asyncio.get_running_loop().call_later(self._grace, self._gate.clear)
        await super().shutdown(sockets)


def run(app: FastAPI, bound: socket.socket, *, ready: Callable[[str], None] = lambda url: None) -> None:
    """Serve until SIGTERM or Ctrl-C; `ready` is called with the URL once requests are taken.

    Raises:
        SwiftError: the engine failed.
    """
    server = Server(app, lambda: ready(url_of(bound)))
    try:
        server.run(sockets=[bound])
    finally:
        bound.close()
    if server.fault is not None:
        raise SwiftError(f"the engine has failed: {type(server.fault).__name__}: {server.fault}", hint="Start it again; its log says more.")
