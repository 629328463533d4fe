"""The chat passes answers on from the servers of its runs, piece by piece."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from starlette.testclient import TestClient
from swift_plugin_web.app import application
from swift_plugin_web.guard import COOKIE
from swift_plugin_web.site import Site

from swift_core.contract import Run
from swift_core.system import write_result, write_run

ASKED = []


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        ASKED.append(body)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for piece in ("Hel", "lo <b>"):
            self.wfile.write(f"data: {json.dumps({'choices': [{'delta': {'content': piece}}]})}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def served(tmp_path):
    """A run folder of a server that runs, with two models."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    folder = tmp_path / "runs" / "20261130-101500-serve-a1b2"
    write_run(Run(verb="serve", job=""), folder)
    port = server.server_address[1]
    ready = {"event": "ready", "url": f"http://127.0.0.1:{port}/v1", "models": ["base", "tuned"], "metrics": "", "api_key": None}
    (folder / "events.jsonl").write_text(json.dumps(ready) + "\n")
    yield folder
    server.shutdown()
    server.server_close()


@pytest.fixture
def site(tmp_path):
    return Site(folders=(tmp_path,), runs=tmp_path / "runs")


def client_of(site):
    client = TestClient(application(site), base_url="http://127.0.0.1:7860", follow_redirects=False)
    client.cookies.set(COOKIE, site.session)
    return client


def test_an_answer_is_passed_on(site, served):
    client = client_of(site)
    page = client.get("/chat").text
    choice = f"tuned ({served.name})"
    assert page.count(f'value="{choice}"') == 2, "for the left and the right"
    request = {"choice": choice, "messages": [{"role": "user", "content": "Hi"}], "temperature": 9, "max_tokens": 10**9}
    answer = client.post("/chat/answer", data={"csrf": site.csrf, "request": json.dumps(request)})
    assert answer.text == "Hello <b>"
    assert answer.headers["content-type"].startswith("text/plain"), "not HTML, whatever a model says"
    assert (ASKED[-1]["model"], ASKED[-1]["temperature"], ASKED[-1]["max_tokens"]) == ("tuned", 2.0, 8192)


def test_a_read_only_page_may_be_asked_but_not_rated(site, served):
    client = client_of(replace(site, read_only=True))
    request = {"choice": f"base ({served.name})", "messages": [{"role": "user", "content": "Hi"}]}
    assert client.post("/chat/answer", data={"csrf": site.csrf, "request": json.dumps(request)}).text == "Hello <b>"
    assert client.post("/chat/rate", data={"csrf": site.csrf, "row": "{}"}).status_code == 403


def test_a_server_that_has_ended_is_not_offered(site, served):
    write_result(served, {"status": "stopped"})
    assert served.name not in client_of(site).get("/chat").text
