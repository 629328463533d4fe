"""The tasks reranker and generative-reranker: a score for a query and a document."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from swift_formats.cross_encoder import LogitScore, write_logit_score
from swift_formats.head_facts import HeadFacts, write_head_facts
from swift_train.score_task import ScoreTask
from swift_train.tasks import Loss

from swift_core.contract import UsageError
from swift_plugin_retrieval.ranked_pairs import PairEncoder
from swift_plugin_retrieval.reranking_losses import ranked_first, sample_losses

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.media.rows import RowMedia
    from swift_train.samples import Samples
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from swift_plugin_retrieval.options import GenerativeRerankerOptions, RerankerOptions


class Reranker(ScoreTask):
    """Training of one score of a pair; the documents of a query are never parted."""

    options: RerankerOptions

    def encoder(self, tokenizer: PreTrainedTokenizerBase, *, stops: Sequence[str] = (), media: RowMedia | None = None) -> PairEncoder:
        """Return the encoder of retrieval rows."""
        return PairEncoder(tokenizer, self.options)

    def count(self, samples: Samples, rows: Sequence[int]) -> float:
        """Return the number of pairs, or of queries if the loss compares the documents of each."""
        chosen = list(rows)
        return float(samples.counts[chosen].sum()) if self.options.loss_type == "pointwise" else float(len(chosen))

    def scores(self, output: Tensor) -> Tensor:
        """Return the score of each pair, (pairs,) float32, from what `forward` returned."""
        return output.float()[:, 0]

    def loss(self, output: Tensor, micro: Micro) -> Loss:
        """Return the sum of the losses; with how often a query's best document is a relevant one."""
        scores, labels, weights = self.scores(output), micro.columns["label"], micro.sample_weights
        total = (sample_losses(scores, labels, micro.sample, self.options) * weights).sum()
        first = ranked_first(scores.detach(), labels, micro.sample)
        compared = weights * torch.bincount(micro.sample, minlength=len(weights)).gt(1)
        return Loss(total, {"accuracy": ((first * compared).sum(), compared.sum())})

    def write_files(self, folder: Path, model: Any) -> None:
        """Add what the score means."""
        write_head_facts(folder, HeadFacts(("score",), "sigmoid", "pair", self.options.system))


class GenerativeReranker(Reranker):
    """Training of the logit of one token minus that of another, as the answer of a language model to a pair (Qwen3-Reranker)."""

    options: GenerativeRerankerOptions
    _tokens: LogitScore

    def encoder(self, tokenizer: PreTrainedTokenizerBase, *, stops: Sequence[str] = (), media: RowMedia | None = None) -> PairEncoder:
        """Return the encoder of retrieval rows."""
        found = {text: tokenizer.encode(text, add_special_tokens=False) for text in (self.options.yes_token, self.options.no_token)}
        if wrong := [text for text, ids in found.items() if len(ids) != 1]:
            message = f"'{wrong[0]}' is {len(found[wrong[0]])} tokens of this model"
            raise UsageError(
                message, code="TRAIN-175", where="yes_token", hint="Use answers of one token each: --yes-token 1 --no-token 0."
            )
        (yes,), (no,) = found[self.options.yes_token], found[self.options.no_token]
        self._tokens = LogitScore(int(yes), int(no))
        return super().encoder(tokenizer, stops=stops, media=media)

    def scores(self, output: Tensor) -> Tensor:
        """Return the difference of the two tokens' logits."""
        return output[:, self._tokens.true_token_id].float() - output[:, self._tokens.false_token_id or 0].float()

    def write_files(self, folder: Path, model: Any) -> None:
        """Add sentence-transformers' files, and what the score means."""
        write_logit_score(folder, self._tokens)
        labels = (self.options.no_token, self.options.yes_token)
        write_head_facts(folder, HeadFacts(labels, "sigmoid", "pair", self.options.system))
