"""The base of an adapter as plain float32 weights, whatever it is stored in: what an adapter is merged into.

A quantized layer takes no update (PEFT drops it in silence, or rounds it away), so the base is dequantized first: to exactly the numbers
that its layers computed with when the adapter was fitted to them. What a format rounds of the activations (FP8, W8A8) is left out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from swift_core.checkpoint import quantization_of, read_config
from swift_core.errors import UsageError
from swift_core.roles import Loaded
from swift_train import gptq_awq_unpack
from swift_train.build import base_of, load_with
from swift_train.save_model import unquantized_copy

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.run import Choice, Run

_WHILE_LOADING = {  # transformers' configuration of what it dequantizes while it loads
    "compressed-tensors": "CompressedTensorsConfig",
    "fp8": "FineGrainedFP8Config",
    "mxfp4": "Mxfp4Config",
}
_AFTERWARDS = ("bitsandbytes", "torchao")


def check_dequantizable(base: Path) -> None:
    """Check that a base can be dequantized, before anything is loaded.

    Raises:
        UsageError: its quantizer has no way back.
    """
    method = quantization_of(read_config(base))
    if method and method not in {*_WHILE_LOADING, *_AFTERWARDS, *gptq_awq_unpack.METHODS}:
        problem = f"a base that {method} has quantized can't be dequantized here"
        raise UsageError(problem, where=str(base), hint=gptq_awq_unpack.OTHERWISE)


def load_dequantized(run: Run, quantizer: Choice | None, device: str, scratch: Path) -> Loaded:
    """Load the run's base in float32.

    Args:
        run: whose model is meant.
        quantizer: the one that the base was loaded with when the adapter was trained.
        device: where to.
        scratch: a folder for plain weights of what is packed.

    Raises:
        UsageError: its quantizer has no way back, or its library is not here.
    """
    source = base_of(run)
    check_dequantizable(Path(source.path))
    method = quantization_of(read_config(Path(source.path)))
    if method in gptq_awq_unpack.METHODS:
        plain = gptq_awq_unpack.unpack(Path(source.path), scratch / "plain")
        return load_with(replace(run, model=replace(source, path=str(plain))), device=device, dtype="float32", quantizer=None)
    if method in _WHILE_LOADING:
        import transformers

        config: Any = getattr(transformers, _WHILE_LOADING[method])
        arguments = {"quantization_config": config(dequantize=True)}
        loaded = load_with(run, device=device, dtype="float32", quantizer=None, arguments=arguments)
        return Loaded(unquantized_copy(loaded.model), loaded.processor)  # the model itself would be saved as it was read: quantized
    loaded = load_with(run, device=device, dtype="float32", quantizer=quantizer)
    model: Any = loaded.model
    if not getattr(model, "is_quantized", False):
        return loaded
    try:
        plain_model = unquantized_copy(model.dequantize(dtype=torch.float32))
    except NotImplementedError:  # torchao's weights are tensors that know it themselves
        plain_model = unquantized_copy(model, {name: _dequantized(tensor) for name, tensor in model.state_dict().items()})
    return Loaded(plain_model, loaded.processor)


def _dequantized(tensor: Tensor) -> Tensor:
    return tensor if type(tensor) is torch.Tensor else tensor.dequantize()
