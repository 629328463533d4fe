"""LoRA as it is chosen automatically, on every kind of architecture: what is adapted learns, and is saved, restored and merged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from swift_testing.architectures import small_model, write_small_model
from swift_train import build

from swift_core.checkpoints.family import family_of
from swift_core.plugins.registered import registry

ROW = torch.tensor([[(7 * place * place + 11 * place + 5) % 250 + 4 for place in range(24)]])

LONG = {"deepseek_v4": 512}  # tokens that its layers are all reached by

REPRESENTATIVES = {
    "gpt2": {"c_attn", "c_proj", "c_fc"},  # Conv1D
    "bloom": {"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"},  # fused queries, keys and values
    "mamba": {"in_proj"},  # a fused kernel reads out_proj
    "mamba2": None,  # its config.json has a number that JSON has not: infinity
    "gpt_oss": {"q_proj", "k_proj", "v_proj", "o_proj"},  # experts are parameters
    "deepseek_v3": {"q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"},
    "jamba": None,  # experts, convolutions, attention
    "gemma3n_text": None,  # modules whose last name is a number
    "zamba": {"in_proj", "out_proj", "linear"},  # blocks that stand in several places
    "longcat_flash": {"q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"},  # gate_proj is the experts' to PEFT
}


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    torch.manual_seed(0)
    return model.eval()(input_ids=ROW, use_cache=False).logits.float()


def close(found: torch.Tensor, expected: torch.Tensor, most: float) -> None:
    assert float((found - expected).abs().max() / expected.abs().max()) <= most


def goes_through(kind: str, folder: Path, tokenizer: Any) -> Any:
    """The model with its adapter, as all of it was found right."""
    base = small_model(kind).eval()
    write_small_model(folder / "base", kind)
    family, tuner = family_of(build.source_of(folder / "base")), registry().choose("tuner", "lora", {"dropout": 0.0}).build()
    model: Any = tuner.attach(build.load_checkpoint(folder / "base", device="cpu").model, family)
    learning = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning
    for name, parameter in learning.items():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    row = ROW.repeat(1, LONG.get(kind, 24) // 24)
    model.train()(input_ids=row, use_cache=False).logits.float().logsumexp(-1).mean().backward()
    without = [name for name, parameter in learning.items() if parameter.grad is None]
    assert not [name for name in without if ".experts." not in name], without[:3]
    adapted = logits(model)
    assert not torch.equal(adapted, logits(base))
    tuner.save(model, folder / "adapter")
    restored = tuner.restore(build.load_checkpoint(folder / "base", device="cpu").model, folder / "adapter")
    close(logits(restored), adapted, 1e-5)
    plain = peft.PeftModel.from_pretrained(build.load_checkpoint(folder / "base", device="cpu").model, str(folder / "adapter"))
    close(logits(plain), adapted, 1e-5)
    merged = tuner.merge(restored)
    merged.save_pretrained(folder / "merged")
    tokenizer.save_pretrained(folder / "merged")
    close(logits(build.load_checkpoint(folder / "merged", device="cpu").model), adapted, 2e-4)
    return model


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from swift_testing.rig import tiny_tokenizer

    return tiny_tokenizer()


@pytest.mark.slow
@pytest.mark.parametrize("kind", REPRESENTATIVES)
def test_one_of_each_kind(kind, tmp_path, tokenizer):
    model = goes_through(kind, tmp_path, tokenizer)
    if REPRESENTATIVES[kind] is not None:
        found = {name.split(".lora_A")[0].rpartition(".")[2] for name, _ in model.named_parameters() if ".lora_A" in name}
        assert found == REPRESENTATIVES[kind]
