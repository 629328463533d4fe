"""LoRA-GA: an adapter that starts in the direction of the gradients of the first training rows (https://arxiv.org/abs/2407.05000)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from peft.tuners.lora.loraga import preprocess_loraga

from swift_core.contract import UsageError
from swift_plugin_peft.options import LoraOptions

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_plugin_peft.adapter_options import AdapterOptions

NAME = "lora_ga"


class GradientStart:
    """Mixin of the PEFT tuner: `swift_train.roles.GradientTuner`."""

    options: AdapterOptions
    _backward: Callable[[Module], None] | None = None

    @property
    def gradient_rows(self) -> int:
        """The number of training rows that gradients are needed of; 0 for another initialisation."""
        return self.options.ga_rows if isinstance(self.options, LoraOptions) and self.options.init == NAME else 0

    def use_gradients(self, backward: Callable[[Module], None]) -> None:
        """Take the function that accumulates the gradients of the training rows."""
        self._backward = backward

    def estimate(self, model: Module, config: Any) -> None:
        """Compute the gradients that PEFT initialises the adapter from, if it does.

        Raises:
            UsageError: there are no training rows, or the model is quantized.
        """
        if not self.gradient_rows:
            return
        if self._backward is None:
            message = "its start values are those of gradients of training rows, and there are none"
            raise UsageError(message, code="TUNER-041", where="tuner.init", hint="Use it in a training: swift sft or swift pretrain.")
        preprocess_loraga(model, config, partial(self._backward, model))
