"""PPO: its losses against plain torch with a value head on a copy of the model, one process and two, resumed runs, checkpoints."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import rollouts_in_torch as plain
import torch
from safetensors import safe_open
from swift_plugin_grpo import swift_check
from swift_plugin_grpo.gae import gae, whitened
from swift_plugin_grpo.ppo_options import PpoOptions
from swift_rollouts.generation import Generation, generation_file
from swift_train.testing import on_ranks, run_training, training_run, write_rows
from transformers import AutoModelForCausalLM

from swift_core.contract import Server

REWARDS = '''
def vowels(completions):
    """Part of the letters that are vowels."""
    return [sum(letter in "aeiou" for letter in text.lower()) / max(1, len(text)) for text in completions]
'''
RATE = 3e-3
SETTINGS = {
    "max_steps": 4, "learning_rate": RATE, "schedule": "constant", "batch_size": 4, "gradient_accumulation_steps": 2, "num_ppo_epochs": 2,
    "max_completion_length": 8, "shuffle": False, "max_grad_norm": 0.0,
}  # fmt: skip
METRICS = ("loss", "grad_norm", "reward", "policy_loss", "value_loss", "kl", "clip_ratio", "completions/length")


@pytest.fixture
def ppo(tiny_model, served, tmp_path):
    """Makes a run on eight prompts."""
    (tmp_path / "rewards.py").write_text(REWARDS)
    rows = [{"messages": [{"role": "user", "content": f"Which word is number {number}?"}]} for number in range(8)]
    path = write_rows(tmp_path / "rows.jsonl", rows)

    def make(*, parallel="ddp", parallel_options=None, tuner="lora", resume="", url=served.url, **options):
        chosen = {**SETTINGS, "reward_funcs": [f"{tmp_path}/rewards.py:vowels"], "rollout": url, **options}
        chosen["num_iterations"] = chosen.pop("num_ppo_epochs")
        run = training_run(
            tiny_model, path, task="ppo", tuner=tuner, parallel=parallel, parallel_options=parallel_options,
            verb_options={"resume": resume}, **chosen,
        )  # fmt: skip
        return replace(run, server=Server(url, ("m",)))

    return make


def steps(metrics):
    return [[line[name] for name in METRICS] for line in metrics if "loss" in line]


def values_and_log_probabilities(model, head, batch):
    """Both of each token of the answers, one row at a time, (answers, tokens); 0 where there is none."""
    values = torch.zeros(batch["mask"].shape)
    rows = []
    for row, (prompt, ids, mask) in enumerate(zip(batch["prompts"], batch["ids"], batch["mask"], strict=True)):
        own = ids[: int(mask.sum())]
        found = model(torch.tensor([[*prompt, *own.tolist()]]), output_hidden_states=True)
        values = values.clone()
        values[row, : len(own)] = head(found.hidden_states[-1][0, len(prompt) - 1 : -1]).squeeze(-1)
        log_p = torch.log_softmax(found.logits[0, len(prompt) - 1 : -1], -1).gather(1, own[:, None].long()).squeeze(1)
        rows.append(torch.cat([log_p, log_p.new_zeros(len(mask) - len(own))]))
    return values, torch.stack(rows)


def masked_whiten(values, mask, *, shift_mean):
    """As TRL's `masked_whiten` was, in its PPO trainer."""
    count = mask.sum()
    mean = (values * mask).sum() / count
    variance = ((values - mean) ** 2 * mask).sum() / (count - 1)
    found = (values - mean) * torch.rsqrt(variance + 1e-8)
    return (found if shift_mean else found + mean) * mask


def advantages_and_returns(options, scores, *, old, reference, values, mask):
    """From the definition: the sum of all later temporal differences, each weighted by (gamma · lam)^distance."""
    lengths = mask.sum(-1).long()
    rewards = -options.kl_coef * (old - reference) * mask
    for row, score in enumerate(scores):
        rewards[row, lengths[row] - 1] += score
    if options.whiten_rewards:
        rewards = masked_whiten(rewards, mask, shift_mean=False)
    found = torch.zeros_like(values)
    for row, length in enumerate(lengths.tolist()):
        for start in range(length):
            for place in range(start, length):
                after = values[row, place + 1] if place + 1 < length else 0.0
                difference = rewards[row, place] + options.gamma * after - values[row, place]
                found[row, start] += (options.gamma * options.lam) ** (place - start) * difference
    return masked_whiten(found, mask, shift_mean=True), (found + values) * mask


