"""Options of the task: those of `swift sft`, and `confidence_penalty`."""

from __future__ import annotations

from swift_train.options import SftOptions

from swift_core.options import option


class AcmeOptions(SftOptions):
    """Options of the task `acme`."""

    confidence_penalty: float = option(0.1, "Weight of the entropy of the predictions, which is subtracted from the loss.", ge=0)
