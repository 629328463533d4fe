"""Steps of loading a saved adapter: names of tied weights, a partial adapter removed, parameters that are truly missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import AuxiliaryTrainingWrapper

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


def under_all_names(model: Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add the tensors under every name of their parameters: some methods share one between layers (VB-LoRA's vector bank)."""
    parameters = list(model.named_parameters(remove_duplicate=False))
    given = {id(parameter): weights[name] for name, parameter in parameters if name in weights}
    return {**weights, **{name: given[id(parameter)] for name, parameter in parameters if id(parameter) in given}}


def remove_partial_adapter(model: Any, name: str) -> None:
    """Restore a model after an adapter failed to load, so that a server can continue with it."""
    if isinstance(model, PeftModel):
        if name in model.peft_config:
            model.delete_adapter(name)
        return
    for path, module in reversed(list(model.named_modules())):
        inner = getattr(module, "base_layer", None) if isinstance(module, BaseTunerLayer) else None
        inner = module.original_module if isinstance(module, AuxiliaryTrainingWrapper) else inner
        if inner is not None:
            parent, _, last = path.rpartition(".")
            setattr(model.get_submodule(parent), last, inner)
    vars(model).pop("peft_config", None)


def truly_missing(model: Module, missing: list[str]) -> list[str]:
    """Drop from the missing names those of parameters that were loaded under another name (VB-LoRA's shared vector bank)."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    found = {id(parameter) for name, parameter in parameters.items() if name not in missing}
    return [name for name in missing if name not in parameters or id(parameters[name]) not in found]


_CHECK_BASE = "Use the base model that the adapter was trained on."
