"""Layers that are added behind parts of a frozen model, of one adapter or several by name, and their files.

They are children of the block that they act in, so that strategies shard them with it, and act by a forward hook on the part's output.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from safetensors.torch import load_file, save_file
from swift_train.adapters import WEIGHTS
from swift_train.heads import has_no_head, score_modules
from swift_train.vocabulary import new_token_ids
from torch import Tensor, nn

from swift_core.contract import SwiftError, UsageError
from swift_core.options import Options
from swift_plugin_added_layers.blocks import ADDED, blocks_of

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.contract import ModelFamily

_CONFIG = "adapter_config.json"
_BASE = "Use the base model that the adapter was trained on."
Own = TypeVar("Own", bound=Options)


class Added(nn.Module):
    """The layers behind one part: those of each adapter, of which one is active, or none."""

    def __init__(self) -> None:
        super().__init__()
        self.adapters = nn.ModuleDict()
        self.active = ""

    def forward(self, states: Tensor) -> Tensor:
        """Return the hidden states as the active adapter changes them."""
        if not self.active:
            return states
        layer = self.adapters[self.active]
        dtype = next(layer.parameters()).dtype
        changed: Tensor = layer(states.to(dtype))
        return states + changed.to(states.dtype)

    def after(self, part: Module, inputs: Any, output: Any) -> Any:
        """Be the forward hook of the part: its output is a tensor, or a tuple that begins with one."""
        return (self(output[0]), *output[1:]) if isinstance(output, tuple) else self(output)


class AddedLayersTuner(ABC, Generic[Own]):
    """Base of the tuners: adds a layer behind parts of each block. A `SwitchingTuner`; the layers can't be merged."""

    kind: str  # `peft_type` in adapter_config.json
    own: type[Own]

    def __init__(self, options: Own) -> None:
        self.options = options

    @abstractmethod
    def places(self, blocks: nn.ModuleList, options: Own) -> Iterator[tuple[int, str]]:
        """Yield the block's number and the name of the part in it, '' for the block itself, of each layer. May raise UsageError."""

    @abstractmethod
    def layer(self, size: int, options: Own) -> Module:
        """Return a new layer, which gives what is added to hidden states of that size."""

    def attach(self, model: Module, family: ModelFamily) -> Module:
        """Freeze the model, and add the layers of a new adapter.

        Raises:
            UsageError: the model's blocks or their parts are not found, or it has new tokens or an output layer that must be trained.
        """
        if new_token_ids(model) or score_modules(model) or has_no_head(model):
            what = "new tokens" if new_token_ids(model) else "the output layer of this task"
            message = f"{what} can't be trained with it"
            raise UsageError(message, code="PLUGIN-034", where="tuner", hint="Use --tuner lora, or full.")
        model.requires_grad_(requires_grad=False)
        self._add(model, "default", self.options)
        return model.train()

    def restore(self, model: Module, folder: Path, *, trainable: bool = False, name: str = "default") -> Module:
        """Add the layers of a saved adapter, beside others; the first one is active.

        Raises:
            UsageError: it belongs to another base or tuner.
        """
        config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        if config.get("peft_type") != self.kind:
            message = f"it is an adapter of the type {config.get('peft_type')}, not {self.kind}"
            raise UsageError(message, code="PLUGIN-035", where=str(folder), hint="Load it with the tuner that made it.")
        options = self.own.checked({key: value for key, value in config.items() if key in self.own.model_fields})
        model.requires_grad_(requires_grad=False)
        self._add(model, name, options)
        saved = load_file(folder / WEIGHTS)
        mine = {_saved_name(path): parameter for path, parameter in _parameters(model, name)}
        differing = sorted(
            key for key in saved.keys() | mine.keys() if key not in saved or key not in mine or saved[key].shape != mine[key].shape
        )
        if differing:
            self.drop(model, name)
            message = f"the adapter does not match the base model: {len(differing)} weights differ, such as {differing[0]}"
            raise UsageError(message, code="PLUGIN-036", where=str(folder), hint=_BASE)
        with torch.no_grad():
            for key, parameter in mine.items():
                parameter.copy_(saved[key]).requires_grad_(trainable)
        return model.train(trainable)

    def parameter_groups(self, model: Module) -> list[dict[str, Any]]:
        """Return one group, with the added layers."""
        return [{"params": [parameter for parameter in model.parameters() if parameter.requires_grad]}]

    def save(self, model: Module, folder: Path, weights: Mapping[str, Tensor] | None = None) -> None:
        """Write adapter_model.safetensors and adapter_config.json; `weights` are full (gathered) tensors by parameter name."""
        given = weights or {}
        state = {
            _saved_name(path): given.get(path, parameter).detach().cpu().contiguous().clone()
            for path, parameter in _parameters(model, "default")
        }
        folder.mkdir(parents=True, exist_ok=True)
        save_file(state, folder / WEIGHTS, {"format": "pt"})
        base: Any = model
        config = {
            "peft_type": self.kind,
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base.name_or_path,
            **self.options.model_dump(),
        }
        (folder / _CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    def merge(self, model: Module) -> Module:
        """Refuse. Raises SwiftError: the added layers are no change of the model's own weights."""
        message = f"adapters of the type {self.kind} can't be merged: they are layers beside the model's own weights"
        raise SwiftError(message, code="PLUGIN-037", where="merge", hint="Serve the adapter with its base: swift serve --adapter FOLDER.")

    @contextmanager
    def speaking_as(self, model: Module, name: str) -> Iterator[None]:
        """Activate one adapter, or none for an empty name, while the context is open."""
        layers = list(_added(model))
        before = [layer.active for layer in layers]
        for layer in layers:
            layer.active = name if name in layer.adapters else ""
        try:
            yield
        finally:
            for layer, active in zip(layers, before, strict=True):
                layer.active = active

    def drop(self, model: Module, name: str) -> Module:
        """Remove an adapter; with the last one, the hooks have no effect."""
        for layer in _added(model):
            if name in layer.adapters:
                del layer.adapters[name]
            if layer.active == name:
                layer.active = next(iter(layer.adapters), "")
        return model

    def in_layers(self, model: Module) -> bool:
        """Return True: the layers act in the base's own blocks."""
        return True

    def _add(self, model: Any, name: str, options: Own) -> None:
        _, blocks = blocks_of(model)
        size = int(model.config.get_text_config().hidden_size)
        floating = next(parameter for parameter in blocks.parameters() if parameter.is_floating_point())
        for number, part in list(self.places(blocks, options)):
            block = blocks[number]
            child = f"{ADDED}_{part}" if part else ADDED
            if not hasattr(block, child):
                added = Added()
                (block.get_submodule(part) if part else block).register_forward_hook(added.after)
                block.add_module(child, added)
            layers: Any = getattr(block, child)
            with torch.device(floating.device):
                layers.adapters[name] = self.layer(size, options).to(floating.dtype)
            layers.active = layers.active or name


def check_parts(wanted: Sequence[str], block: Module, where: str) -> None:
    """Raise UsageError if a block has no part of one of these names."""
    known = dict(block.named_children())
    for name in wanted:
        if name not in known:
            raise UsageError(f"a block has no part '{name}'", code="PLUGIN-038", where=where, hint=f"Parts: {', '.join(known)}.")


def _added(model: Module) -> Iterator[Added]:
    return (module for module in model.modules() if isinstance(module, Added))


def _parameters(model: Module, name: str) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the path and the parameter of an adapter's layers."""
    return ((path, parameter) for path, parameter in model.named_parameters() if f".adapters.{name}." in path)


def _saved_name(path: str) -> str:
    """Return the name of a parameter in files: without the name of its adapter."""
    before, _, after = path.partition(".adapters.")
    return f"{before}.{after.partition('.')[2]}"
