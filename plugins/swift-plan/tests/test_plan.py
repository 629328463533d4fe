"""Plans by formula: cards, refusals, changes, and the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from swift_plan import cards, device_named, plan, read_plan
from swift_plan.changes import apply, with_options
from swift_plan.checkpoint_shapes import shapes_of
from swift_plan.devices import Device
from swift_plan.formula import adapter_weights
from swift_plan.planning import plan_of
from swift_plan.serving import kv_bytes_per_token
from swift_train.testing import ragged_chats, training_run, write_rows

from swift_core import SwiftError
from swift_core.contract import UsageError
from swift_core.plugins import registry


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


GROWING = {
    "batch_size": st.integers(1, 64),
    "max_length": st.integers(16, 8192),
    "gradient_accumulation_steps": st.integers(1, 8),
    "tuner.rank": st.integers(1, 256),
}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), tuner=st.sampled_from(["full", "lora", "dora", "qlora"]), recompute=st.booleans(), packing=st.booleans())
def test_more_never_needs_less(run, data, tuner, recompute, packing):
    """A larger batch, length or rank, and more accumulation, never have a smaller peak, on a card or a CPU."""
    small, large = {}, {}
    for name, values in GROWING.items():
        first, second = data.draw(values, name), data.draw(values, name)
        small[name], large[name] = min(first, second), max(first, second)
    fixed = {"gradient_checkpointing": recompute, "packing": packing}
    device = device_named("rtx3090") if data.draw(st.booleans(), "card") else Device(name="cpu", title="a CPU", kind="cpu")
    peaks = []
    for drawn in (small, large):
        options = {**drawn, **fixed}
        rank = options.pop("tuner.rank")
        parts = {**run.parts, "tuner": registry().choose("tuner", tuner, {} if tuner == "full" else {"rank": rank})}
        peaks.append(plan_of(with_options(replace(run, parts=parts), options), device, traced=False).peak)
    assert peaks[0] <= peaks[1]


def test_the_rows_are_measured_as_training_encodes_them(run):
    from swift_plan.server import rows_of
    from swift_plan.workload import Rows

    found = Rows(**rows_of(with_options(run, {"max_length": 512})))
    assert found.count == 4
    assert 8 < found.longest < 200
    assert 0 < found.supervised < 1
    assert Rows(**rows_of(run)).supervised == 1, "of rows that do not fit, no share is known"


def test_the_answers_of_a_pair_are_two_sequences(tiny_model, tmp_path):
    from swift_plan.server import rows_of
    from swift_plan.workload import Rows, workload_of

    rows = write_rows(tmp_path / "rows.jsonl", [{"prompt": "Hi?", "chosen": "Hello, you.", "rejected": "No."}] * 4)
    run = training_run(tiny_model, rows, task="dpo", batch_size=2, max_length=256)
    found, shapes = Rows.from_json(rows_of(run)), shapes_of(tiny_model)
    assert found.sequences == 2
    work = workload_of(run, shapes, kind="cuda", rows=found)
    assert work.lengths == (found.longest,) * 4
    assert workload_of(run, shapes, kind="cuda").lengths == (256,) * 4


def test_sampled_answers_count(tiny_model, tmp_path):
    from swift_plan.workload import Rows, workload_of

    rows = write_rows(tmp_path / "rows.jsonl", [{"prompt": "Hi?"}])
    run = training_run(tiny_model, rows, task="grpo", batch_size=2, max_completion_length=100)
    assert workload_of(run, shapes_of(tiny_model), kind="cuda", rows=Rows(longest=28)).lengths == (128, 128)


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
