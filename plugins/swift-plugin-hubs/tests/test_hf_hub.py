"""The Hugging Face hub, spoken to by the real huggingface_hub, played by a server on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest
from huggingface_hub import constants
from swift_plugin_hubs import cache
from swift_plugin_hubs.hf import HuggingFaceHub
from swift_testing.codes import coded

from swift_core.checkpoints import Fetcher
from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.reference import parse_reference
from swift_core.plugins import checkpoint_files, registry
from tests.waiting import wait_for

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = b"weights" * 10_000
REPOSITORIES = {
    "org/plain": {
        "config.json": b"{}",
        "model.safetensors": WEIGHTS,
        "tokenizer.json": b"{ }",
        "pytorch_model.bin": b"pickle",
        "onnx/config.json": b"{}",
        "consolidated.safetensors": b"twice",
        "modeling.py": b"raise SystemExit",
        "we[ird].json": b"[]",
    },
    "org/pickled": {"config.json": b"{}", "pytorch_model.bin": b"pickle"},
    "org/gguf": {"model.Q4.gguf": WEIGHTS},
    "org/quants": {"model.Q4.gguf": WEIGHTS, "model.Q8.gguf": WEIGHTS},
    "org/data": {"rows.parquet": b"x"},
}


class Handler(BaseHTTPRequestHandler):
    """As much of the hub's API as a download needs."""

    def do_GET(self):
        path = self.path.partition("?")[0].strip("/")
        self.server.requests.append(path)
        parts = path.removeprefix("api/models/").split("/")
        name = "/".join(parts[:2])
        if name == "org/gated":
            return self._fail(403, "GatedRepo")
        if name not in REPOSITORIES:
            return self._fail(404, "RepoNotFound")
        if not path.startswith("api/"):
            return self._file(REPOSITORIES[name][unquote("/".join(parts[4:]))])
        if "revision" in parts and parts[-1] not in ("main", COMMIT):
            return self._fail(404, "RevisionNotFound")
        if "tree" in parts:
            return self._json(
                [
                    {"type": "file", "path": file, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for file, data in REPOSITORIES[name].items()
                ]
            )
        return self._json({"id": name, "modelId": name, "sha": COMMIT, "siblings": [{"rfilename": file} for file in REPOSITORIES[name]]})

    do_HEAD = do_GET

    def _file(self, data):
        self.send_response(200)
        for key, value in (("ETag", f'"{hashlib.sha1(data).hexdigest()}"'), ("X-Repo-Commit", COMMIT), ("Content-Length", str(len(data)))):
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            for begin in range(0, len(data), 10_000):
                self.wfile.write(data[begin : begin + 10_000])
                self.server.pause()

    def _json(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, status, code):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def hub(tmp_path, monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.requests = []
    server.pause = lambda: None
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    use(monkeypatch, tmp_path, server.server_address[1])
    yield server
    server.shutdown()
    server.server_close()


def use(monkeypatch, tmp_path, port):
    monkeypatch.setenv("SWIFT_HOME", str(tmp_path / "home"))
    for name, value in {
        "ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_XET": True,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"http://127.0.0.1:{port}/{{repo_id}}/resolve/{{revision}}/{{filename}}")


def fetch(text, select=checkpoint_files, **more):
    return HuggingFaceHub().fetch(parse_reference(text), select=select, **more)


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_only_what_makes_the_model_comes_pinned_to_the_commit(hub):
    seen = []
    folder = fetch("hf:org/plain", progress=lambda *reported: seen.append(reported))
    assert names(folder) == ["config.json", "model.safetensors", "tokenizer.json", "we[ird].json"]
    assert folder.name == COMMIT
    assert seen[-1][:2] == ("org/plain", len(WEIGHTS) + 7)


def test_a_commit_that_is_cached_asks_nothing(hub):
    folder = fetch("hf:org/plain")
    del hub.requests[:]
    assert fetch(f"hf:org/plain@{COMMIT}") == folder
    assert hub.requests == []


def test_offline(hub, monkeypatch):
    folder = fetch("hf:org/plain")
    monkeypatch.setenv("SWIFT_OFFLINE", "1")
    del hub.requests[:]
    assert fetch("hf:org/plain") == folder
    with pytest.raises(UsageError, check=coded("FILE-001"), match="'hf:org/gguf'"):
        fetch("hf:org/gguf")
    assert hub.requests == []


def test_files_that_are_selected_come_and_no_others(hub):
    assert names(fetch("hf:org/plain", lambda names: ["onnx/config.json", "we[ird].json"])) == ["onnx/config.json", "we[ird].json"]


def test_code_of_the_repository_comes_only_if_trusted(hub):
    assert "modeling.py" not in names(fetch("hf:org/plain"))
    assert "modeling.py" in names(fetch("hf:org/plain", partial(checkpoint_files, code=True)))


def test_the_only_gguf_is_fetched(hub):
    assert names(fetch("hf:org/gguf")) == ["model.Q4.gguf"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hf:org/pickled", "only pickled weights"),
        ("hf:org/quants", "2 GGUF models: model.Q4.gguf, model.Q8.gguf"),
        ("hf:org/data", "not a checkpoint in any installed format"),
        ("hf:org/none", "no such repository"),
        ("hf:org/gated", "gated"),
        ("hf:org/plain@v9", "no revision 'v9'"),
        ("hf:org/plain/more", "invalid repository name"),
    ],
)
def test_what_is_refused(hub, text, message):
    fetcher = Fetcher(registry())
    with pytest.raises(UsageError, match=message) as caught:
        fetcher.folder(fetcher.reference(text), "model")
    assert caught.value.where.startswith("hf:org/")
    assert caught.value.hint


def test_no_network(monkeypatch, tmp_path):
    use(monkeypatch, tmp_path, 9)
    with pytest.raises(SwiftError, check=coded("HUB-009")) as caught:
        fetch("hf:org/plain")
    assert not isinstance(caught.value, UsageError)


def test_ctrl_c_ends_it_while_a_file_is_in_flight(hub, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1_000)
    received = threading.Event()

    def pause():
        received.set()
        time.sleep(1)  # 7 seconds for the file, if nobody interrupts

    hub.pause = pause
    threading.Thread(target=lambda: received.wait() and os.kill(os.getpid(), signal.SIGINT), daemon=True).start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fetch("hf:org/gguf")
    assert time.monotonic() - begin < 5
    wait_for(lambda: not list((tmp_path / "cache").rglob("*.incomplete")))


def test_the_shared_cache_is_listed_and_only_removed_by_name(hub):
    fetch("hf:org/plain")
    (entry,) = cache.entries()
    assert (entry.reference, entry.shared) == (f"hf:org/plain@{COMMIT}", True)
    assert cache.prune() == []
    cache.remove(entry.reference)
    assert cache.entries() == []
