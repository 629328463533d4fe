"""Options of `swift ppo`; the names are those of TRL and ms-swift."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator
from swift_rollouts.options import RewardOptions

from swift_core.options import option


class PpoOptions(RewardOptions):
    """Options of `swift ppo`."""

    num_generations: int = option(1, "Answers per prompt.", ge=1)
    num_iterations: int = option(4, "Number of passes over each batch of sampled answers.", ge=1, also=("num_ppo_epochs", "ppo_epochs"))
    num_mini_batches: int = option(
        1, "Optimizer steps of a pass over the answers that are sampled at once; each has batch_size answers as in other tasks.", ge=1
    )
    kl_coef: float = option(
        0.05, "Weight of the divergence from the reference policy, the model before training, which is subtracted from rewards.", ge=0
    )
    cliprange: float = option(0.2, "Clipping range of the importance ratio: 1 - cliprange to 1 + cliprange.", gt=0)
    cliprange_value: float = option(0.2, "Clipping range of values around those before the first pass over the answers.", gt=0)
    vf_coef: float = option(0.1, "Weight of the loss of the value head.", ge=0)
    gamma: float = option(1.0, "Discount factor of rewards.", ge=0, le=1)
    lam: float = option(0.95, "Decay λ of generalised advantage estimation.", ge=0, le=1, also=("gae_lambda",))
    whiten_rewards: bool = option(False, "Divide the rewards of tokens by their standard deviation.", also=("ppo_whiten_rewards",))
    whiten_advantages: bool = option(True, "Give advantages a mean of 0 and a standard deviation of 1 over the answers sampled at once.")

    @property
    def steps_at_once(self) -> int:
        """Optimizer steps whose answers are sampled at once."""
        return self.num_mini_batches if self.steps_per_generation is None else super().steps_at_once

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.steps_per_generation is not None and self.num_mini_batches > 1:
            raise ValueError("num_mini_batches and steps_per_generation say the same: give one of them")
        if self.truncated:
            raise ValueError("top_p, top_k, min_p and repetition_penalty sample from another distribution than the policy: leave them out")
        if self.engine.ahead:
            raise ValueError("answers of older weights are not corrected for: leave rollout.ahead at 0, or use grpo")
        return self
