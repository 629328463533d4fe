"""How training is distributed over processes: the Protocol that ddp, fsdp, deepspeed, meshes and pipelines implement.

The loop owns rows, schedule, evaluation and checkpoints; a strategy owns everything that depends on where the weights are. Rules:

- `build` gets functions, not a model, since FSDP2 and ZeRO-3 must act before the weights and before the optimizer exist: an
  optimizer made before `fully_shard` trains silently wrong.
- A strategy that cuts weights has them read by one process alone (`swift_train.broadcast_loading`): the others load on `meta`.
- `accumulate` owns the forward and backward passes of a whole step: a pipeline's schedule owns both, and DeepSpeed must be told
  which pass is the step's last *before* that pass.
- Gradients are of (sum of losses over all ranks) × weight. Engines average over ranks, so a strategy multiplies by their number.
- Every rank is given the same number of micro-batches, in training and in evaluation; tensor-parallel ranks the same rows.
- `update` alone clips, scales and steps. A skipped update changes nothing, and the schedule does not advance.
- An implementation verifies after `build` that the model is distributed as requested, and reports it in `placement`: libraries silently
  fall back to something else, with the same losses.
- Its options class derives from `swift_train.options.StrategyOptions`; the job sets `device` from the verb's --device.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from swift_train.batches import Micro
    from swift_train.tasks import LossTask


class Update(NamedTuple):
    """The gradient's norm before clipping, and whether the update was left out because the gradient was not finite."""

    norm: float
    skipped: bool


class Strategy(Protocol):
    """See the module's docstring for what every implementation owes."""

    data_rank: int  # which part of a step's rows is this process's
    data_size: int  # in how many parts they are cut
    writer: bool  # true in the one process that writes checkpoints and reports
    device: torch.device
    fixed_shapes: bool  # every micro-batch must have the same shape (pipelines)
    placement: Mapping[str, Any]  # set by build, for the run record: `engine`, `weight_bytes` (swift_train.placement_report)

    def build(self, load: Callable[[torch.device], Module], optimizer: Callable[[Module], Optimizer]) -> None:
        """Load the model (`load` takes a device or `meta`; the tuner is on it), place it, and make its optimizer.

        Weights that learn are kept in float32. Where the loaded weights are bfloat16 or float16, the passes are computed in it.
        """
        ...

    def reduce(self, x: float, op: Literal["sum", "max"]) -> float:
        """Sum or largest of a number over the data ranks; also the barrier."""
        ...

    def accumulate(self, micros: Sequence[Micro], task: LossTask, weight: float, train: bool = True) -> float:
        """Forward (and, to train, backward) passes of a step; returns sum of the losses over all ranks × weight.

        Without `train` nothing is kept and no random number drawn. Gradients add up until `update`.
        """
        ...

    def update(self, lr: float, clip: float | None) -> Update:
        """Apply the gradients with rate `lr` × the group's own `mult`, scaled to norm `clip` where they are longer, and forget them."""
        ...

    def weights(self, names: Container[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Full tensors of the parameters in `names` (None: of all), as the module that `load` returned names them.

        Collective: every rank must iterate.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write what an exact resume needs into a folder that all ranks share: learned weights, optimizer, scaler, random states."""
        ...

    def load(self, folder: Path) -> None:
        """Read what `save` wrote, after `build`; of the optimizer's settings those that are new count (`swift_train.training_state`).

        Raises:
            SwiftError: the weights are others, or it was written by another number of ranks and can't be read by this one.
        """
        ...
