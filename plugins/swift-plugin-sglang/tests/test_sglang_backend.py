"""The command line of SGLang, its key, and its adapter routes, against stand-ins: no SGLang here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import swift_plugin_sglang
from swift_plugin_sglang import launch
from swift_plugin_sglang.backend import SglangBackend
from swift_plugin_sglang.options import SglangOptions

from swift_core.errors import SwiftError, UsageError
from swift_core.roles import Server, Serving
from swift_core.specs import Command

PLACE = ("--model-path", "/models/base", "--served-model-name", "base", "--host", "127.0.0.1", "--port", "30000")
ONE_GPU = ("--tp-size", "1", "--pp-size", "1", "--dp-size", "1", "--dtype", "auto")


def command(
    adapters: dict[str, Path] | None = None, api_key: str | None = None, python: str = "py", trust: bool = False, **options: Any
) -> Command:
    serving = Serving(
        checkpoint=Path("/models/base"),
        name="base",
        adapters=adapters or {},
        port=30000,
        api_key=api_key,
        python=python,
        trust_remote_code=trust,
    )
    return SglangBackend(SglangOptions(**options)).command(serving)


def test_defaults() -> None:
    made = command()
    assert made.argv == ("py", launch.__file__, *PLACE, *ONE_GPU)
    assert dict(made.env) == {"HF_HUB_OFFLINE": "1"}
    assert made.ready == "/health"


def test_every_option() -> None:
    made = command(
        tensor_parallel_size=2,
        pipeline_parallel_size=3,
        data_parallel_size=4,
        dtype="float16",
        quantization="fp8",
        max_model_len=4096,
        max_num_seqs=16,
        memory_fraction=0.8,
        kv_cache_dtype="fp8_e5m2",
        enforce_eager=True,
        prefix_caching=False,
        chat_template="chatml",
        tool_call_parser="qwen",
        reasoning_parser="qwen3",
        trust=True,
        extra=["--random-seed", "7"],
    )
    assert made.argv[2:] == (
        *PLACE, "--tp-size", "2", "--pp-size", "3", "--dp-size", "4", "--dtype", "float16", "--quantization", "fp8",
        "--context-length", "4096", "--max-running-requests", "16", "--mem-fraction-static", "0.8", "--kv-cache-dtype", "fp8_e5m2",
        "--chat-template", "chatml", "--tool-call-parser", "qwen", "--reasoning-parser", "qwen3",
        "--cuda-graph-backend-decode", "disabled", "--cuda-graph-backend-prefill", "disabled",
        "--disable-radix-cache", "--trust-remote-code", "--random-seed", "7",
    )  # fmt: skip


def test_adapters() -> None:
    lora = command({"one": Path("/a b=c"), "two": Path("/two")}, max_loras=3).argv[2 + len(PLACE + ONE_GPU) :]
    assert lora[:4] == ("--enable-lora", "--max-loras-per-batch", "3", "--lora-paths")
    named = [json.loads(item) for item in lora[4:]]
    assert named == [{"lora_name": name, "lora_path": path, "pinned": False} for name, path in (("one", "/a b=c"), ("two", "/two"))]


def test_adapters_at_run_time() -> None:
    lora = command(runtime_adapters=True, max_lora_rank=32).argv[2 + len(PLACE + ONE_GPU) :]
    assert lora == ("--enable-lora", "--lora-target-modules", "all", "--max-lora-rank", "32")
    with pytest.raises(UsageError, match="makes room"):
        command(runtime_adapters=True)


def test_the_key_reaches_the_engine_but_no_argument_and_no_log(tmp_path: Path) -> None:
    (tmp_path / "sglang").mkdir()
    (tmp_path / "sglang" / "__init__.py").touch()
    (tmp_path / "sglang" / "launch_server.py").write_text(
        "import json, os, sys\n"
        "if __name__ == '__main__':\n"
        "    asked = open('/proc/self/cmdline').read() if os.path.exists('/proc/self/cmdline') else ''\n"
        "    print(json.dumps({'argv': sys.argv[1:], 'seen': asked, 'env': dict(os.environ), 'path': sys.path}))\n"
    )
    made = command(api_key="secret", python=sys.executable)
    assert not any("secret" in argument for argument in made.argv)
    environment = {**os.environ, **made.env, "PYTHONPATH": str(tmp_path)}
    told = json.loads(subprocess.run(made.argv, env=environment, check=True, capture_output=True, text=True).stdout)
    assert told["argv"] == [*made.argv[2:], "--api-key", "secret"]
    assert "secret" not in told["seen"]
    assert "secret" not in told["env"].values()
    assert str(Path(launch.__file__).parent) not in told["path"]
    assert told["argv"][-4:-2] == ["--log-level", "warning"]


def test_spec() -> None:
    (spec,) = swift_plugin_sglang.swift_backends()
    assert spec.factory.load() is SglangBackend
    assert spec.options is not None
    assert spec.options.load() is SglangOptions


class Fake(BaseHTTPRequestHandler):
    """SGLang's adapter routes: `good` changes the answers of `base:good`; a bare name is answered by the base."""

    asked: list[tuple[str, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        type(self).asked.append((self.path, body))
        if self.path == "/v1/completions":
            value = -1.5 if body["model"] == "base:good" else -1.0
            return self.answer(200, {"choices": [{"logprobs": {"token_logprobs": [value]}}]})
        refused = body["lora_name"] == "bad"
        return self.answer(400 if refused else 200, {"success": not refused, "error_message": "rank too high" if refused else None})

    def answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[Server, type[Fake]]]:
    handler = type("Handler", (Fake,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield Server(f"http://127.0.0.1:{http.server_port}/v1", ("base",)), handler
        http.shutdown()


def test_an_added_adapter_is_seen_to_act(server: tuple[Server, type[Fake]], tmp_path: Path) -> None:
    running, fake = server
    SglangBackend(SglangOptions()).add_adapter(running, "good", tmp_path)
    assert fake.asked[0] == ("/load_lora_adapter", {"lora_name": "good", "lora_path": str(tmp_path)})
    assert [body["model"] for _, body in fake.asked[1:]] == ["base:good", "base"]


def test_adapters_that_do_nothing_or_are_refused(server: tuple[Server, type[Fake]], tmp_path: Path) -> None:
    running, fake = server
    backend = SglangBackend(SglangOptions())
    with pytest.raises(SwiftError, match="changes no answer"):
        backend.add_adapter(running, "idle", tmp_path)
    assert fake.asked[-1] == ("/unload_lora_adapter", {"lora_name": "idle"})
    with pytest.raises(UsageError, match="rank too high"):
        backend.add_adapter(running, "bad", tmp_path)
    with pytest.raises(SwiftError, match="does not answer"):
        backend.drop_adapter(Server("http://127.0.0.1:9/v1", ("base",)), "good")
