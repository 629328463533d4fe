"""Run the app: bind the port before the model is loaded, and shut down cleanly on SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from swift_core.contract import SwiftError, UsageError
from swift_http.engine import ReportsFailure
from swift_http.limits import AdmissionControl

GRACE = 5.0  # seconds that active requests have to finish when the server is stopped


def bind(host: str, port: int) -> socket.socket:
    """Bind a socket to the port (0: any free one). Connections are accepted once `run` listens on it.

    Raises:
        UsageError: the port is in use or not permitted, or the host is not an address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise UsageError(
            f"can't bind {host}:{port}: {error.strerror or error}", code="SERVE-014", where="port", hint="Choose another port with --port."
        ) from error
    return bound


def url_of(bound: socket.socket) -> str:
    """Return the base URL of the API on a bound socket, ending in /v1."""
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


class IdleTimeoutProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with a timeout: a connection is closed if no complete request header arrives within `seconds`."""

    seconds = 10.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout."""
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = self.loop.call_later(self.seconds, transport.close)

    def data_received(self, data: bytes) -> None:
        """Stop the timeout once a request header is complete; restart it with the first bytes of the next request."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.seconds, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timeout."""
        self._stop_timer()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Server(uvicorn.Server):
    """uvicorn's server for an app of `create_app`, with a ready callback and a bounded shutdown.

    Args:
        app: the app.
        ready: called once the server accepts requests.
        grace: seconds that active requests have to finish at shutdown.
    """

    def __init__(self, app: FastAPI, ready: Callable[[], None], *, grace: float = GRACE) -> None:
        # No access log: paths and headers may contain private data.
        super().__init__(
            uvicorn.Config(
                app,
                http=IdleTimeoutProtocol,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=int(grace) + 2,
            )
        )
        self._admission: AdmissionControl = app.state.admission
        self._engine: object = app.state.engine
        self._ready = ready
        self._grace = grace

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then call `ready`."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop, which is also the case when the engine has failed."""
        return await super().on_tick(counter) or self.fault is not None

    @property
    def fault(self) -> BaseException | None:
        """The exception that stopped the engine, if any."""
        return self._engine.fault if isinstance(self._engine, ReportsFailure) else None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting requests, wait for active ones during the grace period, and abort the rest."""
        asyncio.get_running_loop().call_later(self._grace, self._admission.abort_all)
        await super().shutdown(sockets)


def run(app: FastAPI, bound: socket.socket, *, ready: Callable[[str], None] = lambda url: None) -> None:
    """Serve until SIGTERM or Ctrl-C; `ready` is called with the URL once the server accepts requests.

    Raises:
        SwiftError: the engine failed.
    """
    server = Server(app, lambda: ready(url_of(bound)))
    try:
        server.run(sockets=[bound])
    finally:
        bound.close()
    if server.fault is not None:
        raise SwiftError(
            f"the engine has failed: {type(server.fault).__name__}: {server.fault}", code="SERVE-015", hint="See its log, then restart it."
        )
