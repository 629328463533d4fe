"""A scripted HTTP server for tests: a function decides each response, including faults."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Request(BaseHTTPRequestHandler):
    """A request handler; `asked` is the received request: `path`, `key` (the Authorization header) and `body` (parsed JSON)."""

    asked: dict[str, Any]


class ScriptedServer:
    """A server on a free port; `answer` is called with each request, and `seen` records the requests."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.answer: Callable[[Request], None] = lambda handler: reply(handler, 404, {})
        script = self

        class Handler(Request):
            def do_GET(self) -> None:
                """Handle GET on any route."""
                script.take(self, None)

            def do_POST(self) -> None:
                """Handle POST on any route."""
                script.take(self, json.loads(self.rfile.read(int(self.headers["content-length"]))))

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def take(self, handler: Request, body: Any) -> None:
        """Record a request and answer it."""
        handler.asked = {"path": handler.path, "key": handler.headers.get("authorization"), "body": body}
        self.seen.append(handler.asked)
        self.answer(handler)


def reply(handler: BaseHTTPRequestHandler, status: int, body: Any, **headers: str) -> None:
    """Send a response; `body` is sent as JSON, or unchanged if it is bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    shown = {} if isinstance(body, bytes) else {"content-type": "application/json"}
    for name, value in {"content-length": str(len(content)), **shown, **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def events(*values: Any, done: bool = True) -> bytes:
    """Return the body of a server-sent event stream of these JSON values, ending with `[DONE]` if `done`."""
    lines = [f"data: {json.dumps(value)}\n\n" for value in values]
    return (": a comment\n\n" + "".join(lines) + ("data: [DONE]\n\n" if done else "")).encode()
