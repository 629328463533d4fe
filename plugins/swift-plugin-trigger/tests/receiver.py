"""A receiver of messages, as a receiver should be: it keeps each key once, and answers 409 to those that it has."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """Keeps what it is sent. `script` holds statuses to answer first, in place of taking the message; `drops` connections it breaks."""

    def __init__(self, *, script=()):
        self.kept, self.seen, self.script = {}, [], list(script)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.seen.append((self.headers["idempotency-key"], body, dict(self.headers)))
                status = receiver.script.pop(0) if receiver.script else receiver.take(self.headers["idempotency-key"], body)
                if status == "dies":  # the message was taken, but its sender is not told
                    receiver.take(self.headers["idempotency-key"], body)
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/messages"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})

    def take(self, key, body):
        if key in self.kept:
            assert self.kept[key] == json.loads(body), "a message is the same at each attempt"
            return 409
        self.kept[key] = json.loads(body)
        return 201

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
