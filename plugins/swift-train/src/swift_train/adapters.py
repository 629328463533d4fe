"""Adapter checkpoints: which tuner made one, and what it says about its base."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.checkpoint import read_manifest
from swift_core.errors import UsageError
from swift_core.made_with import maker
from swift_core.registry import registry
from swift_core.roles import SwitchingTuner
from swift_core.run import Choice

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.roles import Tuner

WEIGHTS = "adapter_model.safetensors"


def check_adapter(folder: Path) -> None:
    """Check that a folder holds a whole adapter.

    Raises:
        UsageError: it has no adapter_config.json, only pickled weights, or truncated ones.
    """
    from swift_train.weights import read_header

    if not (folder / "adapter_config.json").is_file():
        raise UsageError("not an adapter: it has no adapter_config.json", where=str(folder), hint="Name the folder that training wrote.")
    if not (folder / WEIGHTS).is_file():
        pickled = (folder / "adapter_model.bin").is_file()
        problem = "its weights are pickled (adapter_model.bin): they can run code when they are read" if pickled else f"it has no {WEIGHTS}"
        raise UsageError(problem, where=str(folder), hint="Get the adapter as safetensors.")
    read_header(folder / WEIGHTS)


def tuner_of(folder: Path) -> Tuner:
    """The tuner that made an adapter, by its manifest; a folder that only PEFT wrote counts as `lora`, which reads every kind."""
    tuner: Tuner = maker(registry(), "tuner", read_manifest(folder), "lora").build()
    return tuner


def tuner_name(folder: Path) -> str:
    """The name of the tuner that made an adapter, by its manifest; one that only PEFT wrote counts as `lora`, which reads every kind."""
    manifest = read_manifest(folder)
    return str(manifest.tuner.get("name", "lora")) if manifest else "lora"


def switching_tuner(folders: Iterable[Path], found: SwitchingTuner | None = None) -> SwitchingTuner | None:
    """The tuner that lets these adapters take turns on one base, beside those of `found`; None if there are none.

    Raises:
        UsageError: the tuner of one can't do that, or another one made the rest.
    """
    for folder in folders:
        tuner = tuner_of(folder)
        if not isinstance(tuner, SwitchingTuner) or not compatible_tuners(tuner, found or tuner):
            problem = "can't be switched on and off beside its base" if found is None else "can't share a base with those of another tuner"
            raise UsageError(
                f"an adapter of the tuner '{tuner_name(folder)}' {problem}",
                where=str(folder),
                hint=f"Merge it: swift merge {shlex.quote(str(folder))}; then serve the merged model.",
            )
        found = tuner
    return found


def compatible_tuners(one: Tuner, other: Tuner) -> bool:
    """Whether one of two tuners is a kind of the other, so that it reads its adapters."""
    return isinstance(one, type(other)) or isinstance(other, type(one))


def inner_model(module: Module) -> Any:
    """The transformers model in a module that a tuner may have wrapped; the module itself, if there is none in it."""
    from transformers import PreTrainedModel

    return next((part for part in module.modules() if isinstance(part, PreTrainedModel)), module)


def quantizer_of(folder: Path) -> Choice | None:
    """The load-time quantizer that an adapter's base had while it was trained."""
    manifest = read_manifest(folder)
    if not manifest or not manifest.quantizer:
        return None
    return maker(registry(), "quantizer", manifest)
