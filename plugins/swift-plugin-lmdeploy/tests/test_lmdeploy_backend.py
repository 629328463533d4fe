"""The command line of LMDeploy and its key, without LMDeploy; test_lmdeploy_parser.py is with its own parser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import swift_plugin_lmdeploy
from swift_plugin_lmdeploy.backend import LmdeployBackend
from swift_plugin_lmdeploy.options import LmdeployOptions
from swift_serve import keyed_launch
from swift_serve.roles import Command
from swift_testing import backends
from swift_testing.codes import coded

from swift_core.contract.errors import UsageError
from swift_core.contract.roles import Server
from swift_core.options.model import Invalid

START = ("py", keyed_launch.__file__, "lmdeploy", "--api-keys")
PLACE = ("serve", "api_server", "/models/base", "--model-name", "base", "--server-name", "127.0.0.1", "--server-port", "8000")
ONE_GPU = ("--tp", "1", "--dp", "1", "--dtype", "auto")
DEFAULT = (*START, *PLACE, *ONE_GPU)

FLAGS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"expert_parallel_size": 4}, ("--ep", "4")),
    ({"quantization": "awq"}, ("--model-format", "awq")),
    ({"max_model_len": 4096}, ("--session-len", "4096")),
    ({"max_num_seqs": 16}, ("--max-batch-size", "16")),
    ({"max_num_batched_tokens": 512}, ("--max-prefill-token-num", "512")),
    ({"cache_fraction": 0.5}, ("--cache-max-entry-count", "0.5")),
    ({"kv_cache_dtype": "int8"}, ("--quant-policy", "int8")),
    ({"enforce_eager": True}, ("--eager-mode",)),
    ({"prefix_caching": True}, ("--enable-prefix-caching",)),
    ({"speculative_method": "eagle3"}, ("--speculative-algorithm", "eagle3")),
    ({"speculative_model": "/draft"}, ("--speculative-draft-model", "/draft")),
    ({"speculative_tokens": 3}, ("--speculative-num-draft-tokens", "3")),
    ({"vision_batch_size": 4}, ("--vision-max-batch-size", "4")),
    ({"chat_template": "qwen"}, ("--chat-template", "qwen")),
    ({"tool_call_parser": "qwen"}, ("--tool-call-parser", "qwen")),
    ({"reasoning_parser": "qwen-qwq"}, ("--reasoning-parser", "qwen-qwq")),
    ({"extra": ["--log-level", "INFO"]}, ("--log-level", "INFO")),
]


def command(adapters: dict[str, Path] | None = None, **options: Any) -> Command:
    return backends.command(LmdeployBackend(LmdeployOptions(**options)), adapters=adapters or {})


def test_defaults() -> None:
    made = command()
    assert made.argv == DEFAULT
    assert dict(made.env) == {"HF_HUB_OFFLINE": "1"}
    assert made.ready == "/health"


@pytest.mark.parametrize(("options", "flags"), FLAGS, ids=lambda value: next(iter(value)) if isinstance(value, dict) else "")
def test_an_option_is_a_flag(options: dict[str, Any], flags: tuple[str, ...]) -> None:
    assert backends.added(command(**options), DEFAULT) == flags


def test_engine_device_parallel_and_dtype() -> None:
    made = command(engine="pytorch", device="ascend", tensor_parallel_size=2, data_parallel_size=4, dtype="float16")
    assert made.argv[len(START + PLACE) :] == (
        *("--backend", "pytorch", "--device", "ascend", "--tp", "2", "--dp", "4", "--dtype", "float16"),
    )


def test_remote_code_only_where_it_is_trusted() -> None:
    assert backends.command(LmdeployBackend(LmdeployOptions()), trust_remote_code=True).argv == (*DEFAULT, "--trust-remote-code")


def test_every_option_is_tested_described_and_has_a_name_of_its_own() -> None:
    elsewhere = {"engine", "device", "tensor_parallel_size", "data_parallel_size", "dtype"}
    assert {name for options, _ in FLAGS for name in options} | elsewhere == set(LmdeployOptions.model_fields)
    assert backends.undescribed(LmdeployOptions) == []


def test_adapters_choose_the_engine_that_serves_them() -> None:
    adapters = {"one": Path("/a b=c"), "two": Path("/two")}
    assert command(adapters).argv == (
        *(*START, *PLACE, "--backend", "pytorch", *ONE_GPU),
        *("--logprobs-mode", "raw_logprobs", "--adapters", "one=/a b=c", "two=/two"),
    )
    with pytest.raises(UsageError, check=coded("SERVE-026"), match="TurboMind"):
        command(adapters, engine="turbomind")


def test_adapters_stay_as_they_are() -> None:
    backend, server = LmdeployBackend(LmdeployOptions()), Server("http://127.0.0.1:9/v1", ("base",))
    with pytest.raises(UsageError, check=coded("SERVE-027"), match="can't add 'one'"):
        backend.add_adapter(server, "one", Path("/one"))
    with pytest.raises(UsageError, check=coded("SERVE-028"), match="can't drop 'one'"):
        backend.drop_adapter(server, "one")


def test_the_key_reaches_the_engine_but_no_argument(tmp_path: Path) -> None:
    reported = backends.run_stand_in(LmdeployBackend(LmdeployOptions()), "lmdeploy", tmp_path)
    assert reported["argv"] == [*reported["made"].argv[4:], "--api-keys", backends.KEY]
    assert backends.KEY not in reported["seen"]
    assert backends.KEY not in reported["env"].values()
    assert str(Path(keyed_launch.__file__).parent) not in reported["path"]


def test_options_are_checked() -> None:
    with pytest.raises(Invalid, check=coded("OPTION-005"), match="kv_cache_dtype"):
        LmdeployOptions.checked({"kv_cache_dtype": "int3"})


def test_spec() -> None:
    (spec,) = swift_plugin_lmdeploy.swift_backends()
    assert spec.factory.load() is LmdeployBackend
    assert spec.options is not None
    assert spec.options.load() is LmdeployOptions
    assert not spec.runtime_adapters
    assert [engine.when for engine in spec.engines] == ["cuda"]
