"""The other side of `benchmarks/quantize.py`: what one would write by hand, with the library alone.

    PYTHON benchmarks/quantize_bare.py METHOD MODEL OUTPUT [--bits 8] [--group-size 64] [--rows ROWS.jsonl]

PYTHON is one that has the library: bitsandbytes with transformers, or llm-compressor. A line of ROWS.jsonl has the `ids` of a row. The
settings are those of `swift quantize`: llm-compressor computes in float32, and what stays whole is saved in the type that it was stored in.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer


def bitsandbytes(args: argparse.Namespace) -> Any:
    """The quantized model; its config says how."""
    from transformers import BitsAndBytesConfig

    how: dict[str, Any] = {"load_in_8bit": True}
    if args.bits == 4:
        how = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
        how["bnb_4bit_compute_dtype"] = AutoConfig.from_pretrained(args.model).dtype
    return AutoModelForCausalLM.from_pretrained(args.model, dtype="auto", quantization_config=BitsAndBytesConfig(**how))


def llm_compressor(args: argparse.Namespace) -> Any:
    """The model after a recipe."""
    from compressed_tensors.quantization.utils import is_module_quantized
    from llmcompressor import oneshot
    from llmcompressor.pipelines.cache import IntermediatesCache

    model = AutoModelForCausalLM.from_pretrained(args.model, dtype="auto")
    stored = model.dtype
    model.float()
    IntermediatesCache.pin_memory = lambda *_, **__: None  # without it, llm-compressor 0.14 fails where there is no GPU
    rows = batches(args.rows) if args.rows else None
    torch.manual_seed(0)
    oneshot(model=model, recipe=recipe(args), dataset=rows, pipeline="sequential" if rows else "datafree")
    for module in model.modules():
        if not is_module_quantized(module):
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(stored)
    model.config.dtype = stored
    return model


def recipe(args: argparse.Namespace) -> list[Any]:
    """llm-compressor's modifiers."""
    from llmcompressor.modifiers.gptq import GPTQModifier
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQModifier
    from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier

    weights = {"num_bits": args.bits, "type": "int", "symmetric": True, "strategy": "group", "group_size": args.group_size}
    grouped = {"config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}, "ignore": ["lm_head"]}
    named = {"targets": "Linear", "ignore": ["lm_head"]}
    recipes = {
        "w4a16": lambda: [QuantizationModifier(**grouped)],
        "gptq": lambda: [GPTQModifier(**grouped, dampening_frac=0.01, block_size=128)],
        "awq": lambda: [AWQModifier(n_grid=20), QuantizationModifier(**grouped)],
        "fp8": lambda: [QuantizationModifier(**named, scheme="FP8_DYNAMIC")],
        "fp8-static": lambda: [QuantizationModifier(**named, scheme="FP8")],
        "w8a8": lambda: [SmoothQuantModifier(smoothing_strength=0.8), QuantizationModifier(**named, scheme="W8A8")],
    }
    return recipes[args.method]()


def batches(file: Path) -> Any:
    """One row each."""
    rows = [torch.tensor([json.loads(line)["ids"]]) for line in file.read_text().splitlines()]
    return torch.utils.data.DataLoader([{"input_ids": ids, "attention_mask": torch.ones_like(ids)} for ids in rows], batch_size=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("method", "model", "output"):
        parser.add_argument(name)
    parser.add_argument("--bits", type=int, choices=(4, 8), default=4)
    parser.add_argument("--group-size", type=int, default=128)
    parser.add_argument("--rows", type=Path)
    args = parser.parse_args()
    model = bitsandbytes(args) if args.method == "bnb" else llm_compressor(args)
    model.save_pretrained(args.output)
    AutoTokenizer.from_pretrained(args.model).save_pretrained(args.output)


if __name__ == "__main__":
    main()
