"""The Protocol of parallel strategies: how training is distributed over processes (ddp, fsdp, deepspeed, mesh, pipelines).

The loop owns sampling, schedule, evaluation and checkpoints; a strategy owns everything that depends on where the weights are. Rules:

- `build` gets functions, not a model, since FSDP2 and ZeRO-3 must act before the weights and the optimizer exist: an optimizer created
  before `fully_shard` silently trains wrong.
- A strategy that shards weights has them read by one process only (`swift_train.broadcast_loading`); the others load on `meta`.
- `accumulate` owns the forward and backward passes of a whole step: a pipeline schedule interleaves them, and DeepSpeed must know which
  pass is the step's last *before* that pass.
- Gradients are those of (sum of losses over all ranks) × weight. Engines average over ranks, so a strategy multiplies by their number.
- Every rank gets the same number of micro-batches, in training and in evaluation; tensor-parallel ranks get the same rows.
- Only `update` clips, unscales and steps. A skipped update changes nothing, and the schedule does not advance.
- An implementation verifies after `build` that the model is distributed as requested, and reports it in `placement`: libraries silently
  fall back to something else, with the same losses.
- The options class derives from `swift_train.options.StrategyOptions`; the job sets `device` from the verb's --device.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from swift_train.batches import Micro
    from swift_train.tasks import ForwardLoss


class Update(NamedTuple):
    """Result of an update: the gradient norm before clipping, and whether the update was skipped because it was not finite."""

    norm: float
    skipped: bool


class Passes(Protocol):
    """Computes the loss of micro-batches: all that a probe of the model needs of a strategy."""

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        ...

    @property
    def fixed_shapes(self) -> bool:
        """True if every micro-batch must have the same shape (pipelines)."""
        ...

    def reduce(self, x: float, op: Literal["sum", "max"]) -> float:
        """Reduce a number over all processes by sum or maximum. Collective."""
        ...

    def accumulate(self, micros: Sequence[Micro], task: ForwardLoss, weight: float, train: bool = True) -> float:
        """Return the sum of the losses over all ranks, times `weight`. Collective."""
        ...


class Strategy(Protocol):
    """A parallel strategy; the module docstring has the rules that every implementation must follow.

    Attributes:
        data_rank: which share of a step's rows this process computes, from 0.
        data_size: number of shares.
        writer: true in the one process that writes checkpoints and reports.
        device: of this process.
        fixed_shapes: whether every micro-batch must have the same shape (pipelines).
        placement: set by `build`, for the run record: `engine`, `weight_bytes` of this process, … (`swift_train.placement_report`).
    """

    data_rank: int
    data_size: int
    writer: bool
    device: torch.device
    fixed_shapes: bool
    placement: Mapping[str, Any]

    def build(self, load: Callable[[torch.device], Module], optimizer: Callable[[Module], Optimizer]) -> None:
        """Load the model, distribute it, and create its optimizer.

        Trainable weights are kept in float32. If the loaded weights are bfloat16 or float16, the passes are computed in that dtype.

        Args:
            load: loads the model with its tuner on a device, or on `meta`.
            optimizer: creates the optimizer of the distributed model.
        """
        ...

    def reduce(self, x: float, op: Literal["sum", "max"]) -> float:
        """Reduce a number over all processes by sum or maximum; also serves as a barrier. Collective."""
        ...

    def accumulate(self, micros: Sequence[Micro], task: ForwardLoss, weight: float, train: bool = True) -> float:
        """Run the forward and, if `train`, backward passes of a step; gradients accumulate until `update`. Collective.

        Without `train`, the model is in evaluation mode and no state changes.

        Returns:
            The sum of the losses over all ranks, times `weight`.
        """
        ...

    def update(self, lr: float, clip: float | None) -> Update:
        """Apply the accumulated gradients and reset them. Collective.

        Args:
            lr: learning rate, multiplied by a parameter group's own `mult`.
            clip: maximum gradient norm; None disables clipping.
        """
        ...

    def weights(self, names: Container[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Yield the full tensors of the parameters in `names` (None: of all), by their names in the module that `load` returned.

        Collective: every rank must iterate to the end.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write what an exact resume needs into a folder shared by all ranks: trainable weights, optimizer, loss scale, random states."""
        ...

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote, after `build`; optimizer settings that changed keep their new values (`swift_train.training_state`).

        Raises:
            SwiftError: the weights differ in name or shape, or the state can't be read by this number of ranks.
        """
        ...


@runtime_checkable
class TokenSharding(Protocol):
    """A strategy whose processes may share the tokens of a row.

    Attributes:
        whole_rows: set by the job before `build` for a task whose loss is no sum over tokens: it is computed from the outputs of whole
            rows, which takes the memory of the logits at all of their scored positions.
    """

    whole_rows: bool
