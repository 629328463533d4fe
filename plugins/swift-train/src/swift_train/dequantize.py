"""Load the base of an adapter as plain float32 weights, whatever its quantization, to merge the adapter into it.

A quantized layer can't be updated (PEFT drops the update silently, or rounds it away), so the base is dequantized first: to exactly the
weights that its layers computed with while the adapter was trained. Quantization of activations (FP8, W8A8) is ignored.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from swift_core.checkpoints import Checkpoint
from swift_core.contract import UsageError
from swift_train import gptq_awq_unpack
from swift_train.build import base_of, load_with
from swift_train.roles import Loaded
from swift_train.save_model import unquantized_copy

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.contract import Choice, Run

_WHILE_LOADING = {  # methods that transformers dequantizes while loading, and its configuration of each
    "compressed-tensors": "CompressedTensorsConfig",
    "fp8": "FineGrainedFP8Config",
    "mxfp4": "Mxfp4Config",
}
_AFTERWARDS = ("bitsandbytes", "torchao")


def check_dequantizable(base: Path) -> None:
    """Check that a base can be dequantized, without loading it.

    Raises:
        UsageError: its quantization method can't be reversed here.
    """
    method = Checkpoint.at(base).quantization
    if method and method not in {*_WHILE_LOADING, *_AFTERWARDS, *gptq_awq_unpack.METHODS}:
        problem = f"a base quantized with {method} can't be dequantized"
        raise UsageError(problem, code="TRAIN-022", where=str(base), hint=gptq_awq_unpack.OTHERWISE)


def load_dequantized(run: Run, quantizer: Choice | None, device: str, scratch: Path) -> Loaded:
    """Load the run's base model in float32, dequantized.

    Args:
        run: the run whose model is loaded.
        quantizer: the load-time quantizer with which the adapter was trained; None if there was none.
        device: the device to load to.
        scratch: a folder for the unpacked weights of GPTQ and AWQ checkpoints.

    Raises:
        UsageError: the quantization method can't be reversed here, or its library is not installed.
    """
    source = base_of(run)
    check_dequantizable(Path(source.path))
    method = Checkpoint.at(source.path).quantization
    if method in gptq_awq_unpack.METHODS:
        plain = gptq_awq_unpack.unpack(Path(source.path), scratch / "plain")
        return load_with(replace(run, model=replace(source, path=str(plain))), device=device, dtype="float32", quantizer=None)
    if method in _WHILE_LOADING:
        import transformers

        config: Any = getattr(transformers, _WHILE_LOADING[method])
        arguments = {"quantization_config": config(dequantize=True)}
        loaded = load_with(run, device=device, dtype="float32", quantizer=None, arguments=arguments)
        return Loaded(unquantized_copy(loaded.model), loaded.processor)  # the model itself would be saved quantized again
    loaded = load_with(run, device=device, dtype="float32", quantizer=quantizer)
    model: Any = loaded.model
    if not getattr(model, "is_quantized", False):
        return loaded
    try:
        plain_model = unquantized_copy(model.dequantize(dtype=torch.float32))
    except NotImplementedError:  # torchao: each weight is a tensor subclass with its own dequantize()
        plain_model = unquantized_copy(model, {name: _dequantized(tensor) for name, tensor in model.state_dict().items()})
    return Loaded(plain_model, loaded.processor)


def _dequantized(tensor: Tensor) -> Tensor:
    return tensor if type(tensor) is torch.Tensor else tensor.dequantize()
