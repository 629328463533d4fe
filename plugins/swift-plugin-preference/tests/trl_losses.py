"""TRL's own loss of preference pairs (trl 1.16, `DPOTrainer._compute_loss`) for log-probabilities that are given to it."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import torch
from swift_plugin_preference.options import DpoOptions
from trl import DPOTrainer


class Replay(DPOTrainer):
    """TRL's trainer without a model, data set and accelerator."""

    def __init__(self, options: DpoOptions) -> None:
        self.loss_types, self.beta, self.label_smoothing = options.loss_type, options.beta, options.label_smoothing
        self.loss_weights = options.loss_weights or [1.0] * len(options.loss_type)
        self.args = SimpleNamespace(discopop_tau=options.discopop_tau)
        same = {"gather": lambda value: value, "gather_for_metrics": lambda value: value}
        self.accelerator = SimpleNamespace(device=torch.device("cpu"), **same)
        self.model = SimpleNamespace(training=True)
        self.aux_loss_enabled = self.use_weighting = False
        self.ld_alpha, self.f_divergence_type, self.precompute_ref_logps = None, "reverse_kl", True
        self._metrics: Any = {"train": defaultdict(list)}
        self._total_train_tokens, self._tp_size = 0, 1


def loss_of_trl(options: DpoOptions, found: torch.Tensor, mask: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Return TRL's loss.

    Args:
        options: of the task.
        found: log-probability of each token, 0 where there is none, (2 pairs, tokens): first the chosen answers, then the rejected ones.
        mask: where there is a token, (2 pairs, tokens).
        reference: log-probability of each answer by the reference, (2 pairs,).
    """
    nothing = torch.zeros_like(found)
    outputs = SimpleNamespace(log_probs=found, entropy=nothing, mean_logits=nothing, is_top1=nothing.bool())
    before = torch.zeros(len(mask), 1, dtype=mask.dtype)
    chosen, rejected = reference.chunk(2)
    inputs = {
        "input_ids": torch.zeros(len(mask), mask.shape[1] + 1, dtype=torch.int64), "attention_mask": torch.ones_like(mask),
        "completion_mask": torch.cat([before, mask], 1), "ref_chosen_logps": chosen, "ref_rejected_logps": rejected,
    }  # fmt: skip
    loss: torch.Tensor = Replay(options)._compute_loss(lambda **_: outputs, inputs, return_outputs=False)
    return loss
