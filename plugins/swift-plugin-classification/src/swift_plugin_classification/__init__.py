"""Classification of texts (single label, multi-label and regression) and of their words and tokens (named entities)."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TaskSpec


@hookimpl
def swift_tasks() -> list[TaskSpec]:
    """Register the tasks."""
    return [
        TaskSpec(
            name="seq-cls",
            summary="Train a classifier or regression model on labelled texts",
            also=("seq_cls",),
            rows=("label",),
            factory=Ref("swift_plugin_classification.task:SequenceClassification"),
            options=Ref("swift_plugin_classification.options:SequenceClassificationOptions"),
            trainer=Ref("swift_train.job:train"),
            inspector=Ref("swift_train.inspection:Inspector"),
            loss_scope="sample",
            head="score:num_labels",
        ),
        TaskSpec(
            name="token-cls",
            summary="Train a classifier of words or tokens, such as of named entities (NER)",
            also=("token_cls", "ner"),
            rows=("tagged",),
            factory=Ref("swift_plugin_classification.token_task:TokenClassification"),
            options=Ref("swift_plugin_classification.token_options:TokenClassificationOptions"),
            trainer=Ref("swift_train.job:train"),
            inspector=Ref("swift_train.inspection:Inspector"),
            loss_scope="sample",
            head="token:num_labels",
        ),
    ]
