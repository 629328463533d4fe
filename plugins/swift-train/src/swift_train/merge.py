"""`swift merge`: fold adapters into their base, and prove from the files that were written that they answer as all did together.

The arithmetic is float32; the result is rounded once, to the type it is stored in. A quantized base is dequantized first, to the numbers
that the adapter was fitted to, since merging into quantized weights silently drops the adapter. Several adapters go in one after the
other, in the order given, and each has to show in the answers.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from swift_convert.verify import limits_of

from swift_core.checkpoints.family import family_of
from swift_core.checkpoints.manifest import Manifest, copy_licence, read_manifest, write_manifest
from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.run import Run, output_path
from swift_core.runs.recorded_loader import record_of
from swift_core.system.paths import atomic_folder, check_free, size_of
from swift_train.adapters import check_adapter, quantizer_of, tuner_of
from swift_train.build import base_of, load_adapter, load_checkpoint
from swift_train.dequantize import check_dequantizable, load_dequantized
from swift_train.devices import pick_device
from swift_train.merge_verification import check_divergence, check_logits, encode_prompts, max_difference, prompt_logits
from swift_train.processors import tokenizer_of
from swift_train.save_model import versions, write_model
from swift_train.template_facts import generation_facts, golden, template_facts
from swift_train.verify import compare_with_saved, held_out_text, save_logits
from swift_train.weights import stored_dtype

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from swift_core.runs.events import Report


def merge(run: Run, report: Report) -> tuple[Path, dict[str, Any]]:
    """The job: write the run's base with its adapters folded in.

    Returns:
        The folder, and figures: `max_logit_difference` between base + adapters and the merged files, the `tolerance` it was held
        to, `adapter_effect` (the largest change of a logit by an adapter, the least of several), the `dtype` of the files, and, unless
        told not to compare, what `swift_train.verify.compare_with_saved` finds on held-out text.

    Raises:
        UsageError: no adapter, not its base, a base that can't be dequantized, or the output exists.
        SwiftError: an adapter changes nothing, or the merged files do not answer as base + adapters.
    """
    out, overwrite = output_path(run, report.folder), bool(run.options.get("overwrite"))
    check_free(out, overwrite=overwrite)
    source, adapters = base_of(run), _adapters(run)
    check_dequantizable(Path(source.path))
    device = pick_device(run.options.get("device", "auto"))
    asked = run.options.get("dtype", "auto")
    dtype = asked if asked != "auto" else "bfloat16" if source.format == "gguf" else stored_dtype(Path(source.path))
    last = list(adapters.values())[-1]
    with tempfile.TemporaryDirectory(dir=report.folder, prefix="merge-") as scratch, atomic_folder(out, overwrite=overwrite) as folder:
        loaded = load_dequantized(run, quantizer_of(last), device, Path(scratch))
        report.progress("merge", 1, 4, unit="stages")
        processor = _processor(last, loaded.processor)
        limits = limits_of(run)
        rows = held_out_text(tokenizer_of(processor), limits["tokens"]) if limits else []
        inputs = encode_prompts(processor)
        folded = _fold(run, loaded.model, inputs, rows, Path(scratch))
        report.progress("merge", 2, 4, unit="stages")

        merged: Any = folded.model.to(getattr(torch, dtype))
        write_model(folder, merged, processor)
        copy_licence(Path(source.path), folder)
        generation = generation_facts(merged, processor)
        del loaded, merged
        folded.model = None
        report.progress("merge", 3, 4, unit="stages")

        began = time.perf_counter()
        again = load_checkpoint(folder, device=device, dtype="float32", family=source.family, loader=run.parts.get("loader"))
        seconds = time.perf_counter() - began
        if golden(again.processor, run.date) != golden(processor, run.date):
            raise SwiftError("the merged tokenizer gives other tokens than the adapter's", where=str(last))
        figures: dict[str, Any] = check_logits(folded.wanted, prompt_logits(again.model, inputs), min(folded.effects.values()), dtype, last)
        if limits:
            found = compare_with_saved(folded.kept, again.model, rows)
            check_divergence(found, limits["max_kl"], dtype, last)
            sizes = {"bytes": size_of(folder), "bytes_before": size_of(Path(source.path)), "load_seconds": seconds}
            figures = {**found, **sizes, **figures}  # the largest difference of a logit is that on the fixed prompts
        figures["dtype"] = dtype
        write_manifest(folder, _manifest(run, folded.effects, figures, processor, generation=generation))
    report.progress("merge", 4, 4, unit="stages")
    return out, figures


@dataclass(slots=True)
class _Folded:
    """The base with all adapters in it; what base + adapters answered before the last went in; each adapter's effect."""

    model: Module | None
    wanted: list[Tensor]
    kept: list[Path]
    effects: dict[str, float]


