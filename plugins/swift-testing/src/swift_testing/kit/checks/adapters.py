"""Checks of a tuner's checkpoints: PEFT can read them, training can continue from them, and adapters can be switched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_testing.kit import tiny
from swift_testing.kit.checks.tuners import CLOSE, DRIFT, NEEDS, TUNER, attached, learned_by
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject, library

if TYPE_CHECKING:
    from pathlib import Path

    from torch.nn import Module


def _adapter(subject: Subject) -> None:
    if subject.spec.trains != "adapter":
        raise Skip("its checkpoints are full models")


def _restored(subject: Subject, model: Module, folder: Path, **more: Any) -> Module:
    restored: Module = subject.build().restore(model, folder, **more)
    return restored


def _trainable(model: Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@check(TUNER, needs=NEEDS)
def check_peft_compatibility(subject: Subject) -> None:
    """PEFT restores the same model from the saved adapter: vLLM and other tools read adapters in PEFT's format."""
    _adapter(subject)
    peft = library("peft")
    folder, expected = learned_by(subject)
    try:
        model = peft.PeftModel.from_pretrained(tiny.base(subject.tiny_model), folder)
    except Exception as error:
        raise CheckFailed(f"PEFT can't read what it saved: {type(error).__name__}: {error}") from error
    difference = tiny.difference(tiny.logits(model), expected)
    require(difference <= CLOSE, f"loaded by PEFT, its logits differ by {difference:.2g}")


@check(TUNER, needs=NEEDS)
def check_training_can_continue(subject: Subject) -> None:
    """Restored with `trainable=True`, the same parameters are trainable as in a new adapter, else none: `--adapter` relies on it."""
    _adapter(subject)
    folder, expected = learned_by(subject)
    first = attached(subject, subject.build())
    again = _restored(subject, tiny.base(subject.tiny_model), folder, trainable=True)
    require(
        _trainable(again) == _trainable(first),
        f"restored with trainable=True, {len(_trainable(again))} parameters are trainable; in a new adapter {len(_trainable(first))}",
    )
    difference = tiny.difference(tiny.logits(again), expected)
    require(difference <= CLOSE, f"restored with trainable=True, its logits differ by {difference:.2g}")
    tuner = subject.build()
    held = {id(parameter) for group in tuner.parameter_groups(again) for parameter in group["params"]}
    missing = [name for name, parameter in again.named_parameters() if parameter.requires_grad and id(parameter) not in held]
    require(not missing, f"after restore, these parameters are trainable but in no parameter group: {', '.join(missing[:3])}")
    frozen = _restored(subject, tiny.base(subject.tiny_model), folder)
    require(not _trainable(frozen), f"restored for inference, these are trainable: {', '.join(sorted(_trainable(frozen))[:3])}")


@check(TUNER, needs=NEEDS)
def check_save_of_gathered_weights(subject: Subject) -> None:
    """`save` writes the weights that are passed to it, not those of the module, which a sharding strategy has only in part."""
    folder, expected = learned_by(subject)
    tuner = subject.build()
    model = _restored(subject, tiny.base(subject.tiny_model), folder, trainable=True)
    every = subject.spec.trains == "weights"
    whole = {name: value.detach().clone() for name, value in model.named_parameters() if every or value.requires_grad}
    import torch

    with torch.no_grad():
        for _, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.zero_()
    again = subject.new_folder("given")
    again.mkdir()
    tuner.save(model, again, whole)
    difference = tiny.difference(tiny.logits(_restored(subject, tiny.base(subject.tiny_model), again)), expected)
    require(difference <= CLOSE, f"it did not save the weights that were passed: restored, the logits differ by {difference:.2g}")


@check(TUNER, needs=NEEDS)
def check_adapter_switching(subject: Subject) -> None:
    """A tuner that switches adapters reproduces the logits of each adapter and of the base in any order, and can remove adapters."""
    _adapter(subject)
    tuner = subject.build()
    if not isinstance(tuner, library("swift_train.roles").SwitchingTuner):
        raise Skip("it does not switch adapters; they are served merged")
    folder, first = learned_by(subject)
    plain = tiny.logits(tiny.base(subject.tiny_model))
    other = attached(subject, subject.build())
    tiny.pretend_to_learn(other, seed=2)
    second = subject.new_folder("second")
    second.mkdir()
    subject.build().save(other, second)
    expected = {"": plain, "one": first, "two": tiny.logits(other)}
    model = tuner.restore(tiny.base(subject.tiny_model), folder, name="one")
    model = tuner.restore(model, second, name="two")
    for name in ("two", "", "one", "", "two"):
        with tuner.speaking_as(model, name):
            difference = tiny.difference(tiny.logits(model), expected[name])
        active = f"the adapter '{name}'" if name else "the base"
        require(
            difference <= DRIFT, f"with two adapters attached, the logits of {active} differ by {difference:.2g} from those it has alone"
        )
    model = tuner.drop(model, "one")
    with tuner.speaking_as(model, "two"):
        difference = tiny.difference(tiny.logits(model), expected["two"])
    require(difference <= DRIFT, f"after the other adapter was removed, the logits differ by {difference:.2g}")
    difference = tiny.difference(tiny.logits(tuner.drop(model, "two")), plain)
    require(difference <= DRIFT, f"after the last adapter was removed, the base's logits differ by {difference:.2g}")
