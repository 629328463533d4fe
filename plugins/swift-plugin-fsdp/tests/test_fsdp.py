"""fsdp trains as one process does; each process holds its shards of the weights only, and resumes exactly."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
from dataclasses import replace
from functools import partial

import pytest
import torch
from swift_plugin_fsdp.options import FsdpOptions
from swift_plugin_fsdp.strategy import FsdpStrategy
from swift_testing.rig import write_tiny_model
from swift_train import sharding
from swift_train.batches import collate
from swift_train.build import load_base
from swift_train.options import PretrainOptions
from swift_train.ranks import join
from swift_train.row_groups import RowGroup
from swift_train.tasks import PretrainTask
from swift_train.testing import memory_grown, on_ranks, ragged_chats, run_training, samples_of, training_run, write_rows
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, Qwen3MoeConfig

from swift_core.contract.errors import PeerFailed, SwiftError, UsageError
from swift_core.plugins.registered import registry

pytestmark = pytest.mark.slow

ROWS = 19  # an epoch of two steps of 8 rows, and one of 3
STILL = {"tuner_options": {"dropout": 0.0}}


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", ragged_chats(ROWS))


def settings(ranks, **more):
    """Eight rows per step in micro-batches of one, with clipping, over two epochs."""
    return {"batch_size": 1, "gradient_accumulation_steps": 8 // ranks, "epochs": 2, "max_grad_norm": 0.5, "learning_rate": 3e-3, **more}


def sharded(run, **options):
    """Return the run with fsdp and its options."""
    return replace(run, parts={**run.parts, "parallel": registry().choose("parallel", "fsdp", options)})


def steps(metrics):
    return [(line["loss"], line["grad_norm"]) for line in metrics if "loss" in line]


def close(ours, theirs):
    torch.testing.assert_close(torch.tensor(steps(ours)), torch.tensor(steps(theirs)), atol=1e-5, rtol=1e-5)


@pytest.mark.full("parallel")
def test_experts_in_4_bits_are_cut_too(rows, tmp_path):
    """The stacks of a mixture's experts, which are parameters of no linear layer."""
    folder = write_tiny_model(tmp_path / "mixture")
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    (folder / "model.safetensors").unlink()
    sizes = {"hidden_size": 64, "moe_intermediate_size": 64, "intermediate_size": 64, "head_dim": 16, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4, "num_experts": 4, "num_experts_per_tok": 2, "vocab_size": vocabulary}
    AutoModelForCausalLM.from_config(Qwen3MoeConfig(**sizes, **heads)).save_pretrained(folder)
    options = {"tuner": "qlora", "tuner_options": {"dropout": 0.0, "targets": ["q_proj"]}}
    packed = {"quantizer": registry().choose("quantizer", "bnb", {"experts": True})}

    def run(ranks):
        made = training_run(folder, rows, **options, **settings(ranks, gradient_checkpointing=True))
        return replace(made, parts={**made.parts, **packed})

    one = run_training(run(1), tmp_path / "one")
    two = on_ranks(2, partial(run_training, sharded(run(2)), tmp_path / "two"))[0]
    close(two, one)
    proof = json.loads((tmp_path / "two/parallel.json").read_text())
    assert proof["max_weight_bytes"] == pytest.approx(proof["model_bytes"] / 2, rel=0.02)


