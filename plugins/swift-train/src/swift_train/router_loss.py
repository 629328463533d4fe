"""The load-balancing loss of the routers of a mixture of experts, as transformers computes it (Switch Transformer, arXiv 2101.03961)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from swift_core.checkpoints import Checkpoint
from swift_core.contract import Problem, UsageError
from swift_train.adapters import inner_model

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from swift_core.contract import Run
    from swift_train.batches import Micro

_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")  # fields of config.json
_WEIGHT = "router_aux_loss_coef"
_HINT = "Leave --router-loss out."


def router_loss(output: Any) -> Tensor:
    """Return the loss of a model's output, from a pass with `output_router_logits`; it is over the layers' tokens together.

    Raises:
        UsageError: the architecture does not compute one.
    """
    found: Tensor | None = getattr(output, "aux_loss", None)
    if found is None:
        raise UsageError("transformers has no router loss for this architecture", code="TRAIN-166", where="router_loss", hint=_HINT)
    return found


def weight_of(option: float | str, model: Module) -> float:
    """Return the weight that the option says: a number, or that of the checkpoint's configuration.

    Raises:
        UsageError: the configuration has none.
    """
    if not isinstance(option, str):
        return option
    found = getattr(inner_model(model).config.get_text_config(), _WEIGHT, None)
    if found is None:
        hint = "Give the weight as a number: --router-loss 0.01."
        raise UsageError(f"the checkpoint's configuration has no {_WEIGHT}", code="TRAIN-217", where="router_loss", hint=hint)
    return float(found)


def with_router_loss(total: Tensor, micro: Micro, balance: Tensor, weight: float) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
    """Return the loss with the gradient of the router's, which counts as much as the supervised tokens do, and its metric."""
    count = (micro.weights > 0).sum()
    added = weight * count * balance
    return total + (added - added.detach()), {"router_loss": (balance.detach() * count, count)}


def problems(run: Run) -> Iterator[Problem]:
    """Yield the reasons why a run can't have the loss of the router: no experts, or a strategy that computes its own, or none."""
    if not run.part("task").options.get("router_loss") or not run.model:
        return
    config = Checkpoint.at(run.model.path).config
    if not any(config.get(name) or (config.get("text_config") or {}).get(name) for name in _COUNTS):
        yield Problem(code="TRAIN-167", where="router_loss", message="the model has no experts, so it has no router", hint=_HINT)
    choice = run.part("parallel")
    if choice.name == "megatron":
        hint = "Use --parallel.router-loss instead: megatron-core's own loss, per layer."
        yield Problem(code="TRAIN-162", where="router_loss", message="megatron-core's layers compute their own router loss", hint=hint)
    elif int(choice.options.get("pipeline", 1)) > 1:
        message = "a pipeline distributes the routers over several processes, so no loss over all of them can be computed"
        yield Problem(code="TRAIN-163", where="router_loss", message=message, hint=_HINT)
