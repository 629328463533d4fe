"""The task of a traced step: its forward pass and its loss are segments of the ledger."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from swift_train.adapters import inner_model
from torch import Tensor
from torch.nn import Module

from swift_plan.fakes import Columns
from swift_plan.ledger import Ledger

if TYPE_CHECKING:
    from swift_train.batches import Micro


class TracedTask:
    """A task whose forward pass and loss are segments, and whose output is counted as logits.

    Args:
        task: the task.
        ledger: counts the memory.
        fused: forward pass and loss are computed as one, as in training (`FusedLossTask`).
    """

    def __init__(self, task: Any, ledger: Ledger, *, fused: bool = False) -> None:
        self.task, self.ledger, self.fused, self.segments = task, ledger, fused, True
        self._by_sequence = True  # whether the task's numbers beside the tokens are one per sequence, or one per supervised token

    def forward(self, model: Module, micro: Micro) -> Tensor:
        """Run the forward pass."""
        self.ledger.category = "activations" if self.segments else "temporary"
        if self.segments:
            self.ledger.segment = "forward"
        output: Tensor = self._fused(model, micro) if self.fused else self.task.forward(model, micro)
        self.ledger.own(output, "logits")
        self.ledger.category = "temporary"
        return output

    def _fused(self, model: Module, micro: Micro) -> Tensor:
        """Return the loss; what the head allocates for it is counted as logits."""
        head: Any = inner_model(model).get_output_embeddings()

        def enter(module: Module, arguments: Any) -> None:
            self.ledger.category = "logits"

        hook = head.register_forward_pre_hook(enter) if isinstance(head, Module) else None
        try:
            total = self.task.forward_loss(model, micro)
        finally:
            if hook:
                hook.remove()
        return total if isinstance(total, Tensor) else total.sum

    def loss(self, output: Tensor, micro: Micro) -> Tensor:
        """Compute the loss; what follows is the backward pass."""
        if self.fused:
            if self.segments:
                self.ledger.segment = "backward start"
            return output
        if self.segments:
            self.ledger.segment = "loss"
        try:
            result = self.task.loss(output, self._with_columns(micro))
        except (RuntimeError, IndexError, ValueError):
            if not self._by_sequence:
                raise
            self._by_sequence = False
            result = self.task.loss(output, self._with_columns(micro))
        if self.segments:
            self.ledger.segment = "backward start"
        return result if isinstance(result, Tensor) else result.sum

    def _with_columns(self, micro: Micro) -> Micro:
        return replace(micro, columns=Columns(len(micro.sample if self._by_sequence else micro.labels)))
