"""Options of embedding models."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator
from swift_train.options import TRUNCATIONS, ChatOptions, TrainOptions

from swift_core.options import option


class EmbeddingOptions(TrainOptions):
    """Options of `swift embedding`; `max_length` is that of one text."""

    loss_type: Literal["infonce", "cosent", "cosine_similarity", "contrastive", "online_contrastive"] = option(
        "infonce",
        "Loss of a step: the relevant document among others (infonce), the order of the similarities of scored pairs (cosent), their "
        "squared error (cosine_similarity), or a margin between similar and other pairs (contrastive, online_contrastive).",
    )
    temperature: float = option(0.05, "infonce, cosent: divides the similarities.", gt=0)
    in_batch_negatives: bool = option(True, "infonce: the documents of all other rows of the step are negatives too.", also=("use_batch",))
    negatives: int | None = option(
        None, "Maximum negative documents per row, the first ones; default: all.", ge=0, also=("hard_negatives",)
    )
    mask_false_negatives: bool = option(
        False,
        "infonce: exclude documents that are more similar to the query than its relevant one by false_negative_margin.",
        also=("mask_fake_negative",),
    )
    false_negative_margin: float = option(0.1, "Margin of mask_false_negatives.", ge=0, also=("fake_neg_margin",))
    query_negatives: bool = option(False, "infonce: other queries are negatives of a query.", also=("include_qq",))
    document_negatives: bool = option(False, "infonce: documents are negatives of a relevant document.", also=("include_dd",))
    margin: float = option(0.5, "contrastive, online_contrastive: cosine distance beyond which dissimilar pairs have no loss.", gt=0)
    matryoshka_dims: list[int] = option(
        list, "Matryoshka loss: sum of the losses of the vectors truncated to each of these dimensions; default: full vectors only."
    )
    matryoshka_weights: list[float] = option(list, "Weights of the losses in matryoshka_dims; default: 1 each.")
    pooling: Literal["auto", "lasttoken", "mean", "cls"] = option(
        "auto", "Pooling of the last hidden states into one vector; auto: the model's own pooling if it declares one, else lasttoken."
    )
    normalize: bool = option(True, "Save the model so that its vectors have unit length; the losses use cosine similarity in any case.")
    query_prompt: str | None = option(None, "Text before each query; default: the model's own, if it has one.")
    document_prompt: str | None = option(None, "Text before each document; default: the model's own, if it has one.")
    truncation: Literal["error", "right", "drop"] = option(
        "error",
        "How to handle texts longer than max_length: error, cut on the right, or drop the row.",
        also=("truncation_strategy",),
        values=TRUNCATIONS,
    )

    @model_validator(mode="after")
    def _weighted(self) -> Self:
        if self.matryoshka_weights and len(self.matryoshka_weights) != len(self.matryoshka_dims):
            raise ValueError("matryoshka_weights must have a number for each of matryoshka_dims")
        if any(size < 1 for size in self.matryoshka_dims):
            raise ValueError("matryoshka_dims must be positive")
        return self


class RerankerOptions(ChatOptions):
    """Options of `swift reranker`; `max_length` is that of a query with one document."""

    loss_type: Literal["pointwise", "listwise", "listnet"] = option(
        "pointwise",
        "Loss: binary cross entropy of each document (pointwise), cross entropy of the relevant documents among those of the query "
        "(listwise), or of the distribution of their labels (listnet).",
        values={
            "pointwise_reranker": "pointwise",
            "listwise_reranker": "listwise",
            "generative_reranker": "pointwise",
            "pointwise_generative_reranker": "pointwise",
            "listwise_generative_reranker": "listwise",
        },
    )
    temperature: float = option(1.0, "listwise, listnet: divides the scores.", gt=0)
    negatives: int | None = option(
        None, "Maximum irrelevant documents per row, the first ones; default: all.", ge=0, also=("hard_negatives", "max_negative_samples")
    )
    instruction: str = option(
        "",
        "Instruction that defines relevance, part of the text of each "
        "pair; for models whose chat template has no "
        "roles query and document.",
    )
    truncation: Literal["error", "right", "drop"] = option(
        "error",
        "How to handle pairs longer than max_length: error, cut the document, or drop the row.",
        also=("truncation_strategy",),
        values=TRUNCATIONS,
    )


class GenerativeRerankerOptions(RerankerOptions):
    """Options of `swift generative-reranker`."""

    yes_token: str = option("yes", "Answer for a relevant pair; a single token.", also=("positive_token",))
    no_token: str = option("no", "Answer for an irrelevant pair; a single token.", also=("negative_token",))
