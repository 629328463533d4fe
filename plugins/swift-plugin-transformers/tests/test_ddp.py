"""ddp over several processes learns what one process learns, and resumes exactly."""

from __future__ import annotations

import shutil
from functools import partial

import pytest
import torch
from swift_plugin_transformers.ddp import DdpStrategy
from swift_plugin_transformers.ddp_options import DdpOptions
from swift_train.testing import do, on_ranks, ragged_chats, training_run, write_rows
from torch.nn.parallel import DistributedDataParallel

from swift_core.errors import SwiftError

ROWS = 19  # an epoch of two steps of 8 rows, and one of 3


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", ragged_chats(ROWS))


def settings(ranks, **more):
    """Eight rows a step in four micro-steps a rank at most, clipped, over two epochs."""
    return {"batch_size": 1, "gradient_accumulation_steps": 8 // ranks, "epochs": 2, "max_grad_norm": 0.5, "learning_rate": 3e-3, **more}


def steps(metrics):
    return [(line["loss"], line["grad_norm"]) for line in metrics if "loss" in line]


@pytest.mark.parametrize("tuner", ["lora", "full"])
def test_as_one_process(tiny_model, rows, tmp_path, tuner):
    held = write_rows(tmp_path / "held.jsonl", ragged_chats(5))
    options = {"tuner_options": {"dropout": 0.0}} if tuner == "lora" else {}
    results = {}
    for ranks in (1, 2, 4):
        run = training_run(tiny_model, rows, tuner=tuner, validation=held, **options, **settings(ranks))
        results[ranks] = on_ranks(ranks, partial(do, run, tmp_path / f"run-{ranks}"))[0]
    assert len(steps(results[1])) == 6
    clipped = [norm > 0.5 for _, norm in steps(results[1])]
    assert any(clipped)
    for ranks in (2, 4):
        torch.testing.assert_close(torch.tensor(steps(results[ranks])), torch.tensor(steps(results[1])), atol=1e-5, rtol=1e-5)
        heldout = [[line["heldout_loss"] for line in results[n] if "heldout_loss" in line] for n in (1, ranks)]
        assert heldout[1] == pytest.approx(heldout[0], abs=1e-5)
        assert len(heldout[0]) == 2


@pytest.mark.parametrize("ranks", [2, 4])
def test_resume_is_exact(tiny_model, rows, tmp_path, ranks):
    """With dropout, whose random states are a rank's own."""
    settled = settings(ranks, tuner_options={"dropout": 0.2})
    whole = on_ranks(ranks, partial(do, training_run(tiny_model, rows, **settled), tmp_path / "whole"))
    first = on_ranks(ranks, partial(do, training_run(tiny_model, rows, **settled), tmp_path / "parts", stop_after=2))
    resumed = training_run(tiny_model, rows, verb_options={"resume": str(tmp_path / "parts")}, **settled)
    second = on_ranks(ranks, partial(do, resumed, tmp_path / "parts"))
    assert steps(first[0] + second[0]) == steps(whole[0])
    assert len(steps(first[0])) == 2
    assert all(steps(rank) == steps(whole[0]) for rank in whole), "every rank sees the same loss"
    files = [(tmp_path / name / "output/adapter_model.safetensors").read_bytes() for name in ("parts", "whole")]
    assert files[0] == files[1]


def test_a_checkpoint_of_another_number_of_ranks_is_refused(tiny_model, tmp_path):
    strategy = DdpStrategy(DdpOptions(device="cpu"))
    strategy.build(lambda device: torch.nn.Linear(2, 2), lambda module: torch.optim.AdamW(module.parameters()))
    strategy.save(tmp_path)
    strategy.load(tmp_path)
    shutil.copy(tmp_path / "random-0.pt", tmp_path / "random-1.pt")
    with pytest.raises(SwiftError, match="another number of processes"):
        strategy.load(tmp_path)


def test_the_engine_is_torchs():
    def wrapped():
        strategy = DdpStrategy(DdpOptions(device="cpu"))
        strategy.build(lambda device: torch.nn.Linear(2, 2), lambda module: torch.optim.SGD(module.parameters(), 0.1))
        return type(strategy.engine).__name__, strategy.reduce(strategy.data_rank + 1.0, "sum"), strategy.reduce(strategy.data_rank, "max")

    assert on_ranks(2, wrapped) == [(DistributedDataParallel.__name__, 3.0, 1.0)] * 2
    assert on_ranks(1, wrapped) == [("Linear", 1.0, 0.0)]


def test_a_rank_that_fails_alone_ends_all(tiny_model, rows, tmp_path):
    """Rank 1's disk is full: rank 0 does not wait for it for ever, and no checkpoint is left."""
    run = training_run(tiny_model, rows, save_steps=1, **settings(2))

    def failing():
        strategy_save = DdpStrategy.save

        def save(self, folder):
            if self.data_rank == 1:
                raise OSError(28, "No space left on device")
            strategy_save(self, folder)

        DdpStrategy.save = save
        try:
            do(run, tmp_path / "run")
        except SwiftError as error:
            return error.message

    messages = on_ranks(2, failing, timeout=60)
    assert messages == ["another process of the run failed", "the disk is full"]
    assert not list((tmp_path / "run/checkpoints").glob("step-*"))


def test_a_gradient_that_is_not_finite_changes_nothing():
    strategy = DdpStrategy(DdpOptions(device="cpu"))
    strategy.build(lambda device: torch.nn.Linear(2, 2), lambda module: torch.optim.AdamW(module.parameters()))
    before = strategy.module.weight.detach().clone()
    strategy.module.weight.grad = torch.full((2, 2), float("inf"))
    update = strategy.update(1e-3, 1.0)
    assert update.skipped
    assert torch.equal(strategy.module.weight, before)
    assert strategy.module.weight.grad is None


def test_bfloat16_weights_that_learn_are_kept_in_float32():
    """Computed in bfloat16 under autocast: an update of 1e-5 would be lost in bfloat16 weights."""
    strategy = DdpStrategy(DdpOptions(device="cpu"))
    strategy.build(lambda device: torch.nn.Linear(2, 2).to(torch.bfloat16), lambda module: torch.optim.AdamW(module.parameters()))
    assert strategy.module.weight.dtype == torch.float32
    assert strategy.dtype == torch.bfloat16
    with strategy._autocast():
        assert strategy.engine(torch.ones(1, 2)).dtype == torch.bfloat16
