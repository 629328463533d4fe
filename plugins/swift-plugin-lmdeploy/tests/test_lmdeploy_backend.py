"""The command line of LMDeploy and its key, against a stand-in: no LMDeploy here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import swift_plugin_lmdeploy
from swift_plugin_lmdeploy import launch
from swift_plugin_lmdeploy.backend import LmdeployBackend
from swift_plugin_lmdeploy.options import LmdeployOptions

from swift_core.errors import UsageError
from swift_core.options import Invalid, validate
from swift_core.roles import Server, Serving
from swift_core.specs import Command

PLACE = ("serve", "api_server", "/models/base", "--model-name", "base", "--server-name", "127.0.0.1", "--server-port", "23333")
ONE_GPU = ("--tp", "1", "--dp", "1", "--dtype", "auto")


def command(
    adapters: dict[str, Path] | None = None, api_key: str | None = None, python: str = "py", trust: bool = False, **options: Any
) -> Command:
    serving = Serving(
        checkpoint=Path("/models/base"),
        name="base",
        adapters=adapters or {},
        port=23333,
        api_key=api_key,
        python=python,
        trust_remote_code=trust,
    )
    return LmdeployBackend(LmdeployOptions(**options)).command(serving)


def test_defaults() -> None:
    made = command()
    assert made.argv == ("py", launch.__file__, *PLACE, *ONE_GPU)
    assert dict(made.env) == {"HF_HUB_OFFLINE": "1"}
    assert made.ready == "/health"


def test_every_option() -> None:
    made = command(
        engine="pytorch",
        tensor_parallel_size=2,
        data_parallel_size=4,
        dtype="float16",
        quantization="awq",
        max_model_len=4096,
        max_num_seqs=16,
        cache_fraction=0.5,
        kv_cache_dtype="int8",
        enforce_eager=True,
        prefix_caching=True,
        chat_template="qwen",
        tool_call_parser="qwen",
        reasoning_parser="qwen-qwq",
        trust=True,
        extra=["--log-level", "INFO"],
    )
    assert made.argv[2:] == (
        *PLACE, "--backend", "pytorch", "--tp", "2", "--dp", "4", "--dtype", "float16", "--model-format", "awq",
        "--session-len", "4096", "--max-batch-size", "16", "--cache-max-entry-count", "0.5", "--quant-policy", "int8",
        "--chat-template", "qwen", "--tool-call-parser", "qwen", "--reasoning-parser", "qwen-qwq",
        "--eager-mode", "--enable-prefix-caching", "--trust-remote-code", "--log-level", "INFO",
    )  # fmt: skip


def test_adapters_choose_the_engine_that_serves_them() -> None:
    adapters = {"one": Path("/a b=c"), "two": Path("/two")}
    assert command(adapters).argv[2:] == (*PLACE, "--backend", "pytorch", *ONE_GPU, "--adapters", "one=/a b=c", "two=/two")
    with pytest.raises(UsageError, match="TurboMind"):
        command(adapters, engine="turbomind")


def test_adapters_stay_as_they_are() -> None:
    backend, server = LmdeployBackend(LmdeployOptions()), Server("http://127.0.0.1:9/v1", ("base",))
    with pytest.raises(UsageError, match="can't add 'one'"):
        backend.add_adapter(server, "one", Path("/one"))
    with pytest.raises(UsageError, match="can't drop 'one'"):
        backend.drop_adapter(server, "one")


def test_the_key_reaches_the_engine_but_no_argument(tmp_path: Path) -> None:
    (tmp_path / "lmdeploy").mkdir()
    (tmp_path / "lmdeploy" / "__init__.py").touch()
    (tmp_path / "lmdeploy" / "__main__.py").write_text(
        "import json, os, sys\n"
        "asked = open('/proc/self/cmdline').read() if os.path.exists('/proc/self/cmdline') else ''\n"
        "print(json.dumps({'argv': sys.argv[1:], 'seen': asked, 'env': dict(os.environ), 'path': sys.path}))\n"
    )
    made = command(api_key="secret", python=sys.executable)
    assert not any("secret" in argument for argument in made.argv)
    environment = {**os.environ, **made.env, "PYTHONPATH": str(tmp_path)}
    told = json.loads(subprocess.run(made.argv, env=environment, check=True, capture_output=True, text=True).stdout)
    assert told["argv"] == [*made.argv[2:], "--api-keys", "secret"]
    assert "secret" not in told["seen"]
    assert "secret" not in told["env"].values()
    assert str(Path(launch.__file__).parent) not in told["path"]


def test_options_are_checked() -> None:
    with pytest.raises(Invalid, match="kv_cache_dtype"):
        validate(LmdeployOptions, {"kv_cache_dtype": "int3"})


def test_spec() -> None:
    (spec,) = swift_plugin_lmdeploy.swift_backends()
    assert spec.factory.load() is LmdeployBackend
    assert spec.options is not None
    assert spec.options.load() is LmdeployOptions
    assert [engine.when for engine in spec.engines] == ["cuda"]
