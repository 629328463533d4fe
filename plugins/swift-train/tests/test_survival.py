"""Training goes on after what can happen to it: damage, changed settings, bad rows, a full disk; and says what it was."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from functools import partial

import pytest
import torch
from swift_testing.codes import coded
from swift_train import trainer
from swift_train.checkpoints import Ranking, complete_checkpoints, integrity_error, read_record
from swift_train.job import train
from swift_train.resume import candidates, newest_checkpoint, resume_of
from swift_train.tasks import SftTask
from swift_train.testing import Ranks, Recorder, ragged_chats, run_training, training_run, write_rows
from transformers import AutoModelForCausalLM, AutoTokenizer

from swift_core.contract.errors import Stopped, SwiftError, UsageError
from swift_core.system.run_folder import write_run

LORA = {"rank": 4, "alpha": 8, "dropout": 0.1}


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", ragged_chats(12))


def losses(metrics):
    return [step["loss"] for step in metrics if "loss" in step]


def notes(folder):
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return [event["text"] for event in events if event["event"] == "note"]


def test_what_is_in_a_checkpoint(tiny_model, rows, tmp_path):
    run = training_run(tiny_model, rows, max_steps=2, save_steps=2)
    run_training(run, tmp_path / "run")
    checkpoint = newest_checkpoint(tmp_path / "run")
    assert sorted(path.name for path in checkpoint.iterdir()) == ["checkpoint.json", "model", "run.json", "state"]
    assert json.loads((checkpoint / "run.json").read_text()) == json.loads(json.dumps(run.to_json()))
    named = {path.relative_to(checkpoint).as_posix() for path in checkpoint.rglob("*") if path.is_file()}
    assert set(read_record(checkpoint)["files"]) == named - {"checkpoint.json"}
    assert {"state/loop.json", "state/training.pt", "state/random-0.pt", "model/swift.json"} <= named
    assert not integrity_error(checkpoint)
    saved = torch.load(checkpoint / "state/training.pt", weights_only=True)
    assert {"weights", "optimizer", "scaler"} <= set(saved)


def test_a_damaged_checkpoint_is_passed_over(tiny_model, rows, tmp_path):
    settings = {"tuner_options": LORA, "max_steps": 6, "save_steps": 2}
    whole_run = losses(run_training(training_run(tiny_model, rows, **settings), tmp_path / "whole"))
    run_training(training_run(tiny_model, rows, **settings), tmp_path / "run", stop_after=4)
    weights = tmp_path / "run/checkpoints/step-000004/state/training.pt"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    resumed = training_run(tiny_model, rows, verb_options={"resume": str(tmp_path / "run")}, **settings)
    assert losses(run_training(resumed, tmp_path / "again")) == whole_run[2:]
    assert "step-000004 can't be used: state/training.pt is damaged" in notes(tmp_path / "again")[0]
    (tmp_path / "run/checkpoints/step-000002/state/random-0.pt").unlink()
    with pytest.raises(SwiftError, check=coded("TRAIN-058")):
        run_training(resumed, tmp_path / "third")


def test_a_run_that_died_before_its_first_checkpoint_goes_on_from_where_it_came_from(tiny_model, rows, tmp_path):
    run_training(training_run(tiny_model, rows, max_steps=2, save_steps=2), tmp_path / "first")
    write_run(training_run(tiny_model, rows, verb_options={"resume": str(tmp_path / "first")}), tmp_path / "second")
    assert newest_checkpoint(tmp_path / "second") == tmp_path / "first/checkpoints/step-000002"
    with pytest.raises(UsageError, check=coded("TRAIN-057")):
        candidates(tmp_path / "nowhere")


def test_a_run_that_its_launcher_starts_again_goes_on(tiny_model, rows, tmp_path):
    """In the same run folder, and only if it is the same run."""
    settings = {"tuner_options": LORA, "max_steps": 6, "save_steps": 2}
    whole_run = losses(run_training(training_run(tiny_model, rows, **settings), tmp_path / "whole"))
    run = training_run(tiny_model, rows, **settings)
    run_training(run, tmp_path / "run", stop_after=3)
    assert losses(run_training(run, tmp_path / "run")) == whole_run[3:]
    assert resume_of(training_run(tiny_model, rows, **{**settings, "seed": 1}), tmp_path / "run") is None


def test_the_best_is_kept_beside_the_newest(tiny_model, rows, tmp_path):
    """What is held out is so unlike what is learned that its loss soon rises."""
    unlike = [{"messages": [{"role": "user", "content": "zq"}, {"role": "assistant", "content": "xj%&vwkzq#"}]}]
    held = write_rows(tmp_path / "held.jsonl", unlike)
    settings = {"max_steps": 10, "save_steps": 1, "eval_steps": 1, "save_total_limit": 2, "learning_rate": 0.03, "schedule": "constant"}
    metrics = run_training(training_run(tiny_model, rows, validation=held, **settings), tmp_path / "run")
    scores = {line["step"]: line["heldout_loss"] for line in metrics if "heldout_loss" in line and line["step"]}
    lowest = min(scores, key=lambda step: scores[step])
    assert lowest < 9, f"else this test shows nothing: {scores}"
    found = complete_checkpoints(tmp_path / "run/checkpoints")
    assert [path.name for path in found] == [f"step-{step:06d}" for step in (lowest, 9, 10)]
    assert Ranking().best(found) == found[0]
    manifest = json.loads((tmp_path / "run/output/swift.json").read_text())
    assert manifest["figures"]["best_checkpoint"] == found[0].name


def test_changed_settings_count_where_they_are_allowed(tiny_model, rows, tmp_path):
    """A learning rate of nothing: the loss of the same rows stays as it is. torch would bring the old weight decay back."""
    settings = {"tuner_options": {**LORA, "dropout": 0.0}, "max_steps": 4, "batch_size": 12, "schedule": "constant"}
    run_training(training_run(tiny_model, rows, learning_rate=1e-2, **settings), tmp_path / "run", stop_after=2)
    changed = {"learning_rate": 1e-12, **settings}
    asked = str(tmp_path / "run")
    with pytest.raises(UsageError, check=coded("TRAIN-060"), match="learning_rate") as caught:
        run_training(training_run(tiny_model, rows, verb_options={"resume": asked}, **changed), tmp_path / "refused")
    assert "--resume.allow-change" in caught.value.hint
    allowed = training_run(tiny_model, rows, verb_options={"resume": {"name": asked, "allow_change": True}}, **changed)
    found = losses(run_training(allowed, tmp_path / "changed"))
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert "  learning_rate: 0.01 → 1e-12" in notes(tmp_path / "changed")[1]


def test_what_can_not_be_changed_is_refused_in_words(tiny_model, rows, tmp_path):
    run_training(training_run(tiny_model, rows, max_steps=4, tuner_options=LORA), tmp_path / "run", stop_after=2)
    allow = {"resume": {"name": str(tmp_path / "run"), "allow_change": True}}
    with pytest.raises(UsageError, check=coded("TRAIN-059"), match="another tuner"):
        run_training(training_run(tiny_model, rows, max_steps=4, tuner="full", verb_options=allow), tmp_path / "full")
    with pytest.raises(UsageError, check=coded("TRAIN-076"), match=r"lora_A.*\(4, 64\).*\(2, 64\)"):
        run_training(training_run(tiny_model, rows, max_steps=4, tuner_options={**LORA, "rank": 2}, verb_options=allow), tmp_path / "rank")
    with pytest.raises(UsageError, check=coded("TRAIN-056")):
        run_training(training_run(tiny_model, rows, verb_options={"resume": {"name": "", "allow_change": True}}), tmp_path / "none")


@pytest.fixture
def broken(tiny_model, tmp_path):
    """A model for which a row with a 'z' in it has no finite loss."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_model), AutoTokenizer.from_pretrained(tiny_model)
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    with torch.no_grad():
        model.get_input_embeddings().weight[tokenizer("z")["input_ids"][0]] = float("nan")
    model.save_pretrained(tmp_path / "broken")
    tokenizer.save_pretrained(tmp_path / "broken")
    return tmp_path / "broken"


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_step_with_a_bad_row_is_skipped(broken, tmp_path, monkeypatch, ranks):
    monkeypatch.setattr("swift_plugin_transformers.loader.check_finite", lambda *_: None)  # the weights broke later
    chats = ragged_chats(8)
    chats[5]["messages"][0]["content"] = "zzz"
    rows = write_rows(tmp_path / "rows.jsonl", chats)
    run = training_run(
        broken, rows, tuner_options=LORA, max_steps=4, batch_size=2 // ranks, shuffle=False, on_nan="skip", save_steps=3, learning_rate=1e-2
    )
    group = Ranks(ranks, partial(run_training, run, tmp_path / "run"))
    metrics = group.results(300)[0]
    assert [line["step"] for line in metrics if "loss" in line] == [1, 2, 4]
    assert [line["learning_rate"] for line in metrics][2:] == [metrics[2]["learning_rate"]] * 2, "the schedule waits"
    said = notes(tmp_path / "run")
    assert "the loss is nan at step 3; the step is skipped" in said[0]
    assert said[0].endswith("rows.jsonl, row 6")
    weights = torch.load(tmp_path / "run/checkpoints/step-000003/state/training.pt", weights_only=True)["weights"]
    assert all(value.isfinite().all() for value in weights.values())


