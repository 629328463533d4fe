"""Evaluations during training: once per epoch, the best checkpoint by a metric, and the output from it, also after a resume."""

from __future__ import annotations

import json

import pytest
from swift_testing.codes import coded
from swift_train.callbacks import Callback
from swift_train.checkpoints import complete_checkpoints
from swift_train.evaluation_checks import problems
from swift_train.job import train
from swift_train.testing import Recorder, ragged_chats, run_training, training_run, write_rows

from swift_core.contract import CallbackSpec, Ref, UsageError

BEST = {"metric_for_best_model": "grade", "greater_is_better": True, "load_best_model_at_end": True}


class Grader(Callback):
    """Logs a metric of its own, which is greatest at step 4."""

    def __init__(self, options: None = None) -> None:
        pass

    def on_evaluate(self, training):
        training.log(grade=-abs(training.step - 4.0))


@pytest.fixture(autouse=True)
def offered(inline_plugin):
    inline_plugin(swift_callbacks=lambda: [CallbackSpec(name="grader", summary="For a test", factory=Ref(f"{__name__}:Grader"))])


@pytest.fixture
def settings(tmp_path):
    rows, held = (write_rows(tmp_path / name, ragged_chats(count)) for name, count in (("rows.jsonl", 10), ("held.jsonl", 4)))
    return {"rows": rows, "validation": held, "batch_size": 2, "learning_rate": 1e-2, "schedule": "constant"}


def weights(folder):
    return (folder / "adapter_model.safetensors").read_bytes()


def steps_of(folder, name="heldout_loss"):
    return [line["step"] for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()) if name in line]


def test_each_epoch_is_evaluated_and_saved(tiny_model, settings, tmp_path):
    options = {"epochs": 2, "eval_strategy": "epoch", "save_strategy": "epoch", "save_total_limit": None}
    run_training(training_run(tiny_model, **options, **settings), tmp_path / "run")
    assert steps_of(tmp_path / "run") == [0, 5, 10]
    assert [path.name for path in complete_checkpoints(tmp_path / "run/checkpoints")] == ["step-000005", "step-000010"]


def test_without_evaluation_there_is_none(tiny_model, settings, tmp_path):
    run_training(training_run(tiny_model, max_steps=2, eval_strategy="no", **settings), tmp_path / "run")
    assert steps_of(tmp_path / "run") == []


def test_the_output_is_the_best_by_a_metric_of_a_callback(tiny_model, settings, tmp_path):
    options = {"max_steps": 8, "eval_steps": 2, "save_strategy": "no", "save_total_limit": 1, **BEST}
    run_training(training_run(tiny_model, callbacks={"grader": {}}, **options, **settings), tmp_path / "run")
    found = complete_checkpoints(tmp_path / "run/checkpoints")
    assert [path.name for path in found] == ["step-000004", "step-000008"]
    assert json.loads((found[0] / "checkpoint.json").read_text())["metrics"]["grade"] == 0
    assert weights(tmp_path / "run/output") == weights(found[0] / "model") != weights(found[1] / "model")
    assert json.loads((tmp_path / "run/output/swift.json").read_text())["figures"]["best_checkpoint"] == "step-000004"


def test_a_resumed_run_writes_the_best_of_the_interrupted_one(tiny_model, settings, tmp_path):
    options = {"max_steps": 8, "eval_steps": 2, "save_strategy": "no", **BEST, **settings}
    run_training(training_run(tiny_model, callbacks={"grader": {}}, **options), tmp_path / "whole")
    run_training(training_run(tiny_model, callbacks={"grader": {}}, **options), tmp_path / "first", stop_after=5)
    again = {"verb_options": {"resume": str(tmp_path / "first")}}
    run_training(training_run(tiny_model, callbacks={"grader": {}}, **again, **options), tmp_path / "again")
    assert [path.name for path in complete_checkpoints(tmp_path / "again/checkpoints")] == ["step-000008"]
    assert weights(tmp_path / "again/output") == weights(tmp_path / "whole/output")
    last = "checkpoints/step-000008/model"
    assert weights(tmp_path / "again" / last) == weights(tmp_path / "whole" / last) != weights(tmp_path / "whole/output")


