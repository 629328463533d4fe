"""A mesh of processes trains as one process does, each with its shards of the weights only, and resumes exactly."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import partial
from math import prod

import pytest
import torch
from safetensors.torch import load_file
from swift_plugin_mesh import tensor_parallel
from swift_plugin_mesh.options import MeshOptions
from swift_plugin_mesh.strategy import mesh_strategy
from swift_testing.architectures import write_small_model
from swift_testing.rig import write_tiny_model
from swift_train.batches import collate
from swift_train.options import PretrainOptions
from swift_train.row_groups import RowGroup
from swift_train.tasks import PretrainTask
from swift_train.testing import on_ranks, ragged_chats, run_training, samples_of, training_run, write_rows
from transformers import AutoConfig, AutoModelForCausalLM

from swift_core.contract.errors import SwiftError, UsageError
from swift_core.plugins.registered import registry

pytestmark = pytest.mark.slow
LANE = partial(pytest.param, marks=pytest.mark.full("mesh"))  # four processes, and DoRA; `make test` tests each axis alone

ROWS = (ragged_chats(4) * 3)[:11]  # two steps of 4 rows, and one of 3; of four lengths: DTensor plans each operation anew for every shape
HELD = ROWS[:5]
STILL = {"tuner_options": {"dropout": 0.0}}
ENGINE = {"full": "FSDPLlamaForCausalLM", "lora": "FSDPPeftModelForCausalLM"}


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", ROWS)


def settings(ranks, **more):
    """Four rows per step in micro-batches of one, with clipping, over two epochs."""
    return {"batch_size": 1, "gradient_accumulation_steps": 4 // ranks, "epochs": 2, "max_grad_norm": 0.5, "learning_rate": 3e-3, **more}


def meshed(run, **sizes):
    """Return the run on a mesh."""
    return replace(run, parts={**run.parts, "parallel": registry().choose("parallel", "mesh", sizes)})


def steps(metrics):
    return [(line["loss"], line["grad_norm"]) for line in metrics if "loss" in line]


def close(ours, theirs):
    torch.testing.assert_close(torch.tensor(steps(ours)), torch.tensor(steps(theirs)), atol=1e-5, rtol=1e-5)


def proof_of(folder):
    return json.loads((folder / "parallel.json").read_text())


@pytest.mark.parametrize(("tuner", "data"), [("lora", 1), ("full", 1), LANE("full", 2)])
def test_sharded_layers_train_as_one_process(tiny_model, rows, tmp_path, tuner, data):
    """Losses, norms, held-out losses, and a checkpoint that transformers can load."""
    held = write_rows(tmp_path / "held.jsonl", HELD)
    options = {"tuner": tuner, "validation": held, "packing": (tuner, data) == ("full", 1), **(STILL if tuner == "lora" else {})}
    one = run_training(training_run(tiny_model, rows, **options, **settings(1)), tmp_path / "one")
    run = meshed(training_run(tiny_model, rows, **options, **settings(data)), tensor=2)
    many = on_ranks(2 * data, partial(run_training, run, tmp_path / "many"))
    assert any(norm > 0.5 for _, norm in steps(one))
    close(many[0], one)
    assert all(steps(metrics) == steps(many[0]) for metrics in many), "every process sees the same numbers"
    heldout = [[line["heldout_loss"] for line in metrics if "heldout_loss" in line] for metrics in (one, many[0])]
    assert heldout[1] == pytest.approx(heldout[0], abs=1e-5)
    proof = proof_of(tmp_path / "many")
    assert (proof["engine"], proof["data"], proof["tensor"], proof["full_readers"]) == (ENGINE[tuner], data, 2, 1)
    assert proof["max_weight_bytes"] == pytest.approx(proof["model_bytes"] / (2 * data), rel=0.08), "norms and half a LoRA are whole"
    by_columns, by_rows = {"full": (11, 4), "lora": (21, 8)}[tuner]
    assert (proof["placements"]["_S(0, 2) S(0)"], proof["placements"]["S(0) S(1)"]) == (by_columns, by_rows)
    if tuner == "full":
        ours, theirs = (AutoModelForCausalLM.from_pretrained(tmp_path / name / "output") for name in ("many", "one"))
        for (name, got), want in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
            torch.testing.assert_close(got, want, atol=1e-4, rtol=0, msg=name)


@pytest.mark.parametrize(
    ("tuner", "sizes", "more"),
    [
        ("full", {"pipeline": 2}, {}),
        ("lora", {"pipeline": 2, "data": 2, "schedule": "gpipe"}, {}),
        LANE("full", {"pipeline": 4}, {"packing": True, "gradient_accumulation_steps": 2, "batch_size": 2}),
        LANE("full", {"tensor": 2, "pipeline": 2}, {}),
        LANE("lora", {"tensor": 2, "pipeline": 2}, {"gradient_checkpointing": True}),
        LANE("dora", {"pipeline": 2}, {}),
    ],
)
def test_stages_train_as_one_process(rows, tmp_path, tuner, sizes, more):
    """With a tied head, ragged rows, packed ones, and fewer micro-batches than stages."""
    model = write_tiny_model(tmp_path / "model", num_hidden_layers=4, tie_word_embeddings=sizes["pipeline"] == 2)
    data = sizes.get("data", 1)
    held = write_rows(tmp_path / "held.jsonl", HELD)
    options = {"tuner": tuner, "validation": held, **({} if tuner == "full" else STILL)}
    one = run_training(training_run(model, rows, **options, **settings(1, **more)), tmp_path / "one")
    run = meshed(training_run(model, rows, **options, **settings(data, **more)), **sizes)
    ranks = sizes["pipeline"] * sizes.get("tensor", 1) * data
    many = on_ranks(ranks, partial(run_training, run, tmp_path / "many"))
    close(many[0], one)
    assert all(steps(metrics) == steps(many[0]) for metrics in many)
    heldout = [[line["heldout_loss"] for line in metrics if "heldout_loss" in line] for metrics in (one, many[0])]
    assert heldout[1] == pytest.approx(heldout[0], abs=1e-5)
    proof = proof_of(tmp_path / "many")
    assert (proof["pipeline"], proof["stage_blocks"], proof["full_readers"]) == (sizes["pipeline"], 4 // sizes["pipeline"], 1)
    assert proof["max_weight_bytes"] < proof["model_bytes"] * (1 / ranks + 0.07), "the ends have more than the others"
    file = "model.safetensors" if tuner == "full" else "adapter_model.safetensors"
    ours, theirs = (load_file(tmp_path / name / "output" / file) for name in ("many", "one"))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("tuner", "sizes", "more"),
    [
        ("full", {"context": 2}, {"packing": True}),
        ("lora", {"context": 2, "data": 2}, {"gradient_checkpointing": True}),
        LANE("full", {"context": 2, "tensor": 2}, {}),
        LANE("full", {"context": 4}, {}),
    ],
)
def test_sharded_tokens_train_as_one_process(tiny_model, rows, tmp_path, tuner, sizes, more):  # noqa: PLR0917
    """Rows of all lengths, some shorter than the number of shards; key-value heads are repeated if there are fewer than shards."""
    data = sizes.get("data", 1)
    held = write_rows(tmp_path / "held.jsonl", HELD)
    options = {"tuner": tuner, "validation": held, **(STILL if tuner == "lora" else {})}
    one = run_training(training_run(tiny_model, rows, **options, **settings(1, **more)), tmp_path / "one")
    run = meshed(training_run(tiny_model, rows, **options, **settings(data, **more)), **sizes)
    many = on_ranks(sizes["context"] * data * sizes.get("tensor", 1), partial(run_training, run, tmp_path / "many"))
    close(many[0], one)
    assert all(steps(metrics) == steps(many[0]) for metrics in many)
    heldout = [[line["heldout_loss"] for line in metrics if "heldout_loss" in line] for metrics in (one, many[0])]
    assert heldout[1] == pytest.approx(heldout[0], abs=1e-5)
    proof = proof_of(tmp_path / "many")
    assert (proof["data"], proof["context"]) == (data, sizes["context"])
    assert proof["context_difference"] < 1e-5
    assert "swift_context" not in (tmp_path / "many/output" / ("config.json" if tuner == "full" else "adapter_config.json")).read_text()


SIZES = {
    "vocab_size": 320, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "initializer_range": 0.1, "pad_token_id": 0, "sliding_window": 16,
    "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
}  # fmt: skip


def fresh(kind, **more):
    """Return a random model of an architecture."""
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SIZES, **more))


def built(make, **options):
    strategy = mesh_strategy(MeshOptions(device="cpu", **options))

    def load(device):
        with device:
            return make()

    strategy.build(load, lambda module: torch.optim.AdamW(module.parameters(), weight_decay=0.0))
    return strategy


def three_steps(make, folder, **options):
    """Train three steps of two micro-batches; return losses and norms."""
    task = PretrainTask(PretrainOptions())
    micro = collate(samples_of(folder / os.environ["RANK"], [(range(3, 43), [(1, 40, 1.0)])]), RowGroup((0,), 1.0))
    strategy = built(make, **options)
    found = []
    for _ in range(3):
        loss = strategy.accumulate([micro, micro], task, 1 / 78)
        found.append((loss, strategy.update(3e-3, 0.5).norm))
    return found


def test_rows_without_isolation_go_through_stages_one_at_a_time(tmp_path):
    """They are padded at their end, where causal attention does not look."""
    texts = [{"text": "why " * number + "because"} for number in range(2, 10)]
    model, rows = write_small_model(tmp_path / "model", "gpt_oss"), write_rows(tmp_path / "rows.jsonl", texts)
    options = {"task": "pretrain", "tuner": "full", "max_steps": 2, "learning_rate": 1e-3}
    one = run_training(training_run(model, rows, batch_size=1, gradient_accumulation_steps=4, **options), tmp_path / "one")
    many = on_ranks(2, partial(run_training, meshed(training_run(model, rows, batch_size=4, **options), pipeline=2), tmp_path / "many"))
    close(many[0], one)
    assert not proof_of(tmp_path / "many")["rows"]["together"]


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("qwen3", {"tensor": 2}), ("starcoder2", {"tensor": 2}), ("gemma2", {"tensor": 2}), ("phi3", {"tensor": 2}),
        ("gemma2", {"pipeline": 2}), ("granite", {"pipeline": 2}), ("qwen3_moe", {"context": 2}), ("mistral", {"context": 2}),
    ],
)  # fmt: skip
def test_other_architectures(kind, sizes, tmp_path):
    """Norms of single heads, biases of row-parallel layers, scaled embeddings and logits, layers with replicated inputs and outputs."""
    (one,) = on_ranks(1, partial(three_steps, partial(fresh, kind), tmp_path / "one"))
    many = on_ranks(2, partial(three_steps, partial(fresh, kind), tmp_path / "many", **sizes))
    assert many[0] == many[1]
    torch.testing.assert_close(torch.tensor(many[0]), torch.tensor(one), atol=1e-5, rtol=1e-5)


def test_stages_in_bfloat16(tmp_path):
    """Passes in bfloat16, trainable weights in float32: bit-identical to training without stages."""

    def half():
        return fresh("llama").bfloat16()

    (one,) = on_ranks(1, partial(three_steps, half, tmp_path / "one"))
    assert on_ranks(2, partial(three_steps, half, tmp_path / "many", pipeline=2)) == [one, one]


@pytest.mark.parametrize(
    ("kind", "sizes", "message"),
    [
        ("opt", {"tensor": 2}, "has no plan for tensor parallelism"),
        ("qwen3_moe", {"tensor": 2}, "layers of the style moe_tp"),
        ("bloom", {"pipeline": 2}, "has no plan for pipeline parallelism"),
    ],
)
def test_an_unsupported_architecture_is_refused_before_its_weights_are_read(kind, sizes, message):
    read = []

    def load(device):
        read.append(device.type)
        with device:
            return fresh(kind)

    def build():
        with pytest.raises(UsageError, match=message):
            mesh_strategy(MeshOptions(device="cpu", **sizes)).build(load, torch.optim.AdamW)
        return read

    assert on_ranks(2, build) == [["meta"]] * 2


@pytest.mark.parametrize("sizes", [{"tensor": 2}, {"tensor": 2, "pipeline": 2}])
def test_full_replicas_are_detected(monkeypatch, sizes):
    """Their losses would be right."""
    monkeypatch.setattr(tensor_parallel, "parallelize_module", lambda module, *_, **__: module)

    def build():
        with pytest.raises(SwiftError, match="planned was"):
            built(partial(fresh, "llama"), **sizes)
        return True

    assert all(on_ranks(prod(sizes.values()), build))


@pytest.mark.parametrize(
    ("kind", "more", "message"),
    [
        ("gemma2", {}, "'softcap'"),
        ("mamba", {}, "computes different logits"),
        ("lfm2", {"layer_types": ["conv", "full_attention"]}, "computes different logits"),
    ],
)
def test_architectures_that_mix_tokens_outside_attention_are_refused(kind, more, message):
    def build():
        with pytest.raises(UsageError, match=message):
            built(partial(fresh, kind, **more), context=2)
        return True

    assert on_ranks(2, build) == [True, True]


@pytest.mark.parametrize(
    "sizes",
    [
        {"data": 1, "tensor": 2}, {"data": 1, "pipeline": 2}, {"data": 1, "context": 2},
        LANE({"data": 2, "pipeline": 2}), LANE({"data": 1, "tensor": 2, "pipeline": 2}),
    ],
)  # fmt: skip
def test_resume_is_exact(tiny_model, tmp_path, sizes):
    """With dropout, whose random states differ per process, and LoRA+, whose parameter groups have different learning rates."""
    rows = write_rows(tmp_path / "rows.jsonl", ROWS[:2] * 3)
    settled = settings(sizes["data"], tuner="loraplus", tuner_options={"dropout": 0.2})
    ranks = prod(sizes.values())
    run = meshed(training_run(tiny_model, rows, **settled), **sizes)
    whole = on_ranks(ranks, partial(run_training, run, tmp_path / "whole"))
    first = on_ranks(ranks, partial(run_training, run, tmp_path / "parts", stop_after=2))
    resumed = meshed(training_run(tiny_model, rows, verb_options={"resume": str(tmp_path / "parts")}, **settled), **sizes)
    second = on_ranks(ranks, partial(run_training, resumed, tmp_path / "parts"))
    assert steps(first[0] + second[0]) == steps(whole[0])
    assert len(steps(first[0])) == 2
    files = [(tmp_path / name / "output/adapter_model.safetensors").read_bytes() for name in ("parts", "whole")]
    assert files[0] == files[1]


@pytest.mark.parametrize(("then", "now"), [({"tensor": 2}, {}), LANE({"tensor": 2, "pipeline": 2}, {"pipeline": 2})])
def test_resumes_on_a_mesh_of_another_size(tiny_model, rows, tmp_path, then, now):
    """If the change is allowed; the rows per step are the same, and so are the losses."""
    one = run_training(training_run(tiny_model, rows, tuner="full", **settings(1, epochs=1)), tmp_path / "one")
    run = meshed(training_run(tiny_model, rows, tuner="full", **settings(1, epochs=1)), **then)
    first = on_ranks(prod(then.values()), partial(run_training, run, tmp_path / "parts", stop_after=2))[0]
    allowed = {"resume": {"name": str(tmp_path / "parts"), "allow_change": True}}
    resumed = meshed(training_run(tiny_model, rows, tuner="full", verb_options=allowed, **settings(1, epochs=1)), **now)
    second = on_ranks(prod(now.values()), partial(run_training, resumed, tmp_path / "parts"))[0]
    assert len(steps(first)) == 2
    close(first + second, one)


def test_does_not_resume_with_other_stages(tmp_path):
    def check():
        built(partial(fresh, "llama"), pipeline=2).save(tmp_path)
        torch.distributed.barrier()
        with pytest.raises(SwiftError, match="not written by a mesh of one stage"):
            built(partial(fresh, "llama"), data=2).load(tmp_path)
        return True

    assert on_ranks(2, check) == [True, True]
