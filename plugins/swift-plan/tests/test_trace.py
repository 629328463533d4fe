"""The traced peak of a step is what torch then allocates."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
from swift_plan.planning import STEP
from swift_plan.tracing import trace
from swift_plan.workload import Workload
from swift_testing.rig import write_tiny_model
from swift_train.onednn_matmul import use_onednn_matmul
from swift_train.testing import ragged_chats, training_run, write_rows

from swift_core.plugins import registry

SIZES = {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 4}
CASES = [
    {"tuner": "lora", "gradient_checkpointing": True},
    {"tuner": "full"},
]


@pytest.fixture(autouse=True)
def own_kernels(monkeypatch):
    """Let torch compute matrix products with its own library: oneDNN's workspaces, which the profiler sees, are no part of a trace."""
    if (library := use_onednn_matmul()) is not None:
        library._destroy()
    use_onednn_matmul.cache_clear()
    monkeypatch.setattr("swift_train.build.use_onednn_matmul", lambda: None)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    found = {"llama": write_tiny_model(folder / "llama", vocab_size=4000, **SIZES)}
    found["rows"] = write_rows(folder / "rows.jsonl", ragged_chats(4))
    return found


@pytest.fixture(scope="module")
def measured():
    spec = importlib.util.spec_from_file_location("swift_plan_measured", Path(__file__).parent / "measured.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.step_peak


def run_of(models, *, tuner, family="llama", dtype="float32", **options):
    return training_run(models[family], models["rows"], tuner=tuner, verb_options={"dtype": dtype}, **options)


def peak(found):
    return max(found.peaks[name].total for name in (*STEP, "update") if name in found.peaks)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_planned_peak_is_the_measured_one(models, measured, case):
    run, work = run_of(models, **case), Workload(lengths=(128,))
    assert peak(trace(run, work, "float32")) == pytest.approx(measured(run, work), rel=0.01)


def test_more_never_needs_less(models, tiny_model):
    models = {**models, "llama": tiny_model}

    def planned(lengths=(64,), **options):
        return peak(trace(run_of(models, **{"tuner": "lora", **options}), Workload(lengths=lengths), "float32"))

    least = planned()
    assert planned(lengths=(64, 64)) > least
    assert planned(tuner_options={"rank": 32}) > least
    assert planned(gradient_checkpointing=True) < least


LANE = pytest.mark.full("plan")


@LANE
def test_activations_in_main_memory_are_not_counted(models):
    options = {"tuner": "lora", "gradient_checkpointing": True}
    kept, moved = (
        peak(trace(run_of(models, **options, activation_offload=offload), Workload(lengths=(512,)), "float32")) for offload in (False, True)
    )
    assert kept > moved


@LANE
@pytest.mark.parametrize("task", ["dpo", "rm", "orpo", "kto", "grpo", "seq-cls", "token-cls", "pretrain"])
def test_tasks_are_traced(models, task):
    run = run_of(models, tuner="lora", task=task)
    many = {"lengths": (128,) * 4, "sequences": 2 if task in ("dpo", "rm", "orpo") else 1}
    few = {**many, "lengths": (128,) * 2}
    least, most = (
        peak(trace(run, Workload(supervised=0.0 if task in ("rm", "seq-cls") else 1.0, **each), "float32")) for each in (few, many)
    )
    assert least < most


MANY = [
    {"tuner": "lora", "lengths": (128,)},
    {"tuner": "lora", "lengths": (64, 32, 100)},
    {"tuner": "full", "lengths": (200,), "passes": 2},
    {"tuner": "full", "lengths": (64, 64), "gradient_checkpointing": True},
    {"tuner": "dora", "lengths": (128,)},
    {"tuner": "qlora", "lengths": (128,)},
    {"tuner": "qlora", "lengths": (64, 64), "gradient_checkpointing": True, "tuner_options": {"rank": 64}},
    {"tuner": "lora", "lengths": (128,), "tuner_options": {"dropout": 0.0, "targets": ["q_proj", "v_proj"]}},
]


@pytest.fixture(scope="module")
def qwen(models, tmp_path_factory):
    from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

    folder = tmp_path_factory.mktemp("plan") / "qwen"
    Qwen3ForCausalLM(Qwen3Config(vocab_size=4000, head_dim=32, tie_word_embeddings=False, **SIZES)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(models["llama"]).save_pretrained(folder)
    return {**models, "qwen": folder}


def case_of(models, family, case, dtype):
    options = dict(case)
    work = Workload(lengths=options.pop("lengths"), passes=options.pop("passes", 1))
    run = run_of(models, family=family, dtype=dtype, **options)
    if case["tuner"] == "qlora":
        run = replace(run, parts={**run.parts, "quantizer": registry().default("quantizer", "bnb")})
    return run, work


@LANE
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["llama", "qwen"])
@pytest.mark.parametrize("case", MANY, ids=str)
def test_the_planned_peaks_of_many_cases(qwen, measured, case, family, dtype):
    run, work = case_of(qwen, family, case, dtype)
    found, real = peak(trace(run, work, dtype)), measured(run, work)
    print(f"{case} {family} {dtype}: planned {found / 2**20:.2f} MiB, measured {real / 2**20:.2f} MiB, {found / real - 1:+.2%}")
    assert found == pytest.approx(real, rel=0.01 if dtype == "float32" else 0.08)


@LANE
def test_sharding_is_traced(models):
    run = run_of(models, tuner="full", parallel="fsdp")
    work = Workload(lengths=(64,))
    whole = trace(run_of(models, tuner="full"), work, "float32").peaks["save"].parts
    shared = trace(replace(run, options={**run.options, "processes": 4}), work, "float32").peaks["save"].parts
    for name in ("weights", "optimizer"):
        assert shared[name] == pytest.approx(whole[name] / 4, rel=0.05)
