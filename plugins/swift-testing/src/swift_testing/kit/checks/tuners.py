"""A tuner on the tiny model: what it trains, and that what it learned is kept to the last bit that matters."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract.errors import SwiftError
from swift_core.contract.specs import TunerSpec
from swift_testing.kit import tiny
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

TUNER = "tuner"
NEEDS = ("torch", "transformers")
CLOSE = 1e-4  # of a logit, in float32
DRIFT = 1e-3  # folding in adds up in another order


def attached(subject: Subject, tuner: Any, **arguments: Any) -> Module:
    """The tiny model with the tuner on it."""
    subject.needs_engine()
    model: Module = tuner.attach(tiny.base(subject.tiny_model, **arguments), tiny.FAMILY)
    return model


def learned_by(subject: Subject) -> tuple[Path, Tensor]:
    """A folder with what a tuner learned, and the logits of the model that learned it."""

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
    """An adapter's training leaves each weight of the base as it was; `trains="weights"` says that it does not."""
    spec: TunerSpec = subject.spec
    before = {name: value.clone() for name, value in tiny.base(subject.tiny_model).state_dict().items()}
    model = attached(subject, subject.build())
    learning = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    require(learning, "nothing is trainable")
    if spec.trains == "weights":
        require(any(name in before for name in learning), "it says trains='weights', but none of the base's own weights is trainable")
        return
    own = [name for name in learning if _bare(name) in before and ".modules_to_save." not in name]
    require(not own, f"it says trains='adapter', but weights of the base are trainable: {', '.join(own[:3])}")


def _bare(name: str) -> str:
    """The base's own name for a parameter, behind the wrappers of PEFT."""
    return name.removeprefix("base_model.model.").replace(".base_layer", "")


@check(TUNER, needs=NEEDS)
def check_groups_hold_what_trains(subject: Subject) -> None:
    """`parameter_groups` names every trainable parameter once: what is missing there never learns, and nobody would see it."""
    tuner = subject.build()
    model = attached(subject, tuner)
    names = {id(parameter): name for name, parameter in model.named_parameters() if parameter.requires_grad}
    given = [id(parameter) for group in tuner.parameter_groups(model) for parameter in group["params"]]
    require(len(given) == len(set(given)), "a parameter is in two groups")
    left = sorted(names[one] for one in set(names) - set(given))
    require(not left, f"trainable, but in no group: {', '.join(left[:3])}")
    require(not set(given) - set(names), "groups hold parameters that are not trainable")


@check(TUNER, needs=NEEDS)
def check_it_learns(subject: Subject) -> None:
    """A few steps on two rows lower the loss: there is a way from the loss to what is trainable."""
    import torch

    tuner = subject.build()
    model = attached(subject, tuner).train()
    optimizer = torch.optim.AdamW([parameter for group in tuner.parameter_groups(model) for parameter in group["params"]], lr=1e-2)
    if prepare := getattr(tuner, "prepare", None):
        prepare(model, optimizer, 6)
    losses = tiny.learn(model, optimizer, 6)
    require(losses[-1] < losses[0], f"the loss went from {losses[0]:.4f} to {losses[-1]:.4f} in six steps")


@check(TUNER, needs=NEEDS)
def check_save_and_restore(subject: Subject) -> None:
    """What `save` wrote makes the same model of a freshly loaded base: it is all that is left of a training."""
    folder, learned = learned_by(subject)
    base = tiny.logits(tiny.base(subject.tiny_model))
    require(tiny.difference(learned, base) > DRIFT, "what it learned changes nothing")
    restored = subject.build().restore(tiny.base(subject.tiny_model), folder)
    far = tiny.difference(tiny.logits(restored), learned)
    require(far <= CLOSE, f"restored on a fresh base, its logits differ by {far:.2g}")


@check(TUNER, needs=NEEDS)
def check_files(subject: Subject) -> None:
    """The files are those of the ecosystem: PEFT's for an adapter, a whole safetensors model for weights; others must read them."""
    from swift_core.checkpoints.manifest import checkpoint_format

    folder, _ = learned_by(subject)
    try:
        found = checkpoint_format(folder)
    except SwiftError as error:
        if subject.spec.trains == "adapter" or not any(folder.glob("*.safetensors")):
            raise CheckFailed(f"what it saved is no checkpoint: {error.message}") from error
        return  # weights alone: config.json and the tokenizer are the job's to write
    wanted = "adapter" if subject.spec.trains == "adapter" else "safetensors"
    require(found == wanted, f"it says trains='{subject.spec.trains}', but saved a checkpoint of the format {found}")


@check(TUNER, needs=NEEDS)
def check_merge(subject: Subject) -> None:
    """Merged, the model is the one that learned, to a thousandth of a logit; without a `merger` there is no merge to offer."""
    folder, learned = learned_by(subject)
    tuner = subject.build()
    restored = tuner.restore(tiny.base(subject.tiny_model), folder)
    if subject.spec.merger is None:
        try:
            tuner.merge(restored)
        except SwiftError:
            return
        raise CheckFailed('it names no merger, but merge() works: name one (merger=Ref("swift_train.merge:merge")), or raise a UsageError')
    merged = tuner.merge(restored)
    far = tiny.difference(tiny.logits(merged), learned)
    require(far <= DRIFT, f"merged, its logits differ by {far:.2g}")
    kinds = {str(parameter.dtype) for parameter in merged.parameters()}
    require(kinds == {"torch.float32"}, f"full precision in, full precision out, but merged weights are {', '.join(sorted(kinds))}")


@check(TUNER, needs=NEEDS)
def check_quantized_base(subject: Subject) -> None:
    """`quantized_base` is true of it: it trains on a base in four bits, or refuses to; without a refusal it would learn nonsense."""
    import torch

    if importlib.util.find_spec("bitsandbytes") is None:
        raise Skip("bitsandbytes is not installed")
    if subject.spec.trains == "weights":
        require(not subject.spec.quantized_base, "weights in four bits can't be trained, but it says quantized_base")
        return
    from transformers import BitsAndBytesConfig

    config: Any = BitsAndBytesConfig
    four_bits = config(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)

    def last_minus_first() -> float:
        tuner = subject.build()
        model = attached(subject, tuner, quantization_config=four_bits)
        optimizer = torch.optim.AdamW([parameter for group in tuner.parameter_groups(model) for parameter in group["params"]], lr=1e-3)
        losses = tiny.learn(model.eval(), optimizer, 3)
        return losses[-1] - losses[0]

    if subject.spec.quantized_base:
        require(last_minus_first() < 0, "it says quantized_base, but learns nothing on a base in four bits")
        return
    try:
        last_minus_first()
    except (RuntimeError, SwiftError):
        return
    raise CheckFailed("it trains on a base in four bits, but says quantized_base=False: say True, or refuse such a base in attach()")
