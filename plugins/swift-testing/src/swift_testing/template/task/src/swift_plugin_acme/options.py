"""Options of the task: those of `swift sft`, and one more."""

from __future__ import annotations

from swift_train.options import SftOptions

from swift_core.options.model import option


class AcmeOptions(SftOptions):
    """How much of the labels is given to all other tokens."""

    smoothing: float = option(
        0.1, "Part of a label that is spread over the whole vocabulary.", ge=0, lt=1, also=("label_smoothing_factor",)
    )