def test_a_stop_in_an_evaluation_loses_neither(tiny_model, rows, tmp_path, monkeypatch):
    """It is heard at once, and what was not scored is scored after the resume."""
    held = write_rows(tmp_path / "held.jsonl", ragged_chats(5))
    settings = {"validation": held, "max_steps": 4, "eval_steps": 2, "micro_tokens": 1, "tuner_options": LORA}
    monkeypatch.setattr("swift_train.micro_batches._AT_ONCE", 2)
    whole_run = run_training(training_run(tiny_model, rows, **settings), tmp_path / "whole")

    class Stopper(Recorder):
        def progress(self, what, done, total, **figures):
            if what == "evaluate" and done == 2 and self.metrics and self.metrics[-1]["step"] == 2:
                self.request_stop()

    report = Stopper(tmp_path / "run")
    report.folder.mkdir()
    with pytest.raises(Stopped, check=coded("TRAIN-031"), match=r"step 2.*of 4"):
        train(training_run(tiny_model, rows, **settings), report)
    assert [line["step"] for line in report.metrics if "heldout_loss" in line] == [0]
    rest = run_training(training_run(tiny_model, rows, verb_options={"resume": str(tmp_path / "run")}, **settings), tmp_path / "rest")
    numbers = [[line.get("loss", line.get("heldout_loss")) for line in metrics] for metrics in (report.metrics + rest, whole_run)]
    assert numbers[0] == numbers[1]


