"""The callback `evaluate`: checkpoints are evaluated beside a training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from swift_plugin_evaluate_checkpoints import callback
from swift_plugin_evaluate_checkpoints.callback import EvaluateCheckpoints
from swift_plugin_evaluate_checkpoints.devices import environment_on, evaluation_device
from swift_plugin_evaluate_checkpoints.options import EvaluateOptions
from swift_report import report
from swift_train.callbacks import Training
from swift_train.checkpoints import Ranking
from swift_train.testing import Recorder

from swift_core import sft
from swift_core.contract import Run, UsageError

ROWS = [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": text}]} for text in ("Hello!", "Good day.")]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.mark.slow
def test_checkpoints_are_evaluated_beside_the_training_and_the_best_is_the_output(tiny_model: Path, tmp_path: Path, rows: Path) -> None:
    evaluator = {"name": "builtin", "rows": str(rows)}
    done = sft(
        model=str(tiny_model),
        dataset=[str(rows)],
        runs=str(tmp_path / "runs"),
        max_steps=2,
        save_steps=1,
        batch_size=1,
        learning_rate=3.0,  # so that the first step is the best
        schedule="constant",
        device="cpu",
        eval={"tasks": ["perplexity"], "evaluator": evaluator, "device": "cpu"},
        metric_for_best_model="eval_perplexity.loss",
        load_best_model_at_end=True,
    )
    lines = [json.loads(line) for line in (done.folder / "metrics.jsonl").read_text().splitlines()]
    first, evaluated = [line for line in lines if "eval_perplexity.loss" in line]
    assert (first["step"], evaluated["step"]) == (1, 2)
    assert first["eval_perplexity.loss"] < evaluated["eval_perplexity.loss"], "else this test shows nothing"
    assert done.figures["best_checkpoint"] == "step-000001"
    kept = (done.folder / "checkpoints/step-000001/model/adapter_model.safetensors").read_bytes()
    assert (done.output / "adapter_model.safetensors").read_bytes() == kept
    scores = json.loads((done.folder / "evaluations" / "step-000002" / "scores.json").read_text())
    assert scores["scores"]["perplexity"]["loss"]["value"] == evaluated["eval_perplexity.loss"]
    assert scores["contamination"]["training_rows"] == 2  # the lineage of the linked model is that of the run
    assert not list(done.folder.glob("evaluations/*.model"))
    page = report(done.folder).read_text()
    assert "perplexity · loss" in page
    assert "eval perplexity.loss" in page


@pytest.mark.slow
def test_mistakes_are_found_before_the_training(tiny_model: Path, tmp_path: Path, rows: Path) -> None:
    for wrong in ({"tasks": ["absent.jsonl"], "device": "cpu"}, {"tasks": ["x"], "evaluator": "buildin", "device": "cpu"}):
        with pytest.raises(UsageError, match=r"absent\.jsonl|buildin"):
            sft(model=str(tiny_model), dataset=[str(rows)], runs=str(tmp_path / "runs"), max_steps=1, eval=wrong)
    evaluation = {"tasks": ["perplexity"], "evaluator": {"name": "builtin", "rows": str(rows)}, "device": "cpu"}
    with pytest.raises(UsageError, match="metric_for_best_model"):
        sft(
            model=str(tiny_model),
            dataset=[str(rows)],
            runs=str(tmp_path / "runs"),
            max_steps=1,
            eval=evaluation,
            metric_for_best_model="eval_perplexty.loss",
        )
    assert not list(tmp_path.glob("runs/*"))


class _Evaluation:
    """An evaluation that ends when it is told to."""

    started: ClassVar[list[int]] = []

    def __init__(self, step: int, folder: Path) -> None:
        self.step, self.folder, self.ended, self.stopped = step, folder, False, False
        self.lower: list[str] = []
        self.started.append(step)

    def scores(self) -> dict[str, float]:
        return {} if self.step == 2 else {"sums.accuracy": 0.5}

    def failure(self) -> str:
        return "the server died"

    def lower_is_better(self) -> list[str]:
        return self.lower

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> list[_Evaluation]:
    """The evaluations that have been started."""
    found: list[_Evaluation] = []
    monkeypatch.setattr(_Evaluation, "started", [])
    monkeypatch.setattr(
        callback.BackgroundEvaluation, "start", lambda step, folder, *more: found.append(_Evaluation(step, folder)) or found[-1]
    )
    return found


@pytest.fixture
def checkpoints(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a checkpoint of a step."""

    def make(step: int) -> Path:
        folder = tmp_path / "run/checkpoints" / f"step-{step:06d}"
        (folder / "model").mkdir(parents=True)
        (folder / "model/model.safetensors").write_text("weights")
        (folder / "checkpoint.json").write_text('{"metrics": {}}')
        return folder

    return make


