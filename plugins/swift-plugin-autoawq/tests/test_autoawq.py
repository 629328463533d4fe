"""AutoAWQ on two layers of SmolLM2 through `swift quantize`, in the environment of `swift env create autoawq`."""

from __future__ import annotations

import pytest

from swift_core import quantize
from swift_core.checkpoints import Checkpoint

pytestmark = pytest.mark.full("quantize")


@pytest.fixture
def two_layers(smollm2, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(smollm2, dtype="bfloat16")
    model.model.layers = model.model.layers[:2]
    model.config.num_hidden_layers = 2
    model.save_pretrained(tmp_path / "two")
    AutoTokenizer.from_pretrained(smollm2).save_pretrained(tmp_path / "two")
    return tmp_path / "two"


def test_the_result_is_close_to_its_source(two_layers, tmp_path):
    done = quantize(
        two_layers,
        {"name": "autoawq", "group_size": 64, "skip": ["o_proj"]},
        dataset=["alpaca-en-demo"],
        calibration={"tokens": 1024, "max_length": 512},
        output=str(tmp_path / "small"),
        runs=str(tmp_path / "runs"),
        device="cpu",
    )
    config = Checkpoint.at(done.output).config
    assert config["quantization_config"]["quant_method"] == "awq"
    assert config["rope_parameters"] == Checkpoint.at(two_layers).config["rope_parameters"]
    assert Checkpoint.at(done.output).manifest.quantizer["name"] == "autoawq"
    assert done.figures["bytes"] < done.figures["bytes_before"]
    assert done.figures["kl"] < 0.5