@pytest.mark.parametrize(("tuner", "checkpointing"), [("lora", True), ("full", False), ("qlora", True)])
def test_as_one_process(tiny_model, rows, tmp_path, tuner, checkpointing):
    """Losses, norms, held-out losses, and a checkpoint that transformers can load."""
    held = write_rows(tmp_path / "held.jsonl", ragged_chats(5))
    options = {"tuner": tuner, "validation": held, **({} if tuner == "full" else STILL)}
    packed = {"quantizer": registry().choose("quantizer", "bnb")} if tuner == "qlora" else {}  # the packed bytes are cut
    alone = training_run(tiny_model, rows, **options, **settings(1))
    one = run_training(replace(alone, parts={**alone.parts, **packed}), tmp_path / "one")
    run = sharded(training_run(tiny_model, rows, **options, **settings(2, gradient_checkpointing=checkpointing)))
    run = replace(run, parts={**run.parts, **packed})
    two = on_ranks(2, partial(run_training, run, tmp_path / "two"))[0]
    assert len(steps(one)) == 6
    assert any(norm > 0.5 for _, norm in steps(one))
    close(two, one)
    heldout = [[line["heldout_loss"] for line in metrics if "heldout_loss" in line] for metrics in (one, two)]
    assert heldout[1] == pytest.approx(heldout[0], abs=1e-5)
    proof = json.loads((tmp_path / "two/parallel.json").read_text())
    assert proof["engine"] == {"full": "FSDPLlamaForCausalLM"}.get(tuner, "FSDPPeftModelForCausalLM")
    assert (proof["strategy"], list(proof["placements"]), proof["blocks"]) == ("fsdp", ["S(0)"], 2)
    assert proof["max_weight_bytes"] == pytest.approx(proof["model_bytes"] / 2, rel=0.01), "each process holds its half"
    if tuner == "full":
        ours, theirs = (AutoModelForCausalLM.from_pretrained(tmp_path / name / "output") for name in ("two", "one"))
        assert type(ours) is type(theirs)
        for (name, got), want in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
            torch.testing.assert_close(got, want, atol=1e-4, rtol=0, msg=name)


def test_hybrid_sharding(tiny_model, rows, tmp_path):
    one = run_training(training_run(tiny_model, rows, tuner="full", **settings(1, epochs=1)), tmp_path / "one")
    run = sharded(training_run(tiny_model, rows, tuner="full", **settings(4, epochs=1)), shard_size=2, reshard_after_forward=False)
    close(on_ranks(4, partial(run_training, run, tmp_path / "four"))[0], one)
    proof = json.loads((tmp_path / "four/parallel.json").read_text())
    assert list(proof["placements"]) == ["R S(0)"]
    assert (proof["processes"], proof["shard_size"]) == (4, 2)


def test_full_replicas_are_detected(tiny_model, monkeypatch):
    """accelerate trains full replicas on a CPU although FSDP is requested; the losses would be right."""
    monkeypatch.setattr(sharding, "fully_shard", lambda module, **_: module)

    def build():
        with pytest.raises(SwiftError, match="not sharded"):
            built(tiny_model)
        return True

    assert on_ranks(2, build) == [True, True]


def built(model, **options):
    strategy = FsdpStrategy(FsdpOptions(device="cpu", **options))
    strategy.build(
        lambda device: AutoModelForCausalLM.from_pretrained(model), lambda module: torch.optim.AdamW(module.parameters(), weight_decay=0.0)
    )
    return strategy


def test_resume_is_exact(tiny_model, rows, tmp_path):
    """With dropout, whose random states differ per process, and LoRA+, whose parameter groups have different learning rates."""
    settled = settings(2, tuner="loraplus", tuner_options={"dropout": 0.2})
    whole = on_ranks(2, partial(run_training, sharded(training_run(tiny_model, rows, **settled)), tmp_path / "whole"))
    first = on_ranks(2, partial(run_training, sharded(training_run(tiny_model, rows, **settled)), tmp_path / "parts", stop_after=2))
    resumed = sharded(training_run(tiny_model, rows, verb_options={"resume": str(tmp_path / "parts")}, **settled))
    second = on_ranks(2, partial(run_training, resumed, tmp_path / "parts"))
    assert steps(first[0] + second[0]) == steps(whole[0])
    assert len(steps(first[0])) == 2
    files = [(tmp_path / name / "output/adapter_model.safetensors").read_bytes() for name in ("parts", "whole")]
    assert files[0] == files[1]


