"""`swift merge`: fold an adapter into its base, and prove from the files that were written that they answer as both did.

The arithmetic is float32; the result is rounded once, to the type it is stored in. Where the adapter was trained on a base that
was quantized while loading (qlora), the base is quantized the same way and then dequantized, since that is what the adapter was
fitted to, and since merging into quantized weights silently drops the adapter.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from swift_core.bases import check_base
from swift_core.checkpoint import Manifest, read_manifest, write_manifest
from swift_core.errors import SwiftError, UsageError
from swift_core.families import family_of
from swift_core.paths import atomic_folder, check_free
from swift_core.roles import Loaded
from swift_core.run import Run, output_path
from swift_train.adapters import check_adapter, quantizer_of, tuner_of
from swift_train.build import base_of, load_checkpoint, load_with
from swift_train.devices import pick_device
from swift_train.saving import plain_copy, versions, write_model
from swift_train.template_facts import generation_facts, golden, template_facts
from swift_train.weights import stored_dtype

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from swift_core.reporting import Report

TOLERANCE = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
"""Largest difference of a logit, as a part of the largest logit, that rounding the merged weights to a type explains."""

PROMPTS = (
    "The capital of France is",
    "Q: What is 2 + 3?\nA:",
    "def fibonacci(n):\n    ",
    "《论语》是一部记录孔子及其弟子言行的书。",
)


def merge(run: Run, report: Report) -> tuple[Path, dict[str, Any]]:
    """The job: write the run's base with its adapter folded in.

    Returns:
        The folder, and figures: `max_logit_difference` between base + adapter and the merged files, the `tolerance` it was held
        to, `adapter_effect` (the largest change of a logit by the adapter), and the `dtype` of the files.

    Raises:
        UsageError: no adapter, not its base, or the output exists.
        SwiftError: the adapter changes nothing, or the merged files do not answer as base + adapter.
    """
    out, overwrite = output_path(run, report.folder), bool(run.options.get("overwrite"))
    check_free(out, overwrite=overwrite)
    source = base_of(run)
    if len(run.adapters) != 1:
        problem = "a whole model has nothing to merge" if not run.adapters else "only one adapter can be merged at a time"
        raise UsageError(problem, where="adapter", hint="Name the adapter checkpoint that training wrote.")
    adapter = Path(next(iter(run.adapters.values())).path)
    check_adapter(adapter)
    if not run.options.get("allow_other_base"):
        check_base(adapter, source)

    device = pick_device(run.options.get("device", "auto"))
    asked = run.options.get("dtype", "auto")
    dtype = asked if asked != "auto" else "bfloat16" if source.format == "gguf" else stored_dtype(Path(source.path))
    loaded = _whole_base(run, adapter, device)
    report.progress("merge", 1, 4, unit="stages")

    tuner = tuner_of(adapter)
    inputs = encode(loaded.processor)
    base_logits = logits(loaded.model, inputs)
    adapted = tuner.restore(loaded.model, adapter)
    wanted = logits(adapted, inputs)
    effect = difference(base_logits, wanted)
    if effect == 0:
        raise SwiftError(
            "the adapter changes nothing: base and base + adapter give the same logits",
            where=str(adapter),
            hint="Was it trained? At the start its update is zero.",
        )
    report.progress("merge", 2, 4, unit="stages")

    processor = _processor(adapter, loaded.processor)
    merged = tuner.merge(adapted).to(getattr(torch, dtype))
    report.progress("merge", 3, 4, unit="stages")
    with atomic_folder(out, overwrite=overwrite) as folder:
        write_model(folder, merged, processor)
        generation = generation_facts(merged, processor)
        del merged, adapted
        found = logits(load_checkpoint(folder, device=device, dtype="float32", family=source.family).model, inputs)
        figures = judge(wanted, found, effect, dtype, adapter)
        write_manifest(folder, _manifest(run, adapter, loaded.processor, dtype, figures, generation=generation))
    report.progress("merge", 4, 4, unit="stages")
    return out, {**figures, "dtype": dtype}


def judge(wanted: Sequence[Tensor], found: Sequence[Tensor], effect: float, dtype: str, adapter: Path) -> dict[str, float]:
    """Compare the merged files with base + adapter.

    The difference must be within what rounding to `dtype` explains, and below half of the adapter's effect: a merge that lost the
    adapter differs by all of it.

    Raises:
        SwiftError: it is not.
    """
    found_difference = difference(wanted, found)
    tolerance = min(TOLERANCE[dtype] * max(float(rows.abs().max()) for rows in wanted), effect / 2)
    if not found_difference <= tolerance:  # a NaN is no proof either
        raise SwiftError(
            f"the merged model does not answer as base + adapter: a logit differs by {found_difference:.3g}, allowed is {tolerance:.3g} "
            f"(the adapter's effect is {effect:.3g})",
            where=str(adapter),
            hint=f"The update is too small for {dtype}: merge with --dtype float32."
            if dtype != "float32"
            else "Serve the adapter beside its base instead.",
        )
    return {"max_logit_difference": found_difference, "tolerance": tolerance, "adapter_effect": effect}


def encode(processor: Any) -> list[Tensor]:
    """The fixed prompts as token ids, each (1, length)."""
    tokenizer = getattr(processor, "tokenizer", processor)
    return [tokenizer(text, return_tensors="pt")["input_ids"] for text in PROMPTS]


@torch.no_grad()
def logits(model: Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Logits of each prompt, (length, vocabulary), float32 on the CPU."""
    model.eval()
    device = next(model.parameters()).device
    return [model(input_ids=ids.to(device)).logits[0].float().cpu() for ids in inputs]


def difference(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """The largest difference of a logit."""
    return max(float((first - second).abs().max()) for first, second in zip(one, other, strict=True))


def _whole_base(run: Run, adapter: Path, device: str) -> Loaded:
    """The base in float32, as the adapter knew it: through its quantizer, where it was trained with one."""
    loaded = load_with(run, device=device, dtype="float32", quantizer=quantizer_of(adapter))
    model: Any = loaded.model
    if not getattr(model, "is_quantized", False):
        return loaded
    try:
        whole = model.dequantize(dtype=torch.float32)
    except NotImplementedError as error:
        raise SwiftError(
            f"the base can't be dequantized: {error}", where=base_of(run).path, hint="Name the unquantized model as the base."
        ) from error
    return Loaded(plain_copy(whole), loaded.processor)


def _processor(adapter: Path, base: Any) -> Any:
    """The tokenizer and chat template that the adapter was trained with; the base's, where the adapter came without."""
    return type(base).from_pretrained(adapter) if (adapter / "tokenizer_config.json").is_file() else base


def _manifest(run: Run, adapter: Path, processor: Any, dtype: str, figures: dict[str, float], *, generation: dict[str, Any]) -> Manifest:
    source, trained = base_of(run), read_manifest(adapter)
    base = read_manifest(Path(source.path))
    return Manifest(
        origin="merge",
        licence=base.licence if base else "",
        base={"reference": source.reference, "hash": source.hash, "path": source.path},
        family=family_of(source).name,
        dtype=dtype,
        tuner=dict(trained.tuner) if trained else {"name": "lora"},
        quantizer={},
        template=(trained.template if trained else {}) or template_facts(processor),
        golden=(trained.golden if trained else ()) or (base.golden if base else ()) or golden(processor),
        generation=generation,
        figures=figures,
        versions=versions(),
    )
