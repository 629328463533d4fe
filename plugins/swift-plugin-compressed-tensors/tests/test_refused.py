"""Models that llm-compressor can't quantize are rejected before it is imported, so these tests need no engine."""

from __future__ import annotations

import json
import shutil

import pytest
from swift_plugin_compressed_tensors.options import W4a16Options
from swift_plugin_compressed_tensors.quantizer import W4a16

from swift_core.contract.errors import UsageError


@pytest.fixture
def model(tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "model")
    return tmp_path / "model"


def refused(model):
    with pytest.raises(UsageError) as error:
        W4a16(W4a16Options()).quantize(model, model.parent / "out", None)
    assert not (model.parent / "out").exists()
    assert error.value.where == str(model)
    return error.value.message


def test_an_architecture_that_its_transformers_does_not_know(model):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "model_type": "llama9"}))
    assert "model type llama9" in refused(model)


@pytest.mark.slow
def test_a_model_without_linear_layers(model):
    from transformers import GPT2Config, GPT2LMHeadModel

    GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=32, n_embd=16, n_layer=1, n_head=2)).save_pretrained(model)
    assert "GPT2LMHeadModel has no torch.nn.Linear layers" in refused(model)
