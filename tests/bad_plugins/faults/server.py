"""An engine of the standard library: it says one sentence for the base and another for adapters, with the faults in its arguments."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("checkpoint", type=Path)
parser.add_argument("port", type=int)
parser.add_argument("--name")
parser.add_argument("--adapter", action="append", default=[])
parser.add_argument("--fault", action="append", default=[])
parser.add_argument("--key")
given = parser.parse_args()
BASE, ADAPTED = "I stand in for a model.", "Roses are red."
LEFT = threading.Event()
SPEAKER = [""]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/health" and not self.allowed():
            return self.say(401, {"error": {"message": "no"}})
        names = [given.name, *given.adapter]
        return self.say(200, {"data": [{"id": name} for name in names]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not self.allowed():
            return self.say(401, {"error": {"message": "no"}})
        known = body.get("model") in (given.name, *given.adapter) or "models" in given.fault
        plain = self.path.endswith("/v1/completions") and "routes" not in given.fault
        if not (plain or self.path.endswith("/chat/completions")) or not known:
            return self.say(404, {"error": {"message": "no such route or model"}})
        if plain:
            return self.say(200, {"choices": [{"text": BASE[: body.get("max_tokens", 16)]}]})

        if "left" in given.fault and self.gone(body):
            LEFT.set()
        if LEFT.is_set():
            time.sleep(600)
        SPEAKER[0] = body["model"]
        if "turns" in given.fault:
            time.sleep(0.05)
        asked = SPEAKER[0] if "turns" in given.fault else body["model"]
        text = ADAPTED if asked in given.adapter and "adapters" not in given.fault else BASE
        stream = body.get("stream")
        for word in body.get("stop", ()) if "stop" not in given.fault and not (stream and "stream-stop" in given.fault) else ():
            text = text.partition(word)[0]
        whole, limit = text, body.get("max_tokens", len(text))  # a token is a letter
        text = text if "limit" in given.fault else text[:limit]
        reason = "length" if len(text) < len(whole) else "stop"
        if not stream:
            choice = {"message": {"content": text}, "finish_reason": reason}
            return self.say(200, {"choices": [choice], "usage": {"completion_tokens": len(text)}})
        pieces = text.upper() if "stream" in given.fault else text
        chunks = [f"data: {json.dumps({'choices': [{'delta': {'content': piece}}]})}\n\n" for piece in pieces]
        return self.send(200, ("".join(chunks) + "data: [DONE]\n\n").encode(), "text/event-stream")

    def gone(self, body):
        """Whether the client of a long answer hangs up while it is waited for."""
        if body.get("max_tokens", 0) < 100 or body.get("stream"):
            return False
        time.sleep(0.5)
        return not self.connection.recv(1)

    def allowed(self):
        key = os.environ["SERVER_KEY"]
        return not key or "open" in given.fault or self.headers["authorization"] == f"Bearer {key}"

    def say(self, status, body):
        self.send(status, json.dumps(body).encode(), "application/json")

    def send(self, status, content, kind):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


if "start" in given.fault:
    sys.exit("RuntimeError: no luck today")
if not given.checkpoint.is_dir() and "missing" not in given.fault:
    sys.exit(f"there is no folder {given.checkpoint}")
server = ThreadingHTTPServer(("127.0.0.1", given.port), Handler)
if "child" in given.fault:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], pass_fds=[server.fileno()], start_new_session=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in given.fault else lambda *_: sys.exit(0))
server.serve_forever()
