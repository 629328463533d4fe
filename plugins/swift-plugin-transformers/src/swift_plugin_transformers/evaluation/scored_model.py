"""A loaded model that gives log-likelihoods: several windows in a forward pass where it keeps them apart, logits in blocks.

The logits (tokens, vocabulary) are by far the largest tensor of a pass, and nothing but a few numbers of each row is needed. So the output
layer is applied to blocks of hidden states whose logits stay in the cache; where the model does more than that (a cap on the logits, a
prompt of an adapter), which is found out by trying it, the model itself gives the logits at the counted positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence as Windows
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from swift_train.adapters import inner_model
from swift_train.blocked_attention import BlockedAttention
from swift_train.losses import summed_cross_entropy
from swift_train.onednn_matmul import use_onednn_matmul
from swift_train.row_comparison import Isolation
from swift_train.row_isolation import probe_isolation, with_row_attention
from swift_train.tasks import NextToken

from swift_plugin_transformers.evaluation.encoding import Sequence

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.tasks import ForwardLoss
    from torch import Tensor
    from torch.nn import Module

_BLOCK = 1 << 23  # logits of a block: 32 MiB of float32
_PROBED = 16  # tokens on which the output layer is tried


class States(NamedTuple):
    """The result of a forward pass: the inputs of the output layer `head`; without one, the logits."""

    values: Tensor
    head: Module | None


class ScoredModel:
    """A model in evaluation mode.

    Args:
        module: the model, perhaps with an adapter.
        limit: maximum tokens of a forward pass of several windows.
    """

    def __init__(self, module: Module, limit: int) -> None:
        self.module, self.limit = module, limit
        self.device = next(module.parameters()).device
        self._isolation: Isolation | None = None
        self._parts: tuple[Module, Module] | None = None  # decoder and output layer, if the logits are theirs
        self._tried = False

    @torch.inference_mode()
    def states(self, micro: Micro) -> States:
        """Return the hidden states at the counted positions, else their logits: (tokens, …)."""
        micro = micro.to(self.device)
        with self._attention:
            parts = self._output_parts(micro)
            if parts is None:
                return States(_NEXT.forward(self.module, micro), None)
            decoder, head = parts
            states = decoder(input_ids=micro.input_ids, use_cache=False, **micro.row_arguments).last_hidden_state
            return States(states[0, micro.positions], head)

    @torch.inference_mode()
    def logits(self, states: States) -> Iterator[tuple[slice, Tensor]]:
        """Yield the logits in blocks: which of the counted positions, and (positions, vocabulary) in float32, which may be overwritten."""
        values, head = states
        rows = max(1, _BLOCK // (_width(head) if head else values.shape[-1]))
        for start in range(0, len(values), rows):
            block = slice(start, min(start + rows, len(values)))
            found = head(values[block]) if head else values[block]
            yield block, found.float()

    def isolation(self, windows: Windows[Sequence]) -> Isolation:
        """Return whether windows may share a forward pass, as the model itself shows."""
        if self._isolation is None:
            tokens = sorted({token for window in windows for token in window.ids})
            longest, process = max(len(window.ids) for window in windows), _OneProcess(self)
            with torch.inference_mode():
                found = probe_isolation(process, _NEXT, tokens, longest)
                self._isolation = with_row_attention(process, _NEXT, tokens, longest, found)
        return self._isolation

    @property
    def _attention(self) -> AbstractContextManager[object]:
        return BlockedAttention() if self.device.type == "cpu" and use_onednn_matmul() else nullcontext()

    def _output_parts(self, micro: Micro) -> tuple[Module, Module] | None:
        """Return the decoder and the output layer if together they give the model's own logits."""
        if not self._tried:
            self._tried = True
            inner = inner_model(self.module)
            decoder, head = getattr(inner, "base_model", inner), getattr(inner, "get_output_embeddings", lambda: None)()
            if decoder is not inner and head is not None and _width(head):
                ids = micro.input_ids[:, :_PROBED]
                own = self.module(input_ids=ids, use_cache=False).logits
                states: Any = getattr(decoder(input_ids=ids, use_cache=False), "last_hidden_state", None)
                if states is not None and torch.equal(head(states), own):
                    self._parts = decoder, head
        return self._parts


class _OneProcess:
    """Forward passes of one process, for the probe."""

    fixed_shapes = False

    def __init__(self, model: ScoredModel) -> None:
        self._module, self.device = model.module, model.device

    def reduce(self, x: float, op: Literal["sum", "max"]) -> float:
        """Return the number."""
        return x

    def accumulate(self, micros: Windows[Micro], task: ForwardLoss, weight: float, train: bool = True) -> float:
        """Compute the sum of the losses."""
        moved = [micro.to(self.device) for micro in micros]
        return weight * sum(task.loss(task.forward(self._module, micro), micro).item() for micro in moved)


class _NextToken(NextToken):
    """Next-token prediction, whose loss is a number without metrics."""

    def loss(self, output: Tensor, micro: Micro) -> Tensor:
        """Return the weighted sum of the cross entropies."""
        return summed_cross_entropy(output, micro.labels, micro.weights)


_NEXT = _NextToken()


def _width(head: Any) -> int:
    """Return the size of the vocabulary of an output layer; 0 if it is not known."""
    weight = getattr(head, "weight", None)
    return 0 if weight is None else int(weight.shape[0])
