"""Test helper: a client that disconnects at every endpoint and at every point of a request."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

POINTS = ("connected", "in the head", "before the body", "in the body", "after the body", "while waiting", "in the response")


class DisconnectingClient:
    """Raw socket connections to one server.

    Args:
        address: host and port of the server.
        requests: JSON body by path; None for GET.
        key: API key of the server, if it has one.
        seed: seed of the random cut positions and delays.
    """

    def __init__(self, address: tuple[str, int], requests: Mapping[str, Any], *, key: str = "", seed: int = 0) -> None:
        self._address = address
        self._requests = requests
        self._key = key
        self._random = random.Random(seed)

    def each(self) -> Iterator[tuple[str, str]]:
        """Disconnect at every point of every endpoint; yield (path, point) after each."""
        for path in self._requests:
            for point in POINTS:
                self.disconnect(path, point)
                yield path, point

    def disconnect(self, path: str, point: str) -> None:
        """Start a request and disconnect, with equal probability by a TCP reset or a regular close."""
        head, body = self._bytes(path)
        with socket.create_connection(self._address, timeout=300) as connection:
            if self._random.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            with suppress(ConnectionError):
                connection.sendall(self._part(head, body, point))
                if point == "while waiting":
                    connection.settimeout(self._random.uniform(0, 0.03))
                    with suppress(TimeoutError):
                        connection.recv(1)
                elif point == "in the response":
                    connection.recv(self._random.randint(1, 300))

    def status(self, path: str) -> int:
        """Send a complete request and return its HTTP status."""
        head, body = self._bytes(path)
        with socket.create_connection(self._address, timeout=300) as connection:
            connection.sendall(head + body)
            response = b""
            while b"\r\n" not in response and (part := connection.recv(4096)):
                response += part
            status = int(response.split(b" ", 2)[1])
            while connection.recv(65536):
                pass
        return status

    def _part(self, head: bytes, body: bytes, point: str) -> bytes:
        if point == "connected":
            return b""
        if point == "in the head":
            return head[: self._random.randrange(1, len(head))]
        if point == "before the body":
            return head
        if point == "in the body":
            return head + body[: self._random.randrange(max(len(body), 1))]
        return head + body

    def _bytes(self, path: str) -> tuple[bytes, bytes]:
        given = self._requests[path]
        body = b"" if given is None else json.dumps(given).encode()
        key = f"Authorization: Bearer {self._key}\r\n" if self._key else ""
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        return (
            f"{'POST' if body else 'GET'} {path.partition('#')[0]} HTTP/1.1\r\nHost: x\r\n{key}{kind}Connection: close\r\n\r\n".encode(),
            body,
        )
