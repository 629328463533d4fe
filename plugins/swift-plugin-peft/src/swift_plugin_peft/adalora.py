"""AdaLoRA (https://arxiv.org/abs/2303.10512): LoRA as P·Λ·Q, whose singular values are pruned to a budget during training.

PEFT tracks the importance of each singular value and prunes; it must be called after every update, before the gradients are cleared.
PEFT adds the paper's penalty ‖PᵀP − I‖ + ‖QQᵀ − I‖ only to a loss that the model computes itself, so its gradient is added here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from swift_core.contract import UsageError
from swift_plugin_peft.tuner import PeftTuner

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from swift_plugin_peft.options import AdaLoraOptions


class AdaLoraTuner(PeftTuner):
    """A PeftTuner that prunes ranks after every update, through hooks on the optimizer."""

    options: AdaLoraOptions

    def prepare(self, model: Module, optimizer: Optimizer, steps: int) -> None:
        """Set the pruning schedule for `steps` updates and register the optimizer hooks.

        Raises:
            UsageError: `warmup` and `settle`, the phases without pruning, leave no step between them.
        """
        warmup, settle = int(steps * self.options.warmup), int(steps * self.options.settle)
        if warmup + settle >= steps:
            raise UsageError(
                f"none of the {steps} steps is left for pruning",
                code="TUNER-001",
                where="tuner.warmup",
                hint="Lower tuner.warmup or tuner.settle.",
            )
        adapted: Any = model
        config = adapted.peft_config["default"]
        config.total_step, config.tinit, config.tfinal = steps, warmup, settle
        updates = 0

        def before_update(*_: Any) -> None:
            if config.orth_reg_weight:
                add_penalty(model, config.orth_reg_weight)

        def after_update(*_: Any) -> None:
            nonlocal updates
            updates += 1
            adapted.base_model.update_and_allocate(updates)

        optimizer.register_step_pre_hook(before_update)
        optimizer.register_step_post_hook(after_update)


def add_penalty(model: Module, weight: float) -> None:
    """Add the gradient of weight · mean ‖PᵀP − I‖ (Frobenius norm, mean over all P and Q) to the parameters' gradients, in place."""
    trainable = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad and "lora_E" not in name]
    pairs = [(parameter, "lora_A" in name) for name, parameter in trainable if "lora_A" in name or "lora_B" in name]
    penalty: Tensor = torch.stack([_distance_from_orthogonal(parameter, rows=rows) for parameter, rows in pairs]).mean() * weight
    parameters = [parameter for parameter, _ in pairs]
    for parameter, gradient in zip(parameters, torch.autograd.grad(penalty, parameters), strict=True):
        parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)


def _distance_from_orthogonal(parameter: Tensor, *, rows: bool) -> Tensor:
    """Return ‖MMᵀ − I‖ if `rows`, else ‖MᵀM − I‖."""
    product = parameter @ parameter.T if rows else parameter.T @ parameter
    identity = torch.eye(len(product), device=product.device, dtype=product.dtype)
    norm: Tensor = torch.linalg.matrix_norm(product - identity)
    return norm
