"""LMDeploy's own argument parser reads every flag that we write: `make test-full LANE=engines`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from swift_plugin_lmdeploy.backend import LmdeployBackend
from swift_plugin_lmdeploy.options import LmdeployOptions
from swift_testing import backends
from swift_testing.parsers import EngineParser, unpack

pytestmark = pytest.mark.full("engines")

CODE = """
from lmdeploy.cli.entrypoint import CLI, SubCliLite, SubCliServe
for group in (CLI, SubCliServe, SubCliLite):
    group.add_parsers()
parsed = CLI.parser.parse_args(argv)
"""
FIELDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "engine": ("pytorch", {"backend": "pytorch"}),
    "device": ("ascend", {"device": "ascend"}),
    "tensor_parallel_size": (2, {"tp": 2}),
    "data_parallel_size": (4, {"dp": 4}),
    "expert_parallel_size": (5, {"ep": 5}),
    "dtype": ("float16", {"dtype": "float16"}),
    "quantization": ("awq", {"model_format": "awq"}),
    "max_model_len": (4096, {"session_len": 4096}),
    "max_num_seqs": (16, {"max_batch_size": 16}),
    "max_num_batched_tokens": (512, {"max_prefill_token_num": 512}),
    "cache_fraction": (0.5, {"cache_max_entry_count": 0.5}),
    "kv_cache_dtype": ("int8", {"quant_policy": 8}),
    "enforce_eager": (True, {"eager_mode": True}),
    "prefix_caching": (True, {"enable_prefix_caching": True}),
    "speculative_method": ("eagle3", {"speculative_algorithm": "eagle3"}),
    "speculative_model": ("/draft", {"speculative_draft_model": "/draft"}),
    "speculative_tokens": (3, {"speculative_num_draft_tokens": 3}),
    "vision_batch_size": (4, {"vision_max_batch_size": 4}),
    "chat_template": ("qwen", {"chat_template": "qwen"}),
    "tool_call_parser": ("qwen", {"tool_call_parser": "qwen"}),
    "reasoning_parser": ("qwen-qwq", {"reasoning_parser": "qwen-qwq"}),
    "extra": (["--log-level", "INFO"], {"log_level": "INFO"}),
}


@pytest.fixture(scope="module")
def parser(tmp_path_factory: pytest.TempPathFactory) -> EngineParser:
    folder = unpack(tmp_path_factory.mktemp("lmdeploy"), "lmdeploy==0.18.0", "mmengine-lite", "shortuuid")
    return EngineParser(CODE, folder=folder, stubs=("yapf", "addict", "termcolor", "PIL", "pybase64"))


def test_every_option_lands_in_its_field(parser: EngineParser) -> None:
    assert set(FIELDS) == set(LmdeployOptions.model_fields)
    backend = LmdeployBackend(LmdeployOptions(**{name: value for name, (value, _) in FIELDS.items()}))
    made = backends.command(backend, adapters={"one": Path("/a b=c"), "two": Path("/two")}, trust_remote_code=True, api_key=backends.KEY)
    parsed = parser.parse([*made.argv[4:], "--api-keys", backends.KEY])
    expected: dict[str, Any] = {field: value for _, fields in FIELDS.values() for field, value in fields.items()}
    expected |= {"model_path": "/models/base", "model_name": "base", "server_name": "127.0.0.1", "server_port": 8000}
    expected |= {"adapters": ["one=/a b=c", "two=/two"], "trust_remote_code": True, "api_keys": [backends.KEY]}
    expected |= {"logprobs_mode": "raw_logprobs", "disable_metrics": False}
    assert {field: parsed[field] for field in expected} == expected


def test_every_word_for_the_cache_is_known(parser: EngineParser) -> None:
    words = LmdeployOptions.model_fields["kv_cache_dtype"].annotation.__args__  # type: ignore[union-attr]
    for word in filter(None, words):
        parser.parse(backends.command(LmdeployBackend(LmdeployOptions(kv_cache_dtype=word))).argv[4:])


def test_it_would_refuse_another_flag(parser: EngineParser) -> None:
    with pytest.raises(AssertionError, match="unrecognized arguments: --no-such-flag"):
        parser.parse(["serve", "api_server", "/models/base", "--no-such-flag"])
