"""TRL's own loss (trl 1.16, `GRPOTrainer._compute_loss`) of rollouts that are given to it; shapes (answers, tokens)."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import torch
from swift_plugin_grpo.options import GrpoOptions
from trl import GRPOTrainer


class Replay(GRPOTrainer):
    """TRL's trainer without a model, data set and accelerator: it computes the loss of log-probabilities that it is given."""

    def __init__(self, options: GrpoOptions, now: torch.Tensor) -> None:
        self._now = now
        self.loss_type = "grpo" if options.loss_type == "gspo" else options.loss_type
        self.importance_sampling_level = "sequence" if options.by_sequence else "token"
        self.epsilon_low, self.epsilon_high, self.beta = options.epsilon, options.high, options.beta
        self.max_completion_length = options.max_completion_length
        self.args = SimpleNamespace(
            delta=options.delta, use_bias_correction_kl=False, steps_per_generation=1,
            sapo_temperature_pos=options.sapo_temperature_pos, sapo_temperature_neg=options.sapo_temperature_neg,
        )  # fmt: skip
        alone = {"gather": lambda value: value, "reduce": lambda value, reduction: value}
        self.accelerator = SimpleNamespace(num_processes=1, sync_gradients=True, **alone)
        self.model = SimpleNamespace(training=True)
        self.current_gradient_accumulation_steps, self.top_entropy_quantile, self.off_policy_mask_threshold = 1, 1.0, None
        self.aux_loss_enabled = self.use_vllm = self._entropy_bonus_enabled = False
        self._metrics: Any = {"train": defaultdict(list)}

    def _get_per_token_logps_and_entropies(self, *_: Any, **__: Any) -> tuple[torch.Tensor, torch.Tensor, None]:
        return self._now, torch.zeros_like(self._now), None


def loss_of_trl(options: GrpoOptions, now: torch.Tensor, old: torch.Tensor, *, advantage: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return TRL's loss of one step; `old` is the reference policy too."""
    ids = torch.zeros_like(mask, dtype=torch.int64)
    inputs = {
        "prompt_ids": ids[:, :1], "prompt_mask": ids[:, :1], "completion_ids": ids, "completion_mask": mask, "advantages": advantage,
        "old_per_token_logps": old, "ref_per_token_logps": old, "num_items_in_batch": mask.sum(),
    }  # fmt: skip
    loss: torch.Tensor = Replay(options, now)._compute_loss(None, inputs)
    return loss
