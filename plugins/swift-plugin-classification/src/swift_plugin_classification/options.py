"""Options of sequence classification."""

from __future__ import annotations

from typing import Literal

from swift_train.options import ScoreOptions

from swift_core.options import option
from swift_plugin_classification.label_options import LabelOptions

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]


class SequenceClassificationOptions(LabelOptions, ScoreOptions):
    """Options of `swift seq-cls`."""

    num_labels: int = option(2, "Number of classes (default: that of label_names, else 2), or of predicted values in a regression.", ge=1)
    use_chat_template: bool = option(
        True, "Render rows with the chat template. Otherwise, a row must be a single text, which gets the tokenizer's special tokens."
    )
    problem_type: ProblemType = option(
        "single_label_classification",
        "Type of the labels: one class (cross entropy), a list of classes (binary cross entropy), or a number or list of numbers (mean "
        "squared error).",
    )
