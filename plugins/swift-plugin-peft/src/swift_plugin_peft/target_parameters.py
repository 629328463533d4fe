"""Match the names of parameters that LoRA adapts, such as the stacked weights of the experts of a mixture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core.contract import UsageError, suggestion
from swift_plugin_peft.targets import path_ends_with

if TYPE_CHECKING:
    from torch.nn import Module

_DIMENSIONS = (2, 3)  # a matrix, or one for each expert


def find_parameters(names: list[str], model: Module) -> list[str]:
    """Return the value of PEFT's `target_parameters` for these names.

    They stay as they are, so that the configuration is short; but a parameter that is computed from a quantized one is found by PEFT
    under its full name only.

    Raises:
        UsageError: a name matches no parameter, or one that is neither a matrix nor a stack of matrices.
    """
    shapes = {name: (dimensions, computed) for name, dimensions, computed in _parameters(model)}
    found: list[str] = []
    for name in names:
        matching = [path for path in shapes if path_ends_with(path, name)]
        if not matching:
            known = sorted(
                {".".join(path.rsplit(".", 2)[-2:]) for path, (dimensions, _) in shapes.items() if dimensions == max(_DIMENSIONS)}
            )
            hint = suggestion(name, [*known, *shapes]) or (f"Stacked weights of this model: {', '.join(known)}." if known else "")
            raise UsageError(
                f"'{name}' matches no parameter", code="TUNER-030", where="tuner.parameters",
                hint=hint or "The model has no stacked weights: its layers are named with tuner.targets.",
            )  # fmt: skip
        if wrong := next((path for path in matching if shapes[path][0] not in _DIMENSIONS), ""):
            raise UsageError(
                f"'{wrong}' has {shapes[wrong][0]} dimensions, and LoRA adapts matrices and stacks of matrices", code="TUNER-031",
                where="tuner.parameters", hint="Name a weight, or train the parameter itself: --tuner freeze.",
            )  # fmt: skip
        found += matching if any(shapes[path][1] for path in matching) else [name]
    return found


def _parameters(model: Module) -> Iterator[tuple[str, int, bool]]:
    """Yield name and number of dimensions of each parameter, and whether it is computed from another one (`parametrize`)."""
    for path, module in model.named_modules():
        if "parametrizations" in path.split("."):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            yield f"{path}.{name}", parameter.dim(), False
        for name in getattr(module, "parametrizations", ()):
            yield f"{path}.{name}", getattr(module, name).dim(), True
