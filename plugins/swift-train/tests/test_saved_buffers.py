"""A model that is trained in full is saved with the buffers of its checkpoint, without which it could not be loaded."""

from __future__ import annotations

import torch
from swift_testing.architectures import write_small_model
from swift_train.build import load_checkpoint
from swift_train.testing import run_training, training_run, write_rows

NAME = "model.layers.1.mlp.gate.e_score_correction_bias"  # DeepSeek-V3 chooses experts by it


def test_the_biases_of_a_router_are_saved(tmp_path):
    write_small_model(tmp_path / "model", "deepseek_v3", "causal")
    loaded = load_checkpoint(tmp_path / "model", device="cpu")
    bias = torch.arange(len(loaded.model.get_buffer(NAME)), dtype=torch.float32)
    loaded.model.get_buffer(NAME).copy_(bias)
    loaded.model.save_pretrained(tmp_path / "model")
    rows = [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}]
    run = training_run(tmp_path / "model", write_rows(tmp_path / "rows.jsonl", rows), tuner="full", max_steps=1)
    run_training(run, tmp_path / "run")
    assert torch.equal(load_checkpoint(tmp_path / "run" / "output", device="cpu").model.get_buffer(NAME), bias)
