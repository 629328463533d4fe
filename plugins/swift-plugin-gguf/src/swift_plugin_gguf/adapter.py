"""A LoRA adapter alone as a GGUF file, which llama.cpp lays over the file of its base (`--lora`).

Each layer's A and B keep the name of the weight that they change, with `.lora_a` and `.lora_b` behind it. B's rows are in the order that
the weight's rows have in the file. llama.cpp scales by alpha / rank; where PEFT scales a layer otherwise, that is multiplied into its B.
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
from swift_train.adapters import WEIGHTS, check_adapter
from swift_train.weights import read_header, stored_dtype

from swift_core.bases import check_base
from swift_core.checkpoint import read_config, read_manifest
from swift_core.errors import SwiftError, UsageError
from swift_core.run import Source
from swift_plugin_gguf.layouts import Layout
from swift_plugin_gguf.options import GgufOptions
from swift_plugin_gguf.plan import Names, layout_for
from swift_plugin_gguf.weights import TYPES

_LAYER = re.compile(r"^base_model\.model\.(?P<module>.+)\.lora_(?P<half>[AB])\.weight$")
_KINDS = ("f32", "f16", "bf16")
_MERGE = "Merge it (swift merge), and export the merged model."


@dataclass(frozen=True, slots=True)
class AdapterPlan:
    """A LoRA and its layout; `names` are GGUF's for the weights that it changes, by module."""

    adapter: Path
    base: Path
    layout: Layout
    config: Mapping[str, Any]
    lora: Mapping[str, Any]
    names: Mapping[str, str]


def plan_adapter(adapter: Path, options: GgufOptions) -> AdapterPlan:
    """All that can be known, and refused, before a weight is read.

    Raises:
        UsageError: no LoRA, one that llama.cpp does not compute, or its base is not here.
    """
    check_adapter(adapter)
    lora = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    if lora.get("peft_type") != "LORA" or lora.get("use_dora"):
        kind = "DoRA" if lora.get("use_dora") else lora.get("peft_type")
        raise UsageError(f"llama.cpp reads LoRA adapters, and this is {kind}", where=str(adapter), hint=_MERGE)
    if options.type not in ("auto", *_KINDS):
        raise UsageError(
            f"an adapter alone is written in {', '.join(_KINDS)}, not in {options.type}", where="type", hint="Leave --type out."
        )
    base = _base(adapter, lora, options)
    config = read_config(base)
    layout = layout_for(config, base)
    names, found = Names(layout, int(config["num_hidden_layers"])), {}
    for key in read_header(adapter / WEIGHTS):
        match = _LAYER.match(key)
        name = names.of(f"{match['module']}.weight") if match else None
        if match is None or name is None:
            raise UsageError(
                f"'{key}' has no place in a GGUF adapter: it holds LoRA of linear layers alone", where=str(adapter), hint=_MERGE
            )
        if name == "output.weight" and config.get("tie_word_embeddings"):
            problem = "it changes the head, which is one with the embeddings in the base's file"
            raise UsageError(problem, where=str(adapter), hint=_MERGE)
        found[match["module"]] = name
    return AdapterPlan(adapter, base, layout, config, lora, found)


def write_adapter(plan: AdapterPlan, options: GgufOptions, folder: Path) -> Path:
    """Write the file into `folder`, and return it.

    Raises:
        SwiftError: a weight is no number, or one that the type can't hold.
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
    most = np.finfo(np.float16).max if kind == "f16" else np.inf
    if not (np.isfinite(found).all() and np.abs(found).max(initial=0) <= most):
        raise SwiftError(f"{name} has numbers that {kind} can't hold", where=str(adapter), hint="Use --type f32, if they are finite.")
    return np.ascontiguousarray(gguf.quantize(found, TYPES[kind][0]))


def _scale(lora: Mapping[str, Any], module: str, rank: int) -> float:
    """What PEFT multiplies a layer's update by."""
    alpha = next((value for name, value in (lora.get("alpha_pattern") or {}).items() if _fits(name, module)), lora["lora_alpha"])
    return float(alpha) / (rank**0.5 if lora.get("use_rslora") else rank)


def _fits(pattern: str, module: str) -> bool:
    """As PEFT matches the keys of `alpha_pattern`."""
    return re.match(rf"(.*\.)?({pattern})$", module) is not None


def _base(adapter: Path, lora: Mapping[str, Any], options: GgufOptions) -> Path:
    """The base's folder, of which config.json is wanted."""
    manifest = read_manifest(adapter)
    told = (options.base, manifest.base.get("path", "") if manifest else "", str(lora.get("base_model_name_or_path") or ""))
    for place in filter(None, told):
        if Path(place, "config.json").is_file():
            if any(Path(place).glob("*.safetensors")):
                check_base(adapter, Source(reference=f"file:{place}", path=place, hash="", format="safetensors", family=""))
            return Path(place)
    named = next(filter(None, told[1:]), "its base")
    raise UsageError(f"the adapter's base is not here ({named})", where=str(adapter), hint="Name its folder: --base FOLDER.")