def import_parts(run):
    """Before the fork: what is imported in it takes seconds of the time that a process has."""
    for choice in run.parts.values():
        choice.build()


@pytest.mark.slow
def test_a_process_that_hangs_is_named_with_where_it_is(tiny_model, rows, tmp_path):
    settings = {"tuner": "full", "batch_size": 1, "gradient_accumulation_steps": 2, "parallel_options": {"timeout": 6.0}}
    run = training_run(tiny_model, rows, max_steps=50, **settings)
    import_parts(run)
    forward_loss = SftTask.forward_loss

    def hang_in_the_third_step(task, model, micro):
        hang_in_the_third_step.passes += 1
        if hang_in_the_third_step.passes == 6 and torch.distributed.get_rank() == 1:
            time.sleep(3600)
        return forward_loss(task, model, micro)

    hang_in_the_third_step.passes = 0

    def work():
        SftTask.forward_loss = hang_in_the_third_step
        run_training(run, tmp_path / "run")

    group = Ranks(2, work)
    for process in group.processes:
        process.join(300)
    assert 1 in [process.exitcode for process in group.processes]  # the other may notice that before its own watch does
    error = next(event for line in (tmp_path / "run/events.jsonl").open() if (event := json.loads(line))["event"] == "error")
    assert error["message"] == "process 1 of 2 has made no progress for 6 s: step 3, a forward pass"
    assert "in hang_in_the_third_step" in error["hint"]
    assert "test_survival.py" in error["hint"]
    assert "time.sleep(3600)" not in error["hint"]
    assert (tmp_path / "run/ranks/rank-0.stack.txt").read_text().count("Thread 0x") >= 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        ("ddp", "load_base", 1, "10 s: loading the model, reading weights"),
        ("fsdp", "load_base", 0, "10 s: loading the model, reading weights"),
        ("ddp", "write_manifest", 0, "4 s: checkpoint of step 1, weights gathered"),
    ],
    ids=str,
)
def test_a_process_that_hangs_before_or_after_the_steps_is_named(tiny_model, rows, tmp_path, case):
    """While the model is read, and while what came out is written."""
    parallel, name, rank, says = case
    run = training_run(tiny_model, rows, tuner="full", max_steps=1, parallel=parallel, parallel_options={"timeout": 4.0})
    import_parts(run)

    def hang(*given):
        if given[1:] != ("meta",) and torch.distributed.get_rank() == rank:
            time.sleep(3600)
        return real(*given)

    def work():
        setattr(trainer, name, hang)
        run_training(run, tmp_path / "run")

    real = getattr(trainer, name)
    group = Ranks(2, work)
    for process in group.processes:
        process.join(300)
    assert 1 in [process.exitcode for process in group.processes]
    error = next(event for line in (tmp_path / "run/events.jsonl").open() if (event := json.loads(line))["event"] == "error")
    assert error["message"] == f"process {rank} of 2 has made no progress for {says}"
    assert "in hang" in error["hint"]


