"""Token classification: a class for each word or token of a text, such as named entities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from swift_formats.head_facts import HeadFacts, write_head_facts
from swift_train.tasks import Loss, NextToken
from swift_train.tokenise import NO_TARGET, TARGET
from torch.nn.functional import cross_entropy

from swift_plugin_classification.entity_metric import EntityF1
from swift_plugin_classification.labels import without_rows
from swift_plugin_classification.token_labels import TokenLabelEncoder

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.media.rows import RowMedia
    from swift_train.samples import Samples
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedTokenizerBase

    from swift_plugin_classification.token_options import TokenClassificationOptions


class TokenClassification(NextToken):
    """Cross entropy of the scores of labelled tokens, a mean over them, as transformers' token classifiers compute it."""

    def __init__(self, options: TokenClassificationOptions) -> None:
        self.options, self.truncation = options, str(options.truncation)
        self._f1 = EntityF1(options.label_names)

    def encoder(self, tokenizer: PreTrainedTokenizerBase, *, stops: Sequence[str] = (), media: RowMedia | None = None) -> TokenLabelEncoder:
        """Return the encoder of tagged rows."""
        return TokenLabelEncoder(tokenizer, self.options)

    def warnings(self, samples: Samples) -> list[str]:
        """Name the classes that no token has."""
        return without_rows({int(number) for store in samples.stores for number in np.unique(store.targets)} - {NO_TARGET}, self.options)

    def forward(self, model: Module, micro: Micro) -> Tensor:
        """Return the scores of the labelled tokens themselves, (supervised, classes)."""
        return super().forward(model, replace(micro, positions=micro.positions + 1))

    def loss(self, output: Tensor, micro: Micro) -> Loss:
        """Return the sum of the cross entropies; with the accuracy of the labels, and the F1 score of entities."""
        labels, scores = micro.columns[TARGET].long(), output.float()
        total = (cross_entropy(scores, labels, reduction="none") * micro.weights).sum()
        found = scores.detach().argmax(-1)
        metrics = {"accuracy": (((found == labels).float() * micro.weights).sum(), micro.weights.sum())}
        if self._f1.applies:
            right, both = self._f1(found, labels, micro.sequence)
            counted = (micro.weights.sum() > 0).float()  # a filler has weight 0
            metrics["f1"] = (right * counted, both * counted)
        return Loss(total, metrics)

    def write_files(self, folder: Path, model: Any) -> None:
        """Add what the numbers mean."""
        names = tuple(self.options.label_names or (f"LABEL_{number}" for number in range(self.options.num_labels)))
        write_head_facts(folder, HeadFacts(names, "softmax", "text" if self.options.label_all_tokens else "words"))
