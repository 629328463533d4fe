"""Scaled rotary positions: as transformers computes them, in the saved model, and beside an adapter."""

from __future__ import annotations

import json

import pytest
import torch
from swift_testing.codes import coded
from swift_train import build
from swift_train.rope import FILE
from swift_train.testing import ragged_chats, run_training, training_run, write_rows
from swift_train.verb_options import TrainingOptions
from transformers import AutoConfig, AutoModelForCausalLM

from swift_core.contract.errors import UsageError
from swift_core.options.model import Invalid

GIVEN = {"model": "m", "dataset": ["rows.jsonl"]}
YARN = {"rope_type": "yarn", "factor": 4.0}
ROW = torch.arange(4, 44)[None] % 300


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", ragged_chats(4))


def run(model, rows, scaling, **more):
    return training_run(model, rows, epochs=1, verb_options={"rope_scaling": scaling}, **more)


@torch.no_grad()
def logits(model):
    return model.eval()(input_ids=ROW).logits


@pytest.mark.parametrize("kind", ["linear", "dynamic", "yarn"])
def test_positions_are_those_of_transformers(tiny_model, rows, kind):
    config = AutoConfig.from_pretrained(tiny_model)
    original = config.max_position_embeddings
    theta = config.rope_parameters["rope_theta"]
    config.rope_parameters = {"rope_theta": theta, "rope_type": kind, "factor": 4.0}
    if kind == "yarn":
        config.rope_parameters["original_max_position_embeddings"] = original
    if kind != "dynamic":
        config.max_position_embeddings = 4 * original
    theirs = AutoModelForCausalLM.from_pretrained(tiny_model, config=config)
    loaded = build.load_base(run(tiny_model, rows, {"rope_type": kind, "factor": 4.0}))
    torch.testing.assert_close(logits(loaded.model), logits(theirs))
    plain = logits(build.load_checkpoint(tiny_model, device="cpu").model)
    assert torch.equal(logits(loaded.model), plain) == (kind == "dynamic")  # which changes long rows only


def test_the_factor_follows_from_the_length(tiny_model, rows):
    original = AutoConfig.from_pretrained(tiny_model).max_position_embeddings
    by_rows = run(tiny_model, rows, {"rope_type": "yarn"}, max_length=2 * original)
    config = build.load_base(by_rows, "meta").model.config
    assert (config.rope_parameters["factor"], config.max_position_embeddings) == (2.0, 2 * original)
    named = build.replace(by_rows, options={**by_rows.options, "max_model_len": 8 * original})
    assert build.load_base(named, "meta").model.config.rope_parameters["factor"] == 8.0
    with pytest.raises(UsageError, check=coded("TRAIN-216")):
        build.load_base(run(tiny_model, rows, {"rope_type": "yarn"}, max_length=16), "meta")


def test_a_model_and_an_adapter_keep_them(tiny_model, rows, tmp_path):
    run_training(run(tiny_model, rows, YARN, tuner="full"), tmp_path / "full")
    saved = AutoConfig.from_pretrained(tmp_path / "full/output")
    assert saved.rope_parameters["rope_type"] == "yarn"
    run_training(run(tiny_model, rows, YARN, tuner="lora"), tmp_path / "lora")
    adapter = tmp_path / "lora/output"
    assert json.loads((adapter / FILE).read_text())["rope_parameters"]["factor"] == 4.0
    loaded = build.load_checkpoint(tiny_model, device="cpu", adapters={"a": adapter})
    assert loaded.model.get_base_model().config.rope_parameters["rope_type"] == "yarn"
    merged = build.tuner_of(adapter).merge(loaded.model)
    merged.save_pretrained(tmp_path / "merged")
    assert AutoConfig.from_pretrained(tmp_path / "merged").rope_parameters["rope_type"] == "yarn"
    plain = run(tiny_model, rows, {}, tuner="lora")
    run_training(plain, tmp_path / "plain")
    with pytest.raises(UsageError, check=coded("TRAIN-213")):
        build.load_checkpoint(tiny_model, device="cpu", adapters={"a": adapter, "b": tmp_path / "plain/output"})


def test_option():
    assert TrainingOptions.checked({**GIVEN, "rope_scaling": "yarn"}).rope_scaling == {"rope_type": "yarn"}
    with pytest.raises(Invalid):
        TrainingOptions.checked({**GIVEN, "rope_scaling": "longer"})
