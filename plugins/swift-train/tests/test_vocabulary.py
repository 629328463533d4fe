"""New tokens: their rows, trained and saved with an adapter or the model, and found again by whoever loads them."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from swift_testing.codes import coded
from swift_testing.rig import write_tiny_model
from swift_train import build
from swift_train.processors import tokenizer_of
from swift_train.testing import run_training, training_run, write_rows
from transformers import AutoModelForCausalLM, AutoTokenizer

from swift_core.checkpoints import Checkpoint
from swift_core.contract.errors import UsageError

NEW = ["<tool>", "frobnicate"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    turns = [{"role": "user", "content": "Use <tool>."}, {"role": "assistant", "content": "<tool> frobnicate <tool>"}]
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", [{"messages": turns}] * 8)


def run(model, rows, **more):
    options = {"new_special_tokens": NEW[:1], "new_tokens": NEW[1:], **more.pop("verb_options", {})}
    return training_run(model, rows, learning_rate=1e-2, epochs=2, verb_options=options, **more)


def logits(loaded):
    ids = torch.arange(3, 23)[None]
    with torch.no_grad():
        return loaded.model.eval()(input_ids=ids).logits


@pytest.mark.parametrize("tied", [True, False])
def test_an_adapter_trains_the_rows_of_new_tokens_alone(rows, tmp_path, tied):
    model = write_tiny_model(tmp_path / "model", tie_word_embeddings=tied)
    size = len(AutoTokenizer.from_pretrained(model))
    run_training(run(model, rows, tuner="lora"), tmp_path / "run")
    adapter = tmp_path / "run/output"
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    assert tokenizer.encode("<tool>", add_special_tokens=False) == [size + 1]
    assert tokenizer.decode([size + 1], skip_special_tokens=True) == ""
    assert tokenizer.convert_tokens_to_ids(NEW) == [size + 1, size]
    deltas = {name: weight for name, weight in load_file(adapter / "adapter_model.safetensors").items() if "trainable_tokens" in name}
    assert {tuple(weight.shape) for weight in deltas.values()} == {(2, 64)}
    assert len(deltas) == (1 if tied else 2)
    loaded = build.load_checkpoint(model, device="cpu", adapters={"a": adapter})
    assert len(tokenizer_of(loaded.processor)) == size + 2
    own = loaded.model.get_base_model().get_input_embeddings().weight
    assert own.shape[0] == size + 2
    found = logits(loaded)
    tuner = build.tuner_of(adapter)
    merged = tuner.merge(loaded.model)
    torch.testing.assert_close(logits(build.Loaded(merged, None)), found, atol=1e-4, rtol=0)
    merged.save_pretrained(tmp_path / "merged")
    tokenizer.save_pretrained(tmp_path / "merged")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "merged").config.vocab_size == size + 2
    torch.testing.assert_close(logits(build.load_checkpoint(tmp_path / "merged", device="cpu")), found, atol=1e-4, rtol=0)


def test_rows_start_as_the_mean_of_the_pieces(tiny_model, rows):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    pieces = {text: tokenizer.encode(text, add_special_tokens=False) for text in NEW}
    before = AutoModelForCausalLM.from_pretrained(tiny_model).get_input_embeddings().weight
    loaded = build.load_base(run(tiny_model, rows))
    after = loaded.model.get_input_embeddings().weight
    assert torch.equal(after[: len(before)], before)
    for text, ids in pieces.items():
        row = after[loaded.processor.convert_tokens_to_ids(text)]
        torch.testing.assert_close(row, before[ids].mean(0))
    shapes = build.load_base(run(tiny_model, rows), "meta")
    assert shapes.model.get_input_embeddings().weight.shape == after.shape


def test_methods_without_rows_train_whole_embeddings(tiny_model, rows, tmp_path):
    run_training(run(tiny_model, rows, tuner="oft", tuner_options={"block_size": 16}), tmp_path / "run")
    adapter = tmp_path / "run/output"
    assert json.loads((adapter / "adapter_config.json").read_text())["modules_to_save"] == ["model.embed_tokens"]
    loaded = build.load_checkpoint(tiny_model, device="cpu", adapters={"a": adapter})
    saved = load_file(adapter / "adapter_model.safetensors")
    (weight,) = [weight for name, weight in saved.items() if "embed_tokens" in name]
    assert torch.equal(loaded.model.get_base_model().get_input_embeddings().modules_to_save["a"].weight, weight)


def test_the_whole_model_is_saved_with_them(tiny_model, rows, tmp_path):
    run_training(run(tiny_model, rows, tuner="full"), tmp_path / "run")
    out = tmp_path / "run/output"
    size = len(AutoTokenizer.from_pretrained(out))
    assert Checkpoint.at(out).config["vocab_size"] == size == len(AutoTokenizer.from_pretrained(tiny_model)) + 2
    assert AutoModelForCausalLM.from_pretrained(out).get_input_embeddings().weight.shape[0] == size


def test_an_adapter_that_goes_on_keeps_its_tokens_and_gets_no_more(tiny_model, rows, tmp_path):
    run_training(run(tiny_model, rows, tuner="lora"), tmp_path / "run")
    again = training_run(tiny_model, rows, tuner="lora", epochs=1, verb_options={"new_tokens": NEW[1:]})
    with_adapter = build.replace(again, adapters={"default": build.source_of(tmp_path / "run/output")})
    assert len(build.load_base(with_adapter).processor) == len(AutoTokenizer.from_pretrained(tiny_model)) + 2
    more = build.replace(with_adapter, options={**with_adapter.options, "new_tokens": ["quux"]})
    with pytest.raises(UsageError, check=coded("TRAIN-210")):
        build.load_base(more)
