"""Unpack checkpoints in GPTQ's and AWQ's own formats into plain float32 weights, without the libraries that wrote them.

Both formats store, for a layer of `out` × `in` weights, integers packed into int32, and a scale and a zero point per group of inputs:
weight = (integer - zero) · scale. GPTQ packs along the inputs, lowest bits first, and stores zero points minus one (format `gptq`;
`gptq_v2` stores them unchanged) and the group of each input in `g_idx`. AWQ packs along the outputs, eight integers per int32 in
the order 0 2 4 6 1 3 5 7.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from swift_formats.weights import read_header, weight_files

from swift_core.checkpoints import MANIFEST, Checkpoint
from swift_core.contract import UsageError
from swift_core.system import write_json
from swift_train.weights import check_weights

METHODS = ("gptq", "awq")
OTHERWISE = "Pass the unquantized base: --model BASE --adapter ADAPTER --allow-other-base; or serve the adapter beside its base."
_PARTS = ("qweight", "qzeros", "scales", "g_idx")
_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
_INDEX = "model.safetensors.index.json"


def unpack(checkpoint: Path, out: Path) -> Path:
    """Write a packed checkpoint with plain float32 weights into the folder `out`, one file at a time; return `out`.

    Raises:
        UsageError: the checkpoint is damaged, or its bit width or packing is not supported.
    """
    config = Checkpoint.at(checkpoint).config
    packing = dict(config["quantization_config"])
    _check(packing, checkpoint)
    check_weights(checkpoint)
    out.mkdir(parents=True, exist_ok=True)
    for path in checkpoint.iterdir():
        if path.is_file() and path.suffix != ".safetensors" and path.name not in (MANIFEST, _INDEX):
            shutil.copyfile(path, out / path.name)
    whole = {key: value for key, value in config.items() if key not in ("quantization_config", "torch_dtype")}
    write_json(out / "config.json", {**whole, "dtype": "float32"})
    index: dict[str, str] = {}
    with ExitStack() as stack:
        places: dict[str, Any] = {}
        for file in weight_files(checkpoint):
            opened: Any = stack.enter_context(safe_open(file, "pt"))
            places |= dict.fromkeys(read_header(file), opened)
        for file in weight_files(checkpoint):
            weights = dict(_plain(name, places, packing) for name in read_header(file) if _kept(name, places))
            save_file(weights, out / file.name, {"format": "pt"})
            index |= dict.fromkeys(weights, file.name)
    write_json(out / _INDEX, {"metadata": {}, "weight_map": dict(sorted(index.items()))})
    return out


def gptq_weight(
    qweight: torch.Tensor, qzeros: torch.Tensor, scales: torch.Tensor, g_idx: torch.Tensor, *, bits: int, zero_offset: int
) -> torch.Tensor:
    """Return the weight of a GPTQ layer, `out` × `in`, float32; `zero_offset` is added to the stored zero points."""
    integers = _unpack_int32(qweight.T, bits).T  # in × out
    zeros = _unpack_int32(qzeros, bits) + zero_offset
    group = g_idx.long()
    return ((integers - zeros[group]) * scales.float()[group]).T.contiguous()


def awq_weight(qweight: torch.Tensor, qzeros: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Return the weight of a 4-bit AWQ layer, `out` × `in`, float32."""
    integers, zeros = _output_order(_unpack_int32(qweight, 4)), _output_order(_unpack_int32(qzeros, 4))
    size = integers.shape[0] // zeros.shape[0]
    zeros, factors = zeros.repeat_interleave(size, 0), scales.float().repeat_interleave(size, 0)
    return ((integers - zeros) * factors).T.contiguous()


def _unpack_int32(packed: torch.Tensor, bits: int) -> torch.Tensor:
    """Replace each int32 of a row by the integers packed in it, lowest bits first."""
    shifts = torch.arange(0, 32, bits, dtype=torch.int32)
    integers: torch.Tensor = (packed[..., None] >> shifts) & (2**bits - 1)
    return integers.flatten(-2)


def _output_order(integers: torch.Tensor) -> torch.Tensor:
    """Sort AWQ's eight integers of each int32 into the order of the outputs."""
    order = torch.tensor(_AWQ_ORDER).argsort()
    return integers.reshape(*integers.shape[:-1], -1, len(_AWQ_ORDER))[..., order].flatten(-2)


def _kept(name: str, places: Mapping[str, Any]) -> bool:
    """Return whether a tensor is written: all except the parts that are combined into a weight."""
    module, _, part = name.rpartition(".")
    return part == "qweight" or part not in _PARTS or f"{module}.qweight" not in places


def _plain(name: str, places: Mapping[str, Any], packing: Mapping[str, Any]) -> tuple[str, torch.Tensor]:
    module, _, part = name.rpartition(".")
    if part != "qweight":
        tensor: torch.Tensor = places[name].get_tensor(name)
        return name, tensor.float() if tensor.is_floating_point() else tensor
    parts = {each: places[key].get_tensor(key) for each in _PARTS if (key := f"{module}.{each}") in places}
    if packing["quant_method"] == "awq":
        return f"{module}.weight", awq_weight(parts["qweight"], parts["qzeros"], parts["scales"])
    bits = int(packing["bits"])
    if "g_idx" not in parts:
        inputs = parts["qweight"].shape[0] * 32 // bits
        parts["g_idx"] = torch.arange(inputs) * parts["scales"].shape[0] // inputs
    return f"{module}.weight", gptq_weight(**parts, bits=bits, zero_offset=0 if _format(packing) == "gptq_v2" else 1)


def _format(packing: Mapping[str, Any]) -> str:
    return str(packing.get("checkpoint_format") or packing.get("format") or packing.get("version") or "").lower()


def _check(packing: Mapping[str, Any], checkpoint: Path) -> None:
    method, bits, form = packing["quant_method"], packing.get("bits"), _format(packing)
    known = {"gptq": (("gptq", "gptq_v2", ""), (2, 4, 8)), "awq": (("gemm", ""), (4,))}[method]
    if form not in known[0] or bits not in known[1]:
        raise UsageError(
            f"{method} with {bits} bits in the format '{form or method}' can't be unpacked",
            code="TRAIN-027",
            where=str(checkpoint / "config.json"),
            hint=OTHERWISE,
        )
