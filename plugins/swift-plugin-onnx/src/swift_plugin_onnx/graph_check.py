"""A graph in onnxruntime compared with the model in transformers: rows of several lengths, and a padded batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import torch

from swift_core.contract.errors import SwiftError

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = {"fp32": 1e-4, "fp16": 0.03}
"""By type: the largest difference from the model, as a part of its largest output, past which a graph is broken."""

_LENGTHS = (1, 5, 32, 150)  # the last is longer than the windows of local attention in use
_PADDED = (24, 9, 1)
_RESERVED = 5  # positions that some models count from the padding's

Batch = Mapping[str, torch.Tensor]


def probes(names: Sequence[str], config: Any) -> list[Batch]:
    """Random rows of each length; where the model takes a mask, batches padded on the left and, last of all, on the right."""
    positions = getattr(config, "max_position_embeddings", None) or 0  # some say -1 where there is no limit
    most = max(positions - _RESERVED, 1) if positions > 0 else max(_LENGTHS)
    shapes = [*((length,) for length in _LENGTHS), _PADDED if "attention_mask" in names else _PADDED[:1] * 3]
    generator = torch.Generator().manual_seed(0)
    batches = [_batch(names, config, [min(length, most) for length in lengths], generator) for lengths in shapes]
    if "attention_mask" in names:
        batches.insert(-1, {name: tensor.flip(1) for name, tensor in batches[-1].items()})
    return batches


def _batch(names: Sequence[str], config: Any, lengths: Sequence[int], generator: torch.Generator) -> Batch:
    shape = (len(lengths), max(lengths))
    padding = getattr(config, "pad_token_id", None) or 0
    ids = torch.randint(0, config.vocab_size - 1, shape, generator=generator)
    ids += ids >= padding  # any token but the padding's
    mask = (torch.arange(shape[1]) < torch.tensor(lengths)[:, None]).long()
    tensors = {"input_ids": ids.where(mask.bool(), padding), "attention_mask": mask}
    if "token_type_ids" in names:
        tensors["token_type_ids"] = torch.randint(0, config.type_vocab_size, shape, generator=generator)
    return {name: tensors[name] for name in names}


@torch.inference_mode()
def reference(graph: torch.nn.Module, batch: Batch) -> NDArray[np.float32]:
    """What the model gives for a batch."""
    found: NDArray[np.float32] = graph(*batch.values()).float().numpy()
    return found


def compare(file: Path, batches: Sequence[Batch], wanted: Sequence[NDArray[np.float32]], type_: str, rows_alone: bool) -> dict[str, float]:
    """Hold a graph to what the model gave.

    Args:
        file: the graph.
        batches: what goes in.
        wanted: what the model gave for each.
        type_: of the graph.
        rows_alone: whether there is one output for a whole row; else, what it gives for padding does not matter.

    Returns:
        `max_difference` of any output, and `max_output`, the model's largest.

    Raises:
        SwiftError: the difference is past the tolerance of the type, or the graph does not take a batch.
    """
    settings = onnxruntime.SessionOptions()
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")  # its threads are not OpenMP's: swift_core.system.threads
    session = onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
    largest, most = 0.0, max(float(np.abs(one).max()) for one in wanted)
    for batch, one in zip(batches, wanted, strict=True):
        size = "×".join(str(number) for number in batch["input_ids"].shape)
        try:
            (found,) = session.run(None, {name: tensor.numpy() for name, tensor in batch.items()})
        except Exception as error:  # onnxruntime's errors have no common class
            raise _broken(f"onnxruntime fails on {size} tokens: {error}") from error
        if found.shape != one.shape:
            raise _broken(f"it gives {list(found.shape)} where the model gives {list(one.shape)}")
        difference = np.abs(found.astype(np.float32) - one)
        if not rows_alone and "attention_mask" in batch:
            difference = difference[batch["attention_mask"].numpy() == 1]
        if not (here := float(difference.max())) <= TOLERANCE[type_] * most:  # a NaN is no proof either
            raise _broken(f"for {size} tokens it differs by {here:.3g} from the model, allowed are {TOLERANCE[type_] * most:.3g}")
        largest = max(largest, here)
    return {"max_difference": largest, "max_output": most}


def _broken(message: str) -> SwiftError:
    hint = "torch's graph of this architecture does not hold for all rows, or the type is too coarse for it (--type fp32)."
    return SwiftError(f"the graph is not the model: {message}", hint=hint)
