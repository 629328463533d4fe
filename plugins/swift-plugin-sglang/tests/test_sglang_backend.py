"""The command line of SGLang, its key, and its adapter routes, without SGLang; test_sglang_parser.py is with its own parser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import swift_plugin_sglang
from swift_plugin_sglang.backend import SglangBackend
from swift_plugin_sglang.options import SglangOptions
from swift_serve import keyed_launch
from swift_serve.client import Refused
from swift_serve.roles import Command
from swift_testing import backends
from swift_testing.codes import coded
from swift_testing.scripted import ScriptedServer, reply

from swift_core.contract.errors import UsageError
from swift_core.contract.roles import Server

START = ("py", keyed_launch.__file__, "sglang.launch_server", "--api-key")
PLACE = ("--model-path", "/models/base", "--served-model-name", "base", "--host", "127.0.0.1", "--port", "8000", "--enable-metrics")
ONE_GPU = ("--tp-size", "1", "--pp-size", "1", "--dp-size", "1", "--dtype", "auto")
DEFAULT = (*START, *PLACE, *ONE_GPU)

FLAGS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"expert_parallel_size": 4}, ("--ep-size", "4")),
    ({"quantization": "fp8"}, ("--quantization", "fp8")),
    ({"max_model_len": 4096}, ("--context-length", "4096")),
    ({"max_num_seqs": 16}, ("--max-running-requests", "16")),
    ({"memory_fraction": 0.8}, ("--mem-fraction-static", "0.8")),
    ({"max_total_tokens": 9000}, ("--max-total-tokens", "9000")),
    ({"kv_cache_dtype": "fp8_e5m2"}, ("--kv-cache-dtype", "fp8_e5m2")),
    ({"speculative_method": "EAGLE"}, ("--speculative-algorithm", "EAGLE")),
    ({"speculative_model": "/draft"}, ("--speculative-draft-model-path", "/draft")),
    ({"speculative_tokens": 4}, ("--speculative-num-draft-tokens", "4")),
    ({"speculative_steps": 3}, ("--speculative-num-steps", "3")),
    ({"speculative_branches": 2}, ("--speculative-eagle-topk", "2")),
    ({"chat_template": "chatml"}, ("--chat-template", "chatml")),
    ({"tool_call_parser": "qwen"}, ("--tool-call-parser", "qwen")),
    ({"reasoning_parser": "qwen3"}, ("--reasoning-parser", "qwen3")),
    ({"enforce_eager": True}, ("--cuda-graph-backend-decode", "disabled", "--cuda-graph-backend-prefill", "disabled")),
    ({"prefix_caching": False}, ("--disable-radix-cache",)),
    ({"extra": ["--random-seed", "7"]}, ("--random-seed", "7")),
]


def command(adapters: dict[str, Path] | None = None, *, later: bool = False, **options: Any) -> Command:
    return backends.command(SglangBackend(SglangOptions(**options)), adapters=adapters or {}, runtime_adapters=later)


def test_defaults() -> None:
    made = command()
    assert made.argv == DEFAULT
    assert dict(made.env) == {"HF_HUB_OFFLINE": "1"}
    assert made.ready == "/health"


@pytest.mark.parametrize(("options", "flags"), FLAGS, ids=lambda value: next(iter(value)) if isinstance(value, dict) else "")
def test_an_option_is_a_flag(options: dict[str, Any], flags: tuple[str, ...]) -> None:
    assert backends.added(command(**options), DEFAULT) == flags


def test_parallel_and_dtype() -> None:
    made = command(tensor_parallel_size=2, pipeline_parallel_size=3, data_parallel_size=4, dtype="float16")
    assert made.argv[len(START + PLACE) :] == ("--tp-size", "2", "--pp-size", "3", "--dp-size", "4", "--dtype", "float16")


def test_remote_code_only_where_it_is_trusted() -> None:
    assert backends.command(SglangBackend(SglangOptions()), trust_remote_code=True).argv == (*DEFAULT, "--trust-remote-code")


def test_every_option_is_tested_described_and_has_a_name_of_its_own() -> None:
    elsewhere = {"tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "dtype"}
    lora = {"max_lora_rank", "max_loras", "max_cpu_loras"}
    assert {name for options, _ in FLAGS for name in options} | elsewhere | lora == set(SglangOptions.model_fields)
    assert backends.undescribed(SglangOptions) == []


def test_adapters() -> None:
    lora = command({"one": Path("/a b=c"), "two": Path("/two")}, max_loras=3, max_cpu_loras=5).argv[len(DEFAULT) :]
    assert lora[:6] == ("--enable-lora", "--max-loras-per-batch", "3", "--max-loaded-loras", "5", "--lora-paths")
    named = [json.loads(item) for item in lora[6:]]
    assert named == [{"lora_name": name, "lora_path": path, "pinned": False} for name, path in (("one", "/a b=c"), ("two", "/two"))]


def test_adapters_at_run_time() -> None:
    lora = command(later=True, max_lora_rank=32).argv[len(DEFAULT) :]
    assert lora == ("--enable-lora", "--lora-target-modules", "all", "--max-lora-rank", "32")
    with pytest.raises(UsageError, check=coded("SERVE-029")) as refused:
        command(later=True)
    assert refused.value.where == "backend.max_lora_rank"


def test_the_key_reaches_the_engine_but_no_argument_and_no_log(tmp_path: Path) -> None:
    reported = backends.run_stand_in(SglangBackend(SglangOptions()), "sglang.launch_server", tmp_path)
    made = reported["made"]
    assert reported["argv"] == [*made.argv[4:], "--api-key", backends.KEY]
    assert backends.KEY not in reported["seen"]
    assert backends.KEY not in reported["env"].values()
    assert str(Path(keyed_launch.__file__).parent) not in reported["path"]
    assert reported["argv"][-4:-2] == ["--log-level", "warning"]


def test_spec() -> None:
    (spec,) = swift_plugin_sglang.swift_backends()
    assert spec.factory.load() is SglangBackend
    assert spec.options is not None
    assert spec.options.load() is SglangOptions
    assert spec.runtime_adapters
    assert spec.adapter_model("base", "one") == "base:one"


@pytest.fixture
def script() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


def test_adapters_while_it_runs(script: ScriptedServer, tmp_path: Path) -> None:
    script.answer = lambda handler: reply(handler, 200, {"success": True, "error_message": ""})
    backend, server = SglangBackend(SglangOptions()), Server(script.url, ("base",), "key")
    backend.add_adapter(server, "one", tmp_path)
    backend.drop_adapter(server, "one")
    assert script.seen == [
        {"path": "/load_lora_adapter", "key": "Bearer key", "body": {"lora_name": "one", "lora_path": str(tmp_path)}},
        {"path": "/unload_lora_adapter", "key": "Bearer key", "body": {"lora_name": "one"}},
    ]
    script.answer = lambda handler: reply(handler, 400, {"success": False, "error_message": "rank too high"})
    with pytest.raises(Refused, check=coded("SERVE-087"), match="rank too high"):
        backend.add_adapter(server, "two", tmp_path)
