"""A LoRA adapter as a GGUF file of its own, which llama.cpp applies to its base model (`--lora`).

Each layer's A and B matrices are named after the weight that they change, with the suffixes `.lora_a` and `.lora_b`. The rows of B have the
same order as the rows of that weight in the GGUF file. llama.cpp scales by alpha / rank; if PEFT scales a layer differently, the ratio is
multiplied into its B.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors.torch import load_file
from swift_formats.weights import read_header
from swift_train.adapters import WEIGHTS, check_adapter
from swift_train.weights import stored_dtype

from swift_core.checkpoints import Checkpoint, check_base
from swift_core.contract import Source, SwiftError, UsageError
from swift_plugin_gguf.layouts import Layout
from swift_plugin_gguf.options import GgufOptions
from swift_plugin_gguf.plan import Names, layout_for
from swift_plugin_gguf.weights import TYPES

_LAYER = re.compile(r"^base_model\.model\.(?P<module>.+)\.lora_(?P<half>[AB])\.weight$")
_KINDS = ("f32", "f16", "bf16")
_MERGE = "Merge it (swift merge) and export the merged model."


@dataclass(frozen=True, slots=True)
class AdapterPlan:
    """A LoRA adapter and its GGUF layout; `names` maps each module to the GGUF name of the weight that it changes."""

    adapter: Path
    base: Path
    layout: Layout
    config: Mapping[str, Any]
    lora: Mapping[str, Any]
    names: Mapping[str, str]


def plan_adapter(adapter: Path, options: GgufOptions) -> AdapterPlan:
    """Check the adapter and map its modules to GGUF names, without reading a weight.

    Raises:
        UsageError: the adapter is not LoRA, llama.cpp does not support it, or its base model was not found.
    """
    check_adapter(adapter)
    lora = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    if lora.get("peft_type") != "LORA" or lora.get("use_dora"):
        kind = "DoRA" if lora.get("use_dora") else lora.get("peft_type")
        raise UsageError(f"llama.cpp supports LoRA adapters only, and this is {kind}", code="EXPORT-012", where=str(adapter), hint=_MERGE)
    if options.type not in ("auto", *_KINDS):
        raise UsageError(
            f"an adapter can be exported as {', '.join(_KINDS)}, not as {options.type}",
            code="EXPORT-013",
            where="type",
            hint="Omit --type.",
        )
    base = _base(adapter, lora, options)
    config = Checkpoint.at(base).config
    layout = layout_for(config, base)
    names, found = Names(layout, int(config["num_hidden_layers"])), {}
    for key in read_header(adapter / WEIGHTS):
        match = _LAYER.match(key)
        name = names.of(f"{match['module']}.weight") if match else None
        if match is None or name is None:
            raise UsageError(
                f"'{key}' can't be stored in a GGUF adapter, which holds LoRA of linear layers only",
                code="EXPORT-014",
                where=str(adapter),
                hint=_MERGE,
            )
        if name == "output.weight" and config.get("tie_word_embeddings"):
            problem = "the adapter changes the output layer, which is tied to the embeddings in the base model's GGUF file"
            raise UsageError(problem, code="EXPORT-015", where=str(adapter), hint=_MERGE)
        found[match["module"]] = name
    return AdapterPlan(adapter, base, layout, config, lora, found)


def write_adapter(plan: AdapterPlan, options: GgufOptions, folder: Path) -> Path:
    """Write the adapter as a GGUF file into `folder`, and return its path.

    Raises:
        SwiftError: a weight is not finite, or out of range for the type.
    """
    kind = options.type if options.type != "auto" else _stored(plan.adapter)
    path = folder / f"{options.model_name}-lora-{kind.upper()}.gguf"
    writer = gguf.GGUFWriter(path, plan.layout.arch)
    writer.add_type("adapter")
    writer.add_name(options.model_name)
    writer.add_file_type(TYPES[kind][1])
    writer.add_string("adapter.type", "lora")
    alpha = float(plan.lora["lora_alpha"])
    writer.add_float32("adapter.lora.alpha", alpha)
    weights = load_file(plan.adapter / WEIGHTS)
    for module, name in plan.names.items():
        a, b = (weights[f"base_model.model.{module}.lora_{half}.weight"].float() for half in "AB")
        change = next((ref for pattern, ref in plan.layout.transforms.items() if fnmatchcase(f"{module}.weight", pattern)), None)
        b = change.load()(b, plan.config) if change else b
        b = b * (_scale(plan.lora, module, a.shape[0]) * a.shape[0] / alpha)
        for suffix, half in (("lora_a", a), ("lora_b", b)):
            values = _packed(half, kind, f"{module}.{suffix}", plan.adapter)
            writer.add_tensor(f"{name}.{suffix}", values, raw_dtype=TYPES[kind][0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _stored(adapter: Path) -> str:
    known = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
    return known[stored_dtype(adapter)]


def _packed(values: torch.Tensor, kind: str, name: str, adapter: Path) -> np.ndarray[Any, Any]:
    found = values.contiguous().numpy()
    maximum = np.finfo(np.float16).max if kind == "f16" else np.inf
    if not (np.isfinite(found).all() and np.abs(found).max(initial=0) <= maximum):
        raise SwiftError(
            f"{name} has values that {kind} can't represent",
            code="EXPORT-016",
            where=str(adapter),
            hint="Use --type f32 if they are finite.",
        )
    return np.ascontiguousarray(gguf.quantize(found, TYPES[kind][0]))


def _scale(lora: Mapping[str, Any], module: str, rank: int) -> float:
    """Return the factor by which PEFT scales a layer's update."""
    alpha = next((value for name, value in (lora.get("alpha_pattern") or {}).items() if _fits(name, module)), lora["lora_alpha"])
    return float(alpha) / (rank**0.5 if lora.get("use_rslora") else rank)


def _fits(pattern: str, module: str) -> bool:
    """Match a key of `alpha_pattern` as PEFT does."""
    return re.match(rf"(.*\.)?({pattern})$", module) is not None


def _base(adapter: Path, lora: Mapping[str, Any], options: GgufOptions) -> Path:
    """Return the base model's folder, of which config.json is required."""
    manifest = Checkpoint.at(adapter).manifest
    candidates = (options.base, manifest.base.get("path", "") if manifest else "", str(lora.get("base_model_name_or_path") or ""))
    for place in filter(None, candidates):
        if Path(place, "config.json").is_file():
            if any(Path(place).glob("*.safetensors")):
                check_base(adapter, Source(reference=f"file:{place}", path=place, hash="", format="safetensors", family=""))
            return Path(place)
    named = next(filter(None, candidates[1:]), "not recorded")
    raise UsageError(
        f"the adapter's base model was not found ({named})", code="EXPORT-017", where=str(adapter), hint="Pass its folder: --base FOLDER."
    )
