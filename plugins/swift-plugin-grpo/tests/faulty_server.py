"""A server between a training and its engine, which breaks the engine's answers on purpose."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

Fault = Callable[[str, int, Any], Any]  # (route, number of its requests before, answer) -> the answer, or None to hang up
Refusal = Callable[[str, int], int]  # (route, number of its requests before) -> a status, or 0


class Faulty:
    """Passes requests on to `url`; `fault` changes the answers, `refuse` gives none. `asked` counts the requests of each route."""

    def __init__(self, url: str) -> None:
        self.asked: dict[str, int] = {}
        self.fault: Fault = lambda route, number, answer: answer
        self.refuse: Refusal = lambda route, number: 0
        root, outer, lock = url.removesuffix("/v1"), self, Lock()

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *arguments: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    number = outer.asked.get(self.path, 0)
                    outer.asked[self.path] = number + 1
                if status := outer.refuse(self.path, number):
                    self.reply(status, {"error": {"message": f"fault {status}"}})
                    return
                request = urllib.request.Request(root + self.path, body, {"Content-Type": "application/json"})
                try:
                    with urllib.request.urlopen(request) as response:
                        status, found = 200, response.read()
                except urllib.error.HTTPError as error:
                    status, found = error.code, error.read()
                if status == 200:
                    changed = outer.fault(self.path, number, json.loads(found) if found.startswith(b"{") else found)
                    if changed is None:
                        self.close_connection = True
                        return
                    found = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
                self.reply(status, found)

            def reply(self, status: int, found: Any) -> None:
                content = found if isinstance(found, bytes) else json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Retry-After", "0")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self.server.shutdown()
        self.server.server_close()
