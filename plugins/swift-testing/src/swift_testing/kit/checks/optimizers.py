"""An optimizer on one small layer: it steps, and its state comes back."""

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
    """Teach the layer to give back what it is given."""
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
def check_it_steps(subject: Subject) -> None:
    """Twenty steps lower a small loss, and every parameter has moved."""
    layer = _layer()
    before = copy.deepcopy(layer.state_dict())
    losses = _steps(layer, _made(subject, layer), 20)
    require(losses[-1] < losses[0], f"the loss went from {losses[0]:.4f} to {losses[-1]:.4f} in twenty steps")
    still = [name for name, value in layer.state_dict().items() if value.equal(before[name])]
    require(not still, f"parameters that have not moved: {', '.join(still)}")


@check(OPTIMIZER, needs=("torch",))
def check_it_takes_groups(subject: Subject) -> None:
    """It keeps the groups that tuners give it, and `mult` in them, which the schedule multiplies the rate by (LoRA+)."""
    layer = _layer()
    first, *rest = layer.parameters()
    optimizer = subject.build().build([{"params": [first]}, {"params": rest, "mult": 8.0}], 1e-2)
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    require(len(held) == len(rest) + 1 and len({id(one) for one in held}) == len(held), "it lost parameters of its groups")
    marked = {id(parameter) for group in optimizer.param_groups if group.get("mult") == 8.0 for parameter in group["params"]}
    require(marked == {id(parameter) for parameter in rest}, "it lost `mult` of a group")


@check(OPTIMIZER, needs=("torch",))
def check_it_takes_the_rate(subject: Subject) -> None:
    """It steps by the rate that it is given, and by what the schedule puts into its groups later: else nobody sets how fast it learns."""

    def moved(built: float, scheduled: float) -> float:
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
    require(given == {1e-2}, f"built with the rate 0.01, its groups have {', '.join(map(str, sorted(given)))}")
    full, tenth, none = moved(1e-2, 1e-2), moved(1e-2, 1e-3), moved(1e-2, 0.0)
    require(none == 0, f"with a rate of 0 in its groups a step moves weights by {none:.2g}")
    require(tenth < full / 2, f"at a tenth of the rate a step moves weights by {tenth:.2g}, at the full rate by {full:.2g}")


@check(OPTIMIZER, needs=("torch",))
def check_state_comes_back(subject: Subject) -> None:
    """Going on from `state_dict` is the same as not stopping: a resumed training has the same loss curve."""
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
    require(resumed == expected[4:], f"after its state was restored the losses are {resumed}, without a stop {expected[4:]}")
