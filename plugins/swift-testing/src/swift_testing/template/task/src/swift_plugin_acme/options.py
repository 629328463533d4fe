"""Options of the task: those of `swift sft`, and `smoothing`."""

from __future__ import annotations

from swift_train.options import SftOptions

from swift_core.options import option


class AcmeOptions(SftOptions):
    """Options of the task `acme`."""

    smoothing: float = option(
        0.1, "Label smoothing: probability mass spread over the whole vocabulary.", ge=0, lt=1, also=("label_smoothing_factor",)
    )
