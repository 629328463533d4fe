"""Callbacks in the training processes: when they are called, how they end a run, and that they change nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from swift_train.callbacks import Callback
from swift_train.checkpoints import complete_checkpoints
from swift_train.job import train
from swift_train.testing import Recorder, on_ranks, ragged_chats, run_training, training_run, write_rows

from swift_core.contract import CallbackSpec, Ref
from swift_core.contract.errors import SwiftError

NEVER = {"early-stopping": {"patience": 2, "threshold": 100.0}}  # no later evaluation is an improvement


class Diary(Callback):
    """Writes down each call."""

    def __init__(self, options: None = None) -> None:
        self.lines: list[str] = []
        self.restored = False

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if not name.startswith("on_"):
            return found

        def call(training, *arguments):
            words = [name, str(training.step), *(path.name for path in arguments), *(["model"] if training.model is not None else [])]
            self.lines.append(" ".join(words))
            if name == "on_step_end":
                assert training.metrics["loss"] > 0
                training.log(seen=float(training.rank))
            (training.folder / f"diary-{training.rank}.json").write_text(json.dumps(self.lines))
            return found(training, *arguments)

        return call

    def state_dict(self):
        return {"lines": self.lines}

    def load_state_dict(self, state):
        self.lines, self.restored = list(state["lines"]), True


class Broken(Callback):
    def __init__(self, options: None = None) -> None:
        pass

    def on_step_end(self, training):
        raise ValueError("no such thing")


class Second(Callback):
    """The second rank alone ends the run."""

    def __init__(self, options: None = None) -> None:
        pass

    def on_step_end(self, training):
        if training.rank == training.ranks - 1 and training.step == 3:
            training.stop("enough")


@pytest.fixture(autouse=True)
def offered(inline_plugin):
    inline_plugin(
        swift_callbacks=lambda: [
            CallbackSpec(name=name.lower(), summary="For a test", factory=Ref(f"{__name__}:{name}"))
            for name in ("Diary", "Broken", "Second")
        ]
    )


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", ragged_chats(10))


@pytest.fixture
def settings(rows, tmp_path):
    held = write_rows(tmp_path / "held.jsonl", ragged_chats(4))
    return {"rows": rows, "validation": held, "max_steps": 20, "eval_steps": 2, "batch_size": 1, "schedule": "constant"}


def lines(folder: Path, rank: int = 0) -> list[str]:
    return json.loads((folder / f"diary-{rank}.json").read_text())


def test_when_each_method_is_called(tiny_model, settings, tmp_path):
    run = training_run(tiny_model, callbacks={"diary": {}}, **{**settings, "max_steps": 3, "save_steps": 2})
    metrics = run_training(run, tmp_path / "run")
    assert lines(tmp_path / "run") == [
        "on_load_begin 0", "on_load_end 0 model", "on_train_begin 0 model", "on_evaluate 0 model", "on_step_end 1 model",
        "on_step_end 2 model", "on_evaluate 2 model", "on_save 2 step-000002 model", "on_step_end 3 model", "on_evaluate 3 model",
        "on_save 3 step-000003 model", "on_train_end 3 output model",
    ]  # fmt: skip
    assert [line["step"] for line in metrics if "seen" in line] == [1, 2, 3]


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_early_stopping_ends_the_run_after_the_second_evaluation_without_improvement(ranks, tiny_model, settings, tmp_path):
    run = training_run(tiny_model, callbacks=NEVER, **settings)

    def work():
        return train(run, Recorder(tmp_path))[1]

    (figures, *others) = [work()] if ranks == 1 else on_ranks(ranks, work)
    assert figures["steps"] == 4
    assert figures["ended_by"].startswith("early-stopping: ")
    assert "after step 0" in figures["ended_by"]
    assert all(other["steps"] == 4 for other in others)
    assert [path.name for path in complete_checkpoints(tmp_path / "checkpoints")] == ["step-000004"]
    assert (tmp_path / "output/adapter_model.safetensors").is_file()
    metrics = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics if "heldout_loss" in line] == [0, 2, 4]


def test_improvements_are_not_stopped(tiny_model, settings, tmp_path):
    run = training_run(tiny_model, callbacks={"early-stopping": {"patience": 1}}, **{**settings, "max_steps": 4, "learning_rate": 1e-2})
    figures = train(run, Recorder(tmp_path))[1]
    assert figures["heldout_after"] < figures["heldout_before"]
    assert figures["steps"] == 4
    assert "ended_by" not in figures


def test_a_resumed_run_stops_where_the_whole_one_does(tiny_model, settings, tmp_path):
    run_training(training_run(tiny_model, callbacks=NEVER, **settings), tmp_path / "run", stop_after=3)
    again = {"verb_options": {"resume": str(tmp_path / "run")}}
    (tmp_path / "again").mkdir()
    assert train(training_run(tiny_model, callbacks=NEVER, **again, **settings), Recorder(tmp_path / "again"))[1]["steps"] == 4
    ended = {"verb_options": {"resume": str(tmp_path / "again")}}
    (tmp_path / "ended").mkdir()
    figures = train(training_run(tiny_model, callbacks=NEVER, **ended, **settings), Recorder(tmp_path / "ended"))[1]
    assert (figures["steps"], "ended_by" in figures) == (4, True)
    (tmp_path / "more").mkdir()
    more = {"early-stopping": {"patience": 3, "threshold": 100.0}}
    assert train(training_run(tiny_model, callbacks=more, **ended, **settings), Recorder(tmp_path / "more"))[1]["steps"] == 6


def test_a_callback_that_reads_changes_nothing(tiny_model, settings, tmp_path):
    """Without it and whole, with it and resumed: the same losses to the last bit, and the same file."""
    settings |= {"max_steps": 6, "learning_rate": 5e-3, "tuner_options": {"dropout": 0.1}}
    whole = run_training(training_run(tiny_model, **settings), tmp_path / "whole")
    first = run_training(training_run(tiny_model, callbacks={"diary": {}}, **settings), tmp_path / "parts", stop_after=3)
    again = {"verb_options": {"resume": str(tmp_path / "parts")}}
    second = run_training(training_run(tiny_model, callbacks={"diary": {}}, **again, **settings), tmp_path / "parts")

    def losses(metrics):
        return [(line["step"], line["loss"], line["grad_norm"]) for line in metrics if "loss" in line]

    assert losses(first + second) == losses(whole)
    name = "output/adapter_model.safetensors"
    assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    found = lines(tmp_path / "parts")
    assert found.count("on_step_end 3 model") == 1
    assert "on_step_end 1 model" in found, "its own state was restored"


def test_a_callback_that_fails_is_named(tiny_model, settings, tmp_path):
    with pytest.raises(SwiftError, match=r"'broken' \(inline .*on_step_end: ValueError: no such thing") as failed:
        train(training_run(tiny_model, callbacks={"broken": {}}, **settings), Recorder(tmp_path))
    assert failed.value.where == "callbacks"
    assert "--callback broken" in failed.value.hint


@pytest.mark.slow
def test_one_rank_ends_the_run_of_all(tiny_model, settings, tmp_path):
    run = training_run(tiny_model, callbacks={"diary": {}, "second": {}}, **settings)
    found = on_ranks(2, lambda: train(run, Recorder(tmp_path))[1])
    assert [figures["steps"] for figures in found] == [3, 3]
    assert [figures["ended_by"] for figures in found] == ["second, on another rank", "second: enough"]
    assert lines(tmp_path, 0) == lines(tmp_path, 1)
