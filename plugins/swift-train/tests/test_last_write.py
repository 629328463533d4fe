"""The end of a training: its last checkpoint is always kept, before the output is written; what fails there loses nothing."""

from __future__ import annotations

import errno
import os

import pytest
from safetensors.torch import load_file
from swift_testing.codes import coded
from swift_train import save_interval, trainer
from swift_train.checkpoints import complete_checkpoints, integrity_error
from swift_train.job import train
from swift_train.save_interval import SaveTimer
from swift_train.testing import Recorder, on_ranks, ragged_chats, run_training, training_run, write_rows

from swift_core.checkpoints import Checkpoint
from swift_core.contract.errors import DiskFull, NotWritable, SwiftError, UsageError

ADAPTER = "adapter_model.safetensors"


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", ragged_chats(12))


def losses(metrics):
    return [step["loss"] for step in metrics if "loss" in step]


@pytest.mark.parametrize("tuner", ["lora", "full"])
def test_the_last_step_is_kept_and_is_the_output(tiny_model, rows, tmp_path, tuner):
    run_training(training_run(tiny_model, rows, max_steps=3, tuner=tuner), tmp_path)
    (last,) = complete_checkpoints(tmp_path / "checkpoints")
    assert last.name == "step-000003"
    assert not integrity_error(last)
    name = ADAPTER if tuner == "lora" else "model.safetensors"
    assert (tmp_path / "output" / name).samefile(last / "model" / name), "in the run folder it is stored once"
    manifest = Checkpoint.at(tmp_path / "output").manifest
    assert manifest.figures["steps"] == 3
    assert manifest.files[name] == Checkpoint.at(last / "model").manifest.files[name]


def test_an_output_elsewhere_is_a_copy_of_its_own(tiny_model, rows, tmp_path):
    run_training(training_run(tiny_model, rows, max_steps=2, verb_options={"output": str(tmp_path / "out")}), tmp_path / "run")
    (last,) = complete_checkpoints(tmp_path / "run/checkpoints")
    assert (tmp_path / "out" / ADAPTER).read_bytes() == (last / "model" / ADAPTER).read_bytes()
    assert not (tmp_path / "out" / ADAPTER).samefile(last / "model" / ADAPTER)


class Meddler(Recorder):
    """Something else makes the output's folder while the run trains."""

    def metric(self, step, **values):
        super().metric(step, **values)
        taken = self.folder.parent / "out"
        taken.mkdir(exist_ok=True)
        (taken / "theirs").touch()


def test_a_name_that_is_taken_meanwhile_loses_nothing(tiny_model, rows, tmp_path):
    (tmp_path / "run").mkdir()
    settings = {"max_steps": 3, "verb_options": {"output": str(tmp_path / "out")}}
    with pytest.raises(UsageError, check=coded("FILE-004")) as caught:
        train(training_run(tiny_model, rows, **settings), Meddler(tmp_path / "run"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["theirs"]
    (last,) = complete_checkpoints(tmp_path / "run/checkpoints")
    assert f"{last / 'model'}" in caught.value.hint
    assert f"--resume {tmp_path / 'run'} --output FOLDER" in caught.value.hint
    again = {"resume": str(tmp_path / "run"), "output": str(tmp_path / "other")}
    run_training(training_run(tiny_model, rows, max_steps=3, verb_options=again), tmp_path / "again")
    assert (tmp_path / "other" / ADAPTER).read_bytes() == (last / "model" / ADAPTER).read_bytes()
    assert [path.name for path in complete_checkpoints(tmp_path / "again/checkpoints")] == ["step-000003"]


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, DiskFull), (errno.EROFS, NotWritable), (errno.EIO, NotWritable)])
def test_a_disk_that_fails_at_the_output_loses_nothing(tiny_model, rows, tmp_path, monkeypatch, *, number, kind):
    def fail(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(trainer, "copy_model", fail)
    with pytest.raises(kind) as caught:
        train(training_run(tiny_model, rows, max_steps=2), Recorder(tmp_path))
    (last,) = complete_checkpoints(tmp_path / "checkpoints")
    assert not integrity_error(last)
    assert str(last / "model") in caught.value.hint
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_where_no_checkpoint_can_be_kept_the_output_is_written_all_the_same(tiny_model, rows, tmp_path, monkeypatch, number):
    def fail(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("swift_train.checkpoints._seal", fail)
    _, figures = train(training_run(tiny_model, rows, max_steps=2), Recorder(tmp_path))
    assert figures["failed_saves"] == 1
    assert load_file(tmp_path / "output" / ADAPTER)
    assert not complete_checkpoints(tmp_path / "checkpoints")


def test_a_disk_that_can_not_hold_the_result_is_refused_before_the_first_step(tiny_model, rows, tmp_path, monkeypatch):
    monkeypatch.setattr("swift_train.disk_space.free_space", lambda place: 1000)
    report = Recorder(tmp_path)
    with pytest.raises(DiskFull, check=coded("TRAIN-024"), match="1 kB free"):
        train(training_run(tiny_model, rows, max_steps=2), report)
    assert not report.metrics


def test_the_clock(monkeypatch):
    now = 100.0
    monkeypatch.setattr(save_interval.time, "monotonic", lambda: now)
    clock = SaveTimer(60)
    clock.start()
    for _ in range(5):
        now += 10
        clock.step()
        assert not clock.due()
    now += 10
    clock.step()
    assert clock.due(), "one step more would be 70 seconds"
    clock.start()
    assert not clock.due()


def test_checkpoints_by_the_clock_change_nothing_and_are_gone_on_from(tiny_model, rows, tmp_path):
    settings = {"tuner_options": {"dropout": 0.1}, "max_steps": 6, "batch_size": 2}
    plain = losses(run_training(training_run(tiny_model, rows, **settings), tmp_path / "plain"))
    often = training_run(tiny_model, rows, save_minutes=1e-9, save_total_limit=None, **settings)
    assert losses(run_training(often, tmp_path / "often")) == plain
    assert [path.name for path in complete_checkpoints(tmp_path / "often/checkpoints")] == [f"step-00000{step}" for step in range(1, 7)]
    resumed = training_run(tiny_model, rows, verb_options={"resume": str(tmp_path / "often/checkpoints/step-000003")}, **settings)
    assert losses(run_training(resumed, tmp_path / "resumed")) == plain[3:]


def test_explicit_steps_win_over_the_clock(tiny_model, rows, tmp_path):
    run_training(training_run(tiny_model, rows, max_steps=5, save_steps=2, save_minutes=1e-9, save_total_limit=None), tmp_path)
    assert [path.name[-1] for path in complete_checkpoints(tmp_path / "checkpoints")] == ["2", "4", "5"]


def test_all_ranks_follow_the_first_ones_clock(tiny_model, rows, tmp_path):
    def one():
        own = {"0": 1e-9, "1": 1e9}[os.environ["RANK"]]
        run = training_run(tiny_model, rows, max_steps=3, batch_size=2, save_minutes=own, save_total_limit=None)
        try:
            run_training(run, tmp_path / "run")
        except SwiftError as error:
            return error.message

    assert on_ranks(2, one) == [None, None]
    assert [path.name[-1] for path in complete_checkpoints(tmp_path / "run/checkpoints")] == ["1", "2", "3"]
