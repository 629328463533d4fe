"""Its losses equal those of ddp, on one process and on two, and a resumed run has the losses of an uninterrupted one."""

from __future__ import annotations

from functools import partial

import pytest
from swift_train.testing import on_ranks, ragged_chats, run_training, training_run, write_rows

SETTINGS = {"max_steps": 4, "batch_size": 2, "learning_rate": 1e-3, "save_steps": 2}


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", ragged_chats(8))


def losses(metrics):
    return [metric["loss"] for metric in metrics if "loss" in metric]


def test_the_loss_curve_equals_that_of_ddp(tiny_model, rows, tmp_path):
    want = run_training(training_run(tiny_model, rows, tuner="full", parallel="ddp", **SETTINGS), tmp_path / "ddp")
    got = run_training(training_run(tiny_model, rows, tuner="full", parallel="acme", **SETTINGS), tmp_path / "acme")
    assert losses(got) == pytest.approx(losses(want), abs=1e-5)
    halved = training_run(tiny_model, rows, tuner="full", parallel="acme", **{**SETTINGS, "batch_size": 1})
    assert losses(on_ranks(2, partial(run_training, halved, tmp_path / "two"))[0]) == pytest.approx(losses(want), abs=1e-5)


def test_a_resumed_run_has_the_same_losses(tiny_model, rows, tmp_path):
    whole = run_training(training_run(tiny_model, rows, tuner="full", parallel="acme", **SETTINGS), tmp_path / "whole")
    run_training(training_run(tiny_model, rows, tuner="full", parallel="acme", **SETTINGS), tmp_path / "cut", stop_after=2)
    resumed = training_run(tiny_model, rows, tuner="full", parallel="acme", verb_options={"resume": str(tmp_path / "cut")}, **SETTINGS)
    assert losses(run_training(resumed, tmp_path / "rest")) == pytest.approx(losses(whole)[2:], abs=1e-6)
