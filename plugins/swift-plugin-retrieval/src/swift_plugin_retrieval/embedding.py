"""The task embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_formats.sentence_transformers import write_pooling
from swift_train.score_task import ScoreTask
from swift_train.tasks import Loss, Measure

from swift_core.contract import UsageError
from swift_plugin_retrieval.embedding_losses import step_loss
from swift_plugin_retrieval.gradient_cache import seeded_forward, surrogate, with_gradients
from swift_plugin_retrieval.texts import TextEncoder

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.media.rows import RowMedia
    from swift_train.scoring import Step
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedTokenizerBase

    from swift_plugin_retrieval.options import EmbeddingOptions


class Embedding(ScoreTask):
    """Training of vectors whose cosine similarity is that of texts; the loss of a step depends on all its rows, on all ranks."""

    options: EmbeddingOptions
    reference: Mapping[str, Measure] = {}
    _encoder: TextEncoder

    def encoder(self, tokenizer: PreTrainedTokenizerBase, *, stops: Sequence[str] = (), media: RowMedia | None = None) -> TextEncoder:
        """Return the encoder of retrieval rows."""
        self._encoder = TextEncoder(tokenizer, self.options)
        return self._encoder

    def evaluated_together(self, per_step: int) -> int:
        """Return the rows of a step: their documents are each other's negatives."""
        return per_step

    def prepare(self, step: Step, micros: Sequence[Micro]) -> Sequence[Micro]:
        """Compute the loss of the step, and its gradient by each vector."""
        return with_gradients(step, micros, pooled, lambda embedded: step_loss(embedded, self.options))

    def forward(self, model: Module, micro: Micro) -> Tensor:
        """Return the last hidden states at the pooled tokens."""
        return seeded_forward(super().forward, model, micro)

    def loss(self, output: Tensor, micro: Micro) -> Loss:
        """Return a loss with the value and the gradient of the step's, and its metrics."""
        return surrogate(pooled(output, micro), micro)

    def write_files(self, folder: Path, model: Any) -> None:
        """Add sentence-transformers' files to a written checkpoint."""
        size = model.config.get_text_config().hidden_size
        if too_large := [dim for dim in self.options.matryoshka_dims if dim > size]:
            raise UsageError(f"the vectors have {size} dimensions", code="TRAIN-153", where="matryoshka_dims", hint=f"Omit {too_large[0]}.")
        write_pooling(folder, self._encoder.pooling, size, self._encoder.limit)


def pooled(output: Tensor, micro: Micro) -> Tensor:
    """Return the mean of the outputs of each sequence, (sequences, size) float32: of its one pooled token, or of all."""
    total = output.new_zeros((len(micro.sample), output.shape[-1]), dtype=output.float().dtype).index_add(0, micro.sequence, output.float())
    return total / micro.sums(micro.weights.new_ones(len(micro.sequence)))[:, None]
