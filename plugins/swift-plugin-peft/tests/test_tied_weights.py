"""Adapters on weights that modules share: what is merged and loaded again answers as it was trained, or it is refused before training."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from swift_plugin_peft.options import AnyPeftOptions, LoraOptions
from swift_plugin_peft.tuner import PeftTuner
from swift_testing.codes import coded
from swift_testing.kit import tiny
from swift_train import build
from swift_train.merge import merge
from swift_train.testing_adapters import learned_adapter, logits, merge_run
from transformers import AutoModelForCausalLM, AutoTokenizer

from swift_core.contract.errors import UsageError
from swift_core.runs.events import Report

TIED: dict[str, dict[str, Any]] = {
    "head": {"targets": ["q_proj", "lm_head"]},
    "embeddings": {"targets": ["q_proj", "embed_tokens"]},
    "both": {"targets": ["lm_head", "embed_tokens"]},
    "dora": {"targets": ["lm_head", "v_proj"], "dora": True},
    "saved-head": {"targets": ["q_proj"], "modules_to_save": ["lm_head"]},
    "saved-embeddings": {"targets": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    "saved-both": {"targets": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    "saved-together": {"targets": ["q_proj"], "modules_to_save": ["embed_tokens"], "config": {"ensure_weight_tying": True}},
    "adapted-together": {"targets": ["q_proj", "embed_tokens"], "config": {"ensure_weight_tying": True}},
    "tokens": {"targets": ["q_proj"], "config": {"trainable_token_indices": {"embed_tokens": [5, 6]}}},
}
OTHERS = [("loha", {}), ("lokr", {}), ("vera", {"rank": 16}), ("randlora", {"rank": 4}), ("ia3", {}), ("hra", {}), ("pissa", {})]


@pytest.fixture
def report(tmp_path):
    (tmp_path / "run").mkdir()
    return Report(tmp_path / "run")


def without_rows_of_zeros(tiny_model, folder):
    """The same with an embedding for the padding token: DoRA refuses weights with a row of zeros."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_model), AutoTokenizer.from_pretrained(tiny_model)
    embeddings = model.get_input_embeddings().weight
    with torch.no_grad():
        embeddings[~embeddings.any(dim=1)] = embeddings[-1].clone()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def merged_equals(tiny_model, tmp_path, report, tuner, **options) -> dict[str, Any]:
    learned = learned_adapter(tiny_model, tmp_path / "adapter", tuner, **options)
    base = build.load_checkpoint(tiny_model, device="cpu").model
    assert (logits(base) - learned).abs().max() > 0.05
    restored = build.load_checkpoint(tiny_model, device="cpu", adapters={"default": tmp_path / "adapter"}).model
    torch.testing.assert_close(logits(restored), learned, atol=1e-4, rtol=0)
    out, _ = merge(merge_run(tiny_model, tmp_path / "adapter", out=tmp_path / "out"), report)
    close = 1e-4 * float(learned.abs().max())
    torch.testing.assert_close(logits(build.load_checkpoint(out, device="cpu").model), learned, atol=close, rtol=0)
    plain = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    torch.testing.assert_close(logits(plain), learned, atol=close, rtol=0)
    return dict(json.loads((out / "config.json").read_text()))


@pytest.mark.parametrize("case", TIED)
def test_what_is_merged_answers_as_it_was_trained(case, tiny_model, tmp_path, report):
    model = without_rows_of_zeros(tiny_model, tmp_path / "model") if case == "dora" else tiny_model
    config = merged_equals(model, tmp_path, report, "lora", dropout=0.0, **TIED[case])
    together = case in ("saved-together", "tokens")
    assert config["tie_word_embeddings"] is together or case == "adapted-together"


@pytest.mark.parametrize(("tuner", "options"), OTHERS, ids=[name for name, _ in OTHERS])
def test_other_methods_on_the_head(tuner, options, tiny_model, tmp_path, report):
    config = merged_equals(tiny_model, tmp_path, report, tuner, targets=["q_proj", "lm_head"], **options)
    assert config["tie_word_embeddings"] is False


def test_the_automatic_choice_leaves_head_and_embeddings_alone(tiny_model):
    model = PeftTuner(LoraOptions()).attach(tiny.base(tiny_model), tiny.FAMILY)
    assert not [name for name, _ in model.named_parameters() if "lora_" in name and ("lm_head" in name or "embed" in name)]


@pytest.mark.parametrize(
    ("options", "where"),
    [
        (LoraOptions(targets=["lm_head"]), "tuner.targets"),
        (LoraOptions(targets=".*embed_tokens"), "tuner.targets"),
        (LoraOptions(targets=["q_proj"], modules_to_save=["lm_head"]), "tuner.modules_to_save"),
        (AnyPeftOptions(method="loha", targets=["lm_head"]), "tuner.targets"),
    ],
)
def test_an_architecture_that_has_only_one_weight_is_refused_before_training(options, where, tiny_model, monkeypatch):
    from transformers import LlamaForCausalLM

    own = LlamaForCausalLM.__init__

    def always_tied(self, config):
        own(self, config)
        self.lm_head.weight = self.model.embed_tokens.weight

    model = tiny.base(tiny_model)
    monkeypatch.setattr(LlamaForCausalLM, "__init__", always_tied)
    with pytest.raises(UsageError, check=coded("TUNER-007")) as refused:
        PeftTuner(options).attach(model, tiny.FAMILY)
    assert refused.value.where == where
    assert not any("lora_" in name for name, _ in model.named_parameters())


def test_blocks_that_stand_in_two_places(tiny_model):
    model: Any = tiny.base(tiny_model)
    first, second = model.model.layers[0].mlp, model.model.layers[1].mlp
    second.up_proj.weight = first.up_proj.weight
    tuner = PeftTuner(LoraOptions())
    adapted = tuner.attach(model, tiny.FAMILY)
    assert not [name for name, _ in adapted.named_parameters() if "lora_" in name and "up_proj" in name]
    assert any("up_proj (2): it shares its weight" in remark for remark in tuner.remarks)
    model = tiny.base(tiny_model)
    model.model.layers[1].mlp.up_proj.weight = model.model.layers[0].mlp.up_proj.weight
    with pytest.raises(UsageError, check=coded("TUNER-007")):
        PeftTuner(LoraOptions(targets=["up_proj"])).attach(model, tiny.FAMILY)
