"""GRPO end to end on the tiny model: rollouts from a server, rewards, resumed runs, and the same training on one and two processes."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pytest
from swift_rollouts.crash_moments import MOMENTS
from swift_rollouts.generation import Generation, generation_file
from swift_train.crash_testing import check_kills
from swift_train.testing import on_ranks, run_training, training_run, write_rows

from swift_core.contract import Server, SwiftError, UsageError
from tests.in_process_server import Served

REWARDS = '''
import time

def vowels(completions, **_):
    """Part of the letters that are vowels."""
    return [sum(letter in "aeiou" for letter in text.lower()) / max(1, len(text)) for text in completions]

def often_equal(completion_ids, finish_reasons, solution):
    return [float(sum(ids) % 10 == 0) for ids in completion_ids]

def raises(completions):
    return [1 / 0 for _ in completions]

def nan(completions):
    return [float("nan") for _ in completions]

def text(completions):
    return ["good" for _ in completions]

def few(completions):
    return [1.0]

def nothing(completions):
    return [None for _ in completions]

def hangs(completions):
    time.sleep(3600)

def exits(completions):
    import os
    os._exit(3)
'''
SETTINGS = {
    "max_steps": 3, "learning_rate": 1e-2, "schedule": "constant", "num_generations": 4, "batch_size": 4, "gradient_accumulation_steps": 2,
    "max_completion_length": 8, "shuffle": False, "max_grad_norm": 0.0,
}  # fmt: skip
METRICS = ("loss", "grad_norm", "reward", "entropy", "completions/length")


@pytest.fixture
def grpo(tiny_model, served, tmp_path):
    """Makes a run on eight prompts."""
    (tmp_path / "rewards.py").write_text(REWARDS)
    rows = [{"messages": [{"role": "user", "content": f"Which word is number {number}?"}], "solution": str(number)} for number in range(8)]
    path = write_rows(tmp_path / "rows.jsonl", rows)

    def make(*, reward="vowels", parallel="ddp", tuner="lora", resume="", url=served.url, **options):
        chosen = {"reward_funcs": [f"{tmp_path}/rewards.py:{reward}"], "rollout": {"name": url, **options.pop("rollout", {})}}
        verb = {"resume": resume}
        run = training_run(tiny_model, path, task="grpo", tuner=tuner, parallel=parallel, verb_options=verb, **chosen, **SETTINGS | options)
        return replace(run, server=Server(url, ("m",)))

    return make


def steps(metrics, names=METRICS):
    return [[line[name] for name in names] for line in metrics if "loss" in line]


def test_answers_are_sampled_scored_and_trained_on(grpo, served, tmp_path):
    run_training(grpo(), tmp_path / "run")
    found = [line for line in map(json.loads, (tmp_path / "run/metrics.jsonl").read_text().splitlines()) if "loss" in line]
    assert [line["reward_std"] > 0 for line in found] == [True] * 3
    assert max(abs(line["kl_engine"]) for line in found) < 1e-6  # the engine has the weights of each step
    assert [(line["ratio"], line["staleness"]) for line in found] == [(pytest.approx(1), 0)] * 3
    generations = [Generation.read(generation_file(tmp_path / "run", number)) for number in range(3)]
    assert [generation.version for generation in generations] == [0, 1, 2]
    assert [[len(group.answers) for group in generation.groups] for generation in generations] == [[4, 4]] * 3
    assert len({group.seed for generation in generations for group in generation.groups}) == 6
    assert not list((tmp_path / "run/rollouts").glob("*.partial*"))


@pytest.mark.parametrize("case", [("ddp", "lora", {}), ("fsdp", "full", {"beta": 0.1, "num_iterations": 2})])
def test_two_processes_train_as_one(grpo, reloaded, tmp_path, case):
    """With full fine-tuning all steps are of one generation, which the server's own weights have sampled."""
    parallel, tuner, more = case
    if tuner == "full":
        more = {**more, "max_steps": 2, "url": reloaded.url}
    options = {"tuner": tuner, "learning_rate": 3e-3, **more}
    one = run_training(grpo(**options), tmp_path / "one")
    run = grpo(parallel=parallel, batch_size=2, **options)
    two = on_ranks(2, partial(run_training, run, tmp_path / "two"))[0]
    assert len(steps(one)) == (2 if tuner == "full" else 3)
    for ours, theirs in zip(steps(two), steps(one), strict=True):
        assert ours == pytest.approx(theirs, abs=2e-5)


