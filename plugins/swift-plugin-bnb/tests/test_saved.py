"""`swift quantize --quantizer bnb`: the checkpoint is reloaded, an adapter is trained on it, and merged into it."""

from __future__ import annotations

import json

import pytest
import torch
from swift_train.build import load_checkpoint

from swift_core import merge, quantize, sft
from swift_core.checkpoints import Checkpoint
from swift_core.contract.errors import UsageError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("workers_here")]

INPUTS = torch.arange(3, 43).reshape(2, 20)
ROWS = [{"messages": [{"role": "user", "content": "Capital of France?"}, {"role": "assistant", "content": "Paris."}]}] * 4


@torch.no_grad()
def logits(folder):
    return load_checkpoint(folder, device="cpu", dtype="float32").model(input_ids=INPUTS).logits


def bnb(tiny_model, **options):
    return quantize(tiny_model, {"name": "bnb", **options}, device="cpu", verify={"tokens": 64}, output="small")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))


@pytest.mark.parametrize(("bits", "layer"), [(4, "Linear4bit"), (8, "Linear8bitLt")])
def test_it_reloads_unchanged(bits, layer, tiny_model):
    done = bnb(tiny_model, bits=bits)
    assert done.figures["bytes"] < done.figures["bytes_before"]
    assert 0 < done.figures["kl"] < 0.5
    assert Checkpoint.at(done.output).config["quantization_config"]["quant_method"] == "bitsandbytes"
    assert Checkpoint.at(done.output).manifest.quantizer["bits"] == bits
    loaded = load_checkpoint(done.output, device="cpu", dtype="float32").model
    assert type(loaded.model.layers[0].mlp.up_proj).__name__ == layer
    with pytest.raises(UsageError, match="is already quantized \\(bitsandbytes\\)"):
        quantize(done.output, "bnb", output="again")


@pytest.mark.slow
def test_an_adapter_is_trained_on_it_and_merged(tiny_model):
    small = bnb(tiny_model).output
    common = {"device": "cpu", "dtype": "float32"}
    tuned = sft(model=str(small), dataset=["rows.jsonl"], tuner="qlora", max_steps=8, learning_rate=1e-2, output="adapter", **common)
    assert tuned.figures["loss_last"] < tuned.figures["loss_first"]
    whole = merge(tuned.output, output="whole", **common)
    assert "quantization_config" not in Checkpoint.at(whole.output).config
    assert (logits(whole.output) - logits(small)).abs().max() > 0.01
    again = quantize(whole.output, "bnb", output="again", verify={"tokens": 64}, **common)
    assert again.figures["kl"] < 0.5
