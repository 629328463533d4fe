"""What a tuner's checkpoint is worth to others: PEFT reads it, training goes on from it, and adapters stand beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_core.contract.roles import SwitchingTuner
from swift_testing.kit import tiny
from swift_testing.kit.checks.tuners import CLOSE, DRIFT, NEEDS, TUNER, attached, learned_by
from swift_testing.kit.model import CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject, library

if TYPE_CHECKING:
    from pathlib import Path

    from torch.nn import Module


def _adapter(subject: Subject) -> None:
    if subject.spec.trains != "adapter":
        raise Skip("its checkpoints are whole models")


def _restored(subject: Subject, model: Module, folder: Path, **more: Any) -> Module:
    restored: Module = subject.build().restore(model, folder, **more)
    return restored


def _trainable(model: Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@check(TUNER, needs=NEEDS)
def check_peft_reads_it(subject: Subject) -> None:
    """An adapter's folder makes the same model in PEFT: vLLM, hubs and everybody else read it by PEFT's rules."""
    _adapter(subject)
    peft = library("peft")
    folder, wanted = learned_by(subject)
    try:
        model = peft.PeftModel.from_pretrained(tiny.base(subject.tiny_model), folder)
    except Exception as error:
        raise CheckFailed(f"PEFT can't read what it saved: {type(error).__name__}: {error}") from error
    far = tiny.difference(tiny.logits(model), wanted)
    require(far <= CLOSE, f"read by PEFT, its logits differ by {far:.2g}")


@check(TUNER, needs=NEEDS)
def check_training_goes_on(subject: Subject) -> None:
    """Restored with `trainable=True` the same parameters learn as at first; without it none does: `--adapter` goes on from there."""
    _adapter(subject)
    folder, wanted = learned_by(subject)
    first = attached(subject, subject.build())
    again = _restored(subject, tiny.base(subject.tiny_model), folder, trainable=True)
    require(
        _trainable(again) == _trainable(first),
        f"restored with trainable=True, {len(_trainable(again))} parameters learn; of a new adapter {len(_trainable(first))}",
    )
    far = tiny.difference(tiny.logits(again), wanted)
    require(far <= CLOSE, f"restored with trainable=True, its logits differ by {far:.2g}")
    tuner = subject.build()
    held = {id(parameter) for group in tuner.parameter_groups(again) for parameter in group["params"]}
    left = [name for name, parameter in again.named_parameters() if parameter.requires_grad and id(parameter) not in held]
    require(not left, f"after restore, these are trainable, but in no group: {', '.join(left[:3])}")
    frozen = _restored(subject, tiny.base(subject.tiny_model), folder)
    require(not _trainable(frozen), f"restored to answer, these are trainable: {', '.join(sorted(_trainable(frozen))[:3])}")


@check(TUNER, needs=NEEDS)
def check_it_is_saved_as_it_is_given(subject: Subject) -> None:
    """`save` writes the weights that it is given, where it is: a strategy that cuts a model up has the whole ones, the module has not."""
    folder, wanted = learned_by(subject)
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
    far = tiny.difference(tiny.logits(_restored(subject, tiny.base(subject.tiny_model), again)), wanted)
    require(far <= CLOSE, f"given the weights to save, it saved others: restored, the logits differ by {far:.2g}")


@check(TUNER, needs=NEEDS)
def check_adapters_switch(subject: Subject) -> None:
    """A tuner whose adapters take turns gives each its own answers, and the base its own, in any order; and takes them off again."""
    _adapter(subject)
    tuner = subject.build()
    if not isinstance(tuner, SwitchingTuner):
        raise Skip("it lets no adapters take turns; they are served merged")
    folder, wanted = learned_by(subject)
    plain = tiny.logits(tiny.base(subject.tiny_model))
    other = attached(subject, subject.build())
    tiny.pretend_to_learn(other, seed=2)
    second = subject.new_folder("second")
    second.mkdir()
    subject.build().save(other, second)
    answers = {"": plain, "one": wanted, "two": tiny.logits(other)}
    model = tuner.restore(tiny.base(subject.tiny_model), folder, name="one")
    model = tuner.restore(model, second, name="two")
    for name in ("two", "", "one", "", "two"):
        with tuner.speaking_as(model, name):
            far = tiny.difference(tiny.logits(model), answers[name])
        who = f"the adapter '{name}'" if name else "the base"
        require(far <= DRIFT, f"with two adapters on it, {who} does not answer as it does alone: the logits differ by {far:.2g}")
    model = tuner.drop(model, "one")
    with tuner.speaking_as(model, "two"):
        far = tiny.difference(tiny.logits(model), answers["two"])
    require(far <= DRIFT, f"after the other adapter was dropped, the logits differ by {far:.2g}")
    far = tiny.difference(tiny.logits(tuner.drop(model, "two")), plain)
    require(far <= DRIFT, f"with the last adapter dropped, the base's logits differ by {far:.2g}")