@pytest.mark.parametrize("more", [{"rollout": {"ahead": 1}}, {"num_iterations": 2, "steps_per_generation": 4}], ids=str)
def test_a_resumed_run_samples_nothing_again(grpo, tmp_path, more):
    options = {"max_steps": 6, "save_steps": 1, **more}
    whole = run_training(grpo(**options), tmp_path / "whole")
    run_training(grpo(**options), tmp_path / "cut", stop_after=3)
    known = {path.name: path.read_bytes() for path in (tmp_path / "cut/rollouts").glob("*.jsonl")}
    resumed = run_training(grpo(**options, resume=str(tmp_path / "cut")), tmp_path / "on")
    for ours, theirs in zip(steps(resumed), steps(whole)[3:], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    assert {
        name: (tmp_path / "on/rollouts" / name).read_bytes() for name in known if (tmp_path / "on/rollouts" / name).exists()
    }.items() <= (known.items())
    if "rollout" in more:
        assert [line["staleness"] for line in whole if "loss" in line] == [0, 1, 1, 1, 1, 1]


def test_all_weights_are_given_to_the_engine(grpo, tiny_model, tmp_path):
    server = Served(tiny_model, tmp_path)
    try:
        metrics = run_training(grpo(tuner="full", url=server.url, learning_rate=1e-3), tmp_path / "run")
        with pytest.raises(UsageError, match="does not load other weights"):
            run_training(grpo(tuner="full", url=server.url, rollout={"folder": str(tmp_path.parent / "elsewhere")}), tmp_path / "refused")
    finally:
        server.close()
    found = [line for line in metrics if "loss" in line]
    assert len({line["loss"] for line in found}) == 3
    assert max(abs(line["kl_engine"]) for line in found) < 1e-6  # the engine has the weights of each step
    assert not list((tmp_path / "run/policies").glob("*"))


def test_a_killed_run_ends_as_one_that_was_not(grpo, tmp_path):
    kills(grpo, tmp_path, 1, steps=8)


@pytest.mark.full("kill")
def test_many_kills(grpo, tmp_path):
    kills(grpo, tmp_path, 10, steps=40)


def kills(grpo, folder, count, *, steps):
    options = {"max_steps": steps, "save_steps": 2, "epochs": 1}
    survived = check_kills(lambda resume: grpo(resume=resume, **options), folder, kills=count, seed=1, moments=MOMENTS)
    if count >= 7:  # each kind of moment at least once
        assert {"sampling", "publishing", "step", "save", "start"} == {*survived.moments}
    print(f"kills: {survived.moments}, {survived.in_saves} of them in the middle of a save")


def test_groups_without_spread_are_counted_and_replaced(grpo, tmp_path):
    plain = run_training(grpo(reward="often_equal", max_steps=1), tmp_path / "plain")[0]
    replaced = run_training(grpo(reward="often_equal", max_steps=1, dynamic_sample=True, max_resample_times=6), tmp_path / "replaced")[0]
    assert plain["groups_without_spread"] > replaced["groups_without_spread"]
    assert replaced["groups_replaced"] >= 1


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        ("raises", "ZeroDivisionError"),
        ("nan", "returned nan"),
        ("text", "returned 'good'"),
        ("few", "returned 1 scores for 8 answers"),
        ("nothing", "no reward applies"),
        ("hangs", "took longer than 0.5 s"),
        ("exits", "the process of the rewards has ended"),
    ],
)
def test_a_reward_that_fails_ends_the_run_and_loses_nothing(grpo, tmp_path, reward, said):
    with pytest.raises(SwiftError, match=said):
        run_training(grpo(reward=reward, reward_timeout=0.5 if reward == "hangs" else 60.0), tmp_path / "run")
    partial_file = tmp_path / "run/rollouts/generation-000000.partial.jsonl"
    assert len(partial_file.read_text().splitlines()) == 3  # its facts, and both groups


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_generations": 3}, "not a multiple of num_generations"),
        ({"max_completion_length": 100_000}, "exceed the model's context"),
        ({"url": "http://127.0.0.1:9/v1"}, "connection refused"),
    ],
)
def test_what_can_not_work_is_said_before_the_first_step(grpo, tmp_path, options, said):
    with pytest.raises(SwiftError, match=said):
        run_training(grpo(**options), tmp_path / "run")
    assert not (tmp_path / "run/rollouts").exists()


def test_raw_log_probabilities_are_refused_with_a_temperature(grpo, served, tmp_path):
    served.engine._served.processed_logprobs = False
    try:
        with pytest.raises(UsageError, match="processed_logprobs"):
            run_training(grpo(temperature=0.7), tmp_path / "run")
        run_training(grpo(max_steps=1), tmp_path / "neutral")
    finally:
        served.engine._served.processed_logprobs = True
