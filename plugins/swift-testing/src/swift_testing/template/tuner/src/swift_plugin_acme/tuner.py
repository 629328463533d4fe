"""Train only the normalization layers (and biases). Source: LN-tuning, Qi et al. 2022, https://arxiv.org/abs/2211.10506."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import UsageError
from swift_plugin_acme.options import AcmeOptions

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.contract import ModelFamily


class Acme:
    """Freezes all weights except those of the normalization layers and, optionally, the biases."""

    def __init__(self, options: AcmeOptions) -> None:
        self.options = options

    def attach(self, model: Module, family: ModelFamily) -> Module:
        """Set which weights are trainable and return the model.

        Raises:
            UsageError: the model has no normalization layers.
        """
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(self.learns(name))
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise UsageError("the model has no normalization layers", where="tuner", hint="Use another tuner, such as --tuner lora.")
        return model.train()

    def learns(self, name: str) -> bool:
        """Return whether a weight is trained, by its name, such as `model.layers.0.input_layernorm.weight`."""
        module = name.rpartition(".")[0].rpartition(".")[2]
        return "norm" in module or module.startswith("ln_") or (self.options.biases and name.endswith(".bias"))

    def parameter_groups(self, model: Module) -> list[dict[str, Any]]:
        """Return all trainable parameters as one group."""
        return [{"params": [parameter for parameter in model.parameters() if parameter.requires_grad]}]

    def save(self, model: Module, folder: Path, weights: Mapping[str, Any] | None = None) -> None:
        """Write the full model as safetensors with transformers; `weights`, if given, are written instead of the module's."""
        whole: Any = model
        whole.save_pretrained(folder, state_dict=dict(weights) if weights else None)

    def restore(self, model: Module, folder: Path, *, trainable: bool = False, name: str = "default") -> Module:
        """Load the weights that `save` wrote into the model."""
        whole: Any = type(model)
        saved = whole.from_pretrained(folder, dtype=next(model.parameters()).dtype, local_files_only=True)
        model.load_state_dict(saved.state_dict())
        return model.train(trainable)

    def merge(self, model: Module) -> Module:
        """Raise a UsageError, since its checkpoint is a full model already."""
        raise UsageError("there is nothing to merge", where="tuner", hint="Use the checkpoint as it is: it is a full model.")
