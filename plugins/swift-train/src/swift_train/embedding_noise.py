"""NEFTune (Jain et al. 2023, https://arxiv.org/abs/2310.05914): noise on the embeddings while a model is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from swift_train.adapters import inner_model

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from swift_train.batches import Micro


@contextmanager
def embedding_noise(model: Module, micro: Micro, alpha: float) -> Iterator[None]:
    """While the context lasts, add noise to the embeddings of a micro-batch if the model is being trained.

    Args:
        model: the model.
        micro: the micro-batch that it is called on.
        alpha: amplitude; the noise of a row of L tokens of size d is uniform up to alpha / sqrt(L · d).
    """
    if not alpha or not model.training:
        yield
        return

    def add(_module: Module, _arguments: Any, output: Tensor) -> Tensor:
        scale = (alpha / (_row_lengths(micro) * output.shape[-1]).sqrt())[None, :, None].to(output.dtype)
        return output + torch.empty_like(output).uniform_(-1, 1) * scale

    handle = inner_model(model).get_input_embeddings().register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


def _row_lengths(micro: Micro) -> Tensor:
    """Return the length of the row that each token is in, (tokens,); the mean length if this is a shard of the rows' tokens."""
    if micro.lengths:
        mean = sum(micro.lengths) / len(micro.lengths)
        return torch.full_like(micro.input_ids[0], 1, dtype=torch.float32) * mean
    numbers = (micro.position_ids[0] == 0).cumsum(0) - 1
    return torch.bincount(numbers)[numbers].float()
