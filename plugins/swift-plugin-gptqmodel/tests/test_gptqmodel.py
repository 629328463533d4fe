"""GPTQModel on SmolLM2 through `swift quantize`: `make test-full LANE=quantize`, with the environment of `swift env create gptq-native`."""

from __future__ import annotations

import pytest

from swift_core import quantize
from swift_core.checkpoints import Checkpoint, hash_files

pytestmark = pytest.mark.full("quantize")


def run(model, name, out, size, tokens, **more):
    calibration = {"tokens": tokens, "max_length": 512}
    options = {"dataset": ["alpaca-en-demo"], "calibration": calibration, "output": str(out), "device": "cpu", **more}
    return quantize(model, {"name": name, "group_size": size}, runs=str(out.parent / "runs"), **options)


@pytest.mark.parametrize(("name", "tokens"), [("gptq-native", 8192), ("awq-native", 2048)])
def test_the_result_has_its_native_format_and_is_close_to_its_source(name, tokens, smollm2, tmp_path):
    done = run(smollm2, name, tmp_path / "small", 64, tokens)
    assert Checkpoint.at(done.output).config["quantization_config"]["quant_method"] == name.partition("-")[0]
    assert Checkpoint.at(done.output).manifest.quantizer["name"] == name
    assert done.figures["bytes"] < 0.5 * done.figures["bytes_before"]
    assert done.figures["kl"] < 0.45  # rounding to nearest: 0.48
    assert done.figures["perplexity"] < 1.5 * done.figures["perplexity_before"]


def test_the_same_seed_gives_the_same_files(tiny_model, tmp_path):
    one, other = (run(tiny_model, "gptq-native", tmp_path / name, 32, 1024, verify=False).output for name in ("one", "other"))
    assert hash_files(one) == hash_files(other)