def _fold(run: Run, model: Module, inputs: list[Tensor], rows: Sequence[Sequence[int]], scratch: Path) -> _Folded:
    adapters = {name: Path(source.path) for name, source in run.adapters.items()}
    allowed = bool(run.options.get("allow_other_base"))
    effects: dict[str, float] = {}
    last = list(adapters)[-1]
    for name, adapter in adapters.items():
        tuner = tuner_of(adapter)
        before = prompt_logits(model, inputs)
        adapted = load_adapter(model, adapter, base_of(run), tuner=tuner, allow_other_base=allowed)
        wanted = prompt_logits(adapted, inputs)
        effects[name] = _effect(before, wanted, adapter)
        kept = save_logits(adapted, rows, scratch) if name == last else []
        model = tuner.merge(adapted)
        check_logits(wanted, prompt_logits(model, inputs), effects[name], "float32", adapter)  # before the next goes on top
    return _Folded(model, wanted, kept, effects)


def _adapters(run: Run) -> dict[str, Path]:
    """The adapters by name, in the order that they go in; raises UsageError where there is none, or they do not belong together."""
    if not run.adapters:
        raise UsageError("a whole model has nothing to merge", where="adapter", hint="Name the adapter checkpoint that training wrote.")
    folders = {name: Path(source.path) for name, source in run.adapters.items()}
    for folder in folders.values():
        check_adapter(folder)
    if len({str(quantizer_of(folder)) for folder in folders.values()}) > 1 and not run.options.get("allow_other_base"):
        forms = ", ".join(f"{name}: {choice.name if (choice := quantizer_of(folder)) else 'none'}" for name, folder in folders.items())
        raise UsageError(
            f"the adapters' base was not quantized alike while they were trained ({forms})",
            where="adapter",
            hint="Add --allow-other-base to merge them into what the last one was trained on, or serve them beside their base.",
        )
    return folders


def _effect(before: list[Tensor], wanted: list[Tensor], adapter: Path) -> float:
    effect = max_difference(before, wanted)
    if effect == 0:
        raise SwiftError(
            "the adapter changes nothing: the logits are the same with it and without it",
            where=str(adapter),
            hint="Was it trained? At the start its update is zero.",
        )
    return effect


def _processor(adapter: Path, base: Any) -> Any:
    """The tokenizer and chat template that the adapter was trained with; the base's, where the adapter came without."""
    return type(base).from_pretrained(adapter) if (adapter / "tokenizer_config.json").is_file() else base


def _manifest(run: Run, effects: Mapping[str, float], figures: dict[str, Any], processor: Any, *, generation: dict[str, Any]) -> Manifest:
    source, sources = base_of(run), list(run.adapters.values())
    base, trained = read_manifest(Path(source.path)), [read_manifest(Path(adapter.path)) for adapter in sources]
    last = trained[-1]
    merged = [
        {"reference": adapter.reference, "hash": adapter.hash, "effect": effect}
        for adapter, effect in zip(sources, effects.values(), strict=True)
    ]
    return Manifest(
        origin="merge",
        licence=base.licence if base else "",
        base={"reference": source.reference, "hash": source.hash, "path": source.path},
        family=family_of(source).name,
        dtype=str(figures["dtype"]),
        tuner={**(last.tuner if last else {"name": "lora"}), "merged": merged},
        quantizer={},
        loader=record_of(run.parts.get("loader")),
        template=(last.template if last else {}) or template_facts(processor),
        golden=(last.golden if last else ()) or (base.golden if base else ()) or golden(processor, run.date),
        generation=generation,
        figures=figures,
        versions=versions(run),
    )
