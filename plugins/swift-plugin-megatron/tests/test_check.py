"""What megatron does not support is reported before anything is loaded, with an alternative."""

from __future__ import annotations

import json

import pytest
from swift_plugin_megatron import swift_check
from swift_plugin_megatron.options import MegatronOptions
from swift_plugin_megatron.sizes import sizes_of

from swift_core.contract.run import Run, Source
from swift_core.plugins.registered import registry

MIXTURE = {"model_type": "qwen3_moe", "num_attention_heads": 8, "num_key_value_heads": 4, "num_hidden_layers": 4, "num_experts": 6}
LLAMA = {"model_type": "llama", "num_attention_heads": 12, "num_key_value_heads": 6, "num_hidden_layers": 6, "intermediate_size": 96}


@pytest.fixture(autouse=True)
def engine_present(monkeypatch):
    """Pretend that megatron-core is installed, to test the other checks."""
    monkeypatch.setattr("swift_train.strategy_checks.engine_state", lambda spec, distribution: type("Found", (), {"present": True})())


def run_with(tmp_path, *, processes=4, config=None, tuner="", tuner_options=None, verb_options=None, task_options=None, **options):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA if config is None else config))
    known = registry()
    parts = {"parallel": known.choose("parallel", "megatron", options)}
    if tuner:
        parts["tuner"] = known.choose("tuner", tuner, tuner_options or {})
    if task_options:
        parts["task"] = known.choose("task", "sft", task_options)
    source = Source(reference="file:m", path=str(tmp_path), hash="", format="safetensors", family="")
    return Run(verb="sft", job="", model=source, parts=parts, options={"device": "cpu", "processes": processes, **(verb_options or {})})


@pytest.mark.parametrize(
    ("asked", "where", "says", "hint"),
    [
        ({"tensor": 4}, "parallel.tensor", "tensor 4 does not divide 6 key-value heads", "Choose one of: 1, 2, 3, 6."),
        ({"pipeline": 4}, "parallel.pipeline", "pipeline 4 does not divide 6 layers", "Choose one of: 1, 2, 3, 6."),
        ({"tensor": 3}, "parallel", "tensor 3 × pipeline 1 does not divide 4 processes", "tensor 2 × pipeline 2"),
        ({"context": 3}, "parallel", "tensor 1 × context 3 × pipeline 1 does not divide 4 processes", "tensor 2 × pipeline 2"),
        ({"context": 2, "pipeline": 3}, "parallel", "tensor 1 × context 2 × pipeline 3", "tensor 2 × context 2 × pipeline 1"),
        ({"context": 4, "tensor": 2, "processes": 8}, "parallel.context", "6 attention heads of a process", "Choose one of: 1, 2, 3, 6."),
        ({"sequence": True}, "parallel.sequence", "requires tensor parallelism", "--parallel.tensor 2"),
        ({"config": {"model_type": "bloom"}}, "parallel", "no weight map for the model type 'bloom'", "llama, mistral"),
        ({"config": {**LLAMA, "attention_bias": True}}, "parallel", "does not support attention_bias True", "--parallel fsdp"),
        ({"config": {**LLAMA, "quantization_config": {"quant_method": "gptq"}}}, "parallel", "quantized", "--parallel ddp"),
        ({"verb_options": {"device": "mps"}}, "device", "mps", "--device cpu"),
        ({"verb_options": {"dtype": "float16"}}, "dtype", "float16", "bfloat16"),
        ({"tuner": "dora"}, "tuner", "'dora'", "Use --tuner full, freeze, lora"),
        ({"tuner": "lora", "tuner_options": {"dora": True}}, "tuner.dora", "magnitudes", "Omit --tuner.dora"),
        ({"chunks": 2}, "parallel.chunks", "require pipeline parallelism", "--parallel.pipeline 2"),
        ({"pipeline": 2, "chunks": 2}, "parallel.chunks", "chunks 2 does not divide 3 layers of each of 2 processes", "1, 3"),
        ({"expert": 2}, "parallel.expert", "has no experts", "Omit --parallel.expert"),
        (
            {"expert": 4, "config": MIXTURE},
            "parallel.expert",
            "expert 4 does not divide both 6 experts and a stage's 4 processes",
            "Choose one of: 1, 2.",
        ),
        ({"tensor": 2, "config": MIXTURE}, "parallel.tensor", "experts are not sharded", "--parallel.sequence"),
        ({"task_options": {"compile": True}}, "compile", "compiled", "Omit --compile"),
    ],
)
def test_unsupported(tmp_path, asked, where, says, hint):
    (problem,) = swift_check(run_with(tmp_path, **asked))
    assert (problem.where, problem.fatal) == (where, True)
    assert says in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize("tuner", ["full", "lora"])
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"tensor": 2},
        {"tensor": 2, "pipeline": 2},
        {"pipeline": 2},
        {"processes": 12, "tensor": 3},
        {"config": MIXTURE, "expert": 2},
        {"context": 4},
        {"context": 2, "tensor": 2, "sequence": True},
        {"config": MIXTURE, "expert": 2, "context": 4},
        {"config": MIXTURE, "expert": 2, "tensor": 4, "sequence": True},
    ],
)
def test_supported(asked, tuner, tmp_path):
    assert list(swift_check(run_with(tmp_path, tuner=tuner, **asked))) == []


def test_megatron_core_is_not_installed(tmp_path, monkeypatch):
    absent = type("Found", (), {"present": False, "missing": ("megatron-core>=0.17",)})()
    monkeypatch.setattr("swift_train.strategy_checks.engine_state", lambda spec, distribution: absent)
    (problem,) = swift_check(run_with(tmp_path))
    assert problem.message == "'megatron' needs megatron-core>=0.17, which is not installed"
    assert problem.hint == "Python 3.12 or newer: pip install 'megatron-core>=0.17'"


def test_tensor_ranks_are_adjacent_and_pipeline_ranks_far_apart():
    sizes = sizes_of(MegatronOptions(tensor=2, pipeline=2), 8)
    assert sizes.data == 2
    assert [sizes.data_rank(rank) for rank in range(8)] == [0, 0, 1, 1, 0, 0, 1, 1]


def test_context_ranks_are_between_them():
    sizes = sizes_of(MegatronOptions(tensor=2, context=2), 8)
    assert (sizes.data, sizes.replicas) == (2, 4)
    assert [sizes.data_rank(rank) for rank in range(8)] == [0, 0, 0, 0, 1, 1, 1, 1]
