"""The losses of GRPO in plain torch, padded, as TRL's `GRPOTrainer` computes them; shapes (answers, tokens)."""

from __future__ import annotations

import torch
from swift_rollouts.generation import Generation


def padded(generation: Generation) -> dict[str, torch.Tensor]:
    """Return ids (answers, prompt and tokens), mask, the engine's log-probabilities and the first reward; padded on the right."""
    answers = [(group, answer) for group in generation.groups for answer in group.answers]
    length = max(len(answer.ids) for _, answer in answers)

    def rows(values: list[list[float]]) -> torch.Tensor:
        return torch.tensor([[*row, *[0] * (length - len(row))] for row in values])

    return {
        "ids": rows([answer.ids for _, answer in answers]),
        "mask": rows([[1.0] * len(answer.ids) for _, answer in answers]),
        "engine": rows([answer.logprobs for _, answer in answers]),
        "rewards": torch.tensor([[answer.rewards[0] for answer in group.answers] for group in generation.groups]),
        "prompts": [group.ids for group, _ in answers],
    }


def log_probabilities(model: torch.nn.Module, batch: dict[str, torch.Tensor], temperature: float) -> torch.Tensor:
    """Return the log-probability of each token of the answers, one row at a time; 0 where there is none."""
    found = torch.zeros(batch["mask"].shape)
    rows = []
    for prompt, ids, mask in zip(batch["prompts"], batch["ids"], batch["mask"], strict=True):
        own = ids[: int(mask.sum())]
        logits = model(torch.tensor([[*prompt, *own.tolist()]])).logits[0, len(prompt) - 1 : -1] / temperature
        values = torch.log_softmax(logits.float(), -1).gather(1, own[:, None].long()).squeeze(1)
        rows.append(torch.cat([values, values.new_zeros(found.shape[1] - len(own))]))
    return torch.stack(rows)


@torch.no_grad()
def entropies(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the entropy before each token of the answers, (answers, tokens); 0 where there is none."""
    found = torch.zeros(batch["mask"].shape)
    for row, (prompt, ids, mask) in enumerate(zip(batch["prompts"], batch["ids"], batch["mask"], strict=True)):
        own = ids[: int(mask.sum())]
        every = torch.log_softmax(model(torch.tensor([[*prompt, *own.tolist()]])).logits[0, len(prompt) - 1 : -1], -1)
        found[row, : len(own)] = -(every.exp() * every).sum(-1)
    return found


def group_advantages(rewards: torch.Tensor) -> torch.Tensor:
    """Return (reward - mean) / (deviation + 1e-4) by group, (answers,)."""
    return ((rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)).reshape(-1)


def loss_of(
    kind: str, now: torch.Tensor, old: torch.Tensor, advantage: torch.Tensor, mask: torch.Tensor, *, longest: int, low: float, high: float,
    level: str, delta: float | None = None, weight: torch.Tensor | float = 1.0, divergence: torch.Tensor | float = 0.0,
) -> torch.Tensor:  # fmt: skip
    """Return the loss of all answers: `weight` corrects for the engine, `divergence` is added to each token's loss."""
    advantage = advantage[:, None]
    log_ratio = now - old
    if level == "sequence":
        log_ratio = ((log_ratio * mask).sum(-1) / mask.sum(-1))[:, None]
    ratio = log_ratio.exp()
    if kind == "cispo":
        each = -ratio.clamp(max=high).detach() * advantage * now
    elif kind == "sapo":
        temperature = torch.where(advantage > 0, 1.0, 1.05)
        each = -torch.sigmoid(temperature * (ratio - 1)) * 4 / temperature * advantage
    else:
        each = -torch.min((ratio if delta is None else ratio.clamp(max=delta)) * advantage, ratio.clamp(1 - low, 1 + high) * advantage)
    each = each * weight + divergence
    if kind in ("grpo", "sapo"):
        return ((each * mask).sum(-1) / mask.sum(-1)).mean()
    if kind == "luspo":
        return (each * mask).sum(-1).mean()
    if kind == "dr_grpo":
        return (each * mask).sum() / (len(mask) * longest)
    return (each * mask).sum() / mask.sum()
