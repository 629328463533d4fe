"""It logs the average, ends a training that diverges, and is restored when a run is resumed."""

from __future__ import annotations

import pytest
from swift_plugin_acme.callback import Acme
from swift_plugin_acme.options import AcmeOptions
from swift_train.callbacks import Training

from swift_core.contract import Run
from swift_core.runs import Report

ROW = {"messages": [{"role": "user", "content": "Capital of France?"}, {"role": "assistant", "content": "Paris."}]}


@pytest.fixture
def training(tmp_path):
    return Training(run=Run(verb="sft", job=""), folder=tmp_path, rank=0, ranks=1, report=Report(tmp_path))


def after(callback, training, *losses):
    for training.step, loss in enumerate(losses, 1):
        training.metrics = {"loss": loss}
        callback.on_step_end(training)
    return callback


def test_it_averages_the_loss(training):
    assert after(Acme(AcmeOptions(decay=0.5)), training, 2.0, 1.0).average == 1.5
    assert not training.stop_reason


def test_a_training_that_diverges_is_stopped(training):
    after(Acme(AcmeOptions(limit=2)), training, 1.0, 9.0)
    assert training.stop_reason == "the loss is 9, and its average 1"


def test_its_state_is_restored(training):
    saved = after(Acme(AcmeOptions()), training, 2.0).state_dict()
    resumed = Acme(AcmeOptions())
    resumed.load_state_dict(saved)
    assert resumed.average == 2.0


def test_swift_trains_with_it(tiny_model, swift_project):
    swift_project.write({"rows.jsonl": [ROW] * 4})
    words = ("--model", str(tiny_model), "--dataset", "rows.jsonl", "--max-steps", "2", "--device", "cpu", "--runs", "runs", "--json")
    swift_project.run("sft", "--callback", "acme:decay=0.5", *words).assert_success()
    (metrics,) = swift_project.folder.glob("runs/*/metrics.jsonl")
    assert metrics.read_text(encoding="utf-8").count("loss_average") == 2
