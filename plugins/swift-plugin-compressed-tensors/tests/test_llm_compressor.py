"""llm-compressor on SmolLM2 through `swift quantize`: `make test-full LANE=quantize`.

SWIFT_TEST_LLMCOMPRESSOR names the interpreter that has the engine; without it, the environment of `swift env create gptq` is used.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from swift_environments.isolated import isolated_entry
from swift_formats.weights import read_header
from swift_train.build import load_checkpoint

from swift_core import quantize
from swift_core.checkpoints import Checkpoint, hash_files
from swift_core.contract.errors import SwiftError, UsageError
from swift_core.environments import python_for
from swift_core.plugins.registered import registry

pytestmark = pytest.mark.full("quantize")

FEW, ENOUGH = 2048, 8192  # tokens; GPTQ needs several times as many as a layer has inputs (1,536)
METHODS = {
    "w4a16": {"group_size": 64},
    "gptq": {"group_size": 64},
    "awq": {"group_size": 64, "grid": 6},
    "fp8": {},
    "fp8-static": {},
    "w8a8": {},
}


@pytest.fixture(scope="session")
def python():
    return os.environ.get("SWIFT_TEST_LLMCOMPRESSOR") or python_for(isolated_entry(registry(), "gptq"), {})


@pytest.fixture(scope="session")
def made(python, smollm2, tmp_path_factory):
    """Quantizes SmolLM2 with a method, once."""
    folder, results = tmp_path_factory.mktemp("quantized"), {}

    def make(name):
        if name not in results:
            results[name] = run(smollm2, name, folder / name, python, runs=str(folder / "runs"))
        return results[name]

    return make


def run(model, name, out, python, **more):
    calibration = {"tokens": ENOUGH if name == "gptq" else FEW, "max_length": 512}
    rows = {"dataset": ["alpaca-en-demo"], "calibration": calibration} if registry().get("quantizer", name).calibrates else {}
    return quantize(model, {"name": name, **METHODS[name]}, output=str(out), envs={name: python}, device="cpu", **{**rows, **more})


@pytest.mark.parametrize("name", METHODS)
def test_the_result_answers_and_records_its_quantizer(name, made):
    done = made(name)
    loaded = load_checkpoint(done.output, device="cpu", dtype="float32")
    # The start of the response is given: the source itself prefers "The capital" to "La capitale" by only a tenth of a nat.
    asked = [{"role": "user", "content": "What is the capital of France?"}, {"role": "assistant", "content": "The capital of France is"}]
    ids = loaded.processor.apply_chat_template(asked, continue_final_message=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        answer = loaded.model.generate(**ids, max_new_tokens=3, do_sample=False)
    assert "Paris" in loaded.processor.decode(answer[0, ids["input_ids"].shape[1] :])
    assert Checkpoint.at(done.output).config["quantization_config"]["quant_method"] == "compressed-tensors"
    manifest = Checkpoint.at(done.output).manifest
    assert manifest.quantizer["name"] == name
    assert manifest.quantizer["options"].items() >= METHODS[name].items()
    assert done.figures["bytes"] < 0.65 * done.figures["bytes_before"]


def test_calibrated_methods_have_a_lower_error_than_rounding(made):
    rounded = made("w4a16").figures["kl"]
    assert made("gptq").figures["kl"] < rounded
    assert made("awq").figures["kl"] < rounded
    assert made("fp8").figures["kl"] < rounded / 3
    assert made("w8a8").figures["kl"] < rounded / 3


@pytest.mark.parametrize("name", ["gptq", "awq"])
def test_calibrated_methods_do_not_have_a_higher_perplexity_than_rounding(name, made):
    calibrated, rounded = made(name).figures, made("w4a16").figures
    assert calibrated["perplexity"] / calibrated["perplexity_before"] <= rounded["perplexity"] / rounded["perplexity_before"]


@pytest.fixture
def tiny(tiny_model, python, tmp_path, monkeypatch):
    """Quantizes the tiny model with GPTQ on a few rows."""
    monkeypatch.setitem(METHODS, "gptq", {"group_size": 32})
    return lambda out, **more: run(tiny_model, "gptq", out, python, runs=str(tmp_path / "runs"), verify={"tokens": 64}, **more)


def test_the_same_seed_gives_the_same_files(tiny, tmp_path):
    one, other = tiny(tmp_path / "one").output, tiny(tmp_path / "other").output
    assert hash_files(one) == hash_files(other)


def test_asymmetric_weights_are_compared_in_the_engines_environment(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "gptq", {"group_size": 32, "symmetric": False})
    seen = []
    done = tiny(tmp_path / "out", watch=seen.append)
    assert 0 < done.figures["kl"] < 0.5
    assert (done.folder / "verify/run.json").is_file()
    weights = Checkpoint.at(done.output).config["quantization_config"]["config_groups"]["group_0"]["weights"]
    assert weights["symmetric"] is False
    with pytest.raises(SwiftError, match="MODEL-025"):
        load_checkpoint(done.output, device="cpu", dtype="float32")
    reported = [(event["done"], event["total"]) for event in seen if event.get("unit") == "layers"]
    assert reported[:2] == [(1, 2), (2, 2)]


def test_mixed_precision(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "gptq", {"group_size": 32, "mixed": {"down_proj": 8, "re:.*layers.1.*up_proj": 8}})
    done = tiny(tmp_path / "out")
    shapes = {
        name.removesuffix(".weight_packed"): entry["shape"][1]
        for name, entry in read_header(done.output / "model.safetensors").items()
        if name.endswith("packed")
    }
    assert shapes["model.layers.0.mlp.down_proj"] == 128 * 8 // 32
    assert (shapes["model.layers.0.mlp.up_proj"], shapes["model.layers.1.mlp.up_proj"]) == (64 * 4 // 32, 64 * 8 // 32)
    monkeypatch.setitem(METHODS, "gptq", {"group_size": 32, "mixed": {"dawn_proj": 8}})
    with pytest.raises(UsageError, match="'dawn_proj' matches no linear layer"):
        tiny(tmp_path / "other")


def test_when_the_engine_is_killed_nothing_is_left(tiny, tmp_path, python):
    def kill():
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            for place in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = place.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                except OSError:
                    continue
                if words.startswith(f"{python} -m swift_core.runs.worker {tmp_path}") and started.is_set():
                    os.kill(int(place.parent.name), signal.SIGKILL)
                    return
            time.sleep(0.05)

    started = threading.Event()

    def watch(event):
        if event.get("unit") == "layers":
            started.set()

    threading.Thread(target=kill, daemon=True).start()
    with pytest.raises(SwiftError, match=r"ended with code 137"):
        tiny(tmp_path / "out", calibration={"tokens": 65536, "max_length": 512}, watch=watch)
    assert not (tmp_path / "out").exists()
    assert tiny(tmp_path / "out").output


def test_killed_it_leaves_nothing_and_is_started_again(tiny, tmp_path, tiny_model, python):
    out = tmp_path / "small"
    words = ["quantize", str(tiny_model), "--quantizer", "gptq", "--group-size", "32", "--dataset", "alpaca-en-demo", "--output", str(out)]
    words += ["--calibration.tokens", "2048", "--envs", f'{{"gptq": "{python}"}}', "--runs", str(tmp_path / "runs")]
    process = subprocess.Popen([sys.executable, "-m", "swift_core.cli", *words], start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("runs/*/engine/run.json")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists()
    assert tiny(out).output == out


def test_the_kit_with_the_engine(python, tmp_path):
    for name in ("pytest", "_pytest", "iniconfig", "py"):  # the kit's tiny model needs them
        found = importlib.util.find_spec(name)
        place = Path(found.submodule_search_locations[0] if found.submodule_search_locations else found.origin)
        (tmp_path / place.name).symlink_to(place)
    kit = [str(path) for path in Path(__file__).parents[2].glob("swift-*") if not path.name.startswith("swift-plugin-")]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(tmp_path / "kit"), *kit]
    subprocess.run(pip, check=True)
    words = [python, "-m", "swift_core.cli", "plugins", "check", "swift-plugin-compressed-tensors"]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": f"{tmp_path / 'kit'}:{tmp_path}"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "its engine is not installed" not in done.stdout


@pytest.mark.parametrize("name", METHODS)
def test_an_adapter_on_it_is_merged(name, tiny_model, python, tmp_path, monkeypatch):
    from swift_train.merge import merge
    from swift_train.testing_adapters import learned_adapter, logits, merge_run

    from swift_core.runs.events import Report

    if "group_size" in METHODS[name]:
        monkeypatch.setitem(METHODS, name, {**METHODS[name], "group_size": 32})
    small = run(tiny_model, name, tmp_path / "small", python, runs=str(tmp_path / "runs"), verify=False).output
    learned = learned_adapter(small, tmp_path / "adapter", dropout=0)
    out, figures = merge(merge_run(small, tmp_path / "adapter", out=tmp_path / "out", dtype="float32"), Report(tmp_path))
    found = logits(load_checkpoint(out, device="cpu").model)
    torch.testing.assert_close(found, learned, atol=1e-3 if "group_size" in METHODS[name] else 0.5, rtol=0)  # 8 bits round activations too
    assert figures["adapter_effect"] > 1