def test_a_run_leaves_nothing_of_its_watch(tiny_model, rows, tmp_path):
    run_training(training_run(tiny_model, rows, max_steps=1), tmp_path / "run")
    assert not (tmp_path / "run/ranks").exists()


FULL_DISK = """
import sys
from pathlib import Path
from swift_train.testing import Recorder, training_run
from swift_train.job import train

model, rows, folder = map(Path, sys.argv[1:])

class Filler(Recorder):
    def metric(self, step, **values):
        super().metric(step, **values)
        if step == 5:
            with (folder / "ballast").open("wb", buffering=0) as file:
                try:
                    while file.write(bytes(4096)):
                        pass
                except OSError:
                    pass
            self.note("x" * 8192)
        if step == 9:
            (folder / "ballast").unlink()

report = Filler(folder)
report._channel = sys.stdout
_, figures = train(training_run(model, rows, tuner="full", max_steps=12, save_steps=2, save_total_limit=1), report)
print(figures)
print([line["loss"] for line in report.metrics])
print("END")
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_training_goes_on_when_the_disk_is_full(tiny_model, rows, tmp_path):
    """The run folder is a small file system of its own, which fills up at step 5 and has room again after step 9."""
    folder = tmp_path / "run"
    folder.mkdir()
    mount = ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    script = f"mount -t tmpfs -o size=12m tmpfs {folder} && {sys.executable} - {tiny_model} {rows} {folder}; code=$?; cat {folder}/events.jsonl; find {folder}/checkpoints -maxdepth 1 -mindepth 1; exit $code"  # noqa: E501
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", script], input=FULL_DISK, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    head, kept = done.stdout.split("\nEND\n")
    said = [json.loads(line)["text"] for line in head.splitlines() if line.startswith('{"event": "note"')]
    failed = [text for text in said if "continues without a checkpoint" in text]
    assert [text.partition(":")[0] for text in failed] == ["WARNING"] * 2
    assert all("the disk is full" in text and "The last complete checkpoint is" in text and "step-000004" in text for text in failed)
    assert any("lines are missing" in text for text in said)
    assert "'failed_saves': 2" in head
    plain = losses(run_training(training_run(tiny_model, rows, tuner="full", max_steps=12), tmp_path / "plain"))
    assert json.loads(head.splitlines()[-1]) == plain
    *events, checkpoint = kept.splitlines()
    assert not any("xxxx" in json.loads(line).get("text", "") for line in events), "whole lines, and not that one"
    assert checkpoint.endswith("checkpoints/step-000012")
