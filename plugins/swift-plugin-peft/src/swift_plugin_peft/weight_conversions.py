"""What PEFT makes of names that older versions of an architecture had: transformers 5 fused the experts of mixtures into parameters.

An adapter that was trained on the old modules is put onto the parameters that took their place. PEFT goes by the last part of a name, so
that it takes layers of today that have such a name for experts too.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Collection

    from peft import PeftConfig
    from torch.nn import Module


def renamed(names: Collection[str], model: Module, method: PeftConfig) -> set[str]:
    """The names that PEFT reads as parameters of fused experts."""
    try:
        from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
    except ImportError:  # older PEFT
        return set()
    config: Any = copy.deepcopy(method)
    config.target_modules = set(names)
    try:
        convert_peft_config_for_transformers(config, model, None)
    except ValueError:  # some of those that are fused into one
        return set(names)
    return set(names) - set(config.target_modules)


def misread(paths: Collection[str], model: Module, method: PeftConfig) -> set[str]:
    """The modules whose saved adapters PEFT would put elsewhere when it loads them."""
    try:
        from peft.utils.transformers_weight_conversion import convert_peft_adapter_state_dict_for_transformers as convert
    except ImportError:  # older PEFT
        return set()
    keys = {path: f"base_model.model.{path}.lora_A.weight" for path in paths}
    state = {key: torch.zeros(1, 1) for key in keys.values()}
    try:
        found = convert(model=model, peft_config=method, adapter_state_dict=state, adapter_name="default")
    except (ValueError, KeyError, RuntimeError):  # halves of what it fuses
        return set()
    return {path for path, key in keys.items() if key not in found}
