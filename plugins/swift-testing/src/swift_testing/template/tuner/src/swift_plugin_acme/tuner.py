"""Train only the normalization layers (and biases). Source: LN-tuning, Qi et al. 2022, https://arxiv.org/abs/2211.10506."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_train.tuner_bases import WholeModelTuner

from swift_plugin_acme.options import AcmeOptions

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.contract import ModelFamily


class Acme(WholeModelTuner):
    """Freezes all weights except those of the normalization layers and, optionally, the biases."""

    def __init__(self, options: AcmeOptions) -> None:
        self.options = options

    def is_trainable(self, name: str, family: ModelFamily, model: Module) -> bool:
        """Return whether a weight is trained, by its name, such as `model.layers.0.input_layernorm.weight`."""
        module = name.rpartition(".")[0].rpartition(".")[2]
        return "norm" in module or module.startswith("ln_") or (self.options.biases and name.endswith(".bias"))
