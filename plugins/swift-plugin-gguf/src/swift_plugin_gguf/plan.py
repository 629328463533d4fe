"""What would be written, from the headers of the weight files alone: every tensor with its name, its shape and where it comes from.

Mixtures of experts keep one matrix an expert in most checkpoints, or gate and up in one, and GGUF one tensor of all experts for each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import gguf
from swift_train.weights import check_weights, read_header, weight_files

from swift_core.checkpoint import checkpoint_format, quantization_of, read_config
from swift_core.errors import UsageError, suggestion
from swift_core.specs import Ref
from swift_plugin_gguf.layouts import Layout, layout_of, layouts

_EXPERT = re.compile(r"^(?P<before>.*\.experts)\.(?P<number>\d+)\.(?P<after>.*)$")
_FUSED = re.compile(r"^(?P<before>.*\.experts)\.(?P<part>gate_up_proj|down_proj)$")
_UNWANTED = ("*rotary_emb.inv_freq", "*.attention.bias", "*.masked_bias")  # computed, not learned


@dataclass(frozen=True, slots=True)
class Target:
    """A tensor of the GGUF file. Several `sources` are stacked; of each, piece `piece` of `pieces` along the rows is taken."""

    name: str
    shape: tuple[int, ...]
    sources: tuple[str, ...]
    transform: Ref | None = None
    piece: int = 0
    pieces: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """A checkpoint, the layout it gets, and the tensors in the order they are written. `files` says where each source is."""

    checkpoint: Path
    config: Mapping[str, Any]
    layout: Layout
    targets: tuple[Target, ...]
    files: Mapping[str, Path]

    @property
    def vocabulary(self) -> int:
        """How many tokens have an embedding."""
        return next(target.shape[0] for target in self.targets if target.name == "token_embd.weight")


def make_plan(checkpoint: Path) -> Plan:
    """Read the checkpoint's config and the headers of its weights.

    Raises:
        UsageError: no checkpoint, an architecture without a layout, or weights that have no place in it.
    """
    if (found := checkpoint_format(checkpoint)) != "safetensors":
        raise UsageError(f"this is {found}, and GGUF is written from safetensors", where=str(checkpoint), hint="Merge or convert it first.")
    config = read_config(checkpoint)
    layout = layout_for(config, checkpoint)
    check_weights(checkpoint)
    headers = {file: read_header(file) for file in weight_files(checkpoint)}
    files = {name: file for file, header in headers.items() for name in header if not any(fnmatchcase(name, each) for each in _UNWANTED)}
    shapes = {name: tuple(headers[file][name]["shape"]) for name, file in files.items()}
    if config.get("tie_word_embeddings") and "model.embed_tokens.weight" in shapes:
        shapes.pop("lm_head.weight", None)
    return Plan(checkpoint, config, layout, tuple(_targets(shapes, layout, config, checkpoint)), files)


def layout_for(config: Mapping[str, Any], checkpoint: Path) -> Layout:
    """The layout of a full-precision checkpoint, by its config.

    Raises:
        UsageError: there is none, or one that would be read wrongly.
    """
    where, named = str(checkpoint / "config.json"), [str(name) for name in config.get("architectures") or ["?"]]
    layout = layout_of(config)
    if layout is None:
        known = sorted({name for each in layouts() for name in each.architectures})
        hint = f"{suggestion(named[0], known)} Known: {', '.join(known)}. llama.cpp's own converter knows more.".strip()
        raise UsageError(f"there is no GGUF layout for the architecture {', '.join(named)}", where=where, hint=hint)
    if method := quantization_of(config):
        raise UsageError(f"the checkpoint is quantized already ({method})", where=where, hint="Export the full-precision model.")
    for name, values in layout.assumes.items():
        if name in config and config[name] not in values:
            hint = f"{layout.arch} files are read with {name} = {values[0]}."
            raise UsageError(f"{name} is {config[name]!r}, which a GGUF file can't say", where=where, hint=hint)
    return layout


def _targets(shapes: Mapping[str, tuple[int, ...]], layout: Layout, config: Mapping[str, Any], checkpoint: Path) -> list[Target]:
    blocks = int(config["num_hidden_layers"])
    names = Names(layout, blocks)
    targets: list[Target] = []
    experts: dict[str, list[str]] = {}
    lost: list[str] = []

    def add(name: str, shape: tuple[int, ...], sources: tuple[str, ...], piece: int = 0, pieces: int = 1) -> None:
        found = names.of(name)
        if found is None:
            lost.append(name)
            return
        change = next((ref for pattern, ref in layout.transforms.items() if fnmatchcase(name, pattern)), None)
        squeezed = tuple(size for size in shape if size > 1) or (1,)  # as llama.cpp's converter does
        targets.append(Target(found, squeezed, sources, change, piece, pieces))

    for name, shape in shapes.items():
        if match := _EXPERT.match(name):
            experts.setdefault(f"{match['before']}.{match['after']}", []).append(name)
        elif match := _FUSED.match(name):
            parts = ("gate_proj", "up_proj") if match["part"] == "gate_up_proj" else ("down_proj",)
            each = (shape[0], shape[1] // len(parts), shape[2])
            for number, part in enumerate(parts):
                add(f"{match['before']}.{part}.weight", each, (name,), number, len(parts))
        else:
            add(name, shape, (name,))
    for name, sources in experts.items():
        ordered = sorted(sources, key=lambda source: int(_EXPERT.match(source)["number"]))  # type: ignore[index]
        add(name, (len(ordered), *shapes[ordered[0]]), tuple(ordered))
    if lost:
        shown = ", ".join(sorted(lost)[:3]) + (", …" if len(lost) > 3 else "")
        hint = "Is config.json the checkpoint's own? The layout may lack names: see the plugin's README."
        raise UsageError(f"{len(lost)} weights have no place in a {layout.arch} file: {shown}", where=str(checkpoint), hint=hint)
    return sorted(targets, key=_order)


def _order(target: Target) -> tuple[int, str]:
    block = re.match(r"blk\.(\d+)\.", target.name)
    return (int(block[1]) if block else -1 if target.name == "token_embd.weight" else 1_000_000, target.name)


class Names:
    """Names of a checkpoint's tensors → GGUF's."""

    def __init__(self, layout: Layout, blocks: int) -> None:
        arch = next((number for number, name in gguf.MODEL_ARCH_NAMES.items() if name == layout.arch), None)
        self._known = gguf.get_tensor_name_map(arch, blocks) if arch is not None else None
        self._more = [(re.compile(re.escape(ours).replace(r"\{n\}", r"(\d+)")), theirs) for ours, theirs in layout.names.items()]

    def of(self, name: str) -> str | None:
        """GGUF's name of a tensor, or None."""
        for pattern, theirs in self._more:
            if match := pattern.fullmatch(name):
                return theirs.replace("{n}", match[1]) if match.groups() else theirs
        return self._known.get_name(name, try_suffixes=(".weight", ".bias")) if self._known else None
