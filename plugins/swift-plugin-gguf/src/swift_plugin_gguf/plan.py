"""The export plan: the name, the shape and the sources of every GGUF tensor, from the weight headers.

Most checkpoints of mixture-of-experts models have one matrix per expert, or fused gate and up projections; GGUF has one stacked tensor of
all experts for each projection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import gguf
from swift_formats.config import quantization_of
from swift_formats.weights import read_header, weight_files
from swift_train.weights import check_weights

from swift_core.checkpoints import Checkpoint
from swift_core.contract import Ref, UsageError, suggestion
from swift_plugin_gguf.layouts import Layout, layout_of, layouts

_EXPERT = re.compile(r"^(?P<before>.*\.experts)\.(?P<number>\d+)\.(?P<after>.*)$")
_FUSED = re.compile(r"^(?P<before>.*\.experts)\.(?P<part>gate_up_proj|down_proj)$")
_BUFFERS = ("*rotary_emb.inv_freq", "*.attention.bias", "*.masked_bias")  # computed, not trained


@dataclass(frozen=True, slots=True)
class Target:
    """A tensor of the GGUF file: the stacked `sources`, of which chunk `piece` of `pieces` along the rows is taken."""

    name: str
    shape: tuple[int, ...]
    sources: tuple[str, ...]
    transform: Ref | None = None
    piece: int = 0
    pieces: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """A checkpoint, its GGUF layout, and the tensors in the order of writing; `files` maps each source tensor to its file."""

    checkpoint: Path
    config: Mapping[str, Any]
    layout: Layout
    targets: tuple[Target, ...]
    files: Mapping[str, Path]

    @property
    def vocabulary(self) -> int:
        """The number of embeddings."""
        return next(target.shape[0] for target in self.targets if target.name == "token_embd.weight")


def make_plan(checkpoint: Path) -> Plan:
    """Plan the export of a checkpoint from its config and weight headers.

    Raises:
        UsageError: no safetensors checkpoint, an architecture without a GGUF layout, or weights that the layout does not name.
    """
    if (found := Checkpoint.at(checkpoint).format) != "safetensors":
        raise UsageError(
            f"expected a safetensors checkpoint, found {found}", code="EXPORT-002", where=str(checkpoint), hint="Merge or convert it first."
        )
    config = Checkpoint.at(checkpoint).config
    layout = layout_for(config, checkpoint)
    check_weights(checkpoint)
    headers = {file: read_header(file) for file in weight_files(checkpoint)}
    files = {name: file for file, header in headers.items() for name in header if not any(fnmatchcase(name, each) for each in _BUFFERS)}
    shapes = {name: tuple(headers[file][name]["shape"]) for name, file in files.items()}
    if config.get("tie_word_embeddings") and "model.embed_tokens.weight" in shapes:
        shapes.pop("lm_head.weight", None)
    return Plan(checkpoint, config, layout, tuple(_targets(shapes, layout, config, checkpoint)), files)


def layout_for(config: Mapping[str, Any], checkpoint: Path) -> Layout:
    """Return the GGUF layout of a full-precision checkpoint.

    Raises:
        UsageError: there is no layout for the architecture, the checkpoint is quantized, or GGUF can't represent a config field.
    """
    where, named = str(checkpoint / "config.json"), [str(name) for name in config.get("architectures") or ["?"]]
    layout = layout_of(config)
    if layout is None:
        known = sorted({name for each in layouts() for name in each.architectures})
        hint = f"{suggestion(named[0], known)} Supported: {', '.join(known)}. llama.cpp's converter supports more.".strip()
        raise UsageError(f"there is no GGUF layout for the architecture {', '.join(named)}", code="EXPORT-025", where=where, hint=hint)
    if method := quantization_of(config):
        raise UsageError(
            f"the checkpoint is already quantized ({method})", code="EXPORT-026", where=where, hint="Export the full-precision model."
        )
    for name, values in layout.assumes.items():
        if name in config and config[name] not in values:
            hint = f"Readers of {layout.arch} files assume {name} = {values[0]}."
            raise UsageError(f"{name} is {config[name]!r}, which GGUF can't represent", code="EXPORT-027", where=where, hint=hint)
    return layout


def _targets(shapes: Mapping[str, tuple[int, ...]], layout: Layout, config: Mapping[str, Any], checkpoint: Path) -> list[Target]:
    blocks = int(config["num_hidden_layers"])
    names = Names(layout, blocks)
    targets: list[Target] = []
    experts: dict[str, dict[int, str]] = {}
    unnamed: list[str] = []

    def add(name: str, shape: tuple[int, ...], sources: tuple[str, ...], piece: int = 0, pieces: int = 1) -> None:
        found = names.of(name)
        if found is None:
            unnamed.append(name)
            return
        change = next((ref for pattern, ref in layout.transforms.items() if fnmatchcase(name, pattern)), None)
        squeezed = tuple(size for size in shape if size > 1) or (1,)  # as llama.cpp's converter does
        targets.append(Target(found, squeezed, sources, change, piece, pieces))

    for name, shape in shapes.items():
        if match := _EXPERT.match(name):
            experts.setdefault(f"{match['before']}.{match['after']}", {})[int(match["number"])] = name
        elif match := _FUSED.match(name):
            parts = ("gate_proj", "up_proj") if match["part"] == "gate_up_proj" else ("down_proj",)
            each = (shape[0], shape[1] // len(parts), shape[2])
            for number, part in enumerate(parts):
                add(f"{match['before']}.{part}.weight", each, (name,), number, len(parts))
        else:
            add(name, shape, (name,))
    for name, sources in experts.items():
        ordered = tuple(sources[number] for number in sorted(sources))
        add(name, (len(ordered), *shapes[ordered[0]]), ordered)
    if unnamed:
        shown = ", ".join(sorted(unnamed)[:3]) + (", …" if len(unnamed) > 3 else "")
        hint = "Check that config.json belongs to the checkpoint; missing names can be added to the layout (see the plugin's README)."
        raise UsageError(
            f"{len(unnamed)} weights have no name in a {layout.arch} GGUF file: {shown}",
            code="EXPORT-028",
            where=str(checkpoint),
            hint=hint,
        )
    return sorted(targets, key=_order)


def _order(target: Target) -> tuple[int, str]:
    block = re.match(r"blk\.(\d+)\.", target.name)
    return (int(block[1]) if block else -1 if target.name == "token_embd.weight" else 1_000_000, target.name)


class Names:
    """The mapping from tensor names of a checkpoint to GGUF names."""

    def __init__(self, layout: Layout, blocks: int) -> None:
        arch = next((number for number, name in gguf.MODEL_ARCH_NAMES.items() if name == layout.arch), None)
        self._known = gguf.get_tensor_name_map(arch, blocks) if arch is not None else None
        self._more = [(re.compile(re.escape(ours).replace(r"\{n\}", r"(\d+)")), theirs) for ours, theirs in layout.names.items()]

    def of(self, name: str) -> str | None:
        """Return the GGUF name of a tensor, or None if it has none."""
        for pattern, theirs in self._more:
            if match := pattern.fullmatch(name):
                return theirs.replace("{n}", match[1]) if match.groups() else theirs
        return self._known.get_name(name, try_suffixes=(".weight", ".bias")) if self._known else None
