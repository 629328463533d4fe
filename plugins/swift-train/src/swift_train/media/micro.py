"""The media of a micro-batch, as arguments of the model's forward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from swift_train.batches import Micro


def refuse_media(micro: Micro) -> None:
    """Refuse a micro-batch with media, for strategies that split or pad its tokens.

    Raises:
        UsageError: it has media.
    """
    if micro.media is not None:
        problem = "this way of parallelism splits or pads the tokens of a row, which is not possible with media"
        raise UsageError(problem, code="TRAIN-146", where="parallel", hint="Use --parallel ddp, fsdp or a ZeRO stage.")


@dataclass(frozen=True, slots=True)
class MicroMedia:
    """Media of the sequences of a micro-batch.

    Attributes:
        inputs: for each sequence its tensors by argument (`pixel_values`, …); empty for a sequence of text alone.
        axes: for each argument the axis along which the tensors of several sequences are concatenated.
        token_types: arguments with a number per token, (1, tokens) int64: what each token belongs to.
        positions: time, height and width of each token in its sequence, (3, 1, tokens) int64; None without M-RoPE.
        explicit: a single row needs them too, since the model computes none without an attention mask.
    """

    inputs: tuple[Mapping[str, Tensor], ...]
    axes: Mapping[str, int]
    token_types: Mapping[str, Tensor]
    positions: Tensor | None = None
    explicit: bool = False

    @property
    def arguments(self) -> dict[str, Tensor]:
        """The keyword arguments of the model, the media of all sequences one after another."""
        names = dict.fromkeys(name for own in self.inputs for name in own)
        every = {name: [own[name] for own in self.inputs if name in own] for name in names}
        joined = {name: _joined(values, self.axes[name]) for name, values in every.items()}
        return {**self.token_types, **joined} if joined else {}

    def only(self, sequences: Tensor, tokens: Tensor) -> MicroMedia:
        """Return the media of some sequences: (sequences,) bool, and (tokens,) bool of their tokens."""
        kept = tuple(own for own, chosen in zip(self.inputs, sequences.tolist(), strict=True) if chosen)
        types = {name: value[:, tokens] for name, value in self.token_types.items()}
        return replace(self, inputs=kept, token_types=types, positions=None if self.positions is None else self.positions[:, :, tokens])

    def to(self, device: torch.device) -> MicroMedia:
        """Return a copy on a device."""

        def moved(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: value.to(device, non_blocking=True) for name, value in values.items()}

        positions = None if self.positions is None else self.positions.to(device, non_blocking=True)
        return replace(self, inputs=tuple(map(moved, self.inputs)), token_types=moved(self.token_types), positions=positions)


def in_dtype(value: Tensor, dtype: torch.dtype, *, always: bool = False) -> Tensor:
    """Return an input of a model in its data type, if its processor made it in a narrow one (Llama 4's images are bfloat16), or always."""
    return value.to(dtype) if value.is_floating_point() and (always or value.dtype != torch.float32) else value


def _joined(values: Sequence[Tensor], axis: int) -> Tensor:
    """Concatenate tensors; audio and tiles of other lengths are padded with zeros, which the masks beside them leave out."""
    if len(values) == 1:
        return values[0]
    shape = [max(sizes) for sizes in zip(*(value.shape for value in values), strict=True)]
    return torch.cat([_padded(value, [size if at != axis else value.shape[at] for at, size in enumerate(shape)]) for value in values], axis)


def _padded(value: Tensor, shape: Sequence[int]) -> Tensor:
    if list(value.shape) == list(shape):
        return value
    made = value.new_zeros(tuple(shape))
    made[tuple(slice(size) for size in value.shape)] = value
    return made
