"""Reward models train as plain torch does, alike on any number of processes; transformers, PEFT and merge read the same scores."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from peft import AutoPeftModelForSequenceClassification
from swift_train.testing import on_ranks, run_training, training_run, write_rows
from torch.nn.functional import logsigmoid
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from swift_core.checkpoints import Checkpoint
from swift_core.contract import Source
from swift_core.contract.errors import UsageError
from swift_core.plugins import registry
from swift_core.runs import Report

WORDS = ("red", "green", "blue", "far", "near", "old")
ROWS = [
    {
        "prompt": f"Which word is number {number}?",
        "chosen": " ".join(WORDS[: 1 + number % 5]) + ".",
        "rejected": "No " * (1 + number % 3) + WORDS[number % 6] + ".",
        "margin": number % 4 / 4,
    }
    for number in range(12)
]
SETTINGS = {"max_steps": 3, "learning_rate": 3e-3, "max_grad_norm": 0.0, "shuffle": False, "schedule": "constant"}
CENTER = 0.1
METRICS = ("loss", "grad_norm", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies")


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", ROWS)


def steps(metrics):
    return [[line[name] for name in METRICS] for line in metrics if "loss" in line]


def conversation(row, name):
    return [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row[name]}]


def scores(model, tokenizer, rows=ROWS):
    """Return the scores that transformers' own forward pass gives, (rows, 2), from one padded batch."""
    texts = [tokenizer.apply_chat_template(conversation(row, name), tokenize=False) for row in rows for name in ("chosen", "rejected")]
    return model(**tokenizer(texts, padding=True, add_special_tokens=False, return_tensors="pt")).logits.view(-1, 2)


def source(folder, family=""):
    found = Checkpoint.at(folder)
    return Source(reference=f"file:{folder}", path=str(folder), hash=found.hash(), format=found.format, family=family)


@pytest.fixture
def trained(tiny_model, rows, tmp_path):
    """Return the folder of an adapter with a head, whose scores differ from those of a new one."""
    run = training_run(tiny_model, rows, task="rm", batch_size=4, tuner_options={"dropout": 0.0}, **SETTINGS)
    run_training(run, tmp_path / "run")
    return tmp_path / "run" / "output"


