"""Frequency and presence penalties, as OpenAI and vLLM define them; transformers has only the repetition penalty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import LogitsProcessor

if TYPE_CHECKING:
    from swift_http import Sampling

    from swift_plugin_transformers.structured_output import Grammars


class Penalties(LogitsProcessor):
    """logit - count * frequency - (count > 0) * presence, with the token's count in the completion."""

    def __init__(self, frequency: float, presence: float, prompt: int) -> None:
        self._frequency = frequency
        self._presence = presence
        self._prompt = prompt

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Subtract the penalties from the logits, (1, vocabulary)."""
        counts = torch.bincount(input_ids[0, self._prompt :], minlength=scores.shape[-1])
        return scores - self._frequency * counts - self._presence * (counts > 0)


def extra_processors(sampling: Sampling, prompt: int, grammars: Grammars) -> list[LogitsProcessor]:
    """Return the request's logits processors that transformers does not provide; `prompt` is the number of prompt tokens.

    Raises:
        UsageError: as `Grammars.check`.
    """
    made: list[LogitsProcessor] = []
    if sampling.frequency_penalty or sampling.presence_penalty:
        made.append(Penalties(sampling.frequency_penalty or 0.0, sampling.presence_penalty or 0.0, prompt))
    return [*made, *grammars.processors(sampling, prompt)]
