"""Sequence classification and regression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from swift_formats.head_facts import Activation, HeadFacts, Input, write_head_facts
from swift_train.score_task import ScoreTask
from swift_train.tasks import Loss
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from swift_plugin_classification.labels import LabelledEncoder, column_names, without_rows

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.media.rows import RowMedia
    from swift_train.samples import Samples
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from swift_plugin_classification.options import SequenceClassificationOptions


_ACTIVATIONS: Mapping[str, Activation] = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
    "regression": "none",
}


class SequenceClassification(ScoreTask):
    """Cross entropy, binary cross entropy or squared error of the scores of conversations, as transformers' classifiers compute them."""

    options: SequenceClassificationOptions
    _encoder: LabelledEncoder

    def encoder(self, tokenizer: PreTrainedTokenizerBase, *, stops: Sequence[str] = (), media: RowMedia | None = None) -> LabelledEncoder:
        """Return the encoder of label rows, with or without the model's chat template."""
        self._encoder = LabelledEncoder(tokenizer, self.options, stops, media)
        return self._encoder

    def warnings(self, samples: Samples) -> list[str]:
        """Name the classes that no row has."""
        options = self.options
        columns = [samples.column(name) for name in column_names(options.problem_type, options.num_labels)]
        if options.problem_type == "regression":
            return []
        one = options.problem_type == "single_label_classification"
        seen = {int(value) for value in columns[0]} if one else {number for number, values in enumerate(columns) if values.any()}
        return without_rows(seen, options)

    def loss(self, output: Tensor, micro: Micro) -> Loss:
        """Return the sum of the losses of the rows; with the accuracy (of all classes of a row), or the mean squared error."""
        scores, weights, kind = output.float(), micro.sample_weights, self.options.problem_type
        columns = torch.stack([micro.columns[name] for name in column_names(kind, self.options.num_labels)], -1)
        if kind == "single_label_classification":
            labels = columns[:, 0].long()
            losses = cross_entropy(scores, labels, reduction="none")
            metric = {"accuracy": (scores.argmax(-1) == labels).float()}
        elif kind == "multi_label_classification":
            losses = binary_cross_entropy_with_logits(scores, columns, reduction="none").mean(-1)
            metric = {"accuracy": ((scores > 0) == (columns > 0)).all(-1).float()}
        else:
            losses = (scores - columns).square().mean(-1)
            metric = {"mse": losses.detach()}
        return Loss((losses * weights).sum(), {name: ((value * weights).sum(), weights.sum()) for name, value in metric.items()})

    def write_files(self, folder: Path, model: Any) -> None:
        """Add what the numbers mean."""
        options = self.options
        labels = tuple(options.label_names or (f"LABEL_{number}" for number in range(options.num_labels)))
        kind: Input = "text" if self._encoder.plain else "chat"
        facts = HeadFacts(labels, _ACTIVATIONS[options.problem_type], kind, options.system, options.problem_type)
        write_head_facts(folder, facts)
