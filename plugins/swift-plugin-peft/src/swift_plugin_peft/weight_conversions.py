"""Detect module names that PEFT interprets as fused expert parameters.

transformers 5 fused the routed experts of most mixture-of-experts models into single parameters. PEFT converts adapters that were
trained on the former expert modules to those parameters. It matches the last component of a name only, so it also converts
current layers that happen to have such a name.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Collection

    from peft import PeftConfig
    from torch.nn import Module


def names_of_fused_experts(names: Collection[str], model: Module, method: PeftConfig) -> set[str]:
    """Return those of the target names that PEFT converts to parameters of fused experts."""
    try:
        from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
    except ImportError:  # older PEFT
        return set()
    config: Any = copy.deepcopy(method)
    config.target_modules = set(names)
    try:
        convert_peft_config_for_transformers(config, model, None)
    except ValueError:  # only some of the layers that are fused into one parameter are named
        return set(names)
    return set(names) - set(config.target_modules)


def converted_on_load(paths: Collection[str], model: Module, method: PeftConfig) -> set[str]:
    """Return the module paths whose saved adapter weights PEFT would assign to other modules when it loads them."""
    try:
        from peft.utils.transformers_weight_conversion import convert_peft_adapter_state_dict_for_transformers as convert
    except ImportError:  # older PEFT
        return set()
    keys = {path: f"base_model.model.{path}.lora_A.weight" for path in paths}
    state = {key: torch.zeros(1, 1) for key in keys.values()}
    try:
        converted = convert(model=model, peft_config=method, adapter_state_dict=state, adapter_name="default")
    except (ValueError, KeyError, RuntimeError):  # only one half of a pair that PEFT fuses
        return set()
    return {path for path, key in keys.items() if key not in converted}
