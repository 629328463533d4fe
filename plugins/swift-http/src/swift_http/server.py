"""Running the app: a port that is taken before anything is loaded, and a clean end on SIGTERM or Ctrl-C."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from swift_core.errors import UsageError

GRACE = 5  # seconds that answers under way are given when the server is stopped


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


class _Server(uvicorn.Server):
    """uvicorn's server, that says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


def run(app: FastAPI, bound: socket.socket, *, ready: Callable[[str], None] = lambda url: None) -> None:
    """Serve until SIGTERM or Ctrl-C; `ready` is called with the URL once requests are taken.

    Requests under way have `GRACE` seconds to end. Paths and headers are not logged: they may hold private things.
    """
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE, server_header=False)
    server = _Server(config, lambda: ready(url_of(bound)))
    try:
        server.run(sockets=[bound])
    finally:
        bound.close()
