"""`swift merge`: merge adapters into their base model, and verify the written files against base + adapters.

The arithmetic is float32; the result is rounded once, to the dtype it is stored in. A quantized base is dequantized first, to the values
that the adapter was trained on, since merging into quantized weights silently drops the adapter. Several adapters are merged one after
another, in the order given, and each must change the logits.
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
from swift_formats.files import copy_licence
from swift_formats.head_facts import copy_head_files

from swift_core.checkpoints import Checkpoint, Manifest, family_of, write_manifest
from swift_core.contract import Run, SwiftError, UsageError
from swift_core.system import atomic_folder, check_free, output_path, size_of
from swift_train.adapters import check_adapter, quantizer_of, tuner_of
from swift_train.build import base_of, load_adapter, load_checkpoint
from swift_train.dequantize import check_dequantizable, load_dequantized
from swift_train.devices import pick_device
from swift_train.heads import head_of_run
from swift_train.maker_record import maker_record
from swift_train.merge_verification import check_divergence, check_logits, encode_prompts, max_difference, prompt_logits
from swift_train.processors import tokenizer_of
from swift_train.save_model import versions, write_model
from swift_train.template_facts import generation_facts, golden, template_facts
from swift_train.verify import compare_with_saved, held_out_text, save_logits
from swift_train.weights import stored_dtype

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from swift_core.runs import Report


def merge(run: Run, report: Report) -> tuple[Path, dict[str, Any]]:
    """Write the run's base model with its adapters merged in: the job of `swift merge`.

    Returns:
        The folder, and figures: `max_logit_difference` between base + adapters and the merged files, the `tolerance` allowed for it,
        `adapter_effect` (the largest change of a logit by an adapter; the minimum over several adapters), the `dtype` of the files, and,
        unless verification is off, the figures of `swift_train.verify.compare_with_saved` on held-out text.

    Raises:
        UsageError: no adapter, the wrong base, a base that can't be dequantized, or the output exists.
        SwiftError: an adapter changes nothing, or the logits of the merged files differ from those of base + adapters.
    """
    out, overwrite = output_path(run, report.folder), bool(run.options.get("overwrite"))
    check_free(out, overwrite=overwrite)
    source, adapters = base_of(run), _adapters(run)
    check_dequantizable(Path(source.path))
    device = pick_device(run.options.get("device", "auto"))
    dtype = run.options.get("dtype", "auto")
    if dtype == "auto":
        dtype = stored_dtype(Path(source.path))
    last = list(adapters.values())[-1]
    with tempfile.TemporaryDirectory(dir=report.folder, prefix="merge-") as scratch, atomic_folder(out, overwrite=overwrite) as folder:
        loaded = load_dequantized(run, quantizer_of(last), device, Path(scratch))
        report.progress("merge", 1, 4, unit="stages")
        processor = _processor(last, loaded.processor)
        limits = {} if head_of_run(run) else limits_of(run)  # scores and vectors have no probabilities to compare on a text
        rows = held_out_text(tokenizer_of(processor), limits["tokens"]) if limits else []
        inputs = encode_prompts(processor)
        model, folded = _fold(run, loaded.model, inputs, rows, Path(scratch))
        report.progress("merge", 2, 4, unit="stages")

        merged: Any = model.to(getattr(torch, dtype))
        write_model(folder, merged, processor)
        copy_licence(Path(source.path), folder)
        copy_head_files(last, folder)
        generation = generation_facts(merged, processor)
        del loaded, model, merged  # only one model is held in memory
        report.progress("merge", 3, 4, unit="stages")

        began = time.perf_counter()
        again = load_checkpoint(folder, device=device, dtype="float32", family=source.family, loader=run.parts.get("loader"))
        seconds = time.perf_counter() - began
        if golden(again.processor, run.date) != golden(processor, run.date):
            raise SwiftError(
                "the tokenizer of the merged model gives other token ids than the adapter's", code="TRAIN-040", where=str(last)
            )
        found_logits, effect = prompt_logits(again.model, inputs), min(folded.effects.values())
        figures: dict[str, Any] = check_logits(folded.expected, found_logits, effect, dtype, last)
        if limits:
            found = compare_with_saved(folded.saved, again.model, rows)
            check_divergence(found, limits["max_kl"], dtype, last)
            sizes = {"bytes": size_of(folder), "bytes_before": size_of(Path(source.path)), "load_seconds": seconds}
            figures = {**found, **sizes, **figures}  # `max_logit_difference` is that on the fixed prompts
        figures["dtype"] = dtype
        write_manifest(folder, _manifest(run, folded.effects, figures, processor, generation=generation))
    report.progress("merge", 4, 4, unit="stages")
    return out, figures


@dataclass(frozen=True, slots=True)
class _Folded:
    """Logits of base + adapters before the last merge, on the prompts and (in files) on the held-out text; effect of each adapter."""

    expected: list[Tensor]
    saved: list[Path]
    effects: dict[str, float]


def _fold(run: Run, model: Module, inputs: list[Tensor], rows: Sequence[Sequence[int]], scratch: Path) -> tuple[Module, _Folded]:
    """Merge the adapters into the base, one after another, in float32."""
    adapters = {name: Path(source.path) for name, source in run.adapters.items()}
    allowed = bool(run.options.get("allow_other_base"))
    effects: dict[str, float] = {}
    last = list(adapters)[-1]
    for name, adapter in adapters.items():
        tuner = tuner_of(adapter)
        before = prompt_logits(model, inputs)
        adapted = load_adapter(model, adapter, base_of(run), tuner=tuner, allow_other_base=allowed)
        expected = prompt_logits(adapted, inputs)
        effects[name] = _effect(before, expected, adapter)
        saved = save_logits(adapted, rows, scratch) if name == last else []
        model = tuner.merge(adapted)
        check_logits(expected, prompt_logits(model, inputs), effects[name], "float32", adapter)  # before the next is merged
    return model, _Folded(expected, saved, effects)


def _adapters(run: Run) -> dict[str, Path]:
    """Return the adapters by name, in merge order; raise UsageError if there is none, or they were trained on different bases."""
    if not run.adapters:
        raise UsageError(
            "this is a full model: there is no adapter to merge",
            code="TRAIN-041",
            where="adapter",
            hint="Pass the adapter checkpoint that training wrote.",
        )
    folders = {name: Path(source.path) for name, source in run.adapters.items()}
    for folder in folders.values():
        check_adapter(folder)
    if len({str(quantizer_of(folder)) for folder in folders.values()}) > 1 and not run.options.get("allow_other_base"):
        forms = ", ".join(f"{name}: {choice.name if (choice := quantizer_of(folder)) else 'none'}" for name, folder in folders.items())
        raise UsageError(
            f"the adapters were trained on differently quantized bases ({forms})",
            code="TRAIN-042",
            where="adapter",
            hint="Add --allow-other-base to merge them into the base of the last one, or serve base and adapters together.",
        )
    return folders


def _effect(before: list[Tensor], after: list[Tensor], adapter: Path) -> float:
    effect = max_difference(before, after)
    if effect == 0:
        raise SwiftError(
            "the adapter changes nothing: the logits are the same with and without it",
            code="TRAIN-043",
            where=str(adapter),
            hint="Check that it was trained: a new adapter's update is zero.",
        )
    return effect


def _processor(adapter: Path, base: Any) -> Any:
    """Return the tokenizer and chat template that the adapter was trained with; the base's if the adapter has none."""
    return type(base).from_pretrained(adapter) if (adapter / "tokenizer_config.json").is_file() else base


def _manifest(run: Run, effects: Mapping[str, float], figures: dict[str, Any], processor: Any, *, generation: dict[str, Any]) -> Manifest:
    source, sources = base_of(run), list(run.adapters.values())
    base, trained = Checkpoint.at(source.path).manifest, [Checkpoint.at(adapter.path).manifest for adapter in sources]
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
        head=head_of_run(run),
        tuner={**(last.tuner if last else {"name": "lora"}), "merged": merged},
        quantizer={},
        loader=maker_record(run.parts.get("loader")),
        template=(last.template if last else {}) or template_facts(processor),
        golden=(last.golden if last else ()) or (base.golden if base else ()) or golden(processor, run.date),
        generation=generation,
        figures=figures,
        versions=versions(run),
    )
