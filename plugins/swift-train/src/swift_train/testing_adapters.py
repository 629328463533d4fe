"""Test helpers for adapters: write a non-zero adapter within a second, and make the run that merges it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from swift_core.checkpoints import Checkpoint, Manifest, write_manifest
from swift_core.contract import Run, Source
from swift_core.plugins import registry
from swift_train import build

if TYPE_CHECKING:
    from torch import Tensor

INPUTS = torch.arange(3, 43).reshape(2, 20)


def source_of(folder: Path) -> Source:
    """Return a checkpoint folder as the source of a run."""
    found = Checkpoint.at(folder)
    return Source(reference=f"file:{folder}", path=str(folder), hash=found.hash(), format=found.format, family="")


@torch.no_grad()
def logits(model: Any) -> Tensor:
    """Return a model's logits for `INPUTS`, (2, 20, vocabulary), float32."""
    return model.eval()(input_ids=INPUTS).logits.float()  # type: ignore[no-any-return]


def learned_adapter(
    base: Path, folder: Path, tuner: str = "lora", *, size: float = 0.05, quantizer: str = "", seed: int = 1, **options: Any
) -> Tensor:
    """Write an adapter with random weights and a manifest like that of a training run.

    Args:
        base: folder of the base model.
        folder: folder of the new adapter.
        tuner: name of the tuner.
        size: standard deviation of the noise added to its trainable weights; 0 leaves the adapter without effect.
        quantizer: load-time quantizer of the base; '' for none.
        seed: of the noise.
        options: options of the tuner.

    Returns:
        The logits of base + adapter for `INPUTS`.
    """
    parts = {"tuner": registry().choose("tuner", tuner, options)}
    if quantizer:
        parts["quantizer"] = registry().choose("quantizer", quantizer)
    run = Run(verb="sft", job="", model=source_of(base), parts=parts, options={"device": "cpu", "dtype": "float32"})
    loaded, implementation = build.load_base(run), parts["tuner"].build()
    model = build.attach(run, loaded.model, implementation)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad and size:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * size)
    implementation.save(model, folder)
    manifest = Manifest(
        kind="adapter",
        base={"reference": f"file:{base}", "hash": Checkpoint.at(base).hash(), "path": str(base)},
        tuner={"name": tuner, "options": options},
        quantizer={"name": quantizer, "options": {}} if quantizer else {},
        template={"hash": "of the adapter", "stop": ["<|im_end|>"]},
        golden=({"messages": [], "ids": [1, 2]},),
    )
    write_manifest(folder, manifest)
    return logits(model)


def merge_run(base: Path, *adapters: Path, out: Path, **options: Any) -> Run:
    """Return the run that merges adapters, named after their folders, into a base; `options` are those of `swift merge`."""
    sources = {adapter.name: source_of(adapter) for adapter in adapters}
    given = {"device": "cpu", "output": str(out), "verify": {"tokens": 64, "max_kl": None}, **options}
    return Run(verb="merge", job="", model=source_of(base), adapters=sources, options=given)
