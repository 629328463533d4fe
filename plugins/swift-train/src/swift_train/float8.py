"""Training with the matrix products of linear layers in float8 (torchao's dynamic scaling by tensor), weights and sums as before.

Needs torchao, and a GPU with float8 (Ada, Hopper or newer). On a CPU the products are emulated with the same rounding, which is slow.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from torch.nn import Module

_MULTIPLE = 16  # sizes of a layer that the kernels compute
_CAPABILITY = (8, 9)


def compute_in_float8(module: Module, head: Module | None, device: torch.device) -> int:
    """Let the linear layers of a model compute in float8, and return their number; output layer and adapters stay as they are.

    Raises:
        UsageError: the GPU has no float8, or no layer has sizes that it can compute.
    """
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < _CAPABILITY:
        found = ".".join(map(str, torch.cuda.get_device_capability(device)))
        message = f"this GPU has no float8: its compute capability is {found}, and {'.'.join(map(str, _CAPABILITY))} is needed"
        raise UsageError(message, code="TRAIN-272", where="fp8", hint="Leave --fp8 out to compute in bfloat16.")
    library: Any = import_module("torchao.float8")

    def fits(layer: Any, name: str) -> bool:
        sizes = (layer.in_features, layer.out_features) if type(layer) is torch.nn.Linear else (1,)
        return layer is not head and "lora_" not in name and not any(size % _MULTIPLE for size in sizes)

    count = sum(fits(layer, name) for name, layer in module.named_modules())
    if not count:
        message = f"no linear layer has sizes that are multiples of {_MULTIPLE}"
        raise UsageError(message, code="TRAIN-221", where="fp8", hint="Leave --fp8 out.")
    library.convert_to_float8_training(module, config=_config(device), module_filter_fn=fits)
    return count


def float8_layers(module: Module) -> set[str]:
    """Return the names of the weights of a model whose products `compute_in_float8` has put into float8."""
    kind: Any = import_module("torchao.float8.float8_linear").Float8Linear if "torchao.float8" in sys.modules else ()
    return {f"{name}.weight" for name, layer in module.named_modules() if isinstance(layer, kind)}


def float8_product(device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the product of activations, (…, inputs), and a weight, (outputs, inputs), in float8. Differentiable."""
    library: Any = import_module("torchao.float8.float8_linear")
    layer = library.Float8Linear.from_float(torch.nn.Linear(_MULTIPLE, _MULTIPLE, bias=False, device="meta"), config=_config(device))

    def product(states: Tensor, weight: Tensor) -> Tensor:
        found: Tensor = library.matmul_with_hp_or_float8_args.apply(states, weight.t(), layer.linear_mm_config, layer.config)
        return found

    return product


def fits_float8(weight: Tensor) -> bool:
    """Return whether the kernels compute products with a weight of these sizes."""
    return not any(size % _MULTIPLE for size in weight.shape)


def _config(device: torch.device) -> Any:
    """Return torchao's configuration; the gradient of a weight is summed over the tokens, whose number is padded for the kernels."""
    return import_module("torchao.float8").Float8LinearConfig(emulate=device.type != "cuda", pad_inner_dim=True)
