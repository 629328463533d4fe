"""Each loss, advantage and correction against plain torch on the same rollouts."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import rollouts_in_torch as plain
import torch
from swift_plugin_grpo.losses import correction
from swift_plugin_grpo.options import GrpoOptions
from swift_rollouts.advantages import advantages
from swift_rollouts.generation import Generation, generation_file
from swift_train.testing import run_training, training_run, write_rows
from transformers import AutoModelForCausalLM

from swift_core.contract import Server

REWARD = "def spread(completions, **_):\n    return [sum(map(ord, text)) % 7 / 7 for text in completions]\n"
RATE = 3e-3


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    (folder / "rewards.py").write_text(REWARD)
    rows = [{"messages": [{"role": "user", "content": f"Say {number}."}]} for number in range(4)]
    return write_rows(folder / "rows.jsonl", rows), f"{folder}/rewards.py:spread"


@pytest.mark.parametrize(
    "case",
    [
        ("dapo", {"temperature": 0.7}),
        ("grpo", {"beta": 0.1}),
        ("bnpo", {"epsilon": 0.005, "delta": 1.01}),
        ("dr_grpo", {"epsilon": 0.01, "epsilon_high": 0.02}),
        ("cispo", {"epsilon_high": 1.01}),
        ("gspo", {"epsilon": 0.001}),
        ("luspo", {}),
        ("sapo", {"beta": 0.05}),
    ],
)
def test_a_loss_is_its_equation_in_plain_torch_and_that_of_trl(tiny_model, reloaded, files, tmp_path, case):
    """Two passes over one generation with full fine-tuning: in the second one the ratios differ from 1. TRL's loss is differentiated."""
    from trl_replay import loss_of_trl

    (rows, reward), (kind, more) = files, case
    options = {
        "loss_type": kind, "num_iterations": 2, "max_steps": 2, "learning_rate": RATE, "schedule": "constant", "num_generations": 4,
        "batch_size": 8, "max_completion_length": 10, "shuffle": False, "max_grad_norm": 0.0, "reward_funcs": [reward],
        "rollout": reloaded.url, **more,
    }  # fmt: skip
    run = replace(training_run(tiny_model, rows, task="grpo", tuner="full", **options), server=Server(reloaded.url, ("m",)))
    ours = [line for line in run_training(run, tmp_path / "run") if "loss" in line]
    batch = plain.padded(Generation.read(generation_file(tmp_path / "run", 0)))
    chosen = GrpoOptions(**options)
    model, first = (AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32) for _ in range(2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    with torch.no_grad():
        old = plain.log_probabilities(first, batch, chosen.temperature)
    assert torch.allclose(old, batch["engine"], atol=1e-5)
    for step in range(2):
        now = plain.log_probabilities(model, batch, chosen.temperature)
        difference = old - now
        loss = plain.loss_of(
            "grpo" if kind == "gspo" else kind, now, old, plain.group_advantages(batch["rewards"]), batch["mask"],
            longest=10, low=chosen.epsilon, high=chosen.high, level="sequence" if chosen.by_sequence else "token",
            delta=chosen.delta, divergence=chosen.beta * (difference.exp() - difference - 1) if chosen.beta else 0.0,
        )  # fmt: skip
        theirs = loss_of_trl(chosen, now, old, advantage=plain.group_advantages(batch["rewards"]), mask=batch["mask"])
        torch.testing.assert_close(theirs, loss)
        theirs.backward()
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in model.parameters()])
        assert (ours[step]["loss"], ours[step]["grad_norm"]) == (
            pytest.approx(float(loss), abs=2e-5), pytest.approx(float(norm), rel=2e-4)
        )  # fmt: skip
        optimizer.step()
        optimizer.zero_grad()
    assert ours[1]["ratio"] != pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize("more", [{"kl_in_reward": True, "beta": 0.5}, {"top_entropy_quantile": 0.3}], ids=["reward", "entropy"])