def test_resumes_with_another_number_of_processes(tiny_model, rows, tmp_path):
    """If the change is allowed; the rows per step are the same, and so are the losses."""
    one = run_training(training_run(tiny_model, rows, **STILL, **settings(1, epochs=1)), tmp_path / "one")
    first = on_ranks(
        2,
        partial(run_training, sharded(training_run(tiny_model, rows, **STILL, **settings(2, epochs=1))), tmp_path / "parts", stop_after=2),
    )[0]
    allowed = {"resume": {"name": str(tmp_path / "parts"), "allow_change": True}}
    resumed = sharded(training_run(tiny_model, rows, verb_options=allowed, **STILL, **settings(1, epochs=1)))
    second = on_ranks(1, partial(run_training, resumed, tmp_path / "parts"))[0]
    assert len(steps(first)) == 2
    close(first + second, one)


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs /proc")
def test_a_single_process_reads_the_model(tiny_model, rows, tmp_path):
    """The others never hold more than their shards and one block, and all have the same weights and buffers."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=512, intermediate_size=1536, num_hidden_layers=10, num_attention_heads=8,
        rope_parameters={"rope_type": "default", "rope_theta": 5e5},
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    whole = sum(parameter.nbytes for parameter in model.parameters())
    want = {name: digest(tensor) for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    del model
    run = training_run(tmp_path / "model", rows, tuner="full")

    def build():
        strategy = FsdpStrategy(FsdpOptions(device="cpu"))
        join(torch.device("cpu"))
        load_base(run, "meta")  # what is imported is not counted
        grown = memory_grown()
        strategy.build(lambda device: load_base(run, str(device)).model, lambda module: torch.optim.AdamW(module.parameters()))
        most = grown() / whole
        got = {name: digest(tensor) for name, tensor in (*strategy.weights(), *strategy.module.named_buffers())}
        return most, got, strategy.placement["full_readers"]

    first, *others = on_ranks(3, build)
    assert first[0] > 1
    assert max(most for most, *_ in others) < 0.75, "a third, a block and what the exchange needs"
    assert [got for _, got, _ in (first, *others)] == [want] * 3
    assert first[2] == 1


def test_a_tuner_that_initialises_from_the_weights_reads_them_everywhere(tiny_model, rows, tmp_path):
    """PiSSA decomposes the base weights, which the meta device does not have."""
    settled = settings(1, epochs=1, tuner_options={"dropout": 0.0, "init": "pissa"})
    one = run_training(training_run(tiny_model, rows, **settled), tmp_path / "one")
    run = training_run(tiny_model, rows, **{**settled, "gradient_accumulation_steps": 4})
    close(on_ranks(2, partial(run_training, sharded(run), tmp_path / "two"))[0], one)
    assert json.loads((tmp_path / "two/parallel.json").read_text())["full_readers"] == 2


def test_a_model_that_process_0_can_not_read_fails_on_every_process(tmp_path):
    def build():
        strategy = FsdpStrategy(FsdpOptions(device="cpu"))
        with pytest.raises(UsageError if strategy.writer else PeerFailed) as caught:
            strategy.build(load, torch.optim.AdamW)
        return caught.value.message

    def load(device):
        if device.type == "meta":
            return nn.Linear(2, 2, device=device)
        raise UsageError("model.safetensors is truncated")

    assert on_ranks(2, build) == ["model.safetensors is truncated", "process 0 could not load the model"]


def digest(tensor):
    return hashlib.sha256(tensor.detach().numpy().tobytes()).hexdigest()


def learned(strategy):
    """Return digests of the full weights and optimizer state, small enough for a pipe."""
    state = {name: tensor.clone() for name, tensor in strategy.weights()}
    for name, parameter in strategy.module.named_parameters():
        for key, value in strategy.optimizer.state[parameter].items():
            state[f"{name}.{key}"] = value.full_tensor() if isinstance(value, DTensor) else value
    assert sum(name.endswith("exp_avg") and bool(tensor.any()) for name, tensor in state.items()) == len(strategy.trainable)
    return {name: digest(tensor) for name, tensor in state.items()}


def test_a_checkpoint_is_read_by_another_number_of_processes(tiny_model, tmp_path):
    def write():
        strategy = built(tiny_model)
        for parameter in strategy.trainable:
            parameter.grad = torch.ones_like(parameter)
        strategy.update(1e-2, None)
        strategy.save(tmp_path)
        return learned(strategy)

    def read():
        strategy = built(tiny_model)
        strategy.load(tmp_path)
        return learned(strategy)

    (want,) = on_ranks(1, write)
    assert on_ranks(3, read) == [want] * 3


def test_a_write_error_of_the_system_is_raised_on_every_process(tiny_model, tmp_path):
    """torch's own writer hides it behind a wrong position in its file, and a full disk would end the run. Here files may not grow."""

    def save():
        strategy = built(tiny_model)
        if strategy.data_rank:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        with pytest.raises(OSError, match="File too large") as caught:
            strategy.save(tmp_path)
        return caught.value.errno

    assert on_ranks(2, save) == [errno.EFBIG] * 2


