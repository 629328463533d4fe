"""Plans by formula: cards, refusals, changes, and the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from swift_plan import cards, device_named, plan, read_plan
from swift_plan.changes import apply, with_options
from swift_plan.checkpoint_shapes import shapes_of
from swift_plan.conversion import kv_bytes_per_token
from swift_plan.devices import Device
from swift_plan.formula import adapter_weights
from swift_plan.planning import plan_of
from swift_train.testing import ragged_chats, training_run, write_rows

from swift_core import SwiftError
from swift_core.contract import UsageError


@pytest.fixture
def run(tiny_model, tmp_path):
    return training_run(tiny_model, write_rows(tmp_path / "rows.jsonl", ragged_chats(4)), max_length=64)


def test_cards_are_described():
    assert {"rtx3090", "a100", "h100"} <= {card.name for card in cards()}
    for card in cards():
        assert card.memory
        assert card.bandwidth
        assert card.rates["float32"]
        assert card.source.startswith("https://")
    with pytest.raises(SwiftError, match="Did you mean 'rtx3090'"):
        device_named("rtx309")


def test_the_shapes_of_a_checkpoint(tiny_model):
    import torch
    from transformers import AutoModelForCausalLM

    shapes, model = shapes_of(tiny_model), AutoModelForCausalLM.from_pretrained(tiny_model)
    assert shapes.parameters == sum(weight.numel() for weight in model.parameters())
    assert shapes.dtype == "float32"
    assert shapes.layers == 2
    cache = model(torch.zeros(1, 3, dtype=torch.int64), use_cache=True).past_key_values
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert kv_bytes_per_token(shapes, "float32") * 3 == held


def test_the_weights_of_an_adapter(run):
    from swift_train.build import attach, load_base

    module = attach(run, load_base(run, "meta").model, run.part("tuner").build())
    trained = sum(weight.numel() for weight in module.parameters() if weight.requires_grad)
    assert adapter_weights(run.part("tuner").options, shapes_of(Path(run.model.path))) == trained


@pytest.mark.parametrize("more", [{"batch_size": 8}, {"max_length": 256}, {"gradient_accumulation_steps": 4}])
def test_more_never_needs_less(run, more):
    device = device_named("rtx3090")
    assert plan_of(with_options(run, more), device, traced=False).peak >= plan_of(run, device, traced=False).peak


def test_the_rows_are_measured_as_training_encodes_them(run):
    from swift_plan.server import rows_of
    from swift_plan.workload import Rows

    found = Rows(**rows_of(with_options(run, {"max_length": 512})))
    assert found.count == 4
    assert 8 < found.longest < 200
    assert 0 < found.supervised < 1
    assert Rows(**rows_of(run)).supervised == 1, "of rows that do not fit, no share is known"


def test_what_towers_need_beside_the_tokens_is_said(tmp_path):
    from swift_testing.tiny_vlm import write_tiny_vlm

    rows = write_rows(tmp_path / "rows.jsonl", ragged_chats(2))
    seeing = plan_of(training_run(write_tiny_vlm(tmp_path / "model"), rows), device_named("rtx3090"), traced=False)
    assert any("vision" in note for note in seeing.notes)


def small(memory: int) -> Device:
    return Device(name="small", title="a small card", memory=memory, host=1 << 40)


def test_what_does_not_fit_is_refused(run, monkeypatch):
    from swift_plan import admission

    monkeypatch.setattr("swift_plan.devices.this_device", lambda run=None: small(1000))
    (problem,) = admission.problems(run)
    assert problem.fatal
    assert problem.code == "PLAN-009"
    (forced,) = admission.problems(replace(run, options={**run.options, "force": True}))
    assert not forced.fatal
    assert not list(admission.problems(replace(run, options={**run.options, "plan": False})))


def test_options_are_written_into_a_file(tmp_path):
    file = tmp_path / "sft.yaml"
    file.write_text("model: m  # a comment\nbatch-size: 8\ntask: {seed: 1}\n")
    apply(file, {"batch_size": 1, "gradient_checkpointing": True})
    assert file.read_text() == "model: m  # a comment\nbatch_size: 1\ntask: {seed: 1}\ngradient_checkpointing: true\n"
    with pytest.raises(UsageError):
        apply(file, {"task": "sft"})


def test_a_plan_is_json(run):
    found = plan(run, device="rtx3090", trace=False)
    data = json.loads(json.dumps(found.to_json()))
    assert type(found).from_json(data) == found
    assert data["peak"] == found.peak


def test_a_run_has_its_plan_and_what_was_measured(workers_here, tiny_model, tmp_path, monkeypatch):
    from swift_plan.calibration import compare

    from swift_core import sft
    from swift_core.system import read_result

    monkeypatch.chdir(tmp_path)
    rows = write_rows(tmp_path / "rows.jsonl", ragged_chats(4))
    result = sft(model=str(tiny_model), dataset=[str(rows)], max_steps=1, device="cpu")
    found = read_plan(result.folder)
    assert found is not None
    assert found.method == "formula"
    assert read_result(result.folder)["figures"]["memory_peak"] > found.highest.total
    assert compare(result.folder).overhead > 0
    page = (result.folder / "report.html").read_text()
    assert "measured peak" in page
    assert "Memory against the plan in GiB" in page
    unplanned = sft(model=str(tiny_model), dataset=[str(rows)], max_steps=1, device="cpu", plan=False)
    assert read_plan(unplanned.folder) is None