def training(folder: Path, ranking: Ranking) -> Training:
    """The state of a training of 9 steps."""
    folder.mkdir(exist_ok=True)
    return Training(run=Run(verb="sft", job=""), folder=folder, rank=0, ranks=1, report=Recorder(folder), ranking=ranking, total_steps=9)


def test_one_evaluation_at_a_time_and_the_newest_waits(
    tmp_path: Path, running: list[_Evaluation], checkpoints: Callable[[int], Path]
) -> None:
    state = training(tmp_path / "run", Ranking())
    evaluate = EvaluateCheckpoints(EvaluateOptions(tasks=["sums"], device="cpu", every=2))
    for step in (2, 3, 4, 6, 8, 9):
        state.step = step
        evaluate.on_save(state, checkpoints(step))
        if step == 6:  # 4 has been replaced by 6
            running[-1].ended = True
            evaluate.on_step_end(state)
    assert _Evaluation.started == [2, 6]
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    notes = [event["text"] for event in events if event["event"] == "note"]
    assert [note for note in notes if "not evaluated" in note] == [
        f"The checkpoint of step {step} is not evaluated: evaluations take longer than the training." for step in (4, 8)
    ]
    assert any("the evaluation of step 2 failed: the server died" in note for note in notes)
    assert evaluate.state_dict() == {"last": 9, "unfinished": [6, 9]}
    running[-1].ended = True
    evaluate.on_step_end(state)
    assert _Evaluation.started == [2, 6, 9]  # the last one, though it is not due
    assert list(state.scores.arrived) == [(6, {"eval_sums.accuracy": 0.5})]
    assert not state.scores.awaited
    assert [path.name for path in tmp_path.glob("run/evaluations/*.model")] == ["step-000009.model"]


def test_if_a_score_decides_every_checkpoint_is_evaluated_also_after_a_resume(
    tmp_path: Path, running: list[_Evaluation], checkpoints: Callable[[int], Path]
) -> None:
    ranking = Ranking("eval_sums.accuracy", greater=True, late=True)
    state, options = training(tmp_path / "run", ranking), EvaluateOptions(tasks=["sums"], device="cpu")
    evaluate = EvaluateCheckpoints(options)
    for step in (3, 4, 6, 7):
        state.step, saved = step, evaluate.state_dict()
        evaluate.on_save(state, checkpoints(step))
    running[-1].ended = True
    evaluate.on_step_end(state)  # 3 gets its score after the checkpoint of 7 was saved
    assert _Evaluation.started == [3, 4]
    assert list(state.scores.awaited) == [4, 6, 7]

    resumed = training(tmp_path / "again", ranking)
    resumed.step, resumed.resumed = 7, tmp_path / "run/checkpoints/step-000007"
    other = EvaluateCheckpoints(options)
    other.load_state_dict(saved)
    other.on_train_begin(resumed)
    assert list(resumed.scores.arrived) == [(3, {"eval_sums.accuracy": 0.5})], "it is not evaluated again"
    while len(_Evaluation.started) < 5:
        running[-1].ended = True
        other.on_wait(resumed)
    assert _Evaluation.started == [3, 4, 4, 6, 7]
    resumed.scores.close()
    other.on_wait(resumed)
    assert running[-1].stopped


def test_the_lowest_is_not_the_best_by_mistake(tmp_path: Path, running: list[_Evaluation], checkpoints: Callable[[int], Path]) -> None:
    state = training(tmp_path / "run", Ranking("eval_sums.accuracy", greater=True, late=True))
    evaluate = EvaluateCheckpoints(EvaluateOptions(tasks=["sums"], device="cpu"))
    state.step = 3
    evaluate.on_save(state, checkpoints(3))
    running[-1].ended, running[-1].lower = True, ["sums.accuracy"]
    with pytest.raises(UsageError, match=r"a lower eval_sums\.accuracy is better"):
        evaluate.on_step_end(state)


def test_a_process_sees_the_device_of_its_evaluation_alone() -> None:
    of_training = {"CUDA_VISIBLE_DEVICES": "4,5,6", "RANK": "0", "SWIFT_LOAD_PLUGINS": "peft", "HOME": "/home/me"}
    assert environment_on("cuda:2", of_training) == {"CUDA_VISIBLE_DEVICES": "6", "HOME": "/home/me"}
    assert environment_on("cpu", of_training)["CUDA_VISIBLE_DEVICES"] == ""
    assert evaluation_device("cpu", 1) == "cpu"


def test_without_a_free_device_the_processor_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **given: SimpleNamespace(type="cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 4)
    assert evaluation_device("auto", 3) == "cuda:3"
    with pytest.raises(UsageError, match="uses 4 of 4"):
        evaluation_device("auto", 4)