def test_early_stopping_follows_the_metric(tiny_model, settings, tmp_path):
    callbacks = {"grader": {}, "early-stopping": {"patience": 2}}
    options = {"max_steps": 20, "eval_steps": 2, "metric_for_best_model": "grade", "greater_is_better": True}
    figures = train(training_run(tiny_model, callbacks=callbacks, **options, **settings), Recorder(tmp_path))[1]
    assert figures["steps"] == 8
    assert "after step 4" in figures["ended_by"]


def test_a_metric_that_nothing_logs_is_refused_before_the_first_step(tiny_model, settings, tmp_path):
    with pytest.raises(UsageError, check=coded("TRAIN-125")) as refused:
        train(training_run(tiny_model, max_steps=4, eval_steps=2, **BEST, **settings), Recorder(tmp_path))
    assert refused.value.where == "metric_for_best_model"
    assert "loss" in refused.value.message
    assert steps_of(tmp_path, "grad_norm") == []


LACKING = [
    ({"load_best_model_at_end": True}, "TRAIN-094", "load_best_model_at_end"),
    ({"save_strategy": "best", "validation_ratio": 0.1}, "TRAIN-095", "eval_steps"),
    ({"eval_strategy": "epoch", "eval_steps": 5}, "TRAIN-127", "eval_steps"),
    ({"save_strategy": "best", "validation_ratio": 0.1, "eval_strategy": "epoch"}, "", ""),
]


@pytest.mark.parametrize(("options", "code", "where"), LACKING)
def test_what_is_lacking_is_said_before_the_start(options, code, where, tiny_model, tmp_path):
    run = training_run(tiny_model, rows=write_rows(tmp_path / "rows.jsonl", ragged_chats(2)), **options)
    assert [(problem.code, problem.where) for problem in problems(run)] == ([(code, where)] if code else [])


def test_so_often_an_epoch_and_fractions(tiny_model, tmp_path):
    rows, held = write_rows(tmp_path / "rows.jsonl", ragged_chats(12)), write_rows(tmp_path / "held.jsonl", ragged_chats(2))
    options = {"batch_size": 1, "gradient_accumulation_steps": 2, "epochs": 2, "save_total_limit": None}
    run = training_run(tiny_model, rows, validation=held, evals_per_epoch=4, save_steps=0.25, logging_steps=0.5, **options)
    metrics = run_training(run, tmp_path / "run")
    assert [line["step"] for line in metrics if "heldout_loss" in line] == [0, 2, 3, 5, 6, 8, 9, 11, 12], "4 in each 6 steps"
    assert [path.name for path in complete_checkpoints(tmp_path / "run/checkpoints")] == [f"step-{step:06d}" for step in (3, 6, 9, 12)]
    assert [line["step"] for line in metrics if "loss" in line] == [1, 6, 12]


def test_checkpoints_with_the_model_alone(tiny_model, tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", ragged_chats(8))
    options = {"max_steps": 4, "save_steps": 2, "save_only_model": True}
    run_training(training_run(tiny_model, rows, **options), tmp_path / "run")
    (first, _) = complete_checkpoints(tmp_path / "run/checkpoints")
    assert (first / "model/adapter_model.safetensors").is_file()
    assert not list(first.glob("state/*.pt"))
    again = training_run(tiny_model, rows, verb_options={"resume": str(first)}, **options)
    with pytest.raises(UsageError, match="only the model"):
        run_training(again, tmp_path / "again")
    stopped = run_training(training_run(tiny_model, rows, **options), tmp_path / "stopped", stop_after=3)
    resumed = training_run(tiny_model, rows, verb_options={"resume": str(tmp_path / "stopped")}, **options)
    assert len(stopped) + len(run_training(resumed, tmp_path / "stopped")) == 4, "the checkpoint of a stopped run is whole"


def test_a_loss_that_stays_high_ends_the_run(tiny_model, tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", ragged_chats(8))
    watchdog = {"loss-watchdog": {"threshold": 0.01, "patience": 3}}
    metrics = run_training(training_run(tiny_model, rows, max_steps=9, callbacks=watchdog), tmp_path / "run")
    assert [line["step"] for line in metrics if "loss" in line][-1] == 3
    calm = {"loss-watchdog": {"threshold": 100, "patience": 3}}
    assert len(run_training(training_run(tiny_model, rows, max_steps=5, callbacks=calm), tmp_path / "calm")) == 5
