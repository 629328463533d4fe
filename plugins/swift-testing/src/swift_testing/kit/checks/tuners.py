"""Checks of a tuner on the tiny model: what it trains, and that saving, restoring and merging preserve the logits."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import SwiftError, TunerSpec
from swift_testing.kit import tiny
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject, library

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

TUNER = "tuner"
NEEDS = ("torch", "transformers")
CLOSE = 1e-4  # maximum difference of a logit, in float32
DRIFT = 1e-3  # the same after merging, which sums in another order


def attached(subject: Subject, tuner: Any, **arguments: Any) -> Module:
    """Return the tiny model with the tuner attached."""
    subject.needs_engine()
    model: Module = tuner.attach(tiny.base(subject.tiny_model, **arguments), tiny.FAMILY)
    return model


def learned_by(subject: Subject) -> tuple[Path, Tensor]:
    """Return a folder with the saved weights of a trained tuner, and the logits of the trained model."""

    def make() -> tuple[Path, Tensor]:
        tuner = subject.build()
        model = attached(subject, tuner)
        tiny.pretend_to_learn(model)
        folder = subject.new_folder("learned")
        folder.mkdir()
        tuner.save(model, folder)
        return folder, tiny.logits(model)

    return subject.keep("learned", make)


@check(TUNER, needs=NEEDS)
def check_base_is_frozen(subject: Subject) -> None:
    """With `trains="adapter"`, all weights of the base are frozen; with `trains="weights"`, some are trainable."""
    spec: TunerSpec = subject.spec
    before = {name: value.clone() for name, value in tiny.base(subject.tiny_model).state_dict().items()}
    model = attached(subject, subject.build())
    learning = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    require(learning, "nothing is trainable")
    if spec.trains == "weights":
        require(any(name in before for name in learning), "it has trains='weights', but no weight of the base is trainable")
        return
    own = [name for name in learning if _unwrapped(name) in before and ".modules_to_save." not in name]
    require(not own, f"it has trains='adapter', but weights of the base are trainable: {', '.join(own[:3])}")


def _unwrapped(name: str) -> str:
    """Return the name of a parameter in the base model, without the prefixes of PEFT."""
    return name.removeprefix("base_model.model.").replace(".base_layer", "")


@check(TUNER, needs=NEEDS)
def check_parameter_groups(subject: Subject) -> None:
    """`parameter_groups` contains every trainable parameter once: a missing one would silently never be trained."""
    tuner = subject.build()
    model = attached(subject, tuner)
    names = {id(parameter): name for name, parameter in model.named_parameters() if parameter.requires_grad}
    given = [id(parameter) for group in tuner.parameter_groups(model) for parameter in group["params"]]
    require(len(given) == len(set(given)), "a parameter is in two groups")
    missing = sorted(names[one] for one in set(names) - set(given))
    require(not missing, f"trainable parameters that are in no group: {', '.join(missing[:3])}")
    require(not set(given) - set(names), "the groups contain parameters that are not trainable")


@check(TUNER, needs=NEEDS)
def check_loss_decreases(subject: Subject) -> None:
    """A few steps on two rows lower the loss, so gradients reach the trainable parameters."""
    import torch

    tuner = subject.build()
    model = attached(subject, tuner).train()
    optimizer = torch.optim.AdamW([parameter for group in tuner.parameter_groups(model) for parameter in group["params"]], lr=1e-2)
    if isinstance(tuner, library("swift_train.roles").ScheduledTuner):
        tuner.prepare(model, optimizer, 6)
    losses = tiny.learn(model, optimizer, 6)
    require(losses[-1] < losses[0], f"the loss went from {losses[0]:.4f} to {losses[-1]:.4f} in six steps")


@check(TUNER, needs=NEEDS)
def check_save_and_restore(subject: Subject) -> None:
    """`restore` on a freshly loaded base reproduces the logits of the model that was saved."""
    folder, learned = learned_by(subject)
    base = tiny.logits(tiny.base(subject.tiny_model))
    require(tiny.difference(learned, base) > DRIFT, "its trained parameters do not change the logits")
    restored = subject.build().restore(tiny.base(subject.tiny_model), folder)
    difference = tiny.difference(tiny.logits(restored), learned)
    require(difference <= CLOSE, f"restored on a fresh base, its logits differ by {difference:.2g}")


@check(TUNER, needs=NEEDS)
def check_file_format(subject: Subject) -> None:
    """It saves files in standard formats: PEFT's for an adapter, a safetensors model for weights, so that other tools can read them."""
    from swift_core.checkpoints import Checkpoint

    folder, _ = learned_by(subject)
    try:
        found = Checkpoint.at(folder).format
    except SwiftError as error:
        if subject.spec.trains == "adapter" or not any(folder.glob("*.safetensors")):
            raise CheckFailed(f"it did not save a valid checkpoint: {error.message}") from error
        return  # weights only: the job writes config.json and the tokenizer
    expected = "adapter" if subject.spec.trains == "adapter" else "safetensors"
    require(found == expected, f"it has trains='{subject.spec.trains}', but saved a checkpoint of the format {found}")


@check(TUNER, needs=NEEDS)
def check_merge(subject: Subject) -> None:
    """The merged model reproduces the logits within 0.001, in full precision; a tuner without a `merger` raises an error in `merge`."""
    folder, learned = learned_by(subject)
    tuner = subject.build()
    restored = tuner.restore(tiny.base(subject.tiny_model), folder)
    if subject.spec.merger is None:
        try:
            tuner.merge(restored)
        except SwiftError:
            return
        raise CheckFailed('it has no merger, but merge() works: set merger=Ref("swift_train.merge:merge"), or raise a UsageError')
    merged = tuner.merge(restored)
    difference = tiny.difference(tiny.logits(merged), learned)
    require(difference <= DRIFT, f"merged, its logits differ by {difference:.2g}")
    kinds = {str(parameter.dtype) for parameter in merged.parameters()}
    require(kinds == {"torch.float32"}, f"the base is in float32, but the merged weights are {', '.join(sorted(kinds))}")


@check(TUNER, needs=NEEDS)
def check_quantized_base(subject: Subject) -> None:
    """`quantized_base` is accurate: it trains on a 4-bit base, or refuses one."""
    import torch

    if importlib.util.find_spec("bitsandbytes") is None:
        raise Skip("bitsandbytes is not installed")
    if subject.spec.trains == "weights":
        require(not subject.spec.quantized_base, "it has quantized_base=True, but 4-bit weights can't be trained")
        return
    from transformers import BitsAndBytesConfig

    config: Any = BitsAndBytesConfig
    four_bits = config(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)

    def loss_change() -> float:
        tuner = subject.build()
        model = attached(subject, tuner, quantization_config=four_bits)
        optimizer = torch.optim.AdamW([parameter for group in tuner.parameter_groups(model) for parameter in group["params"]], lr=1e-3)
        losses = tiny.learn(model.eval(), optimizer, 3)
        return losses[-1] - losses[0]

    if subject.spec.quantized_base:
        require(loss_change() < 0, "it has quantized_base=True, but the loss on a 4-bit base does not decrease")
        return
    try:
        loss_change()
    except (RuntimeError, SwiftError):
        return
    raise CheckFailed("it has quantized_base=False, but trains on a 4-bit base: set it to True, or refuse such a base in attach()")
