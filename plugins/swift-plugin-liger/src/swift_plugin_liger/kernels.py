"""Liger's kernels in place of a model's operations. The loss stays the training loop's own, which never has all logits at once."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_OWN_LOSS = {"cross_entropy": False, "fused_linear_cross_entropy": False}


class Liger:
    """Triton kernels of Liger (`liger_kernel.transformers.monkey_patch`)."""

    summary: ClassVar[str] = "RMSNorm, rotary embeddings, SwiGLU and GeGLU by Liger's Triton kernels"

    def missing(self) -> str:
        """Return the requirement for pip, if Liger or Triton is not installed."""
        installed = all(importlib.util.find_spec(name) for name in ("liger_kernel", "triton"))
        return "" if installed else "swift-plugin-liger[engine]"

    def unsuitable(self, model: PreTrainedModel, device: torch.device) -> str:
        """Return why not: Triton compiles for accelerators alone, and Liger knows certain types of models."""
        from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN

        if device.type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
            return "Triton's kernels run on accelerators, and the training is on the CPU"
        kind = model.config.model_type
        return "" if kind in MODEL_TYPE_TO_APPLY_LIGER_FN else f"Liger has no kernels for models of the type {kind}"

    def apply(self, model: PreTrainedModel) -> Sequence[str]:
        """Replace the operations that Liger has for this type of model, and return the names of Liger's classes and functions."""
        from liger_kernel.transformers.monkey_patch import _apply_liger_kernel_to_instance

        _apply_liger_kernel_to_instance(model=model, **_OWN_LOSS)
        return sorted(_replaced(model))


def _replaced(model: PreTrainedModel) -> set[str]:
    """Return Liger's methods in the modules of a model, by their classes, and its functions in the module of the model's class."""
    import sys

    methods = (part.__dict__["forward"] for part in model.modules() if "forward" in part.__dict__)
    classes = {method.__qualname__.partition(".")[0] for method in methods if getattr(method, "__module__", "").startswith("liger_kernel")}
    names = {name for kind in type(model).__mro__ if kind.__module__.startswith("transformers.models.") for name in (kind.__module__,)}
    functions = (value for name in names for value in vars(sys.modules[name]).values() if callable(value))
    return classes | {value.__name__ for value in functions if getattr(value, "__module__", "").startswith("liger_kernel")}
