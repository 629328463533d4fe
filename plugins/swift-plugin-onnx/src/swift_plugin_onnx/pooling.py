"""Pooling of sentence-transformers models, computed in the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swift_formats.sentence_transformers import Pooling
    from torch import Tensor


def pool(pooling: Pooling, states: Tensor, mask: Tensor) -> Tensor:
    """Pool states [batch, length, size] with an attention mask [batch, length] to [batch, size]; padding may be on either side."""
    import torch

    states = states.float()
    if pooling.mode == "mean":
        weights = mask[:, :, None].to(states.dtype)
        vectors = (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
    else:
        places = torch.ones_like(mask).cumsum(1)  # 1-based
        first = places[:, -1] - (mask * places.flip(1)).amax(1)
        chosen = first if pooling.mode == "cls" else (mask * places).amax(1) - 1
        vectors = states.gather(1, chosen[:, None, None].expand(-1, 1, states.shape[-1])).squeeze(1)
    return torch.nn.functional.normalize(vectors, dim=-1) if pooling.normalized else vectors
