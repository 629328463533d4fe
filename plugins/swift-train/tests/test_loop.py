"""The loop in one process: it learns, stops, goes on exactly, and says what went wrong."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest
import torch
from swift_testing.codes import coded
from swift_testing.rig import CHATML
from swift_train.build import load_base
from swift_train.checkpoints import complete_checkpoints
from swift_train.job import load_rows, train
from swift_train.resume import newest_checkpoint
from swift_train.testing import Recorder, ragged_chats, run_training, training_run, write_rows
from transformers import AutoModelForCausalLM, AutoTokenizer

from swift_core.checkpoints import Checkpoint
from swift_core.contract.errors import Stopped, SwiftError, UsageError

LORA = {"rank": 4, "alpha": 8, "dropout": 0.1}


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", ragged_chats(10))


def exact(metrics):
    """What must be the same to the last bit."""
    return [
        {key: step[key] for key in ("step", "loss", "grad_norm", "learning_rate", "tokens") if key in step}
        for step in metrics
        if "loss" in step
    ]


def test_sft_learns_and_leaves_a_checkpoint(tiny_model, rows, tmp_path):
    held = write_rows(tmp_path / "held.jsonl", ragged_chats(4))
    run = training_run(tiny_model, rows, tuner_options=LORA, validation=held, learning_rate=1e-2, max_steps=12, batch_size=4, eval_steps=6)
    folder = tmp_path / "run"
    folder.mkdir()
    report = Recorder(folder)
    out, figures = train(run, report)
    assert figures["steps"] == 12
    assert figures["loss_last"] < figures["loss_first"] - 1
    assert figures["heldout_after"] < figures["heldout_before"] - 1
    assert [line["step"] for line in report.metrics if "heldout_loss" in line] == [0, 6, 12]
    assert {"loss", "grad_norm", "learning_rate", "tokens", "supervised", "tokens_per_second", "seconds", "epoch"} <= set(report.metrics[1])
    assert report.metrics[-2]["epoch"] == 4.0
    manifest = Checkpoint.at(out).manifest
    assert (manifest.kind, manifest.tuner["name"], manifest.base["hash"]) == ("adapter", "lora", run.model.hash)
    assert manifest.figures == figures
    assert manifest.golden[0]["ids"]
    assert manifest.template["stop"] == ["<|im_end|>"]
    assert (out / "adapter_model.safetensors").is_file()
    assert (out / "tokenizer.json").is_file()
    shown = json.loads((folder / "mask_sample.json").read_text())
    assert shown["pieces"][1] == {"text": "Because. <|im_end|>", "supervised": True}


@pytest.mark.parametrize("tuner", ["full", "lora"])
def test_pretrain(tiny_model, tmp_path, tuner):
    rows = write_rows(tmp_path / "text.jsonl", [{"text": "The capital of France is Paris. " * 30}])
    run = training_run(tiny_model, rows, task="pretrain", tuner=tuner, max_steps=3, max_length=64, gradient_checkpointing=True)
    out, figures = train(run, Recorder(tmp_path))
    assert figures["loss_last"] < figures["loss_first"]
    if tuner == "full":
        trained, base = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (out, tiny_model))
        assert all(not torch.equal(trained[name], base[name]) for name in base)
        assert Checkpoint.at(out).manifest.kind == "model"


@pytest.mark.parametrize("tuner", ["lora", "full"])
def test_resume_is_exact(tiny_model, rows, tmp_path, tuner):
    """Stopped in the middle of the second epoch, with dropout: the same numbers to the last bit, and the same file."""
    settings = {
        "tuner": tuner,
        "tuner_options": LORA if tuner == "lora" else {},
        "learning_rate": 5e-3,
        "epochs": 3,
        "batch_size": 2,
        "gradient_accumulation_steps": 2,
    }
    whole_run = run_training(training_run(tiny_model, rows, **settings), tmp_path / "whole")
    assert len(whole_run) == 9
    first = run_training(training_run(tiny_model, rows, **settings), tmp_path / "parts", stop_after=4)
    assert len(first) == 4
    again = {"resume": str(tmp_path / "parts")}
    second = run_training(training_run(tiny_model, rows, verb_options=again, **settings), tmp_path / "parts")
    assert exact(first + second) == exact(whole_run)
    name = "adapter_model.safetensors" if tuner == "lora" else "model.safetensors"
    assert (tmp_path / "parts/output" / name).read_bytes() == (tmp_path / "whole/output" / name).read_bytes()


def test_stopping_writes_a_checkpoint_and_says_how_to_go_on(tiny_model, rows, tmp_path):
    report = Recorder(tmp_path, stop_after=2)
    with pytest.raises(Stopped, check=coded("TRAIN-031"), match=r"step 2.*of 5") as caught:
        train(training_run(tiny_model, rows, max_steps=5), report)
    assert f"--resume {tmp_path}" in caught.value.hint
    checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint.name == "step-000002"
    assert Checkpoint.at(checkpoint / "model").manifest.kind == "adapter"
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000002"], "nothing half-written beside it"


def test_a_resume_with_other_settings_is_refused_with_a_diff(tiny_model, rows, tmp_path):
    run_training(training_run(tiny_model, rows, max_steps=5, tuner_options=LORA), tmp_path / "run", stop_after=2)
    write_rows(rows, ragged_chats(11))
    other = training_run(
        tiny_model, rows, max_steps=5, learning_rate=1e-3, tuner_options={**LORA, "rank": 8}, verb_options={"resume": str(tmp_path / "run")}
    )
    with pytest.raises(UsageError) as caught:
        train(other, Recorder(tmp_path))
    for line in ("learning_rate: 0.0001 → 0.001", "tuner.rank: 4 → 8", "rows: "):
        assert f"  {line}" in caught.value.message
    assert "save_steps" not in caught.value.message
    assert "task.learning_rate" not in caught.value.message, "it is said already"


def test_the_newest_checkpoints_are_kept(tiny_model, rows, tmp_path):
    run_training(training_run(tiny_model, rows, max_steps=12, save_steps=1, save_total_limit=2), tmp_path)
    assert [path.name for path in complete_checkpoints(tmp_path / "checkpoints")] == ["step-000011", "step-000012"]


def test_a_checkpoint_that_was_not_finished_is_not_taken(tiny_model, rows, tmp_path):
    run_training(training_run(tiny_model, rows, max_steps=2, save_steps=1), tmp_path)
    (tmp_path / "checkpoints/step-000002").rename(tmp_path / "checkpoints/.step-000003.partial")
    assert newest_checkpoint(tmp_path).name == "step-000001"


def test_a_loss_that_is_no_number_names_its_row(tiny_model, tmp_path, monkeypatch):
    """The embedding of 'z' is broken, as if training had broken it, and only row 2 has one."""
    monkeypatch.setattr("swift_plugin_transformers.loader.check_finite", lambda *_: None)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    broken = tmp_path / "broken"
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    with torch.no_grad():
        model.get_input_embeddings().weight[tokenizer("z")["input_ids"][0]] = float("nan")
    model.save_pretrained(broken)
    tokenizer.save_pretrained(broken)
    chats = ragged_chats(4)
    chats[1]["messages"][0]["content"] = "zzz"
    rows = write_rows(tmp_path / "rows.jsonl", chats)
    with pytest.raises(SwiftError, check=coded("TRAIN-033"), match="the loss is nan at step 1") as caught:
        train(training_run(broken, rows, max_steps=2, batch_size=4), Recorder(tmp_path))
    assert caught.value.where.endswith("rows.jsonl, row 2")


def test_a_full_disk_is_an_error_where_a_checkpoint_is_needed(tiny_model, rows, tmp_path, monkeypatch):
    import errno

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    run = training_run(tiny_model, rows, max_steps=3, save_steps=1)
    monkeypatch.setattr(torch, "save", full)
    _, figures = train(training_run(tiny_model, rows, max_steps=3, save_steps=1), Recorder(tmp_path))
    assert figures["failed_saves"] == 3
    (tmp_path / "again").mkdir()
    with pytest.raises(SwiftError, check=coded("FILE-005"), match="the disk is full"):
        train(run, Recorder(tmp_path / "again", stop_after=1))
    assert not complete_checkpoints(tmp_path / "again/checkpoints")
    assert not list((tmp_path / "again/checkpoints").iterdir()), "no partial files"


def streaming(count):
    return {"data": {"streaming": True, "buffer": count}}


def test_a_stream_learns_every_row_and_begins_again(tiny_model, rows, tmp_path):
    """10 rows in parts of 4: each part mixed within itself, and after the last row the first again."""
    run = training_run(tiny_model, rows, tuner_options=LORA, max_steps=10, batch_size=2, verb_options=streaming(4))
    metrics = run_training(run, tmp_path / "run")
    assert len(metrics) == 10
    assert "epoch" not in metrics[0]
    everything = run_training(
        training_run(tiny_model, rows, tuner_options=LORA, max_steps=5, batch_size=2, shuffle=False), tmp_path / "stored"
    )
    assert sum(step["tokens"] for step in metrics[:10]) == 2 * sum(step["tokens"] for step in everything)


def test_a_resumed_stream_is_exact(tiny_model, rows, tmp_path):
    settings = {"tuner_options": LORA, "learning_rate": 5e-3, "max_steps": 12, "batch_size": 2, "verb_options": streaming(6)}
    whole = run_training(training_run(tiny_model, rows, **settings), tmp_path / "whole")
    run_training(training_run(tiny_model, rows, **settings), tmp_path / "stopped", stop_after=7)
    settings["verb_options"] = {**streaming(6), "resume": str(tmp_path / "stopped")}
    rest = run_training(training_run(tiny_model, rows, **settings), tmp_path / "rest")
    assert exact(rest) == exact(whole)[7:]


def test_sets_of_a_stream_are_mixed_by_weight(tiny_model, tmp_path):
    from dataclasses import replace

    one = write_rows(tmp_path / "one.jsonl", [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}])
    long = "why " * 40
    two = write_rows(tmp_path / "two.jsonl", [{"messages": [{"role": "user", "content": long}, {"role": "assistant", "content": "b"}]}])
    run = training_run(tiny_model, one, max_steps=100, batch_size=2, verb_options=streaming(50))
    other = training_run(tiny_model, two).datasets[0]
    run = replace(run, datasets=(replace(run.datasets[0], weight=3.0), other))
    stream, _ = load_rows(run, run.part("task").build(), load_base(run, "meta"), Recorder(tmp_path))
    lengths = np.concatenate([part.lengths for part in islice(stream.buffers(), 20)])
    share = (lengths == lengths.min()).mean()
    assert 0.7 < share < 0.8


def test_packed_rows_have_the_gradient_of_rows_alone(tiny_model, rows, tmp_path):
    """One step over all rows: packed in any way, the loss and the gradient are those of the rows."""
    still = {"tuner_options": {**LORA, "dropout": 0.0}, "max_steps": 1}
    alone = run_training(training_run(tiny_model, rows, batch_size=10, **still), tmp_path / "alone")[0]
    settings = {"packing": True, "max_length": 300, "micro_tokens": 10_000}
    packed = run_training(training_run(tiny_model, rows, batch_size=100, **still, **settings), tmp_path / "packed")[0]
    assert packed["tokens"] == alone["tokens"]
    assert packed["loss"] == pytest.approx(alone["loss"], abs=1e-5)
    assert packed["grad_norm"] == pytest.approx(alone["grad_norm"], rel=1e-4)


def test_a_chat_template_of_the_users_own_is_used_and_saved(tiny_model, rows, tmp_path):
    own = tmp_path / "own.jinja"
    own.write_text(CHATML.replace("You are a helpful assistant", "Be brief"))
    report = Recorder(tmp_path)
    out, _ = train(training_run(tiny_model, rows, max_steps=1, chat_template=str(own)), report)
    assert "Be brief" in json.loads((tmp_path / "mask_sample.json").read_text())["pieces"][0]["text"]
    assert AutoTokenizer.from_pretrained(out).chat_template == own.read_text()
    assert Checkpoint.at(out).manifest.template["default_system"] == "Be brief"


def test_a_chat_template_that_is_not_there(tiny_model, rows, tmp_path):
    with pytest.raises(UsageError, check=coded("TRAIN-019")) as caught:
        train(training_run(tiny_model, rows, max_steps=1, chat_template=str(tmp_path / "no.jinja")), Recorder(tmp_path))
    assert caught.value.where == "chat_template"


def test_a_variable_of_the_template_is_written_into_it(tiny_model, rows, tmp_path):
    own = tmp_path / "own.jinja"
    own.write_text(
        CHATML.replace("You are a helpful assistant", "{{ 'Think' if enable_thinking else 'Just answer' }}")
        .replace("{{ '<|im_start|>system\n{{ 'Think'", "{{ '<|im_start|>system\n' + ('Think'")
        .replace("else 'Just answer' }}<|im_end|>", "else 'Just answer') + '<|im_end|>")
    )
    settings = {"chat_template": str(own), "template_variables": {"enable_thinking": False}}
    out, _ = train(training_run(tiny_model, rows, max_steps=1, **settings), Recorder(tmp_path))
    assert Checkpoint.at(out).manifest.template["default_system"] == "Just answer"
    rendered = AutoTokenizer.from_pretrained(out).apply_chat_template([{"role": "user", "content": "?"}], tokenize=False)
    assert "Just answer" in rendered
