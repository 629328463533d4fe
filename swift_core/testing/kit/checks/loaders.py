"""A loader on the tiny model: it gives transformers' own logits, and refuses what is damaged."""

from __future__ import annotations

import shutil
from typing import Any

from swift_core.errors import SwiftError, UsageError
from swift_core.roles import Loaded, Loading
from swift_core.testing.kit import tiny
from swift_core.testing.kit.model import CheckFailed, Skip, check, require
from swift_core.testing.kit.subject import Subject

LOADER = "loader"
_NEEDS = ("torch", "transformers")


def _load(subject: Subject, checkpoint: Any, device: str = "cpu") -> Loaded:
    subject.needs_engine()
    if "safetensors" not in subject.spec.reads:
        raise Skip("it does not read safetensors, and the tiny model has no others")
    loaded: Loaded = subject.build().load(checkpoint, tiny.FAMILY, Loading(device=device, dtype="float32"))
    return loaded


@check(LOADER, needs=_NEEDS)
def check_loads(subject: Subject) -> None:
    """The loaded model has the logits of the checkpoint, in the type and on the device that were asked for."""
    loaded = _load(subject, subject.tiny_model)
    far = tiny.difference(tiny.logits(loaded.model), tiny.logits(tiny.base(subject.tiny_model)))
    require(far <= 1e-4, f"its logits differ by {far:.2g} from those of transformers")
    kinds = {(str(parameter.dtype), parameter.device.type) for parameter in loaded.model.parameters()}
    require(kinds == {("torch.float32", "cpu")}, f"float32 on the cpu was asked for, and it loaded {sorted(kinds)}")
    require(loaded.processor is not None, "it gives no processor")


@check(LOADER, needs=_NEEDS)
def check_meta_device(subject: Subject) -> None:
    """On the device `meta` it gives shapes and reads no weights: strategies that shard place the weights themselves."""
    loaded = _load(subject, subject.tiny_model, "meta")
    real = [name for name, parameter in loaded.model.named_parameters() if parameter.device.type != "meta"]
    require(not real, f"these parameters are not on the meta device: {', '.join(real[:3])}")


@check(LOADER, needs=_NEEDS)
def check_damage_is_refused(subject: Subject) -> None:
    """Missing, truncated and pickled weights are a UsageError with a hint: random weights in their place would train, and answer."""
    for damage in ("missing", "truncated", "pickled"):
        folder = subject.new_folder(damage)
        shutil.copytree(subject.tiny_model, folder)
        weights = folder / "model.safetensors"
        if damage == "truncated":
            weights.write_bytes(weights.read_bytes()[:-100])
        elif damage == "pickled":
            weights.rename(folder / "pytorch_model.bin")
        else:
            weights.unlink()
        try:
            _load(subject, folder)
        except UsageError as error:
            require(error.hint, f"{damage} weights: the error has no hint: {error.message}")
        except SwiftError as error:
            raise CheckFailed(f"{damage} weights are a UsageError, not a {type(error).__name__}") from error
        except Exception as error:
            raise CheckFailed(f"{damage} weights end in {type(error).__name__}: {error}") from error
        else:
            raise CheckFailed(f"it loads a checkpoint with {damage} weights")
