"""SGLang's own argument parser reads every flag that we write: `make test-full LANE=engines`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from swift_plugin_sglang.backend import SglangBackend
from swift_plugin_sglang.options import SglangOptions
from swift_testing import backends
from swift_testing.parsers import EngineParser, unpack

pytestmark = pytest.mark.full("engines")

CODE = """
import argparse
from sglang.srt.server_args import ServerArgs
parser = argparse.ArgumentParser()
ServerArgs.add_cli_args(parser)
parsed = parser.parse_args(argv)
"""
FIELDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "tensor_parallel_size": (2, {"tp_size": 2}),
    "pipeline_parallel_size": (3, {"pp_size": 3}),
    "data_parallel_size": (4, {"dp_size": 4}),
    "expert_parallel_size": (5, {"ep_size": 5}),
    "dtype": ("float16", {"dtype": "float16"}),
    "quantization": ("fp8", {"quantization": "fp8"}),
    "max_model_len": (4096, {"context_length": 4096}),
    "max_num_seqs": (16, {"max_running_requests": 16}),
    "memory_fraction": (0.8, {"mem_fraction_static": 0.8}),
    "max_total_tokens": (9000, {"max_total_tokens": 9000}),
    "kv_cache_dtype": ("fp8_e5m2", {"kv_cache_dtype": "fp8_e5m2"}),
    "enforce_eager": (True, {"cuda_graph_backend_decode": "disabled", "cuda_graph_backend_prefill": "disabled"}),
    "prefix_caching": (False, {"disable_radix_cache": True}),
    "speculative_method": ("EAGLE", {"speculative_algorithm": "EAGLE"}),
    "speculative_model": ("/draft", {"speculative_draft_model_path": "/draft"}),
    "speculative_tokens": (4, {"speculative_num_draft_tokens": 4}),
    "speculative_steps": (3, {"speculative_num_steps": 3}),
    "speculative_branches": (2, {"speculative_eagle_topk": 2}),
    "max_lora_rank": (32, {"max_lora_rank": 32}),
    "max_loras": (3, {"max_loras_per_batch": 3}),
    "max_cpu_loras": (6, {"max_loaded_loras": 6}),
    "chat_template": ("chatml", {"chat_template": "chatml"}),
    "tool_call_parser": ("qwen", {"tool_call_parser": "qwen"}),
    "reasoning_parser": ("qwen3", {"reasoning_parser": "qwen3"}),
    "extra": (["--random-seed", "7"], {"random_seed": 7}),
}


@pytest.fixture(scope="module")
def parser(tmp_path_factory: pytest.TempPathFactory) -> EngineParser:
    folder = unpack(tmp_path_factory.mktemp("sglang"), "sglang==0.5.23", "msgspec")
    return EngineParser(CODE, folder=folder, stubs=("orjson", "pybase64", "triton", "PIL", "zmq", "IPython", "aiohttp"))


def test_every_option_lands_in_its_field(parser: EngineParser) -> None:
    assert set(FIELDS) == set(SglangOptions.model_fields)
    backend = SglangBackend(SglangOptions(**{name: value for name, (value, _) in FIELDS.items()}))
    made = backends.command(backend, adapters={"one": Path("/a b=c")}, runtime_adapters=True, trust_remote_code=True, api_key=backends.KEY)
    parsed = parser.parse([*made.argv[4:], "--api-key", backends.KEY])
    expected: dict[str, Any] = {field: value for _, fields in FIELDS.values() for field, value in fields.items()}
    expected |= {"model_path": "/models/base", "served_model_name": "base", "host": "127.0.0.1", "port": 8000, "enable_metrics": True}
    expected |= {"enable_lora": True, "lora_target_modules": ["all"], "trust_remote_code": True, "api_key": backends.KEY}
    assert {field: parsed[field] for field in expected} == expected
    assert parsed["log_level"] == "warning"
    assert "/a b=c" in str(parsed["lora_paths"])


def test_the_defaults_are_read_too(parser: EngineParser) -> None:
    parsed = parser.parse(backends.command(SglangBackend(SglangOptions())).argv[4:])
    assert parsed["tp_size"] == 1
    assert not parsed["enable_lora"]


def test_it_would_refuse_another_flag(parser: EngineParser) -> None:
    with pytest.raises(AssertionError, match="unrecognized arguments: --no-such-flag"):
        parser.parse(["--model-path", "/models/base", "--no-such-flag"])