def test_rm_is_its_equation_in_plain_torch(tiny_model, rows, tmp_path):
    """From a model with a head, so that both start from the same weights."""
    run = training_run(tiny_model, rows, task="rm", tuner="full", batch_size=4, **{**SETTINGS, "max_steps": 1})
    run_training(run, tmp_path / "first")
    start = tmp_path / "first" / "output"
    run = training_run(start, rows, task="rm", tuner="full", batch_size=4, center_rewards_coefficient=CENTER, **SETTINGS)
    ours = run_training(run, tmp_path / "run")
    tokenizer = AutoTokenizer.from_pretrained(start)
    model = AutoModelForSequenceClassification.from_pretrained(start, dtype=torch.float32)
    assert model.config.num_labels == 1
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    for step in range(3):
        batch = ROWS[4 * step : 4 * step + 4]
        chosen, rejected = scores(model, tokenizer, batch).unbind(1)
        margin = torch.tensor([row["margin"] for row in batch])
        loss = (-logsigmoid(chosen - rejected - margin) + CENTER * (chosen + rejected) ** 2).mean()
        loss.backward()
        assert ours[step]["loss"] == pytest.approx(float(loss.detach()), abs=2e-5)
        assert ours[step]["rewards/chosen"] == pytest.approx(float(chosen.mean().detach()), abs=2e-5)
        optimizer.step()
        optimizer.zero_grad()
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "output", dtype=torch.float32)
    torch.testing.assert_close(scores(again, tokenizer), scores(model, tokenizer), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
@pytest.mark.parametrize("tuner", ["lora", "full"])
def test_two_processes_train_as_one(tiny_model, rows, tmp_path, parallel, tuner):
    options = {"task": "rm", "tuner": tuner, "validation": rows, **SETTINGS}
    options |= {"tuner_options": {"dropout": 0.0}} if tuner == "lora" else {}
    one = run_training(training_run(tiny_model, rows, batch_size=4, **options), tmp_path / "one")
    run = training_run(tiny_model, rows, batch_size=1, gradient_accumulation_steps=2, parallel=parallel, **options)
    two = on_ranks(2, partial(run_training, run, tmp_path / "two"))[0]
    assert len(steps(one)) == 3
    torch.testing.assert_close(torch.tensor(steps(two)), torch.tensor(steps(one)), atol=2e-5, rtol=2e-5)
    assert two[-1]["heldout_rewards/accuracies"] == pytest.approx(one[-1]["heldout_rewards/accuracies"])
    outputs = [Checkpoint.at(tmp_path / name / "output") for name in ("one", "two")]
    assert [output.head for output in outputs] == [output.manifest.head for output in outputs] == ["score:1"] * 2


def test_resume_is_exact(tiny_model, rows, tmp_path):
    settings = {**SETTINGS, "max_steps": 4, "save_steps": 1}
    whole = run_training(training_run(tiny_model, rows, task="rm", batch_size=4, **settings), tmp_path / "whole")
    run_training(training_run(tiny_model, rows, task="rm", batch_size=4, **settings), tmp_path / "cut", stop_after=2)
    resume = {"resume": str(tmp_path / "cut")}
    resumed = run_training(training_run(tiny_model, rows, task="rm", batch_size=4, verb_options=resume, **settings), tmp_path / "on")
    assert steps(resumed) == steps(whole)[2:]


def test_peft_and_merge_give_the_scores_of_the_adapter(tiny_model, trained, tmp_path):
    from swift_train.merge import merge

    tokenizer = AutoTokenizer.from_pretrained(trained)
    adapted = AutoPeftModelForSequenceClassification.from_pretrained(trained, num_labels=1, dtype=torch.float32)
    adapted.config.pad_token_id = adapted.base_model.model.config.pad_token_id = tokenizer.pad_token_id
    expected = scores(adapted.eval(), tokenizer)
    assert expected.std() > 1e-3
    run = training_run(tiny_model, tmp_path / "rows.jsonl")
    parts = {"loader": registry().choose("loader", "transformers")}
    run = replace(run, verb="merge", parts=parts, adapters={"default": source(trained)}, datasets=())
    folder = tmp_path / "merge"
    folder.mkdir()
    out, _ = merge(run, Report(folder))
    merged = AutoModelForSequenceClassification.from_pretrained(out, dtype=torch.float32)
    torch.testing.assert_close(scores(merged, tokenizer), expected, atol=1e-4, rtol=1e-4)
    assert Checkpoint.at(out).head == Checkpoint.at(out).manifest.head == "score:1"


def test_training_goes_on_from_an_adapter_with_its_head(tiny_model, trained, rows, tmp_path):
    run = replace(training_run(tiny_model, rows, task="rm", batch_size=12, **SETTINGS), adapters={"default": source(trained)})
    ours = run_training(run, tmp_path / "on")
    adapted = AutoPeftModelForSequenceClassification.from_pretrained(trained, num_labels=1, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(trained)
    adapted.base_model.model.config.pad_token_id = tokenizer.pad_token_id
    assert ours[0]["rewards/chosen"] == pytest.approx(float(scores(adapted, tokenizer)[:, 0].mean()), abs=0.02)  # our pass has dropout


def test_a_head_of_another_task_is_refused(tiny_model, trained, rows, tmp_path):
    run = replace(training_run(tiny_model, rows, task="dpo", **SETTINGS), adapters={"default": source(trained)})
    with pytest.raises(UsageError) as error:
        run_training(run, tmp_path / "dpo")
    assert error.value.code == "TRAIN-128"


def test_an_adapter_without_the_head_is_refused(tiny_model, rows, tmp_path):
    run_training(training_run(tiny_model, rows, task="dpo", batch_size=4, **{**SETTINGS, "max_steps": 1}), tmp_path / "dpo")
    run = training_run(tiny_model, rows, task="rm", **SETTINGS)
    with pytest.raises(UsageError) as error:
        run_training(replace(run, adapters={"default": source(tmp_path / "dpo" / "output")}), tmp_path / "run")
    assert error.value.code == "TRAIN-128"


def test_the_weights_of_the_head_depend_on_the_seed_alone(tiny_model, rows, tmp_path):
    options = {"task": "rm", "batch_size": 4, "max_steps": 1, "shuffle": False}
    runs = [training_run(tiny_model, rows, seed=seed, **options) for seed in (1, 1, 2)]
    one, same, other = ([line["rewards/chosen"] for line in run_training(run, tmp_path / str(n))] for n, run in enumerate(runs))
    assert one == same
    assert one != other


def test_a_margin_that_is_no_number_is_refused(tiny_model, tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", [ROWS[0], {**ROWS[1], "margin": "large"}])
    with pytest.raises(UsageError) as error:
        run_training(training_run(tiny_model, rows, task="rm", **SETTINGS), tmp_path / "run")
    assert "row 2" in error.value.where
