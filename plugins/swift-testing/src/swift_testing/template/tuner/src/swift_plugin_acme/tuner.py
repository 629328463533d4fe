"""Which weights learn, and how they are kept. Method: Qi et al. 2022, https://arxiv.org/abs/2211.10506 (LN-tuning)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract.errors import UsageError
from swift_plugin_acme.options import AcmeOptions

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.contract.specs import ModelFamily


class Acme:
    """Everything is frozen but the norms (and biases)."""

    def __init__(self, options: AcmeOptions) -> None:
        self.options = options

    def attach(self, model: Module, family: ModelFamily) -> Module:
        """Say which weights learn.

        Raises:
            UsageError: the model has no norms that could learn.
        """
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(self.learns(name))
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise UsageError("the model has no norms", where="tuner", hint="Take another tuner: --tuner lora.")
        return model.train()

    def learns(self, name: str) -> bool:
        """Whether the weight of that name learns: `model.layers.0.input_layernorm.weight` does."""
        module = name.rpartition(".")[0].rpartition(".")[2]
        return "norm" in module or module.startswith("ln_") or (self.options.biases and name.endswith(".bias"))

    def parameter_groups(self, model: Module) -> list[dict[str, Any]]:
        """One group: all that learns."""
        return [{"params": [parameter for parameter in model.parameters() if parameter.requires_grad]}]

    def save(self, model: Module, folder: Path, weights: Mapping[str, Any] | None = None) -> None:
        """Write the whole model as safetensors, as transformers does."""
        whole: Any = model
        whole.save_pretrained(folder, state_dict=dict(weights) if weights else None)

    def restore(self, model: Module, folder: Path, *, trainable: bool = False, name: str = "default") -> Module:
        """Put the weights that `save` wrote into the model."""
        whole: Any = type(model)
        saved = whole.from_pretrained(folder, dtype=next(model.parameters()).dtype, local_files_only=True)
        model.load_state_dict(saved.state_dict())
        return model.train(trainable)

    def merge(self, model: Module) -> Module:
        """Refused: its checkpoint is a whole model already."""
        raise UsageError("there is nothing to merge", where="tuner", hint="Its checkpoint is a whole model already.")
