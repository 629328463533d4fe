"""The tiny model and what is asked of it: a Llama of two layers, its logits, rows of each form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract.specs import ModelFamily

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

FAMILY = ModelFamily(
    name="llama",
    summary="Llama, as the tiny model is one",
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
}


def base(folder: Path, **arguments: Any) -> Module:
    """The model, in float32 unless `arguments` say otherwise, ready to be asked."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder, **{"dtype": "float32", **arguments})
    return model.eval()  # type: ignore[no-any-return]


def inputs() -> Tensor:
    """Two rows of token ids."""
    import torch

    return torch.arange(3, 43).reshape(2, 20)


def logits(model: Module) -> Tensor:
    """Its logits on `inputs`, without dropout."""
    import torch

    with torch.no_grad():
        found: Tensor = model.eval()(input_ids=inputs()).logits
    return found


def difference(one: Tensor, other: Tensor) -> float:
    """The largest difference of a logit."""
    return float((one.float() - other.float()).abs().max())


def pretend_to_learn(model: Module, seed: int = 1) -> None:
    """Change what is trainable, by the same random amounts every time."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)


def learn(model: Module, optimizer: Optimizer, steps: int) -> list[float]:
    """Train on `inputs`; the loss before each step."""
    losses = []
    for _ in range(steps):
        loss = model(input_ids=inputs(), labels=inputs()).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses
