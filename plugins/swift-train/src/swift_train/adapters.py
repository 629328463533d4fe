"""Adapter checkpoints: their validation, the tuner that made them, and the quantizer of their base."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.checkpoints import Checkpoint
from swift_core.contract import Choice, UsageError
from swift_core.plugins import registry
from swift_core.runs import maker_of
from swift_train.roles import SwitchingTuner

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_train.roles import Tuner

WEIGHTS = "adapter_model.safetensors"


def check_adapter(folder: Path) -> None:
    """Check that a folder holds a complete adapter.

    Raises:
        UsageError: adapter_config.json is missing, or the weights are missing, pickled or truncated.
    """
    from swift_formats.weights import read_header

    if not (folder / "adapter_config.json").is_file():
        raise UsageError(
            "not an adapter: adapter_config.json is missing",
            code="TUNER-026",
            where=str(folder),
            hint="Give the output folder of a training run.",
        )
    if not (folder / WEIGHTS).is_file():
        pickled = (folder / "adapter_model.bin").is_file()
        problem = "the weights are pickled (adapter_model.bin), and loading them can run code" if pickled else f"{WEIGHTS} is missing"
        raise UsageError(problem, code="TUNER-027", where=str(folder), hint="Get the adapter in safetensors format.")
    read_header(folder / WEIGHTS)


def tuner_of(folder: Path) -> Tuner:
    """Build the tuner that made an adapter, as recorded in its manifest; `lora`, which reads every PEFT type, if there is no manifest."""
    tuner: Tuner = maker_of(registry(), "tuner", Checkpoint.at(folder).manifest, "lora").build()
    return tuner


def tuner_name(folder: Path) -> str:
    """Return the name of the tuner that made an adapter, as recorded in its manifest; `lora` if there is no manifest."""
    manifest = Checkpoint.at(folder).manifest
    return str(manifest.tuner.get("name", "lora")) if manifest else "lora"


def switching_tuner(folders: Iterable[Path], found: SwitchingTuner | None = None) -> SwitchingTuner | None:
    """Return the tuner that can switch between these adapters on one base; None if there are no adapters.

    Args:
        folders: the adapters.
        found: the tuner of the adapters that are already on the base.

    Raises:
        UsageError: a tuner does not support switching, or the adapters were made by incompatible tuners.
    """
    for folder in folders:
        tuner = tuner_of(folder)
        if not isinstance(tuner, SwitchingTuner) or not compatible_tuners(tuner, found or tuner):
            problem = "can't be switched on and off at runtime" if found is None else "can't share a base with adapters of another tuner"
            raise UsageError(
                f"an adapter made by the tuner '{tuner_name(folder)}' {problem}",
                code="TUNER-028",
                where=str(folder),
                hint=f"Merge it with `swift merge {shlex.quote(str(folder))}`, then serve the merged model.",
            )
        found = tuner
    return found


def compatible_tuners(one: Tuner, other: Tuner) -> bool:
    """Return whether one tuner's class derives from the other's, so that it can read the other's adapters."""
    return isinstance(one, type(other)) or isinstance(other, type(one))


def inner_model(module: Module) -> Any:
    """Return the transformers model inside a module that a tuner may have wrapped; the module itself if it contains none."""
    from transformers import PreTrainedModel

    return next((part for part in module.modules() if isinstance(part, PreTrainedModel)), module)


def quantizer_of(folder: Path) -> Choice | None:
    """Return the load-time quantizer that the base had when an adapter was trained; None if it had none."""
    manifest = Checkpoint.at(folder).manifest
    if not manifest or not manifest.quantizer:
        return None
    return maker_of(registry(), "quantizer", manifest)


def takes_logits_to_keep(model: Module) -> bool:
    """Return whether the model takes `logits_to_keep`: transformers' causal models do, a checkpoint's own code may not."""
    return "logits_to_keep" in inspect.signature(inner_model(model).forward).parameters
