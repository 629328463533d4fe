"""An engine of the standard library: it says one sentence for the base and another for adapters, with the faults it is told to have."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
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
        if not self.path.endswith("/chat/completions") or not known:
            return self.say(404, {"error": {"message": "no such route or model"}})
        text = ADAPTED if body["model"] in given.adapter and "adapters" not in given.fault else BASE
        for word in body.get("stop", ()) if "stop" not in given.fault else ():
            text = text.partition(word)[0]
        if not body.get("stream"):
            return self.say(200, {"choices": [{"message": {"content": text}}]})
        pieces = text.upper() if "stream" in given.fault else text
        chunks = [f"data: {json.dumps({'choices': [{'delta': {'content': piece}}]})}\n\n" for piece in pieces]
        return self.send(200, ("".join(chunks) + "data: [DONE]\n\n").encode(), "text/event-stream")

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
