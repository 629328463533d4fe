"""vLLM's own argument parser reads every flag that we write: `make test-full LANE=vllm`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from swift_plugin_vllm.backend import VllmBackend
from swift_plugin_vllm.options import VllmOptions
from swift_testing import backends
from swift_testing.backends import write_adapter
from swift_testing.parsers import EngineParser

pytestmark = pytest.mark.full("vllm")

CODE = """
import importlib
try:
    args = importlib.import_module("vllm.entrypoints.launchers.cli_args")
except ModuleNotFoundError:  # elsewhere in other versions
    args = importlib.import_module("vllm.entrypoints.openai.cli_args")
from vllm.utils.argparse_utils import FlexibleArgumentParser
parsed = args.make_arg_parser(FlexibleArgumentParser()).parse_args(argv)
"""
FIELDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "tensor_parallel_size": (2, {"tensor_parallel_size": 2}),
    "pipeline_parallel_size": (3, {"pipeline_parallel_size": 3}),
    "data_parallel_size": (4, {"data_parallel_size": 4}),
    "expert_parallel": (True, {"enable_expert_parallel": True}),
    "dtype": ("bfloat16", {"dtype": "bfloat16"}),
    "quantization": ("fp8", {"quantization": "fp8"}),
    "max_model_len": (4096, {"max_model_len": 4096}),
    "max_num_seqs": (16, {"max_num_seqs": 16}),
    "max_num_batched_tokens": (512, {"max_num_batched_tokens": 512}),
    "gpu_memory_utilization": (0.8, {"gpu_memory_utilization": 0.8}),
    "cpu_offload_gib": (4.0, {"cpu_offload_gb": 4.0}),
    "kv_cache_dtype": ("fp8", {"kv_cache_dtype": "fp8"}),
    "enforce_eager": (True, {"enforce_eager": True}),
    "prefix_caching": (False, {"enable_prefix_caching": False}),
    "limit_mm_per_prompt": ({"image": 4}, {"limit_mm_per_prompt": {"image": 4}}),
    "hf_overrides": ({"rope_theta": 1.5}, {"hf_overrides": {"rope_theta": 1.5}}),
    "chat_template": ("t.jinja", {"chat_template": "t.jinja"}),
    "tool_call_parser": ("hermes", {"tool_call_parser": "hermes", "enable_auto_tool_choice": True}),
    "reasoning_parser": ("qwen3", {"reasoning_parser": "qwen3"}),
    "logprobs_mode": ("processed_logprobs", {"logprobs_mode": "processed_logprobs"}),
    "max_logprobs": (50, {"max_logprobs": 50}),
    "max_lora_rank": (20, {"max_lora_rank": 32}),
    "max_loras": (3, {"max_loras": 3}),
    "max_cpu_loras": (6, {"max_cpu_loras": 6}),
    "extra": (["--seed", "7"], {"seed": 7}),
}
GUESSING = {
    "speculative_method": "ngram",
    "speculative_model": "/draft",
    "speculative_tokens": 3,
    "speculative_config": {"prompt_lookup_max": 4},
}
GENERATION: dict[str, Any] = {"max_new_tokens": 64, "temperature": 0.5, "top_p": 0.9, "top_k": 20, "repetition_penalty": 1.1}
VARIABLES = {"cpu_kv_cache_gib", "cpu_threads"}  # not on the command line


def test_every_option_lands_in_its_field(vllm_python: str, tmp_path: Path) -> None:
    assert {*FIELDS, *GUESSING, *GENERATION, *VARIABLES} == set(VllmOptions.model_fields)
    options = {name: value for name, (value, _) in FIELDS.items()} | GUESSING | GENERATION
    made = backends.command(
        VllmBackend(VllmOptions(**options)),
        adapters={"one": write_adapter(tmp_path / "a b=c", r=8)},
        trust_remote_code=True,
    )
    parsed = EngineParser(CODE, python=vllm_python).parse(made.argv[3:])
    expected: dict[str, Any] = {field: value for _, fields in FIELDS.values() for field, value in fields.items()}
    expected |= {"model": "/models/base", "served_model_name": ["base"], "host": "127.0.0.1", "port": 8000, "trust_remote_code": True}
    expected |= {"speculative_config": {"prompt_lookup_max": 4, "method": "ngram", "model": "/draft", "num_speculative_tokens": 3}}
    expected |= {"override_generation_config": GENERATION}
    assert {field: parsed[field] for field in expected} == expected
    assert parsed["enable_lora"]
    assert str(tmp_path / "a b=c") in str(parsed["lora_modules"])
