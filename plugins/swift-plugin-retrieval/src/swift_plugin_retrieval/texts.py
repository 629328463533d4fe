"""Encode queries and documents as sentence-transformers does: the tokenizer's own tokens, and those whose outputs are pooled marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from swift_data.rows import RetrievalRow, normalise
from swift_data.unread import Unread
from swift_formats.sentence_transformers import Pooling, pooling_of
from swift_train.mask_check import MaskError
from swift_train.tokenise import Encoded, Span, SupervisedText, Tokeniser
from swift_train.unread import ControlTokens

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from swift_core.contract import RawRow
    from swift_plugin_retrieval.options import EmbeddingOptions


class PooledTexts(Tokeniser):
    """Tokenise texts with the tokenizer's special tokens, and mark the tokens that are pooled.

    Args:
        tokenizer: fast.
        mode: of the pooling: mean, cls or lasttoken.
        limit: cut texts to that many tokens, special tokens included; None for no limit.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, mode: str, limit: int | None) -> None:
        super().__init__(tokenizer)
        self._mode, self._limit = mode, limit

    def __call__(self, texts: Sequence[SupervisedText]) -> list[list[Encoded] | UsageError]:
        """Return the sequence of each text."""
        fast: Any = self.tokenizer.backend_tokenizer
        if self._limit:
            fast.enable_truncation(self._limit)
        else:
            fast.no_truncation()
        fast.no_padding()
        encodings = fast.encode_batch_fast([text.text for text in texts], add_special_tokens=True)
        fast.no_truncation()
        return [[self._pooled(text, np.array(encoding.ids, np.int32))] for text, encoding in zip(texts, encodings, strict=True)]

    def _pooled(self, text: SupervisedText, ids: Any) -> Encoded:
        start, stop = {"mean": (0, len(ids)), "cls": (0, 1), "lasttoken": (len(ids) - 1, len(ids))}[self._mode]
        return Encoded(ids, (Span(start, stop, 1.0),), text.columns)


class TextEncoder:
    """Encode a retrieval row as the sequences of its query and its documents, with the label of each as a column (0 of the query).

    Args:
        tokenizer: of the model; its folder may have sentence-transformers' files, which `auto` options follow.
        options: of the task.

    Attributes:
        pooling: how vectors are made, as it is written with the model.
    """

    rows, grouped, columns = "retrieval", True, ("label",)

    def __init__(self, tokenizer: PreTrainedTokenizerBase, options: EmbeddingOptions) -> None:
        self._options = options
        self.pooling = pooling_for(options, Path(str(tokenizer.name_or_path)))
        limit = min(options.max_length or tokenizer.model_max_length, tokenizer.model_max_length)
        self.limit = limit if options.truncation == "right" and limit < 1 << 30 else None
        self.tokeniser: Tokeniser = PooledTexts(tokenizer, self.pooling.mode, self.limit)
        self.marks = f"pooled by {self.pooling.mode}"
        chosen = {name: getattr(options, name) for name in ("loss_type", "negatives")}
        prompts = dict(self.pooling.prompts)
        self.settings: Mapping[str, Any] = {"rows": self.rows, "scored": self.marks, "prompts": prompts, "limit": self.limit, **chosen}
        self.unread, self._control = Unread(), ControlTokens(tokenizer)

    def texts(self, raw: RawRow) -> list[SupervisedText]:
        """Return the texts of the query and the documents."""
        row = normalise(raw, (self.rows,))
        assert isinstance(row, RetrievalRow)
        documents = self._documents(row, raw)
        prompts = self.pooling.prompts
        made = [SupervisedText(prompts.get("query", "") + row.query, (), columns=(0.0,))]
        made += [SupervisedText(prompts.get("document", "") + text, (), columns=(label,)) for text, label in documents]
        self.unread.add(row.unread, self._control.of([text.text for text in made]))
        return made

    def check(self, raw: RawRow, sequences: Sequence[Encoded]) -> None:
        """Check that every sequence has a pooled token."""
        if any(len(encoded.spans) != 1 or encoded.spans[0].stop > len(encoded.ids) for encoded in sequences):
            raise MaskError("a text has no pooled token", code="TRAIN-155")

    def _documents(self, row: RetrievalRow, raw: RawRow) -> list[tuple[str, float]]:
        pairs = list(zip(row.documents, row.labels, strict=True))
        where = f"{raw.file}, row {raw.number}"
        if self._options.loss_type != "infonce":
            return pairs
        if any(label not in (0, 1) for _, label in pairs):
            raise UsageError(
                "infonce needs relevant documents, but the labels of this row are degrees of relevance",
                code="TRAIN-156",
                where=where,
                hint="Use --loss-type cosent.",
            )
        relevant = [pair for pair in pairs if pair[1]]
        if not relevant:
            raise UsageError(
                "the row has no relevant document", code="TRAIN-157", where=where, hint="Remove it, or add a positive document."
            )
        others = [pair for pair in pairs if not pair[1]]
        return [*relevant, *others[: self._options.negatives]]


def pooling_for(options: EmbeddingOptions, folder: Path) -> Pooling:
    """Return the pooling of a run: what the options say, else that of the model in `folder`, else of the last token."""
    own = pooling_of(folder) if folder.is_dir() else None
    prompts = dict(own.prompts) if own else {}
    for name, text in (("query", options.query_prompt), ("document", options.document_prompt)):
        if text is not None:
            prompts[name] = text
    mode = (own.mode if own else "lasttoken") if options.pooling == "auto" else options.pooling
    return Pooling(mode, options.normalize, prompts)
