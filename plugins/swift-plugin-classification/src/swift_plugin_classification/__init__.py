"""Sequence classification: single label, multi-label and regression."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TaskSpec


@hookimpl
def swift_tasks() -> list[TaskSpec]:
    """Register the task."""
    return [
        TaskSpec(
            name="seq-cls",
            summary="Train a classifier or a regression on labelled texts",
            also=("seq_cls",),
            rows=("label",),
            factory=Ref("swift_plugin_classification.task:SequenceClassification"),
            options=Ref("swift_plugin_classification.options:SequenceClassificationOptions"),
            trainer=Ref("swift_train.job:train"),
            inspector=Ref("swift_train.inspection:Inspector"),
            loss_scope="sample",
            head="score:num_labels",
        )
    ]
