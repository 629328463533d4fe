"""AdaLoRA (https://arxiv.org/abs/2303.10512): LoRA as P·Λ·Q, whose singular values are pruned to a budget while it learns.

PEFT keeps the importance of each value and prunes; it wants to be told of every update, before the gradients are forgotten. The
paper's penalty ‖PᵀP − I‖ + ‖QQᵀ − I‖, which PEFT adds to a loss that the model computes itself, is added here as its gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from swift_core.errors import UsageError
from swift_plugin_peft.tuner import PeftTuner

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from swift_plugin_peft.options import AdaLoraOptions


class AdaLoraTuner(PeftTuner):
    """Prunes after every update, by hooks on the optimizer."""

    options: AdaLoraOptions

    def prepare(self, model: Module, optimizer: Optimizer, steps: int) -> None:
        """Begin: `steps` updates are to come.

        Raises:
            UsageError: no steps are left between `warmup` and `settle`, the first and the last that prune nothing.
        """
        warmup, settle = int(steps * self.options.warmup), int(steps * self.options.settle)
        if warmup + settle >= steps:
            raise UsageError(f"no step of {steps} is left to prune in", where="tuner.warmup", hint="Lower tuner.warmup or tuner.settle.")
        adapted: Any = model
        config = adapted.peft_config["default"]
        config.total_step, config.tinit, config.tfinal = steps, warmup, settle
        done = 0

        def before(*_: Any) -> None:
            if config.orth_reg_weight:
                add_penalty(model, config.orth_reg_weight)

        def after(*_: Any) -> None:
            nonlocal done
            done += 1
            adapted.base_model.update_and_allocate(done)

        optimizer.register_step_pre_hook(before)
        optimizer.register_step_post_hook(after)


def add_penalty(model: Module, weight: float) -> None:
    """Add the gradient of weight · mean ‖PᵀP − I‖ (Frobenius, over all P and Q) to the parameters' gradients."""
    found = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad and "lora_E" not in name]
    pairs = [(parameter, "lora_A" in name) for name, parameter in found if "lora_A" in name or "lora_B" in name]
    penalty: Tensor = torch.stack([_skew(parameter, wide) for parameter, wide in pairs]).mean() * weight
    parameters = [parameter for parameter, _ in pairs]
    for parameter, gradient in zip(parameters, torch.autograd.grad(penalty, parameters), strict=True):
        parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)


def _skew(parameter: Tensor, wide: bool) -> Tensor:
    product = parameter @ parameter.T if wide else parameter.T @ parameter
    return torch.linalg.matrix_norm(product - torch.eye(len(product), device=product.device, dtype=product.dtype))
