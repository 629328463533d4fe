"""Rollout servers that die, are full, or give what can't be trained on: one message, and nothing that was sampled is lost."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest
from faulty_server import Faulty
from swift_rollouts.engine import Engine
from swift_rollouts.generation import generation_file
from swift_rollouts.options import RolloutOptions
from swift_rollouts.sampling import partial_file
from swift_train.testing import run_training, training_run, write_rows

from swift_core.contract import Server, SwiftError

COMPLETIONS, TOKENS = "/v1/completions", "/tokenize"
SETTINGS = {
    "max_steps": 3, "learning_rate": 1e-2, "schedule": "constant", "num_generations": 2, "batch_size": 4, "gradient_accumulation_steps": 1,
    "max_completion_length": 4, "shuffle": False, "max_grad_norm": 0.0, "save_steps": 1,
}  # fmt: skip
CHECKS = 1  # answers that are asked for before the first step


@pytest.fixture
def faulty(served):
    made = Faulty(served.url)
    yield made
    made.close()


@pytest.fixture
def train(tiny_model, tmp_path, faulty):
    """Trains on two prompts a step, one at a time, in a folder."""
    (tmp_path / "rewards.py").write_text("def length(completions):\n    return [float(len(text)) for text in completions]\n")
    rows = [{"messages": [{"role": "user", "content": f"Which word is number {number}?"}]} for number in range(6)]
    path = write_rows(tmp_path / "rows.jsonl", rows)

    def made(name, *, resume=""):
        options = {**SETTINGS, "reward_funcs": [f"{tmp_path}/rewards.py:length"], "rollout": {"name": faulty.url, "concurrency": 1}}
        run = training_run(tiny_model, path, task="grpo", verb_options={"resume": resume}, **options)
        return run_training(replace(run, server=Server(faulty.url, ("m",))), tmp_path / name)

    return made


def losses(metrics):
    return [line["loss"] for line in metrics if "loss" in line]


def changed(answer, **values):
    return {**answer, "choices": [{**choice, **values} for choice in answer["choices"]]}


def logprobs(answer, value):
    return {**answer, "choices": [{**each, "logprobs": {"token_logprobs": [value] * len(each["token_ids"])}} for each in answer["choices"]]}


def test_a_server_that_dies_loses_nothing(train, faulty, tmp_path):
    """It hangs up at the second prompt of the second step; the resumed run asks for what has not arrived, and for nothing else."""
    whole = losses(train("whole"))
    asked = faulty.asked[COMPLETIONS] - CHECKS
    assert asked == 6
    faulty.asked.clear()
    faulty.fault = lambda route, number, answer: None if (route, number) == (COMPLETIONS, CHECKS + 3) else answer
    with pytest.raises(SwiftError) as error:
        train("cut")
    assert error.value.code == "SERVE-080"
    assert faulty.url in str(error.value.where)
    assert len(partial_file(generation_file(tmp_path / "cut", 1)).read_text().splitlines()) == 2
    faulty.asked.clear()
    faulty.fault = lambda route, number, answer: answer
    assert losses(train("on", resume=str(tmp_path / "cut"))) == pytest.approx(whole[1:], abs=1e-6)
    assert faulty.asked[COMPLETIONS] == CHECKS + asked - 3


def test_a_server_that_is_busy_for_a_while_is_waited_for(train, faulty):
    faulty.refuse = lambda route, number: (429, 503)[number % 2] if number % 3 else 0
    assert len(losses(train("run"))) == 3


def test_a_full_server_ends_the_run_and_loses_nothing(train, faulty, tmp_path):
    """At the second prompt of the second step; the first step's answers and weights, and the other prompt's answers, are kept."""
    faulty.refuse = lambda route, number: 503 if route == COMPLETIONS and number >= CHECKS + 3 else 0
    with pytest.raises(SwiftError) as error:
        train("run")
    assert (error.value.code, error.value.where) == ("SERVE-086", faulty.url)
    assert generation_file(tmp_path / "run", 0).is_file()
    assert len(partial_file(generation_file(tmp_path / "run", 1)).read_text().splitlines()) == 2
    assert (tmp_path / "run/checkpoints/step-000001").is_dir()


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (lambda answer: changed(answer, prompt_token_ids=[5, 6]), "RL-003", "other tokens"),
        (lambda answer: changed(answer, token_ids=[10_000_000], logprobs={"token_logprobs": [-1.0]}), "RL-003", "does not have"),
        (lambda answer: changed(answer, token_ids=None), "RL-003", "token ids"),
        (lambda answer: logprobs(answer, None), "RL-003", "log-probability for each token"),
        (lambda answer: logprobs(answer, float("nan")), "RL-003", "not finite"),
        (lambda answer: {**answer, "choices": answer["choices"][:1]}, "RL-003", "1 answers instead of 2"),
        (lambda answer: {"text": "no completions"}, "RL-003", "completions"),
        (lambda answer: b"<html>", "SERVE-081", "not JSON"),
        (lambda answer: None, "SERVE-080", "lost"),
    ],
)
def test_answers_that_can_not_be_trained_on_are_refused_with_the_reason(faulty, fault, code, said):
    engine = Engine(Server(faulty.url, ("m",)), RolloutOptions(max_completion_length=4), 100_000)
    assert len(engine.answers([5, 6, 7], 2, model="m", seed=0)) == 2
    faulty.fault = lambda route, number, answer: fault(answer)
    with pytest.raises(SwiftError) as error:
        engine.answers([5, 6, 7], 2, model="m", seed=0)
    assert (error.value.code, said in error.value.message) == (code, True), error.value
    assert error.value.where == faulty.url


def test_a_server_with_another_tokenizer_is_refused_before_the_first_step(train, faulty, tmp_path):
    faulty.fault = lambda route, number, answer: {**answer, "tokens": [1, 2, 3]} if route == TOKENS else answer
    with pytest.raises(SwiftError) as error:
        train("run")
    assert (error.value.code, "another tokenizer" in error.value.message) == ("RL-003", True)
    assert not (tmp_path / "run/rollouts").exists()


def test_a_name_of_an_adapter_that_is_taken_is_said(train, faulty, monkeypatch):
    """Names have a random part, so that two runs share a server; here both have the same one."""
    monkeypatch.setattr(secrets, "token_hex", lambda size: "0" * 2 * size)
    faulty.refuse = lambda route, number: 400 if route == "/v1/unload_lora_adapter" else 0
    train("first")
    with pytest.raises(SwiftError) as error:
        train("second")
    assert "already served" in error.value.message
