"""The tiny model for the checks: a Llama with two layers, its inputs and logits, and a row of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import ModelFamily

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

FAMILY = ModelFamily(
    name="llama",
    summary="Llama, the family of the tiny model",
    architectures=("LlamaForCausalLM",),
    model_types=("llama",),
    targets=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
)
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
_CHAT = [*QUESTION, {"role": "assistant", "content": "The capital of France is Paris."}]
ROWS: Mapping[str, Mapping[str, Any]] = {
    "text": {"text": "The capital of France is Paris."},
    "chat": {"messages": _CHAT},
    "preference": {"messages": QUESTION, "chosen": _CHAT[1:], "rejected": [{"role": "assistant", "content": "It is in the question."}]},
    "label": {"messages": _CHAT, "label": True},
    "prompt": {"messages": QUESTION},
    "tagged": {"tokens": ["Paris", "is", "in", "France", "."], "tags": [1, 0, 0, 1, 0]},
    "retrieval": {"query": QUESTION[0]["content"], "positive": "The capital of France is Paris.", "negative": ["It is in the question."]},
}
BAD = {"messages": [*QUESTION, {"role": "assistant", "content": "It is in the question."}], "label": False}
"""A row of the kind label with another label: equal rows with equal labels have nothing to learn."""


def base(folder: Path, **arguments: Any) -> Module:
    """Load the model for inference, in float32 unless `arguments` (of `from_pretrained`) say otherwise."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder, **{"dtype": "float32", **arguments})
    return model.eval()  # type: ignore[no-any-return]


def inputs() -> Tensor:
    """Return two rows of token ids, shape (2, 20)."""
    import torch

    return torch.arange(3, 43).reshape(2, 20)


def logits(model: Module) -> Tensor:
    """Return the logits of the model on `inputs`, without dropout."""
    import torch

    with torch.no_grad():
        found: Tensor = model.eval()(input_ids=inputs()).logits
    return found


def difference(one: Tensor, other: Tensor) -> float:
    """Return the maximum absolute difference of two tensors."""
    return float((one.float() - other.float()).abs().max())


def pretend_to_learn(model: Module, seed: int = 1) -> None:
    """Add reproducible random noise to the trainable parameters, in place of training."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)


def learn(model: Module, optimizer: Optimizer, steps: int) -> list[float]:
    """Train on `inputs`; return the loss before each step."""
    losses = []
    for _ in range(steps):
        loss = model(input_ids=inputs(), labels=inputs()).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses
