"""Options of sequence classification."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator
from swift_train.options import ScoreOptions

from swift_core.options import option

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]


class SequenceClassificationOptions(ScoreOptions):
    """Options of `swift seq-cls`."""

    num_labels: int = option(2, "Number of classes; of numbers to predict if problem_type is regression.", ge=1)
    use_chat_template: bool = option(
        True, "Render rows with the chat template; without, the text of a row is its only message, with the tokenizer's special tokens."
    )
    problem_type: ProblemType = option(
        "single_label_classification",
        "What a label is: one class (cross entropy), a list of classes (binary cross entropy), or a number or list of numbers (mean "
        "squared error).",
    )
    label_names: list[str] = option(
        list, "Names of the classes, in the order of their numbers; rows may use them as labels. They are saved with the model."
    )

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.label_names and len(self.label_names) != self.num_labels:
            raise ValueError("label_names must have a name for each of num_labels")
        if len(set(self.label_names)) != len(self.label_names):
            raise ValueError("label_names must differ")
        return self
