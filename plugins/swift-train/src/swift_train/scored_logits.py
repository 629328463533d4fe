"""The logits of a micro-batch at its supervised positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_train.adapters import takes_logits_to_keep

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from swift_train.batches import Micro


def scored_logits(model: Module, micro: Micro, **more: Any) -> tuple[Tensor, Any]:
    """Return the logits at the supervised positions, (supervised, vocabulary), and the model's whole output; `more` are arguments of it."""
    rows = micro.row_arguments  # use_cache must be off: transformers ignores them with a cache
    if not takes_logits_to_keep(model):
        output = model(input_ids=micro.input_ids, use_cache=False, **rows, **more)
        return output.logits.squeeze(0).index_select(0, micro.positions), output
    output = model(input_ids=micro.input_ids, use_cache=False, logits_to_keep=micro.positions, **rows, **more)
    return output.logits.squeeze(0), output
