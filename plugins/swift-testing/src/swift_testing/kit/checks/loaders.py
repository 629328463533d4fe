"""Checks of a loader on the tiny model: its logits are those of transformers, and damaged checkpoints are refused."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from swift_core.contract import SwiftError, UsageError
from swift_testing.kit import tiny
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject, library

if TYPE_CHECKING:
    from swift_train.roles import Loaded

LOADER = "loader"
_NEEDS = ("torch", "transformers")


def _load(subject: Subject, checkpoint: Any, device: str = "cpu") -> Loaded:
    subject.needs_engine()
    if "safetensors" not in subject.spec.reads:
        raise Skip("it does not read safetensors, the only format of the tiny model")
    loaded: Loaded = subject.build().load(checkpoint, tiny.FAMILY, library("swift_train.roles").Loading(device=device, dtype="float32"))
    return loaded


@check(LOADER, needs=_NEEDS)
def check_loads(subject: Subject) -> None:
    """The loaded model has the logits of the checkpoint, and the requested dtype and device."""
    loaded = _load(subject, subject.tiny_model)
    difference = tiny.difference(tiny.logits(loaded.model), tiny.logits(tiny.base(subject.tiny_model)))
    require(difference <= 1e-4, f"its logits differ by {difference:.2g} from those of transformers")
    kinds = {(str(parameter.dtype), parameter.device.type) for parameter in loaded.model.parameters()}
    require(kinds == {("torch.float32", "cpu")}, f"float32 on the CPU was requested, but it loaded {sorted(kinds)}")
    require(loaded.processor is not None, "it returns no processor")


@check(LOADER, needs=_NEEDS)
def check_dtype(subject: Subject) -> None:
    """The model is loaded in bfloat16 if that is requested: with another dtype, memory use or accuracy would differ silently."""
    subject.needs_engine()
    if "safetensors" not in subject.spec.reads:
        raise Skip("it does not read safetensors, the only format of the tiny model")
    loaded: Loaded = subject.build().load(
        subject.tiny_model, tiny.FAMILY, library("swift_train.roles").Loading(device="cpu", dtype="bfloat16")
    )
    kinds = {str(parameter.dtype) for parameter in loaded.model.parameters()}
    require(kinds == {"torch.bfloat16"}, f"bfloat16 was requested, but it loaded {', '.join(sorted(kinds))}")


@check(LOADER, needs=_NEEDS)
def check_untrusted_code_is_refused(subject: Subject) -> None:
    """A checkpoint with its own Python code is a UsageError unless it is trusted, and its code does not run."""
    folder = subject.new_folder("code")
    shutil.copytree(subject.tiny_model, folder)
    mark = folder / "it-ran"
    (folder / "modeling_odd.py").write_text(f"open({str(mark)!r}, 'w').close()\n", encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    code = {"AutoConfig": "modeling_odd.OddConfig", "AutoModelForCausalLM": "modeling_odd.OddModel"}
    config |= {"model_type": "odd-of-the-check", "architectures": ["OddModel"], "auto_map": code}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    try:
        _load(subject, folder)
    except UsageError as error:
        require(error.hint, f"the error has no hint: {error.message}")
    except Exception as error:
        require(not mark.exists(), "it ran the checkpoint's own code, which was not trusted")
        raise CheckFailed(f"a checkpoint with its own code raises {type(error).__name__}: {error}") from error
    else:
        raise CheckFailed("it loads a checkpoint with its own code, which was not trusted")
    require(not mark.exists(), "it ran the checkpoint's own code, which was not trusted")


@check(LOADER, needs=_NEEDS)
def check_meta_device(subject: Subject) -> None:
    """On the device `meta` it builds the model without reading weights: sharding strategies load the weights themselves."""
    loaded = _load(subject, subject.tiny_model, "meta")
    real = [name for name, parameter in loaded.model.named_parameters() if parameter.device.type != "meta"]
    require(not real, f"these parameters are not on the meta device: {', '.join(real[:3])}")


@check(LOADER, needs=_NEEDS)
def check_damaged_weights_are_refused(subject: Subject) -> None:
    """Missing, truncated and pickled weights are a UsageError with a hint: random weights in their place would go unnoticed."""
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
            raise CheckFailed(f"{damage} weights must raise a UsageError, not a {type(error).__name__}") from error
        except Exception as error:
            raise CheckFailed(f"{damage} weights raise {type(error).__name__}: {error}") from error
        else:
            raise CheckFailed(f"it loads a checkpoint with {damage} weights")
