"""A loader on the tiny model: it gives transformers' own logits, and refuses what is damaged."""

from __future__ import annotations

import json
import shutil
from typing import Any

from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.roles import Loaded, Loading
from swift_testing.kit import tiny
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject

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
def check_dtype(subject: Subject) -> None:
    """bfloat16 is bfloat16 where it is asked for: a model that is silently whole takes twice the memory, one that is not trains worse."""
    subject.needs_engine()
    if "safetensors" not in subject.spec.reads:
        raise Skip("it does not read safetensors, and the tiny model has no others")
    loaded: Loaded = subject.build().load(subject.tiny_model, tiny.FAMILY, Loading(device="cpu", dtype="bfloat16"))
    kinds = {str(parameter.dtype) for parameter in loaded.model.parameters()}
    require(kinds == {"torch.bfloat16"}, f"bfloat16 was asked for, and it loaded {', '.join(sorted(kinds))}")


@check(LOADER, needs=_NEEDS)
def check_code_is_not_trusted(subject: Subject) -> None:
    """A checkpoint's own Python code does not run unless it is trusted, and is a UsageError: it is a stranger's program."""
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
        require(not mark.exists(), "it ran the checkpoint's own code, which nobody had trusted")
        raise CheckFailed(f"a checkpoint with code of its own ends in {type(error).__name__}: {error}") from error
    else:
        raise CheckFailed("it loads a checkpoint with code of its own, which nobody had trusted")
    require(not mark.exists(), "it ran the checkpoint's own code, which nobody had trusted")


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
