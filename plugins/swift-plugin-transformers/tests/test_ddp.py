"""ddp over several processes learns what one process learns, and resumes exactly."""

from __future__ import annotations

import errno
from functools import partial

import pytest
import torch
from swift_plugin_transformers.ddp import DdpStrategy
from swift_plugin_transformers.ddp_options import DdpOptions
from swift_train.checkpoints import run_on_all_ranks
from swift_train.testing import on_ranks, ragged_chats, run_training, training_run, write_rows
from torch.nn.parallel import DistributedDataParallel

from swift_core.contract.errors import DiskFull, SwiftError, UsageError

pytestmark = pytest.mark.slow

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
        results[ranks] = on_ranks(ranks, partial(run_training, run, tmp_path / f"run-{ranks}"))[0]
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
    whole = on_ranks(ranks, partial(run_training, training_run(tiny_model, rows, **settled), tmp_path / "whole"))
    first = on_ranks(ranks, partial(run_training, training_run(tiny_model, rows, **settled), tmp_path / "parts", stop_after=2))
    resumed = training_run(tiny_model, rows, verb_options={"resume": str(tmp_path / "parts")}, **settled)
    second = on_ranks(ranks, partial(run_training, resumed, tmp_path / "parts"))
    assert steps(first[0] + second[0]) == steps(whole[0])
    assert len(steps(first[0])) == 2
    assert all(steps(rank) == steps(whole[0]) for rank in whole), "every rank sees the same loss"
    files = [(tmp_path / name / "output/adapter_model.safetensors").read_bytes() for name in ("parts", "whole")]
    assert files[0] == files[1]


@pytest.mark.parametrize("ranks", [1, 4])
def test_a_checkpoint_of_two_ranks_goes_on_with_another_number(tiny_model, rows, tmp_path, ranks):
    """Only if that is said, since it is no longer the same to the last bit. Without dropout it is within rounding."""
    still = {"tuner_options": {"dropout": 0.0}}
    whole = on_ranks(2, partial(run_training, training_run(tiny_model, rows, **still, **settings(2)), tmp_path / "whole"))[0]
    on_ranks(2, partial(run_training, training_run(tiny_model, rows, **still, **settings(2)), tmp_path / "run", stop_after=2))
    asked = str(tmp_path / "run")
    if ranks == 1:
        with pytest.raises(UsageError, match="  ranks: 2 → 1"):
            run_training(training_run(tiny_model, rows, verb_options={"resume": asked}, **still, **settings(1)), tmp_path / "refused")
    allowed = {"resume": {"name": asked, "allow_change": True}}
    run = training_run(tiny_model, rows, verb_options=allowed, **still, **settings(ranks))
    rest = on_ranks(ranks, partial(run_training, run, tmp_path / "rest"))[0]
    torch.testing.assert_close(torch.tensor(steps(rest)), torch.tensor(steps(whole)[2:]), atol=1e-5, rtol=1e-5)


def test_an_overflow_in_float16_lowers_the_loss_scale(tiny_model, rows, tmp_path, monkeypatch):
    """Updates are left out until the scale fits, the schedule waits for them, and a resume in the middle of it is exact."""
    monkeypatch.setattr(torch.amp, "GradScaler", partial(torch.amp.GradScaler, init_scale=2.0**30))
    options = {"tuner": "full", "max_steps": 24, "batch_size": 4, "learning_rate": 1e-3}
    whole = run_training(training_run(tiny_model, rows, verb_options={"dtype": "float16"}, **options), tmp_path / "whole")
    skipped = [line.get("skipped", 0) for line in whole]
    assert skipped[:5] == [1] * 5
    assert sum(skipped) < 20
    first_update = skipped.index(0)
    assert {line["learning_rate"] for line in whole[: first_update + 1]} == {1e-3}
    assert whole[first_update + 1]["learning_rate"] < 1e-3
    assert whole[-1]["loss"] < whole[0]["loss"]
    first = run_training(training_run(tiny_model, rows, verb_options={"dtype": "float16"}, **options), tmp_path / "run", stop_after=4)
    resumed = {"dtype": "float16", "resume": str(tmp_path / "run")}
    second = run_training(training_run(tiny_model, rows, verb_options=resumed, **options), tmp_path / "rest")
    assert [line["loss"] for line in first + second] == [line["loss"] for line in whole]


def test_the_engine_is_torchs():
    def wrapped():
        strategy = DdpStrategy(DdpOptions(device="cpu"))
        strategy.build(lambda device: torch.nn.Linear(2, 2), lambda module: torch.optim.SGD(module.parameters(), 0.1))
        assert strategy.placement["engine"] == type(strategy.engine).__name__
        assert strategy.placement["placements"] == {"whole": 2}
        assert strategy.placement["weight_bytes"] == strategy.placement["model_bytes"] == 4 * 6
        return type(strategy.engine).__name__, strategy.reduce(strategy.data_rank + 1.0, "sum"), strategy.reduce(strategy.data_rank, "max")

    assert on_ranks(2, wrapped) == [(DistributedDataParallel.__name__, 3.0, 1.0)] * 2
    assert on_ranks(1, wrapped) == [("Linear", 1.0, 0.0)]


def test_every_process_says_which_disk_is_full(tmp_path):
    """Whichever is heard first."""

    def write():
        strategy = DdpStrategy(DdpOptions(device="cpu"))
        strategy.build(lambda device: torch.nn.Linear(2, 2), lambda module: torch.optim.SGD(module.parameters(), 0.1))

        def action():
            if strategy.data_rank == 0:
                raise OSError(errno.ENOSPC, "no space left")

        with pytest.raises(DiskFull, match="the disk is full") as caught:
            run_on_all_ranks(strategy, tmp_path / "out", action)
        return caught.value.where

    assert on_ranks(2, write) == [str(tmp_path / "out")] * 2


ALONE = [
    (SwiftError("it fails"), ["another process of the run failed", "it fails"]),
    (OSError(errno.EACCES, "no"), [None, None]),
    (OSError(errno.ENOSPC, "no"), [None, None]),
]


@pytest.mark.parametrize(("error", "messages"), ALONE)
def test_a_rank_that_fails_alone(tiny_model, rows, tmp_path, error, messages):
    """Rank 1 can't write: rank 0 does not wait for it for ever, and no checkpoint is left. If it is the disk's fault, both go on."""
    run = training_run(tiny_model, rows, save_steps=1, **settings(2))

    def failing():
        strategy_save = DdpStrategy.save

        def save(self, folder):
            if self.data_rank == 1:
                raise error
            strategy_save(self, folder)

        DdpStrategy.save = save
        try:
            run_training(run, tmp_path / "run")
        except SwiftError as found:
            return found.message

    assert on_ranks(2, failing) == messages
    assert not list((tmp_path / "run/checkpoints").iterdir())
    assert (tmp_path / "run/output").exists() == isinstance(error, OSError)


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
