"""Checks of an optimizer on a small network: its steps, its parameter groups, its learning rate and its state."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from swift_testing.kit.model import check, require
from swift_testing.kit.subject import Subject

if TYPE_CHECKING:
    from torch.nn import Module

OPTIMIZER = "optimizer"


def _layer() -> Module:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 8))


def _made(subject: Subject, layer: Module) -> Any:
    subject.needs_engine()
    return subject.build().build([{"params": list(layer.parameters())}], 1e-2)


def _steps(layer: Module, optimizer: Any, count: int) -> list[float]:
    """Train the network to reproduce its input; return the loss of each step."""
    import torch

    rows = torch.linspace(-1, 1, 32).reshape(4, 8)
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = (layer(rows) - rows).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@check(OPTIMIZER, needs=("torch",))
def check_optimizer_steps(subject: Subject) -> None:
    """Twenty steps lower the loss and change every parameter."""
    layer = _layer()
    before = copy.deepcopy(layer.state_dict())
    losses = _steps(layer, _made(subject, layer), 20)
    require(losses[-1] < losses[0], f"the loss went from {losses[0]:.4f} to {losses[-1]:.4f} in twenty steps")
    unchanged = [name for name, value in layer.state_dict().items() if value.equal(before[name])]
    require(not unchanged, f"parameters that did not change: {', '.join(unchanged)}")


@check(OPTIMIZER, needs=("torch",))
def check_optimizer_groups(subject: Subject) -> None:
    """It keeps the tuner's parameter groups and their `mult`, by which the schedule multiplies the learning rate (LoRA+)."""
    layer = _layer()
    first, *rest = layer.parameters()
    optimizer = subject.build().build([{"params": [first]}, {"params": rest, "mult": 8.0}], 1e-2)
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    require(len(held) == len(rest) + 1 and len({id(one) for one in held}) == len(held), "parameters of the groups were lost")
    marked = {id(parameter) for group in optimizer.param_groups if group.get("mult") == 8.0 for parameter in group["params"]}
    require(marked == {id(parameter) for parameter in rest}, "the `mult` of a group was lost")


@check(OPTIMIZER, needs=("torch",))
def check_learning_rate(subject: Subject) -> None:
    """It uses the learning rate that it is built with, and the rates that the schedule sets in its groups later."""

    def change(built: float, scheduled: float) -> float:
        subject.needs_engine()
        layer = _layer()
        before = copy.deepcopy(layer.state_dict())
        optimizer = subject.build().build([{"params": list(layer.parameters())}], built)
        for group in optimizer.param_groups:
            group["lr"] = scheduled
        _steps(layer, optimizer, 1)
        return max(float((value - before[name]).abs().max()) for name, value in layer.state_dict().items())

    layer = _layer()
    given = {float(group["lr"]) for group in _made(subject, layer).param_groups}
    require(given == {1e-2}, f"built with the learning rate 0.01, its groups have {', '.join(map(str, sorted(given)))}")
    full, tenth, none = change(1e-2, 1e-2), change(1e-2, 1e-3), change(1e-2, 0.0)
    require(none == 0, f"with a learning rate of 0 a step changes weights by {none:.2g}")
    require(tenth < full / 2, f"at a tenth of the learning rate a step changes weights by {tenth:.2g}, at the full rate by {full:.2g}")


@check(OPTIMIZER, needs=("torch",))
def check_optimizer_state(subject: Subject) -> None:
    """Continuing from its `state_dict` gives the same losses as an uninterrupted run: resuming relies on it."""
    import torch

    whole = _layer()
    expected = _steps(whole, _made(subject, whole), 8)
    first = _layer()
    optimizer = _made(subject, first)
    _steps(first, optimizer, 4)
    path = subject.folder / "state.pt"
    torch.save({"layer": first.state_dict(), "optimizer": optimizer.state_dict()}, path)
    kept = torch.load(path, weights_only=True)
    second = _layer()
    second.load_state_dict(kept["layer"])
    again = _made(subject, second)
    again.load_state_dict(kept["optimizer"])
    resumed = _steps(second, again, 4)
    require(resumed == expected[4:], f"after its state was restored the losses are {resumed}; uninterrupted, {expected[4:]}")