def test_after_an_evaluation_every_weight_is_sharded_again(tiny_model):
    def evaluate():
        strategy = built(tiny_model)
        strategy.accumulate([], None, 1.0, train=False)
        with torch.no_grad():
            strategy.module(input_ids=torch.arange(3, 9)[None])
        loose = [name for name, parameter in strategy.module.named_parameters() if not isinstance(parameter, DTensor)]
        assert loose, "the root keeps its weights after a forward pass"
        strategy.accumulate([], None, 1.0, train=False)
        return [name for name, parameter in strategy.module.named_parameters() if not isinstance(parameter, DTensor)]

    assert on_ranks(1, evaluate) == [[]]


def test_trainable_weights_are_float32(tiny_model, tmp_path):
    """The passes use the loaded type; float16 has a loss scale, which does not affect the norm."""
    task = PretrainTask(PretrainOptions())
    micro = collate(samples_of(tmp_path, [(range(3, 43), [(1, 40, 1.0)])]), RowGroup((0,), 1.0))

    def step(dtype):
        strategy = FsdpStrategy(FsdpOptions(device="cpu"))
        strategy.build(
            lambda device: AutoModelForCausalLM.from_pretrained(tiny_model, dtype=dtype),
            lambda module: torch.optim.AdamW(module.parameters()),
        )
        assert {parameter.dtype for parameter in strategy.trainable} == {torch.float32}
        assert task.forward(strategy.module, micro).dtype == dtype
        assert strategy.scale.value == (65536 if dtype == torch.float16 else 1)
        return strategy.accumulate([micro], task, 1 / 39), strategy.update(1e-3, None).norm, strategy.placement["precision"]

    wide, *narrow = [on_ranks(1, partial(step, dtype))[0] for dtype in (torch.float32, torch.bfloat16, torch.float16)]
    assert [precision for *_, precision in (wide, *narrow)] == ["float32", "bfloat16", "float16"]
    for loss, norm, _ in narrow:
        assert loss == pytest.approx(wide[0], rel=1e-2)
        assert norm == pytest.approx(wide[1], rel=5e-2)


def test_a_gradient_that_is_not_finite_changes_nothing(tiny_model):
    def step():
        strategy = built(tiny_model)
        before = {name: tensor.clone() for name, tensor in strategy.weights()}
        for parameter in strategy.trainable:
            parameter.grad = torch.full_like(parameter, float("inf") if strategy.data_rank else 1.0)
        update = strategy.update(1e-2, 1.0)
        return update.skipped, all(torch.equal(tensor, before[name]) for name, tensor in strategy.weights())

    assert on_ranks(2, step) == [(True, True)] * 2, "a bad part is every process's"


class Shared(nn.Module):
    """Two blocks with one weight."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
        self.blocks[1].weight = self.blocks[0].weight


def test_weights_that_can_not_be_sharded_are_named():
    with pytest.raises(UsageError, match="does not declare its blocks"):
        sharding.blocks(Shared(), [])
    with pytest.raises(UsageError, match="no module of class 'Linnear'") as caught:
        sharding.blocks(Shared(), ["Linnear"])
    assert "Linear" in caught.value.hint
    module = Shared()
    with pytest.raises(UsageError, match="weight is shared by several blocks"):
        sharding.check_shardable(module, sharding.blocks(module, ["Linear"]))
    scalar = nn.Module()
    scalar.scale = nn.Parameter(torch.tensor(1.0))
    with pytest.raises(UsageError, match="scale is a scalar"):
        sharding.check_shardable(scalar, [])
    packed = nn.Module()
    packed.weight = nn.Parameter(torch.zeros(2, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(UsageError, match=r"weight is torch\.uint8"):
        sharding.check_shardable(packed, [])
