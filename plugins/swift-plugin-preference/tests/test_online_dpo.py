"""Online DPO: pairs of sampled answers, their loss that of TRL, on one process as on two, resumed and killed runs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from swift_plugin_preference.online_options import OnlineDpoOptions
from swift_plugin_preference.online_pairs import PREFERRED, build_pairs
from swift_rollouts.crash_moments import MOMENTS
from swift_rollouts.generation import Answer, Generation, Group, generation_file
from swift_train.crash_testing import check_kills
from swift_train.testing import on_ranks, run_training, samples_of, training_run, write_rows
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM

from swift_core.contract import Server

REWARDS = '''
def vowels(completions):
    """Part of the letters that are vowels."""
    return [sum(letter in "aeiou" for letter in text.lower()) / max(1, len(text)) for text in completions]


def equal(completions):
    return [1.0 for _ in completions]
'''
SETTINGS = {
    "max_steps": 3, "learning_rate": 1e-2, "schedule": "constant", "num_generations": 4, "batch_size": 2, "gradient_accumulation_steps": 2,
    "max_completion_length": 8, "shuffle": False, "max_grad_norm": 0.0, "beta": 0.2,
}  # fmt: skip
METRICS = ("loss", "grad_norm", "reward", "rewards/margins", "rewards/accuracies", "completions/length")


@pytest.fixture
def online(tiny_model, served, tmp_path):
    """Makes a run on eight prompts."""
    (tmp_path / "rewards.py").write_text(REWARDS)
    rows = [{"messages": [{"role": "user", "content": f"Which word is number {number}?"}]} for number in range(8)]
    path = write_rows(tmp_path / "rows.jsonl", rows)

    def make(*, reward="vowels", tuner="lora", resume="", **options):
        chosen = {"reward_funcs": [f"{tmp_path}/rewards.py:{reward}"], "rollout": served.url}
        run = training_run(
            tiny_model, path, task="online-dpo", tuner=tuner, verb_options={"resume": resume}, **chosen, **SETTINGS | options
        )
        return replace(run, server=Server(served.url, ("m",)))

    return make


def steps(metrics):
    return [[line[name] for name in METRICS] for line in metrics if "loss" in line]


@pytest.mark.parametrize("losses", [["sigmoid"], ["aot", "ipo"]], ids="+".join)
def test_the_loss_of_sampled_pairs_is_that_of_trl(online, served, tiny_model, tmp_path, losses):
    """Full fine-tuning for two steps on the answers of one generation: the reference is the model before the first one."""
    from trl_losses import loss_of_trl

    given = {"loss_type": losses, "learning_rate": 3e-3, "steps_per_generation": 4, "max_steps": 2}
    ours = [line for line in run_training(online(tuner="full", **given), tmp_path / "run") if "loss" in line]
    generation = Generation.read(generation_file(tmp_path / "run", 0))
    options = OnlineDpoOptions(**{**SETTINGS, **given, "reward_funcs": ["r"]})
    model, reference = (AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32) for _ in range(2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)

    def log_probabilities(of, prompt, ids):
        return torch.log_softmax(of(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1], -1)[range(len(ids)), ids]

    for step, groups in enumerate([generation.groups[:4], generation.groups[4:]]):
        chosen = [(group, max(group.answers, key=lambda answer: answer.rewards[0])) for group in groups]
        rejected = [(group, min(group.answers, key=lambda answer: answer.rewards[0])) for group in groups]
        assert all(best.rewards[0] > worst.rewards[0] for (_, best), (_, worst) in zip(chosen, rejected, strict=True))
        pairs = [*chosen, *rejected]
        with torch.no_grad():
            before = torch.stack([log_probabilities(reference, group.ids, answer.ids).sum() for group, answer in pairs])
        found = [log_probabilities(model, group.ids, answer.ids) for group, answer in pairs]
        mask = pad_sequence([torch.ones(len(part), dtype=torch.int64) for part in found], batch_first=True)
        loss = loss_of_trl(options, pad_sequence(found, batch_first=True), mask, before)
        loss.backward()
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in model.parameters()])
        assert ours[step]["loss"] == pytest.approx(loss.item(), abs=1e-4)
        assert ours[step]["grad_norm"] == pytest.approx(float(norm), rel=1e-3)
        optimizer.step()
        optimizer.zero_grad()
    assert ours[0]["rewards/margins"] == pytest.approx(0, abs=1e-6)
    assert ours[1]["rewards/margins"] != pytest.approx(0, abs=1e-4)


def test_two_processes_train_as_one_and_answers_are_sampled_anew(online, tmp_path):
    one = run_training(online(), tmp_path / "one")
    two = on_ranks(2, partial(run_training, online(batch_size=1), tmp_path / "two"))[0]
    for ours, theirs in zip(steps(two), steps(one), strict=True):
        assert ours == pytest.approx(theirs, abs=2e-5)
    generations = [Generation.read(generation_file(tmp_path / "one", number)) for number in range(3)]
    assert [(found.version, [len(group.answers) for group in found.groups]) for found in generations] == [
        (number, [4] * 4) for number in range(3)
    ]


def test_nothing_is_learned_without_a_preference(online, tmp_path):
    (line,) = [line for line in run_training(online(reward="equal", max_steps=1), tmp_path / "run") if "loss" in line]
    assert (line["loss"], line["grad_norm"], line["groups_without_spread"]) == (0, 0, 4)


def group(number, *answers):
    return Group(number, [1, 2], 0, [Answer([3] * length, [0.0] * length, "", finish, rewards=[r]) for length, finish, r in answers])


def test_the_best_and_the_worst_answer_are_a_pair(tmp_path):
    prompts = samples_of(tmp_path, [([1, 2], [(0, 2, 1.0)])] * 4)
    groups = [
        group(0, (1, "stop", 0.5), (2, "stop", 0.9), (3, "stop", 0.1)),
        group(1, (1, "stop", 0.5), (2, "stop", 0.5), (3, "stop", 0.5)),
        group(2, (1, "length", 1.0), (2, "stop", 0.3), (3, "stop", 0.2)),
        group(3, (1, "length", 1.0), (2, "length", 0.3), (3, "stop", 0.2)),
    ]
    generation = Generation(0, 0, rewards=["r"], groups=groups)

    def lengths(**options):
        (samples,) = build_pairs(generation, OnlineDpoOptions(reward_funcs=["r"], **options), 4, prompts)
        return samples.sampled, [[len(each.ids) - 2 for each in samples.sequences(row)] for row in range(len(samples))]

    assert lengths() == (3, [[2, 3], [1, 3], [1, 3]])
    assert lengths(missing_eos_penalty=2.0) == (3, [[2, 3], [2, 1], [3, 2]])
    assert lengths(mask_truncated_completions=True) == (2, [[2, 3], [2, 3]])
    (only,) = build_pairs(Generation(0, 0, rewards=["r"], groups=groups[1:2]), OnlineDpoOptions(reward_funcs=["r"]), 4, prompts)
    assert (len(only), only.sampled, only.sequences(0)[0].columns[PREFERRED]) == (1, 0, 0)


def test_a_killed_run_ends_as_one_that_was_not(online, tmp_path):
    kills(online, tmp_path, 1, steps=6)


@pytest.mark.full("kill")
def test_many_kills(online, tmp_path):
    kills(online, tmp_path, 10, steps=40)


def kills(online, folder, count, *, steps):
    options = {"max_steps": steps, "save_steps": 2}
    survived = check_kills(lambda resume: online(resume=resume, **options), folder, kills=count, seed=2, moments=MOMENTS)
    if count >= 7:  # each kind of moment at least once
        assert {"sampling", "publishing", "step", "save", "start"} == {*survived.moments}
    print(f"kills: {survived.moments}, {survived.in_saves} of them in the middle of a save")
