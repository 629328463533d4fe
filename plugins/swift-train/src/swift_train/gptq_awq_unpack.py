"""GPTQ's and AWQ's own formats, written out as plain weights: a merge needs numbers, and the libraries that compute with packed ones
don't go with every environment.

Both keep, for a layer of `out` × `in` weights, whole numbers packed into int32, a scale and a zero for each group of inputs:
weight = (number - zero) · scale. GPTQ packs along the inputs, lowest bits first, and keeps zeros less one (format `gptq`; `gptq_v2` keeps
them as they are) and the group of each input in `g_idx`. AWQ packs along the outputs, eight numbers in the order 0 2 4 6 1 3 5 7.
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

from swift_core.checkpoints.manifest import MANIFEST, read_config
from swift_core.contract.errors import UsageError
from swift_core.system.paths import write_json
from swift_train.weights import check_weights, read_header, weight_files

METHODS = ("gptq", "awq")
OTHERWISE = "Name the unquantized base: --model BASE --adapter ADAPTER --allow-other-base; or serve the adapter beside its base."
_PARTS = ("qweight", "qzeros", "scales", "g_idx")
_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
_INDEX = "model.safetensors.index.json"


def unpack(checkpoint: Path, out: Path) -> Path:
    """Write a packed checkpoint with plain float32 weights into the folder `out`, one file after the other, and return it.

    Raises:
        UsageError: damaged, or packed in a way that is not known here.
    """
    config = read_config(checkpoint)
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
            opened: Any = stack.enter_context(safe_open(file, "pt"))  # type: ignore[no-untyped-call]
            places |= dict.fromkeys(read_header(file), opened)
        for file in weight_files(checkpoint):
            weights = dict(_plain(name, places, packing) for name in read_header(file) if _kept(name, places))
            save_file(weights, out / file.name, {"format": "pt"})
            index |= dict.fromkeys(weights, file.name)
    write_json(out / _INDEX, {"metadata": {}, "weight_map": dict(sorted(index.items()))})
    return out


def gptq_weight(
    qweight: torch.Tensor, qzeros: torch.Tensor, scales: torch.Tensor, g_idx: torch.Tensor, *, bits: int, less: int
) -> torch.Tensor:
    """The weight, `out` × `in`; the zeros kept are `less` less than they are."""
    numbers = _spread(qweight.T, bits).T  # in × out
    zeros = _spread(qzeros, bits) + less
    group = g_idx.long()
    return ((numbers - zeros[group]) * scales.float()[group]).T.contiguous()


def awq_weight(qweight: torch.Tensor, qzeros: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """The weight, `out` × `in`."""
    numbers, zeros = _in_order(_spread(qweight, 4)), _in_order(_spread(qzeros, 4))
    size = numbers.shape[0] // zeros.shape[0]
    zeros, factors = zeros.repeat_interleave(size, 0), scales.float().repeat_interleave(size, 0)
    return ((numbers - zeros) * factors).T.contiguous()


def _spread(packed: torch.Tensor, bits: int) -> torch.Tensor:
    """Each int32 of a row as the numbers in it, lowest bits first."""
    shifts = torch.arange(0, 32, bits, dtype=torch.int32)
    return ((packed[..., None] >> shifts) & (2**bits - 1)).flatten(-2)


def _in_order(numbers: torch.Tensor) -> torch.Tensor:
    """AWQ's eight numbers of an int32, in the order of the outputs."""
    order = torch.tensor(_AWQ_ORDER).argsort()
    return numbers.unflatten(-1, (-1, len(_AWQ_ORDER)))[..., order].flatten(-2)


def _kept(name: str, places: Mapping[str, Any]) -> bool:
    """Whether a tensor comes out: all but the parts that go into the weight."""
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
    return f"{module}.weight", gptq_weight(**parts, bits=bits, less=0 if _format(packing) == "gptq_v2" else 1)


def _format(packing: Mapping[str, Any]) -> str:
    return str(packing.get("checkpoint_format") or packing.get("format") or packing.get("version") or "").lower()


def _check(packing: Mapping[str, Any], checkpoint: Path) -> None:
    method, bits, form = packing["quant_method"], packing.get("bits"), _format(packing)
    known = {"gptq": (("gptq", "gptq_v2", ""), (2, 4, 8)), "awq": (("gemm", ""), (4,))}[method]
    if form not in known[0] or bits not in known[1]:
        raise UsageError(
            f"{method} with {bits} bits in the format '{form or method}' can't be unpacked here",
            where=str(checkpoint / "config.json"),
            hint=OTHERWISE,
        )
