"""Options of sequence classification."""

from __future__ import annotations

from typing import Literal

from swift_train.options import ScoreOptions

from swift_core.options import option

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]


class SequenceClassificationOptions(ScoreOptions):
    """Options of `swift seq-cls`."""

    num_labels: int = option(2, "Number of classes; of numbers to predict if problem_type is regression.", ge=1)
    problem_type: ProblemType = option(
        "single_label_classification",
        "What a label is: one class (cross entropy), a list of classes (binary cross entropy), or a number or list of numbers (mean "
        "squared error).",
    )
