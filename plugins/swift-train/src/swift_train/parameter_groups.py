"""Parameter groups of an optimizer: embeddings apart, each group with its own learning rate and weight decay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from swift_core.contract import UsageError
from swift_train.adapters import inner_model

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

EMBEDDING = "embedding"  # entry of a group: whether its weights are embeddings or the output layer


def mark_embeddings(module: Module, groups: Sequence[Mapping[str, Any]], ratio: float | None = None) -> list[dict[str, Any]]:
    """Return the groups, each split into embeddings and other weights, which the entry `EMBEDDING` tells apart.

    Args:
        module: the model.
        groups: the tuner's parameter groups.
        ratio: learning rate of the embeddings, as a multiple of that of the other weights.

    Raises:
        UsageError: there is a `ratio`, but no embedding is trained.
    """
    embeddings = {id(weight) for weight in _embeddings(module)}
    made: list[dict[str, Any]] = []
    for group in groups:
        for inside in (False, True):
            weights = [weight for weight in group["params"] if (id(weight) in embeddings) == inside]
            if weights:
                mult = {"mult": group.get("mult", 1.0) * ratio} if inside and ratio is not None else {}
                made.append({**group, **mult, "params": weights, EMBEDDING: inside})
    if ratio is not None and not any(group[EMBEDDING] for group in made):
        hint = "Omit it, or train them: --tuner full, or --tuner.modules-to-save embed_tokens lm_head."
        raise UsageError("no embedding is trained", code="TRAIN-148", where="embedding_learning_rate", hint=hint)
    return made


def split_by_decay(groups: Sequence[Mapping[str, Any]], lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """Return the groups, each split into matrices, which decay, and norms and biases, which don't; `lr` is multiplied by `mult`."""
    split = []
    for group in groups:
        shared = {**group, "lr": lr * group.get("mult", 1.0)}
        for decay, matrices in ((weight_decay, True), (0.0, False)):
            if params := [parameter for parameter in group["params"] if (parameter.ndim >= 2) == matrices]:
                split.append({**shared, "params": params, "weight_decay": decay})
    return split


def hidden_matrices(group: Mapping[str, Any]) -> bool:
    """Return whether a group that `split_by_decay` made has the matrices of hidden layers, which matrix optimizers are for."""
    return not group.get(EMBEDDING) and all(parameter.ndim == 2 for parameter in group["params"])


def _embeddings(module: Module) -> Sequence[Tensor]:
    """Return the weights of embeddings and of the output layer of a language model, and what adapters add to them."""
    inner: Any = inner_model(module)
    output = inner.get_output_embeddings() if hasattr(inner, "get_output_embeddings") else None
    layers = [part for part in module.modules() if isinstance(part, nn.Embedding)] + ([output] if isinstance(output, nn.Module) else [])
    added = [weight for name, weight in module.named_parameters() if "trainable_tokens_" in name or "lora_embedding_" in name]
    return [weight for layer in layers for weight in layer.parameters()] + added
