"""Kernels are used if a row has the same losses with them; else the model's own operations come back."""

from __future__ import annotations

import json
from functools import partial
from importlib.metadata import EntryPoint
from types import MethodType
from typing import ClassVar

import pytest
import torch
from swift_testing.architectures import small_model
from swift_train import kernel_sets
from swift_train.kernels import use_kernels
from swift_train.options import PretrainOptions
from swift_train.tasks import PretrainTask
from swift_train.testing import run_training, training_run, write_rows
from transformers.models.llama import modeling_llama

from swift_core.contract import UsageError
from swift_core.plugins import registry

TEXTS = [{"text": f"The {name} is a bird of the north."} for name in ("owl", "auk", "tern", "gull")]


class Doubled:
    """RMSNorm in another order of operations, and rotary embeddings as they are."""

    summary = "a test"
    factor: ClassVar[float] = 1.0
    required: ClassVar[str] = ""

    def missing(self):
        return self.required

    def unsuitable(self, model, device):
        return "" if model.config.model_type == "llama" else "it is not a Llama"

    def apply(self, model):
        def norm(part, states):
            wide = states.float()
            root = (wide.square().sum(-1, keepdim=True) / wide.shape[-1] + part.variance_epsilon).sqrt()
            return (self.factor * part.weight * (wide / root)).to(states.dtype)

        rotate = modeling_llama.apply_rotary_pos_emb
        modeling_llama.apply_rotary_pos_emb = partial(rotate)
        for part in model.modules():
            if type(part).__name__.endswith("RMSNorm"):
                part.forward = MethodType(norm, part)
        return ["RMSNorm", "apply_rotary_pos_emb"]


class Wrong(Doubled):
    """Kernels that change the losses."""

    factor = 1.1


class Absent(Doubled):
    """Kernels whose library is not installed."""

    required = "swift-plugin-absent[engine]"


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """Three sets of kernels, and the functions of transformers as they were."""
    points = [EntryPoint(name.lower(), f"{__name__}:{name}", kernel_sets.GROUP) for name in ("Absent", "Doubled", "Wrong")]
    monkeypatch.setattr(kernel_sets, "entry_points", lambda group: [point for point in points if point.group == group])
    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", modeling_llama.apply_rotary_pos_emb)
    return points


def built(kind="llama"):
    model = small_model(kind)
    strategy = registry().choose("parallel", "ddp", {"device": "cpu"}).build()
    strategy.build(lambda device: model, lambda module: torch.optim.SGD(module.parameters(), lr=0.1))
    return model, strategy


def used(asked, strategy, notes):
    return use_kernels(asked, strategy, PretrainTask(PretrainOptions()), range(3, 40), notes.append)


def test_kernels_with_the_same_losses_are_used():
    model, strategy = built()
    notes: list[str] = []
    found = used("doubled", strategy, notes)
    assert (found.name, found.replaced) == ("doubled", ("RMSNorm", "apply_rotary_pos_emb"))
    assert 0 < found.difference < 1e-5
    assert "forward" in model.model.norm.__dict__
    assert notes


def test_kernels_that_change_the_losses_are_taken_out_again():
    model, strategy = built()
    own, ids = modeling_llama.apply_rotary_pos_emb, torch.arange(3, 20)[None]
    before = model(ids).logits
    with pytest.raises(UsageError, match="losses differ"):
        used("wrong", strategy, [])
    assert modeling_llama.apply_rotary_pos_emb is own
    assert "forward" not in model.model.norm.__dict__
    assert torch.equal(model(ids).logits, before)


def test_auto_takes_the_first_that_suits_on_an_accelerator(monkeypatch, installed):
    model, strategy = built()
    assert used("auto", strategy, []).name == "", "on a CPU, none"
    monkeypatch.setattr("swift_train.kernels._accelerated", lambda strategy: True)
    assert used("auto", strategy, []).name == "doubled", "the one before it lacks its library"
    installed[:] = [point for point in installed if point.name == "wrong"]
    model, strategy = built()
    notes: list[str] = []
    found = used("auto", strategy, notes)
    assert found.name == ""
    assert "losses differ" in found.reason
    assert notes[0].startswith("WARNING")
    assert "forward" not in model.model.norm.__dict__


def test_kernels_that_do_not_suit_the_model_are_refused():
    _, strategy = built("gpt2")
    with pytest.raises(UsageError, match="not a Llama"):
        used("doubled", strategy, [])


def test_a_training_uses_them_and_records_them(tiny_model, tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", TEXTS)
    losses = {}
    for name in ("none", "doubled"):
        metrics = run_training(training_run(tiny_model, rows, task="pretrain", kernels=name, max_steps=2), tmp_path / name)
        losses[name] = metrics[-1]["loss"]
        record = json.loads((tmp_path / name / "parallel.json").read_text())
        assert record["kernels"]["name"] == ("" if name == "none" else name)
    assert losses["doubled"] == pytest.approx(losses["none"], abs=1e-4)


@pytest.mark.parametrize(("name", "reason"), [("dubled", "doubled"), ("absent", "swift-plugin-absent")])
def test_unknown_and_absent_kernels_are_refused_before_the_run(tiny_model, tmp_path, name, reason):
    from swift_core import pretrain

    rows = write_rows(tmp_path / "rows.jsonl", TEXTS)
    with pytest.raises(UsageError, match=reason):
        pretrain(model=str(tiny_model), dataset=[str(rows)], runs=str(tmp_path / "runs"), max_steps=1, kernels=name)
    assert not (tmp_path / "runs").exists()
