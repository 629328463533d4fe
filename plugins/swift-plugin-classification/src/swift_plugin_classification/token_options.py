"""Options of token classification."""

from __future__ import annotations

from typing import Literal

from swift_train.options import TRUNCATIONS, TrainOptions

from swift_core.options import option
from swift_plugin_classification.label_options import LabelOptions


class TokenClassificationOptions(LabelOptions, TrainOptions):
    """Options of `swift token-cls`."""

    label_all_tokens: bool = option(
        False,
        "Score every token, inside a word by the label of its inside (I-X of B-X); by default the first token of each word, as it is read "
        "when served.",
    )
    truncation: Literal["error", "right", "drop"] = option(
        "error",
        "How to handle a text longer than max_length: error, cut on the right, or drop the row.",
        also=("truncation_strategy",),
        values=TRUNCATIONS,
    )
