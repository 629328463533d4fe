"""Shifted sparse attention against a mask written out; LongLoRA trains through it, and is read by PEFT as a plain LoRA."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from swift_plugin_peft.longlora import shifted_sparse_attention
from swift_testing.rig import write_tiny_model
from swift_train.testing import ragged_chats, run_training, training_run, write_rows
from torch.nn.functional import scaled_dot_product_attention


@pytest.mark.parametrize(("tokens", "group", "heads"), [(12, 4, (4, 2)), (13, 5, (4, 4)), (7, 2, (2, 1)), (3, 8, (4, 2))])
def test_attention_within_shifted_groups(tokens, group, heads):
    """Rows that groups do not divide, key heads that halves do not divide, and groups longer than the row."""
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, heads[0], tokens, 8, generator=generator)
    key, value = (torch.randn(1, heads[1], tokens, 8, generator=generator) for _ in range(2))
    place = torch.arange(tokens)
    shift = group - max(1, group // 2)
    numbers = [place // group, (place + shift) // group]  # the group of each token, of both halves of the heads
    masks = [(each[:, None] == each) & (place[:, None] >= place) for each in numbers]
    mask = torch.stack([masks[0]] * (heads[0] // 2) + [masks[1]] * (heads[0] - heads[0] // 2))[None]
    expected = scaled_dot_product_attention(
        query, *(states.repeat_interleave(heads[0] // heads[1], 1) for states in (key, value)), attn_mask=mask
    )
    torch.testing.assert_close(shifted_sparse_attention(query, key, value, group), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_it_trains_and_is_saved_as_lora(tmp_path):
    """Groups see less than whole rows do in training; embeddings and norms are saved with the adapter."""
    model = write_tiny_model(tmp_path / "model", tie_word_embeddings=False)
    rows = write_rows(tmp_path / "rows.jsonl", ragged_chats(6))
    more = {"max_steps": 2, "batch_size": 2, "learning_rate": 3e-3, "validation": rows}
    found = {}
    for tuner in ("lora", "longlora"):
        run = training_run(model, rows, tuner=tuner, tuner_options={"dropout": 0.0, "rank": 4}, **more)
        metrics = run_training(run, tmp_path / tuner)
        found[tuner] = next(line["loss"] for line in metrics if "loss" in line)
    assert found["longlora"] > found["lora"] + 1e-3
    saved = load_file(tmp_path / "longlora/output/adapter_model.safetensors")
    assert json.loads((tmp_path / "longlora/output/adapter_config.json").read_text())["peft_type"] == "LORA"
    for part in ("input_layernorm", "embed_tokens", "lora_A"):
        assert any(part in name for name in saved), part
