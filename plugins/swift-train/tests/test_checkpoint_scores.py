"""Scores of checkpoints that come later than their step: best checkpoint, early stopping and resume do not depend on when they come."""

from __future__ import annotations

import json
from typing import ClassVar

import pytest
from swift_testing.codes import coded
from swift_train.callbacks import Callback
from swift_train.checkpoints import complete_checkpoints, read_record
from swift_train.evaluation_checks import problems
from swift_train.job import train
from swift_train.resume import earlier_checkpoints
from swift_train.testing import Recorder, ragged_chats, run_training, training_run, write_rows

from swift_core.contract import CallbackSpec, Ref, Stopped, UsageError
from swift_core.options import Options, option

SCORES = {2: 0.1, 4: 0.7, 6: 0.6, 8: 0.7, 10: 0.2}  # step → score
BEST = {"metric_for_best_model": "exam", "load_best_model_at_end": True}


class LateOptions(Options):
    """Options of the callback."""

    delay: int = option(0, "Steps, or looks while the output waits, until a checkpoint has its score.")
    name: str = option("exam", "Name of the score.")

    def scores_checkpoints(self, metric: str) -> bool:
        """Return whether it gives this metric."""
        return metric == "exam"


class Late(Callback):
    """Scores one checkpoint after another, each after a delay."""

    scored: ClassVar[list[int]] = []

    def __init__(self, options: LateOptions) -> None:
        self.options, self.queue, self.left, self.unfinished = options, [], options.delay, []

    def on_train_begin(self, training):
        for checkpoint in earlier_checkpoints(training.resumed) if training.resumed else ():
            if int(checkpoint.name[5:]) in (*self.unfinished, training.step) and "exam" not in read_record(checkpoint)["metrics"]:
                self._add(training, int(checkpoint.name[5:]), checkpoint)

    def on_save(self, training, checkpoint):
        if training.step not in [step for step, _ in self.queue] and not training.scores.closed:
            self._add(training, training.step, checkpoint)

    def _add(self, training, step, checkpoint):
        self.queue.append((step, checkpoint))
        training.scores.expect(step, checkpoint)

    def on_step_end(self, training):
        if self.queue and not training.scores.closed:
            self.left -= 1
            if self.left < 0:
                (step, checkpoint), self.left = self.queue.pop(0), self.options.delay
                self.scored.append(step)
                training.add_scores(step, checkpoint, **{self.options.name: SCORES[step]})

    on_wait = on_step_end

    def state_dict(self):
        return {"unfinished": [step for step, _ in self.queue]}

    def load_state_dict(self, state):
        self.unfinished = state["unfinished"]


@pytest.fixture(autouse=True)
def offered(inline_plugin, monkeypatch):
    monkeypatch.setattr("swift_train.checkpoint_scores._PAUSE", 0.001)
    monkeypatch.setattr(Late, "scored", [])
    options = Ref(f"{__name__}:LateOptions")
    spec = CallbackSpec(name="late", summary="For a test", factory=Ref(f"{__name__}:Late"), options=options)
    inline_plugin(swift_callbacks=lambda: [spec])


@pytest.fixture
def settings(tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", ragged_chats(10))
    return {"rows": rows, "batch_size": 2, "learning_rate": 1e-2, "schedule": "constant", "save_steps": 2, "save_total_limit": 1}


def weights(folder):
    return (folder / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize("delay", [0, 7])
def test_the_output_is_the_best_whenever_its_score_comes(tiny_model, settings, tmp_path, delay):
    run = training_run(tiny_model, max_steps=8, callbacks={"late": {"delay": delay}}, **BEST, **settings)
    metrics = run_training(run, tmp_path / "run")
    found = complete_checkpoints(tmp_path / "run/checkpoints")
    assert [path.name for path in found] == ["step-000004", "step-000008"], "the best, though newer ones were saved before it was known"
    assert weights(tmp_path / "run/output") == weights(found[0] / "model") != weights(found[1] / "model")
    assert json.loads((tmp_path / "run/output/swift.json").read_text())["figures"]["best_checkpoint"] == "step-000004"
    assert [(line["step"], line["exam"]) for line in metrics if "exam" in line] == [(step, SCORES[step]) for step in (2, 4, 6, 8)]


def test_early_stopping_by_the_scores_ignores_what_is_scored_later(tiny_model, settings, tmp_path):
    """Two evaluations after the best one (4) none is better, so step 10 does not count, however far the training has come meanwhile."""
    callbacks = {"late": {"delay": 3}, "early-stopping": {"patience": 2}}
    run = training_run(tiny_model, max_steps=40, callbacks=callbacks, **BEST, **settings)
    figures = train(run, Recorder(tmp_path / "run"))[1]
    assert Late.scored == [2, 4, 6, 8]
    assert 8 < figures["steps"] < 40
    assert "after step 4" in figures["ended_by"]
    assert figures["best_checkpoint"] == "step-000004"


def test_a_resumed_run_takes_up_the_scores_that_were_awaited(tiny_model, settings, tmp_path):
    options = {"max_steps": 8, "callbacks": {"late": {"delay": 9}}, **BEST, **settings}
    run_training(training_run(tiny_model, **options), tmp_path / "whole")
    Late.scored.clear()
    run_training(training_run(tiny_model, **options), tmp_path / "first", stop_after=6)
    assert Late.scored == []
    again = training_run(tiny_model, verb_options={"resume": str(tmp_path / "first")}, **options)
    run_training(again, tmp_path / "again")
    assert Late.scored == [2, 4, 6, 8]
    assert weights(tmp_path / "again/output") == weights(tmp_path / "whole/output")


class Impatient(Recorder):
    """Is asked to stop while the output waits."""

    def wait_for_stop(self, seconds: float | None = None) -> bool:
        return True


def test_a_stop_while_the_output_waits_can_be_resumed(tiny_model, settings, tmp_path):
    options = {"max_steps": 4, "callbacks": {"late": {"delay": 9}}, **BEST, **settings}
    with pytest.raises(Stopped, match="after step 4 of 4"):
        train(training_run(tiny_model, **options), Impatient(tmp_path / "first"))
    again = training_run(tiny_model, verb_options={"resume": str(tmp_path / "first")}, **options)
    figures = train(again, Recorder(tmp_path / "again"))[1]
    assert Late.scored == [2, 4]
    assert figures["best_checkpoint"] == "step-000004"


def test_a_score_of_another_name_ends_the_run_with_the_names_there_are(tiny_model, settings, tmp_path):
    run = training_run(tiny_model, max_steps=4, callbacks={"late": {"name": "exams"}}, **BEST, **settings)
    with pytest.raises(UsageError, match="but exams") as refused:
        train(run, Recorder(tmp_path / "run"))
    assert refused.value.where == "metric_for_best_model"


CHECKED = [
    ({"save_steps": 2}, []),
    ({"save_strategy": "best", "save_steps": None}, [("save_strategy", True)]),
    ({"save_steps": None}, [("save_steps", False)]),
]


@pytest.mark.parametrize(("options", "expected"), CHECKED)
def test_what_scores_need_is_said_before_the_start(options, expected, tiny_model, settings):
    run = training_run(tiny_model, max_steps=4, callbacks={"late": {}}, **BEST, **{**settings, **options})
    assert [(problem.where, problem.fatal) for problem in problems(run)] == expected


def test_without_the_callback_the_name_is_that_of_an_evaluation(tiny_model, settings):
    run = training_run(tiny_model, max_steps=4, **BEST, **settings)
    assert coded("TRAIN-094")(next(iter(problems(run))))
