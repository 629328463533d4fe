"""Preference tasks train as plain torch does, with the same figures on one process and on several; the reference is the initial model."""

from __future__ import annotations

from functools import partial
from itertools import product

import pytest
import torch
from swift_train.crash_testing import check_kills
from swift_train.testing import on_ranks, run_training, training_run, write_rows
from torch.nn.functional import logsigmoid
from transformers import AutoModelForCausalLM, AutoTokenizer

WORDS = ("red", "green", "blue", "far", "near", "old")
SETTINGS = {"max_steps": 3, "learning_rate": 3e-3, "max_grad_norm": 0.0, "shuffle": False, "schedule": "constant"}
METRICS = ("loss", "grad_norm", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies", "nll_loss")


def preference_rows(count):
    return [
        {
            "prompt": f"Which word is number {number}?",
            "chosen": " ".join(WORDS[: 1 + number % 5]) + ".",
            "rejected": "No " * (1 + number % 3) + WORDS[number % 6] + ".",
        }
        for number in range(count)
    ]


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", preference_rows(12))


def steps(metrics):
    return [[line[name] for name in METRICS] for line in metrics if "loss" in line]


def assert_equal(ours, theirs):
    torch.testing.assert_close(torch.tensor(steps(ours)), torch.tensor(steps(theirs)), atol=2e-5, rtol=2e-5)


def sequence(tokenizer, row, name):
    messages = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row[name]}]
    prompt = tokenizer.apply_chat_template(messages[:1], tokenize=True, add_generation_prompt=True, return_dict=False)
    whole = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
    end = len(whole) - whole[::-1].index(tokenizer.convert_tokens_to_ids("<|im_end|>"))  # the newline after it is not supervised
    return whole[:end], len(prompt)


def log_probability(model, ids, prompt):
    logits = model(torch.tensor([ids])).logits[0, prompt - 1 : -1]
    return torch.log_softmax(logits, -1)[range(len(ids) - prompt), ids[prompt:]].sum()


def test_dpo_is_its_equation_in_plain_torch(tiny_model, rows, tmp_path):
    """Full fine-tuning, one row at a time, with a copy of the model as the reference."""
    run = training_run(tiny_model, rows, task="dpo", tuner="full", batch_size=4, beta=0.2, **SETTINGS)
    ours = run_training(run, tmp_path / "run")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model, reference = (AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32) for _ in range(2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    expected = []
    for step in range(3):
        losses, margins = [], []
        for row in preference_rows(12)[4 * step : 4 * step + 4]:
            ratios = []
            for name in ("chosen", "rejected"):
                ids, prompt = sequence(tokenizer, row, name)
                with torch.no_grad():
                    base = log_probability(reference, ids, prompt)
                ratios.append(log_probability(model, ids, prompt) - base)
            losses.append(-logsigmoid(0.2 * (ratios[0] - ratios[1])))
            margins.append(0.2 * float((ratios[0] - ratios[1]).detach()))
        loss = torch.stack(losses).mean()
        loss.backward()
        expected.append((float(loss), sum(margins) / 4))
        optimizer.step()
        optimizer.zero_grad()
    assert expected[0][0] == pytest.approx(0.693147, abs=1e-6)
    assert [(line["loss"], line["rewards/margins"]) for line in ours if "loss" in line] == [
        pytest.approx(pair, abs=2e-5) for pair in expected
    ]


@pytest.mark.parametrize(("task", "parallel"), [*product(("dpo", "orpo", "cpo"), ("ddp", "fsdp")), ("aot", "ddp"), ("aot_unpaired", "ddp")])
def test_two_processes_train_as_one(tiny_model, rows, tmp_path, task, parallel):
    """The order of the answers, in which aot compares them, is that of the step."""
    chosen = {"task": "dpo", "loss_type": [task]} if task.startswith("aot") else {"task": task}
    options = {**chosen, "validation": rows, "tuner_options": {"dropout": 0.0}, **SETTINGS}
    one = run_training(training_run(tiny_model, rows, batch_size=4, **options), tmp_path / "one")
    run = training_run(tiny_model, rows, batch_size=1, gradient_accumulation_steps=2, parallel=parallel, **options)
    two = on_ranks(2, partial(run_training, run, tmp_path / "two"))[0]
    assert len(steps(one)) == 3
    assert_equal(two, one)
    heldout = [{name: value for name, value in metrics[-1].items() if name.startswith("heldout")} for metrics in (one, two)]
    assert len(heldout[0]) >= 6
    assert heldout[1] == pytest.approx(heldout[0], abs=2e-5)


def test_the_reference_of_a_pissa_adapter_is_the_model_with_it(tiny_model, rows, tmp_path):
    """PiSSA takes a part of the weights into the adapter: without the adapter, the model is another one."""
    run = training_run(tiny_model, rows, task="dpo", tuner_options={"init": "pissa", "dropout": 0.0}, batch_size=4, **SETTINGS)
    first = run_training(run, tmp_path / "run")[0]
    assert first["loss"] == pytest.approx(0.693147, abs=1e-6)
    assert first["rewards/margins"] == pytest.approx(0, abs=1e-6)


def test_dropout_does_not_change_the_reference(tiny_model, rows, tmp_path):
    runs = [training_run(tiny_model, rows, task="dpo", tuner_options={"dropout": 0.3}, batch_size=4, **SETTINGS) for _ in range(2)]
    one, two = (run_training(run, tmp_path / str(number)) for number, run in enumerate(runs))
    assert steps(one) == steps(two)


def test_resume_is_exact(tiny_model, rows, tmp_path):
    settings = {**SETTINGS, "max_steps": 4, "save_steps": 1}
    run = training_run(tiny_model, rows, task="dpo", batch_size=4, **settings)
    whole = run_training(run, tmp_path / "whole")
    run_training(run, tmp_path / "cut", stop_after=2)
    resumed = run_training(
        training_run(tiny_model, rows, task="dpo", batch_size=4, verb_options={"resume": str(tmp_path / "cut")}, **settings),
        tmp_path / "on",
    )
    assert steps(resumed) == steps(whole)[2:]


@pytest.mark.full("kill")
def test_ten_kills_end_as_a_run_that_was_not_killed(tiny_model, rows, tmp_path):
    options = {"task": "dpo", "batch_size": 4, **SETTINGS, "max_steps": 40, "save_steps": 2, "epochs": 99}

    def run(resume=""):
        return training_run(tiny_model, rows, verb_options={"resume": resume}, **options)

    check_kills(run, tmp_path, kills=10, seed=2)