@pytest.mark.parametrize(
    "more",
    [{}, {"whiten_rewards": True, "gamma": 0.9, "cliprange": 0.01, "cliprange_value": 0.003, "vf_coef": 1.0, "kl_coef": 0.3}],
    ids=str,
)
def test_the_losses_are_their_equations_in_plain_torch(ppo, reloaded, tiny_model, tmp_path, more):
    """Full fine-tuning over two generations, two passes each: in the second pass ratios and values differ from those before."""
    ours = [line for line in run_training(ppo(tuner="full", url=reloaded.url, **more), tmp_path / "run") if "loss" in line]
    options = PpoOptions(reward_funcs=["r"], **more)
    model, reference = (AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32) for _ in range(2))
    head = torch.nn.Linear(model.config.hidden_size, 1)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0)
    for step in range(4):
        if step % 2 == 0:
            batch = plain.padded(Generation.read(generation_file(tmp_path / "run", step // 2)))
            mask, scores = batch["mask"], batch["rewards"].reshape(-1)
            with torch.no_grad():
                before, old = values_and_log_probabilities(model, head, batch)
                _, first = values_and_log_probabilities(reference, head, batch)
            advantage, returns = advantages_and_returns(options, scores, old=old, reference=first, values=before, mask=mask)
        values, now = values_and_log_probabilities(model, head, batch)
        ratio = (now - old).exp()
        policy = torch.maximum(-advantage * ratio, -advantage * ratio.clamp(1 - options.cliprange, 1 + options.cliprange))
        near = torch.clamp(values, before - options.cliprange_value, before + options.cliprange_value)
        value = 0.5 * torch.maximum((values - returns) ** 2, (near - returns) ** 2)
        loss = ((policy + options.vf_coef * value) * mask).sum() / mask.sum()
        loss.backward()
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters])
        line = ours[step]
        assert line["loss"] == pytest.approx(loss.item(), abs=1e-4)
        assert line["grad_norm"] == pytest.approx(norm.item(), rel=2e-3)
        assert line["value_loss"] == pytest.approx(((value * mask).sum() / mask.sum()).item(), abs=1e-4)
        assert line["kl"] == pytest.approx((((old - first) * mask).sum() / mask.sum()).item(), abs=1e-4)
        optimizer.step()
        optimizer.zero_grad()
    assert ours[3]["value"] != pytest.approx(0, abs=1e-4)
    if more:
        assert ours[3]["clip_ratio"] > 0 < ours[3]["clip_ratio/value"]


def test_advantages_of_an_answer():
    rewards, values = np.array([0.0, 0.0, 1.0], np.float32), np.array([0.5, 0.2, 0.1], np.float32)
    found, returns = gae(rewards, values, 1.0, 1.0)
    np.testing.assert_allclose(returns, [1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(found, 1 - values, atol=1e-6)
    np.testing.assert_allclose(gae(rewards, values, 0.9, 0.0)[0], [0.9 * 0.2 - 0.5, 0.9 * 0.1 - 0.2, 0.9], atol=1e-6)
    (shifted,), (kept,) = whitened([rewards], shift=True), whitened([rewards], shift=False)
    assert (shifted.mean(), kept.mean()) == (pytest.approx(0, abs=1e-6), pytest.approx(1 / 3, abs=1e-6))


@pytest.mark.parametrize("case", [("ddp", "lora"), ("fsdp", "full")])
def test_two_processes_train_as_one_and_checkpoints_have_the_policy_alone(ppo, served, reloaded, tmp_path, case):
    parallel, tuner = case
    more = {"tuner": tuner, **({"url": reloaded.url, "max_steps": 2} if tuner == "full" else {})}
    one = run_training(ppo(**more), tmp_path / "one")
    two = on_ranks(2, partial(run_training, ppo(parallel=parallel, batch_size=2, **more), tmp_path / "two"))[0]
    for ours, theirs in zip(steps(two), steps(one), strict=True):
        assert ours == pytest.approx(theirs, abs=5e-5)
    name = "adapter_model.safetensors" if tuner == "lora" else "model.safetensors"
    for run in ("one", "two"):
        with safe_open(tmp_path / run / "output" / name, "pt") as file:
            assert not [key for key in file.keys() if "value_head" in key]  # noqa: SIM118
    if tuner == "full":
        _, info = AutoModelForCausalLM.from_pretrained(tmp_path / "two/output", output_loading_info=True)
        assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys"))


def test_a_resumed_run_ends_as_one_that_was_not_interrupted(ppo, tmp_path):
    """It is stopped between two passes over the answers: values and log-probabilities are those from before the first."""
    options = {"max_steps": 6, "save_steps": 1, "num_ppo_epochs": 3}
    whole = run_training(ppo(**options), tmp_path / "whole")
    run_training(ppo(**options), tmp_path / "cut", stop_after=2)
    resumed = run_training(ppo(**options, resume=str(tmp_path / "cut")), tmp_path / "on")
    assert steps(resumed) == steps(whole)[2:]
    name = "output/adapter_model.safetensors"
    assert (tmp_path / "on" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.full("rl")
def test_the_reward_rises(ppo, reloaded, tmp_path):
    more = {"max_steps": 60, "batch_size": 32, "gradient_accumulation_steps": 1, "num_ppo_epochs": 4, "kl_coef": 0.0, "vf_coef": 0.5}
    found = run_training(ppo(tuner="full", url=reloaded.url, **more), tmp_path / "run")
    rewards = [line["reward"] for line in found if "loss" in line]
    print([round(reward, 3) for reward in rewards[::4]])
    assert sum(rewards[-12:]) > 2 * sum(rewards[:12])


def test_strategies_without_the_value_head_are_refused(ppo):
    (problem,) = swift_check(ppo(parallel="mesh", parallel_options={"tensor": 2}))
    assert (problem.code, problem.where) == ("RL-048", "parallel.tensor")
    assert not list(swift_check(ppo(parallel="fsdp")))
