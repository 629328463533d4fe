"""Optimizers with an 8-bit state of a library that knows no sharded tensors, on the shards of fsdp."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from swift_train.testing import on_ranks, ragged_chats, run_training, training_run, write_rows

from swift_core.contract.errors import SwiftError
from swift_core.plugins import registry

SETTINGS = {"batch_size": 1, "gradient_accumulation_steps": 4, "epochs": 2, "learning_rate": 3e-3, "tuner": "full"}


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", ragged_chats(16))


def run(model, rows, optimizer, ranks, **more):
    settings = {**SETTINGS, "gradient_accumulation_steps": 8 // ranks, **more}
    made = training_run(model, rows, **settings)
    parts = {"optimizer": registry().choose("optimizer", optimizer)}
    parts |= {"parallel": registry().choose("parallel", "fsdp")} if ranks > 1 else {}
    return replace(made, parts={**made.parts, **parts})


def losses(metrics):
    return [line["loss"] for line in metrics if "loss" in line]


def test_learn_as_in_one_process_and_resume_exactly(tiny_model, rows, tmp_path):
    alone = losses(run_training(run(tiny_model, rows, "adamw-8bit", 1), tmp_path / "one"))
    exact = losses(run_training(run(tiny_model, rows, "adamw", 1), tmp_path / "exact"))
    whole = losses(on_ranks(2, partial(run_training, run(tiny_model, rows, "adamw-8bit", 2), tmp_path / "whole"))[0])
    assert whole == pytest.approx(alone, rel=2e-3)  # the blocks of the state end at the shards' ends
    assert whole != pytest.approx(exact, rel=1e-6)  # the state has 8 bits
    first = on_ranks(2, partial(run_training, run(tiny_model, rows, "adamw-8bit", 2), tmp_path / "parts", stop_after=2))[0]
    resumed = run(tiny_model, rows, "adamw-8bit", 2, verb_options={"resume": str(tmp_path / "parts")})
    second = on_ranks(2, partial(run_training, resumed, tmp_path / "parts"))[0]
    assert losses(first) + losses(second) == whole
    files = [(tmp_path / name / "output/model.safetensors").read_bytes() for name in ("parts", "whole")]
    assert files[0] == files[1]


@pytest.mark.full("parallel")
def test_a_state_of_other_shards_is_refused(tiny_model, rows, tmp_path):
    on_ranks(2, partial(run_training, run(tiny_model, rows, "adamw-8bit", 2, epochs=1), tmp_path / "parts", stop_after=1))
    allowed = {"resume": {"name": str(tmp_path / "parts"), "allow_change": True}}
    other = run(tiny_model, rows, "adamw-8bit", 4, epochs=1, verb_options=allowed)

    def resume():
        with pytest.raises(SwiftError, match="can't be resharded"):
            run_training(other, tmp_path / "parts")
        return True

    assert on_ranks(4, resume) == [True] * 4


def test_updates_are_those_of_the_library_on_each_shard(tiny_model):
    """Of every kind of weight: cut, cut unevenly, and with a process that has none of it."""

    def compare():
        from swift_plugin_bnb.optimizers import AdamW8bit
        from swift_train.optimizer_options import AdamOptions
        from swift_train.ranks import join
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.tensor import Shard, distribute_tensor

        join(torch.device("cpu"), "", 60.0)
        mesh = init_device_mesh("cpu", (2,))
        generator = torch.Generator().manual_seed(1)
        whole = [torch.randn(*shape, generator=generator) for shape in ((128, 128), (129, 64), (1, 64))]
        sharded = [torch.nn.Parameter(distribute_tensor(each, mesh, [Shard(0)])) for each in whole]
        own = [torch.nn.Parameter(each.detach().to_local().clone()) for each in sharded]
        options = AdamOptions(weight_decay=0.1)
        ours, theirs = (AdamW8bit(options).build([{"params": params}], 1e-2) for params in (sharded, own))
        for _ in range(3):
            for ours_one, one in zip(sharded, own, strict=True):
                gradient = torch.randn(*ours_one.shape, generator=generator)
                ours_one.grad = distribute_tensor(gradient, mesh, [Shard(0)])
                one.grad = ours_one.grad.to_local().clone() if one.numel() else None
            ours.step()
            theirs.step()
            ours.zero_grad()
        assert all(weight.grad is None for weight in sharded)
        return all(torch.equal(a.to_local(), b) for a, b in zip(sharded, own, strict=True))

    assert on_ranks(2, compare) == [True, True]
