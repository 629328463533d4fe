"""The callback `evaluate`: checkpoints are evaluated beside a training."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from swift_plugin_evaluate_checkpoints import background, callback
from swift_plugin_evaluate_checkpoints.callback import EvaluateCheckpoints
from swift_plugin_evaluate_checkpoints.devices import environment_on, evaluation_device
from swift_plugin_evaluate_checkpoints.options import EvaluateOptions
from swift_report import report

from swift_core import sft
from swift_core.contract import UsageError

ROWS = [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": text}]} for text in ("Hello!", "Good day.")]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.mark.slow
def test_a_checkpoint_is_evaluated_beside_the_training(tiny_model: Path, tmp_path: Path, rows: Path) -> None:
    evaluator = {"name": "builtin", "rows": str(rows)}
    done = sft(
        model=str(tiny_model),
        dataset=[str(rows)],
        runs=str(tmp_path / "runs"),
        max_steps=2,
        save_steps=2,
        batch_size=1,
        device="cpu",
        eval={"tasks": ["perplexity"], "evaluator": evaluator, "device": "cpu"},
    )
    lines = [json.loads(line) for line in (done.folder / "metrics.jsonl").read_text().splitlines()]
    (evaluated,) = [line for line in lines if "eval_perplexity.loss" in line]
    assert evaluated["step"] == 2
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
    assert not list(tmp_path.glob("runs/*"))


class _Evaluation:
    """An evaluation that ends when it is told to."""

    started: ClassVar[list[int]] = []

    def __init__(self, step: int, folder: Path) -> None:
        self.step, self.folder, self.ended = step, folder, False
        self.started.append(step)

    def scores(self) -> dict[str, float]:
        return {} if self.step == 2 else {"sums.accuracy": 0.5}

    def failure(self) -> str:
        return "the server died"


def test_one_evaluation_at_a_time_and_the_newest_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running: list[_Evaluation] = []
    monkeypatch.setattr(_Evaluation, "started", [])
    monkeypatch.setattr(
        callback.BackgroundEvaluation, "start", lambda step, folder, *more: running.append(_Evaluation(step, folder)) or running[-1]
    )
    metrics, notes = [], []
    report = SimpleNamespace(metric=lambda step, **values: metrics.append((step, values)))
    training = SimpleNamespace(
        rank=0, step=0, total_steps=9, folder=tmp_path, report=report, note=notes.append, run=SimpleNamespace(plugins=())
    )
    evaluate = EvaluateCheckpoints(EvaluateOptions(tasks=["sums"], device="cpu", every=2))
    checkpoint = tmp_path / "checkpoint"
    (checkpoint / "model").mkdir(parents=True)
    (checkpoint / "model" / "model.safetensors").write_text("weights")
    for step in (2, 3, 4, 6, 8, 9):
        training.step = step
        evaluate.on_save(training, checkpoint)
        if step == 6:  # 4 has been replaced by 6
            running[-1].ended = True
            evaluate.on_step_end(training)
    assert _Evaluation.started == [2, 6]
    assert [note for note in notes if "not evaluated" in note] == [
        f"The checkpoint of step {step} is not evaluated: evaluations take longer than the training." for step in (4, 8)
    ]
    assert any("the evaluation of step 2 failed: the server died" in note for note in notes)
    running[-1].ended = True
    evaluate.on_step_end(training)
    assert _Evaluation.started == [2, 6, 9]  # the last one, though it is not due
    assert metrics == [(6, {"eval_sums.accuracy": 0.5})]
    assert [path.name for path in tmp_path.glob("evaluations/*.model")] == ["step-000009.model"]
    assert background.prepared(checkpoint, tmp_path, 9).name == "step-000009"
    assert evaluate.state_dict() == {"last": 9}


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
