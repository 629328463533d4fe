"""A task in a local plugin: `swift --plugin docs/examples/task_plugin.py focal MODEL --dataset FILE` trains with a focal loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_train.options import SftOptions

from swift_core import hookimpl
from swift_core.contract import Ref, TaskSpec
from swift_core.options import option

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from torch import Tensor


class FocalOptions(SftOptions):
    """Options of the task `focal`: those of `swift sft`, and `gamma`."""

    gamma: float = option(2.0, "Exponent of the focal loss; 0: cross entropy.", ge=0)


@hookimpl
def swift_tasks() -> list[TaskSpec]:
    """Offer the task: `swift focal` and `swift train --task focal` train it in the loop of swift-train."""
    refs = {"factory": Ref("task_plugin:focal"), "options": Ref("task_plugin:FocalOptions"), "trainer": Ref("swift_train.job:train")}
    return [TaskSpec(name="focal", summary="Fine-tune with a focal loss, which weighs hard tokens more", rows=("chat",), **refs)]


def focal(options: FocalOptions) -> Any:
    """Build the task: SFT with another loss of a token (Lin et al. 2017, https://arxiv.org/abs/1708.02002, equation 4)."""
    from swift_train.tasks import SftTask

    class FocalTask(SftTask):
        def loss(self, output: Tensor, micro: Micro) -> Tensor:
            losses = -output.float().log_softmax(-1).gather(-1, micro.labels[:, None])[:, 0]
            return ((1 - (-losses).exp()) ** options.gamma * losses * micro.weights).sum()

    return FocalTask(options)
