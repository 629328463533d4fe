"""Options of LongLoRA."""

from __future__ import annotations

from swift_core.options import option
from swift_plugin_peft.options import LoraOptions


class LongLoraOptions(LoraOptions):
    """LongLoRA, https://arxiv.org/abs/2309.12307."""

    group_ratio: float = option(
        0.25, "Length of a group that attends to itself in training, as a fraction of the row.", gt=0, le=1, also=("group_size_ratio",)
    )
    embeddings: bool = option(True, "Train the embeddings too, unless the output layer shares them.")
    norms: bool = option(True, "Train the normalisation layers too.")
