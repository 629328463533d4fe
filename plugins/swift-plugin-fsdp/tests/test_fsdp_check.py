"""What fsdp does not support is reported before anything is loaded, with an alternative."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from swift_plugin_fsdp import swift_check
from swift_train import strategy_checks

from swift_core.contract.run import Run, Source
from swift_core.plugins.registered import registry


def run_with(tmp_path, *, parallel="fsdp", config=None, quantizer="", tuner="", verb_options=None, **options):
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "config.json").write_text(json.dumps(config or {}))
    parts = {"parallel": registry().choose("parallel", parallel, options)}
    if tuner:
        parts["tuner"] = registry().choose("tuner", tuner)
    if quantizer:
        parts["quantizer"] = replace(registry().choose("quantizer", "bnb"), name=quantizer)
    source = Source(reference="file:m", path=str(tmp_path), hash="", format="safetensors", family="")
    return Run(verb="sft", job="", model=source, parts=parts, options={"device": "cpu", "processes": 4, **(verb_options or {})})


@pytest.mark.parametrize(
    ("asked", "where", "hint"),
    [
        ({"shard_size": 3}, "parallel.shard_size", "1, 2, 4"),
        ({"shard_size": 8, "verb_options": {"nodes": 3}}, "parallel.shard_size", "1, 2, 3, 4, 6, 12"),
        ({"offload": True}, "parallel.offload", "Omit --parallel.offload"),
        ({"verb_options": {"device": "mps"}}, "device", "--parallel ddp"),
        ({"tuner": "adalora"}, "tuner", "--tuner lora"),
        ({"tuner": "vblora"}, "tuner", "--tuner lora"),
        ({"quantizer": "torchao"}, "parallel", "--parallel ddp"),
        ({"config": {"quantization_config": {"quant_method": "gptq"}}}, "parallel", "--parallel ddp"),
    ],
)
def test_unsupported(asked, where, hint, tmp_path):
    (problem,) = swift_check(run_with(tmp_path, **asked))
    assert problem.where == where
    assert problem.fatal
    assert hint in problem.hint


@pytest.mark.parametrize("asked", [{}, {"shard_size": 2}, {"offload": True, "verb_options": {"device": "cuda"}}])
def test_supported(asked, tmp_path):
    assert list(swift_check(run_with(tmp_path, **asked))) == []


def test_other_strategies_are_not_checked(tmp_path):
    assert list(swift_check(run_with(tmp_path, parallel="ddp", config={"quantization_config": {"quant_method": "gptq"}}))) == []


def test_offload_on_auto_depends_on_the_machine(tmp_path, monkeypatch):
    run = run_with(tmp_path, offload=True, verb_options={"device": "auto"})
    monkeypatch.setattr(strategy_checks, "device_kind", lambda: "cuda")
    assert list(swift_check(run)) == []
    monkeypatch.setattr(strategy_checks, "device_kind", lambda: "cpu")
    assert [problem.where for problem in swift_check(run)] == ["parallel.offload"]


def test_weights_of_8_bits_are_refused_with_an_alternative(tmp_path):
    """Only the bitsandbytes plugin knows which of its quantized weights can be cut."""
    for bits, found in ((4, []), (8, [("parallel", True, True)])):
        run = run_with(tmp_path, quantizer="bnb")
        choice = registry().choose("quantizer", "bnb", {"bits": bits})
        asked = replace(run, parts={**run.parts, "quantizer": choice})
        answers = [problem for _, answer in registry().plugins.ask("swift_check", run=asked) for problem in answer or ()]
        assert [(problem.where, problem.fatal, "--parallel ddp" in problem.hint) for problem in answers] == found
