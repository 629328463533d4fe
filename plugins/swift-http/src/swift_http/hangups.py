"""For tests of servers: clients that hang up at every endpoint and at every moment."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

MOMENTS = ("connected", "in the head", "before the body", "in the body", "after the body", "while it waits", "in the answer")


class HangUps:
    """Raw connections to one server.

    Args:
        address: its host and port.
        requests: a body by path; None for GET.
        key: its API key, if it has one.
        seed: of what is chosen by chance: where in the bytes, and when.
    """

    def __init__(self, address: tuple[str, int], requests: Mapping[str, Any], *, key: str = "", seed: int = 0) -> None:
        self._address = address
        self._requests = requests
        self._key = key
        self._chance = random.Random(seed)

    def each(self) -> Iterator[tuple[str, str]]:
        """Hang up at every moment of every endpoint; what was just done, as (path, moment)."""
        for path in self._requests:
            for moment in MOMENTS:
                self.one(path, moment)
                yield path, moment

    def one(self, path: str, moment: str) -> None:
        """Begin a request, and hang up; half of the times with a reset in place of a regular end."""
        head, body = self._bytes(path)
        with socket.create_connection(self._address, timeout=300) as connection:
            if self._chance.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            with suppress(ConnectionError):
                connection.sendall(self._part(head, body, moment))
                if moment == "while it waits":
                    connection.settimeout(self._chance.uniform(0, 0.03))
                    with suppress(TimeoutError):
                        connection.recv(1)
                elif moment == "in the answer":
                    connection.recv(self._chance.randint(1, 300))

    def ask(self, path: str) -> int:
        """The status of a whole request."""
        head, body = self._bytes(path)
        with socket.create_connection(self._address, timeout=300) as connection:
            connection.sendall(head + body)
            answer = b""
            while b"\r\n" not in answer and (part := connection.recv(4096)):
                answer += part
            status = int(answer.split(b" ", 2)[1])
            while connection.recv(65536):
                pass
        return status

    def _part(self, head: bytes, body: bytes, moment: str) -> bytes:
        if moment == "connected":
            return b""
        if moment == "in the head":
            return head[: self._chance.randrange(1, len(head))]
        if moment == "before the body":
            return head
        if moment == "in the body":
            return head + body[: self._chance.randrange(max(len(body), 1))]
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
