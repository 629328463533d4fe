"""Comparison of an ONNX graph in onnxruntime with the model in transformers: rows of several lengths, and padded batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import torch

from swift_core.contract import SwiftError

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = {"fp32": 1e-4, "fp16": 0.03}
"""Maximum absolute difference from the model by type, as a fraction of its largest output."""

_LENGTHS = (1, 5, 32, 150)  # in tokens; the last is longer than the usual windows of local attention
_PADDED = (24, 9, 1)
_RESERVED = 5  # some models number positions from padding_idx + 1

Batch = Mapping[str, torch.Tensor]


def probes(names: Sequence[str], config: Any) -> list[Batch]:
    """Return random batches of each length and, if the model takes a mask, one padded on the left and, last, one padded on the right."""
    positions = getattr(config, "max_position_embeddings", None) or 0  # -1 in some models without a limit
    maximum = max(positions - _RESERVED, 1) if positions > 0 else max(_LENGTHS)
    shapes = [*((length,) for length in _LENGTHS), _PADDED if "attention_mask" in names else _PADDED[:1] * 3]
    generator = torch.Generator().manual_seed(0)
    batches = [_batch(names, config, [min(length, maximum) for length in lengths], generator) for lengths in shapes]
    if "attention_mask" in names:
        batches.insert(-1, {name: tensor.flip(1) for name, tensor in batches[-1].items()})
    return batches


def _batch(names: Sequence[str], config: Any, lengths: Sequence[int], generator: torch.Generator) -> Batch:
    shape = (len(lengths), max(lengths))
    padding = getattr(config, "pad_token_id", None) or 0
    ids = torch.randint(0, config.vocab_size - 1, shape, generator=generator)
    ids += ids >= padding  # any token but padding
    mask = (torch.arange(shape[1]) < torch.tensor(lengths)[:, None]).long()
    tensors = {"input_ids": ids.where(mask.bool(), padding), "attention_mask": mask}
    if "token_type_ids" in names:
        tensors["token_type_ids"] = torch.randint(0, config.type_vocab_size, shape, generator=generator)
    return {name: tensors[name] for name in names}


@torch.inference_mode()
def reference(graph: torch.nn.Module, batch: Batch) -> NDArray[np.float32]:
    """Return the model's output for a batch, as float32."""
    output: NDArray[np.float32] = graph(*batch.values()).float().numpy()
    return output


def compare(file: Path, batches: Sequence[Batch], expected: Sequence[NDArray[np.float32]], type_: str, pooled: bool) -> dict[str, float]:
    """Compare the outputs of an ONNX graph with those of the model.

    Args:
        file: the graph.
        batches: the inputs.
        expected: the model's output for each batch.
        type_: the type of the graph, which decides the tolerance.
        pooled: True if there is one output per row; otherwise outputs at padding positions are ignored.

    Returns:
        `max_difference`, the largest absolute difference, and `max_output`, the model's largest absolute output.

    Raises:
        SwiftError: the difference exceeds the tolerance, or the graph fails on a batch.
    """
    settings = onnxruntime.SessionOptions()
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads sleep: see swift_core.system.threads
    session = onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
    largest, scale = 0.0, max(float(np.abs(output).max()) for output in expected)
    for batch, output in zip(batches, expected, strict=True):
        size = "×".join(str(number) for number in batch["input_ids"].shape)
        try:
            (found,) = session.run(None, {name: tensor.numpy() for name, tensor in batch.items()})
        except Exception as error:  # onnxruntime's errors have no common base class
            raise _broken(f"onnxruntime failed on {size} tokens: {error}") from error
        if found.shape != output.shape:
            raise _broken(f"its output has shape {list(found.shape)}, the model's {list(output.shape)}")
        difference = np.abs(found.astype(np.float32) - output)
        if not pooled and "attention_mask" in batch:
            difference = difference[batch["attention_mask"].numpy() == 1]
        if not (here := float(difference.max())) <= TOLERANCE[type_] * scale:  # also fails on NaN
            raise _broken(f"it differs from the model by {here:.3g} on {size} tokens (maximum {TOLERANCE[type_] * scale:.3g})")
        largest = max(largest, here)
    return {"max_difference": largest, "max_output": scale}


def _broken(message: str) -> SwiftError:
    hint = "The traced graph does not hold for all input lengths, or needs a more precise type (--type fp32)."
    return SwiftError(f"the ONNX graph does not reproduce the model: {message}", code="EXPORT-051", hint=hint)
