"""Training in float8: which layers compute in it, how near it is, and what is refused."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from swift_train import preflight
from swift_train.float8 import compute_in_float8
from swift_train.testing import ragged_chats, run_training, training_run, write_rows
from transformers import AutoModelForCausalLM

needs_torchao = pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="needs torchao")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", ragged_chats(8))


@needs_torchao
def test_linear_layers_but_the_output_layer(tiny_model):
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    names = {name for name, _ in model.named_parameters()}
    assert compute_in_float8(model, model.get_output_embeddings(), torch.device("cpu")) == 14
    kinds = {name.rpartition(".")[2] for name, layer in model.named_modules() if type(layer).__name__ == "Float8Linear"}
    assert kinds == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert {name for name, _ in model.named_parameters()} == names


@needs_torchao
@pytest.mark.parametrize("tuner", ["full", "lora"])
def test_a_run_learns_nearly_the_same(tiny_model, rows, tmp_path, tuner):
    def losses(fp8):
        run = training_run(tiny_model, rows, tuner=tuner, fp8=fp8, batch_size=4, epochs=2, learning_rate=3e-3)
        return [line["loss"] for line in run_training(run, tmp_path / str(fp8)) if "loss" in line]

    plain, eight = losses(False), losses(True)
    assert eight == pytest.approx(plain, rel=0.03)
    assert eight != pytest.approx(plain, rel=1e-6)
    if tuner == "full":
        AutoModelForCausalLM.from_pretrained(tmp_path / "True/output")


def test_what_is_lacking_is_said_before_the_run(tiny_model, rows, monkeypatch):
    monkeypatch.setattr(preflight, "_installed", lambda name: False)
    assert [problem.where for problem in preflight.float8(training_run(tiny_model, rows, fp8=True))] == ["fp8"]
    assert not list(preflight.float8(training_run(tiny_model, rows)))
