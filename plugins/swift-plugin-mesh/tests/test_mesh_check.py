"""What a mesh does not support is reported before anything is loaded, with an alternative."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from swift_plugin_mesh import swift_check

from swift_core.contract.run import Run, Source
from swift_core.plugins.registered import registry

SMOLLM2 = {"num_attention_heads": 9, "num_key_value_heads": 3, "intermediate_size": 1536, "num_hidden_layers": 30}
LLAMA = {"num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336, "num_hidden_layers": 32}


def run_with(tmp_path, *, parallel="mesh", config=None, quantizer="", tuner="", tuner_options=None, task=None, verb=None, **options):
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "config.json").write_text(json.dumps(LLAMA if config is None else config))
    parts = {"parallel": registry().choose("parallel", parallel, options)}
    if tuner:
        parts["tuner"] = registry().choose("tuner", tuner, tuner_options or {})
    if task:
        parts["task"] = registry().choose("task", "sft", task)
    if quantizer:
        parts["quantizer"] = replace(registry().choose("quantizer", "bnb"), name=quantizer)
    source = Source(reference="file:m", path=str(tmp_path), hash="", format="safetensors", family="")
    return Run(verb="sft", job="", model=source, parts=parts, options={"device": "cpu", "processes": 4, **(verb or {})})


@pytest.mark.parametrize(
    ("asked", "where", "message", "hint"),
    [
        ({"tensor": 8}, "parallel", "a mesh of tensor 8 does not fit 4 processes", "data 2 × tensor 2"),
        ({"tensor": 2, "data": 4}, "parallel.data", "data 4 × tensor 2", "data 1 × tensor 4"),
        ({"tensor": 2, "config": SMOLLM2}, "parallel.tensor", "attention heads, 9", "Choose one of: 1, 3."),
        ({"tensor": 2, "config": {"text_config": SMOLLM2}}, "parallel.tensor", "attention heads, 9", "1, 3."),
        ({"tensor": 4, "config": {**LLAMA, "num_key_value_heads": 2}}, "parallel.tensor", "key-value heads, 2", "1, 2."),
        ({"pipeline": 4, "config": SMOLLM2}, "parallel.pipeline", "30 blocks", "1, 2, 3, 5, 6, 10, 15, 30."),
        ({"pipeline": 3, "config": SMOLLM2}, "parallel", "a mesh of pipeline 3 does not fit 4 processes", "data 2 × pipeline 2"),
        ({"pipeline": 4, "tensor": 2}, "parallel", "mesh of tensor 2 × pipeline 4", "data 1 × tensor 2 × pipeline 2;"),
        ({"pipeline": 2, "tensor": 3, "config": {}}, "parallel", "mesh of tensor 3 × pipeline 2", "data 1 × tensor 2 × pipeline 2 or"),
        ({"pipeline": 2, "tensor": 2, "tuner": "dora"}, "tuner", "'dora'", "--tuner full, lora, rslora, loraplus; or"),
        ({"pipeline": 2, "tuner": "freeze", "tuner_options": {"last_blocks": 1}}, "tuner", "'freeze'", "--parallel fsdp"),
        ({"verb": {"device": "mps"}}, "device", "mps", "--parallel ddp"),
        ({"tensor": 2, "tuner": "dora"}, "tuner", "'dora'", "--parallel fsdp"),
        ({"tensor": 2, "tuner": "lora", "tuner_options": {"init": "pissa"}}, "tuner.init", "init pissa", "--parallel fsdp"),
        (
            {"tensor": 2, "tuner": "lora", "tuner_options": {"modules_to_save": ["lm_head"]}},
            "tuner.modules_to_save",
            "lm_head",
            "Omit tuner.",
        ),
        ({"tuner": "adalora"}, "tuner", "whole weights", "--parallel ddp"),
        ({"tensor": 2, "task": {"compile": True}}, "compile", "can't be compiled", "--parallel fsdp"),
        ({"quantizer": "torchao"}, "parallel", "torchao", "--parallel ddp"),
        ({"config": {**LLAMA, "quantization_config": {"quant_method": "gptq"}}}, "parallel", "gptq", "--parallel ddp"),
    ],
)
def test_unsupported(asked, where, message, hint, tmp_path):
    (problem,) = swift_check(run_with(tmp_path, **asked))
    assert problem.where == where
    assert problem.fatal
    assert message in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"tensor": 2, "tuner": "lora"},
        {"data": 2, "tensor": 2, "tuner": "full"},
        {"tensor": 3, "config": SMOLLM2, "verb": {"processes": 3}},
        {"tensor": 8, "verb": {"nodes": 4}},
        {"pipeline": 2, "tuner": "dora"},
        {"pipeline": 2, "tensor": 2, "tuner": "lora", "verb": {"dtype": "bfloat16"}},
        {"task": {"compile": True}},
        {"config": {}, "tensor": 4},
    ],
)
def test_supported(asked, tmp_path):
    assert list(swift_check(run_with(tmp_path, **asked))) == []


def test_other_strategies_are_not_checked(tmp_path):
    assert list(swift_check(run_with(tmp_path, parallel="ddp", config={"quantization_config": {"quant_method": "gptq"}}))) == []


def test_qlora_is_refused_with_an_alternative(tmp_path):
    """Only the bitsandbytes plugin refuses its own quantized weights."""
    run = run_with(tmp_path, quantizer="bnb")
    answers = [problem for _, answer in registry().plugins.ask("swift_check", run=run) for problem in answer or ()]
    assert [(problem.where, problem.fatal, "--parallel ddp" in problem.hint) for problem in answers] == [("parallel", True, True)]
