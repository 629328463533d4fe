"""Trackers get the metrics of a run, and never end or delay it."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from swift_train import trackers
from swift_train.callbacks import Training
from swift_train.checkpoints import Ranking
from swift_train.testing import Recorder
from swift_train.trackers import Tracker, TrackerOptions

from swift_core.contract import Run


class Kept(Tracker):
    """Keeps what it is sent; may fail or hang."""

    title = "Kept"

    def __init__(self, fails="", hangs=False):
        super().__init__(TrackerOptions())
        self.fails, self.calls, self.gate = fails, [], threading.Event()
        if not hangs:
            self.gate.set()

    def start(self, name, folder, config):
        self.gate.wait()
        self.calls.append(("start", name, config["verb"]))
        self.run_id = "7"
        if self.fails == "start":
            raise SystemExit("no account\nmore")

    def log(self, step, values):
        self.calls.append(("log", step, dict(values)))

    def finish(self):
        self.calls.append(("finish",))


@pytest.fixture
def training(tmp_path):
    folder = tmp_path / "run-1"
    folder.mkdir()
    return Training(run=Run(verb="sft", job=""), folder=folder, rank=0, ranks=1, report=Recorder(folder), ranking=Ranking())


def whole_run(tracker, training):
    tracker.on_train_begin(training)
    for step in (1, 2, 3):
        training.step, training.reported = step, {"loss": 1.0 / step} if step != 2 else {}
        tracker.on_step_end(training)
    training.evaluated = {"loss": 0.5}
    tracker.on_evaluate(training)
    tracker.on_train_end(training, training.folder)


def test_it_gets_what_is_reported(training):
    tracker = Kept()
    whole_run(tracker, training)
    assert tracker.calls == [
        ("start", "run-1", "sft"), ("log", 1, {"train/loss": 1.0}), ("log", 3, {"train/loss": 1.0 / 3}), ("log", 3, {"eval/loss": 0.5}),
        ("finish",),
    ]  # fmt: skip
    again = Kept()
    again.load_state_dict(tracker.state_dict())
    assert again.run_id == "7"


def test_other_ranks_send_nothing(training):
    tracker = Kept()
    whole_run(tracker, replace(training, rank=1))
    assert tracker.calls == []


def test_a_failure_is_told_once_and_nothing_more_is_sent(training, monkeypatch):
    told = []
    monkeypatch.setattr(Training, "note", lambda _self, text: told.append(text))
    tracker = Kept(fails="start")
    whole_run(tracker, training)
    assert [text for text in told if "no account" in text] == told
    assert len(told) == 1
    assert ("finish",) not in tracker.calls


def test_one_that_hangs_delays_the_end_by_a_limited_time_only(training, monkeypatch):
    monkeypatch.setattr(trackers, "_LAST_WAIT", 0.1)
    told = []
    monkeypatch.setattr(Training, "note", lambda _self, text: told.append(text))
    tracker = Kept(hangs=True)
    whole_run(tracker, training)
    assert tracker.calls == []
    assert len(told) == 1
    tracker.gate.set()
