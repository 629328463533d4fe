"""Checks of a training callback on the tiny model: it changes nothing in the training, and its state survives a checkpoint."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from swift_core.contract import Run
from swift_core.runs import Report
from swift_testing.kit import tiny
from swift_testing.kit.model import CheckFailed, check, require
from swift_testing.kit.subject import Subject, library

if TYPE_CHECKING:
    from torch.nn import Module
    from torch.optim import Optimizer

CALLBACK = "callback"
_NEEDS = ("torch", "transformers")
_AT_STEP = ("on_step_end", "on_evaluate", "on_save")


@check(CALLBACK, needs=_NEEDS)
def check_callback_side_effects(subject: Subject) -> None:
    """Its methods change no weight, gradient, optimizer state or random generator: a resumed run must be exact."""
    import torch

    callback, training = subject.build(), _training(subject)
    checkpoint = subject.new_folder("checkpoint")
    shutil.copytree(subject.tiny_model, checkpoint / "model")
    model = tiny.base(subject.tiny_model).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def call(method: str, *arguments: Any) -> None:
        before = _state(model, optimizer)
        getattr(callback, method)(training, *arguments)
        changed = sorted(name for name, value in _state(model, optimizer).items() if not _same(value, before.get(name)))
        require(not changed, f"{method} changes {', '.join(changed[:3])}")

    call("on_load_begin")
    training.model = model
    for method in ("on_load_end", "on_train_begin"):
        call(method)
    for _ in range(2):
        (loss,) = tiny.learn(model, optimizer, 1)
        training.step += 1
        training.metrics, training.evaluated = {"loss": loss, "grad_norm": 1.0, "learning_rate": 1e-3}, {"loss": loss}
        for method in _AT_STEP:
            call(method, *([checkpoint] if method == "on_save" else []))
    call("on_train_end", training.folder)


@check(CALLBACK)
def check_callback_state(subject: Subject) -> None:
    """`state_dict` returns JSON values, and `load_state_dict` restores them: a resumed run continues with them."""
    callback, training = subject.build(), _training(subject)
    training.step, training.evaluated, training.metrics = 1, {"loss": 1.0}, {"loss": 1.0}
    for method in ("on_train_begin", "on_step_end", "on_evaluate"):
        getattr(callback, method)(training)
    state = callback.state_dict()
    try:
        saved = json.loads(json.dumps(state))
    except TypeError as error:
        raise CheckFailed(f"state_dict() can't be written as JSON: {error}") from None
    other = subject.build()
    other.load_state_dict(saved)
    restored = json.loads(json.dumps(other.state_dict()))
    require(restored == saved, f"state_dict() was {saved}, and is {restored} after load_state_dict()")


def _training(subject: Subject) -> Any:
    folder = subject.new_folder("run")
    folder.mkdir()
    run = Run(verb="train", job="")
    return library("swift_train.callbacks").Training(run=run, folder=folder, rank=0, ranks=1, report=Report(folder), total_steps=2)


def _state(model: Module, optimizer: Optimizer) -> dict[str, Any]:
    """Return everything that determines the next steps, by name."""
    import random

    import numpy
    import torch

    state: dict[str, Any] = {f"the weight {name}": value.clone() for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        state[f"the gradient of {name}"] = None if parameter.grad is None else parameter.grad.clone()
        state[f"requires_grad of {name}"] = parameter.requires_grad
    for number, values in optimizer.state_dict()["state"].items():
        state |= {f"the optimizer's {key} {number}": torch.as_tensor(value).clone() for key, value in values.items()}
    state["the mode of the model"] = model.training
    state["torch's random generator"] = torch.get_rng_state()
    state["Python's random generator"] = random.getstate()
    state["NumPy's random generator"] = str(numpy.random.get_state())
    return state


def _same(one: Any, other: Any) -> bool:
    import torch

    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    return type(one) is type(other) and bool(one == other)