def test_the_divergence_lowers_rewards_and_entropy_chooses_tokens(tiny_model, reloaded, files, tmp_path, more):
    """Full fine-tuning over two generations: before the second one, the policy differs from the reference."""
    rows, reward = files
    options = {
        "max_steps": 2, "learning_rate": RATE, "schedule": "constant", "num_generations": 4, "batch_size": 8, "max_completion_length": 10,
        "shuffle": False, "max_grad_norm": 0.0, "reward_funcs": [reward], "rollout": reloaded.url, **more,
    }  # fmt: skip
    run = replace(training_run(tiny_model, rows, task="grpo", tuner="full", **options), server=Server(reloaded.url, ("m",)))
    ours = [line for line in run_training(run, tmp_path / "run") if "loss" in line]
    model, reference = (AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32) for _ in range(2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    for step in range(2):
        batch = plain.padded(Generation.read(generation_file(tmp_path / "run", step)))
        now, mask, rewards = plain.log_probabilities(model, batch, 1.0), batch["mask"], batch["rewards"]
        with torch.no_grad():
            before = plain.log_probabilities(reference, batch, 1.0)
        if "beta" in more:
            rewards = rewards - 0.5 * ((now - before) * mask).sum(-1).detach().view(rewards.shape)
        advantage = plain.group_advantages(rewards)
        kept = mask
        if "top_entropy_quantile" in more:
            entropy = plain.entropies(model, batch)
            kept = mask * (entropy >= np.quantile(entropy[mask > 0].numpy(), 0.7, method="lower"))
        loss = -((now - now.detach()).exp() * advantage[:, None] * kept).sum() / mask.sum()
        loss.backward()
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in model.parameters()])
        assert ours[step]["loss"] == pytest.approx(loss.item(), abs=2e-4)
        assert ours[step]["grad_norm"] == pytest.approx(norm.item(), rel=2e-3)
        optimizer.step()
        optimizer.zero_grad()
    if "beta" in more:
        assert ours[1]["kl"] > 0


def micro(lengths):
    sequence = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    return SimpleNamespace(sequence=sequence, sums=lambda values: values.new_zeros(len(lengths)).index_add(0, sequence, values))


@pytest.mark.parametrize("mode", ["none", "token_truncate", "token_mask", "sequence_truncate", "sequence_mask"])
def test_the_correction_for_the_engine(mode):
    difference = torch.tensor([0.1, 1.0, -2.0, 0.0, 0.3])  # two answers, of 3 and 2 tokens
    options = SimpleNamespace(correction=mode, importance_sampling_min=0.5, importance_sampling_max=2.0)
    weight, kept = correction(difference, micro([3, 2]), options)
    ratio = difference.exp()
    if mode.startswith("sequence"):
        ratio = torch.tensor([-0.9, 0.3]).exp()[[0, 0, 0, 1, 1]]
    inside = ((ratio >= 0.5) & (ratio <= 2)).float()
    expected = {"truncate": (ratio.clamp(0.5, 2), torch.ones(5)), "mask": (ratio * inside, inside), "none": (torch.ones(5), torch.ones(5))}
    torch.testing.assert_close((weight, kept), expected[mode.rpartition("_")[2]])


def test_advantages():
    rewards = [np.array([1.0, 0.0, 0.0, 1.0]), np.array([2.0, 2.0, 2.0, 2.0]), np.array([0.0, 3.0])]
    every = np.concatenate(rewards)
    tiny = 1e-4
    group = advantages(rewards, "group", "grpo")
    np.testing.assert_allclose(
        group[0],
        [0.5 / (rewards[0].std(ddof=1) + tiny)] * 1
        + [-0.5 / (rewards[0].std(ddof=1) + tiny)] * 2
        + [0.5 / (rewards[0].std(ddof=1) + tiny)],
    )
    assert not group[1].any()
    np.testing.assert_allclose(advantages(rewards, "batch", "grpo")[2], np.array([-1.5, 1.5]) / (every.std(ddof=1) + tiny))
    np.testing.assert_allclose(advantages(rewards, "none", "grpo")[2], [-1.5, 1.5])
    np.testing.assert_allclose(advantages(rewards, "none", "rloo")[0], [1 - 1 / 3, -2 / 3, -2 / 3, 1 - 1 / 3])
    plus = advantages(rewards, "none", "reinforce_plus_plus")
    np.testing.assert_allclose(np.concatenate(plus), (every - every.mean()) / (every.std(ddof=1) + tiny))
