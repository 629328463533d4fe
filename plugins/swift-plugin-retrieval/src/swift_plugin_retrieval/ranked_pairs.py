"""Encode a query with each of its documents as one sequence, as `swift_train.pair_texts` does, the label of each as a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from swift_data.rows import RetrievalRow, normalise
from swift_data.unread import Unread
from swift_train.batches import SECOND
from swift_train.pair_texts import Pair, PairTexts, made_for_pairs, pair_template, separates_pairs
from swift_train.score_task import LastToken
from swift_train.tokenise import Encoded, Span, SupervisedText
from swift_train.unread import ControlTokens

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from swift_core.contract import RawRow
    from swift_plugin_retrieval.options import RerankerOptions


class TokenisedPairs(LastToken):
    """Tokenise pairs, each a text whose one span is the document, and mark the last token.

    Args:
        tokenizer: fast; its chat template renders pairs, or it encodes them.
        limit: cut documents so that a pair has at most that many tokens; None for no limit.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, limit: int | None) -> None:
        super().__init__(tokenizer)
        self.pairs, self._most = PairTexts(tokenizer), limit

    def __call__(self, texts: Sequence[SupervisedText]) -> list[list[Encoded] | UsageError]:
        """Return the sequence of each pair."""
        made = self.pairs.fitted([(text.text[: text.spans[0].start], text.text[text.spans[0].start :]) for text in texts], self._most)
        return [self.marked_last(self._with_second(text, pair), pair.ids) for text, pair in zip(texts, made, strict=True)]

    def _with_second(self, text: SupervisedText, pair: Pair) -> SupervisedText:
        return text._replace(columns=(*text.columns, float(pair.second))) if self.pairs.segments else text


class PairEncoder:
    """Encode a retrieval row as a sequence for each document. A chat template without roles for pairs is replaced by one made from it.

    Args:
        tokenizer: of the model; its chat template is saved with the checkpoints.
        options: of the task.
    """

    rows, grouped, marks = "retrieval", True, "last token"

    def __init__(self, tokenizer: PreTrainedTokenizerBase, options: RerankerOptions) -> None:
        self._options = options
        rendered = made_for_pairs(tokenizer)
        if rendered and options.instruction:
            message = "the model's chat template has the roles query and document, so the instruction would be ignored"
            raise UsageError(message, code="TRAIN-171", where="instruction", hint="Omit it, or pass another --chat-template.")
        if not rendered and (tokenizer.chat_template or not separates_pairs(tokenizer)):
            tokenizer.chat_template = pair_template(tokenizer, instruction=options.instruction, system=options.system)
        limit = min(options.max_length or tokenizer.model_max_length, tokenizer.model_max_length)
        cut = limit if options.truncation == "right" and limit < 1 << 30 else None
        self.tokeniser = TokenisedPairs(tokenizer, cut)
        self.columns = ("label", SECOND) if self.tokeniser.pairs.segments else ("label",)
        chosen = {name: getattr(options, name) for name in ("loss_type", "negatives")}
        self.settings: Mapping[str, Any] = {
            "rows": self.rows,
            "scored": self.marks,
            "template": tokenizer.chat_template,
            "limit": cut,
            **chosen,
        }
        self.unread, self._control = Unread(), ControlTokens(tokenizer)

    def texts(self, raw: RawRow) -> list[SupervisedText]:
        """Return the pairs of a row, the documents as their spans."""
        row = normalise(raw, (self.rows,))
        assert isinstance(row, RetrievalRow)
        documents = chosen_documents(row, self._options, f"{raw.file}, row {raw.number}")
        self.unread.add(row.unread, self._control.of([row.query, *(text for text, _ in documents)]))
        start = len(row.query)
        return [SupervisedText(row.query + text, (Span(start, start + len(text), 1.0),), columns=(label,)) for text, label in documents]

    def check(self, raw: RawRow, sequences: Sequence[Encoded]) -> None:
        """Do nothing more: each sequence was marked as it was made."""


def chosen_documents(row: RetrievalRow, options: RerankerOptions, where: str) -> list[tuple[str, float]]:
    """Return a row's documents with their labels, of the irrelevant ones the first `negatives`.

    Raises:
        UsageError: the loss can't learn from the row.
    """
    pairs = list(zip(row.documents, row.labels, strict=True))
    if options.loss_type == "pointwise":
        if any(not 0 <= label <= 1 for _, label in pairs):
            message = "pointwise needs labels between 0 and 1"
            raise UsageError(message, code="TRAIN-172", where=where, hint="Scale them, or use --loss-type listnet.")
    elif len(pairs) < 2:
        message = f"{options.loss_type} compares the documents of a query, but the row has only one"
        raise UsageError(message, code="TRAIN-173", where=where, hint="Add negatives, or use --loss-type pointwise.")
    if options.loss_type == "listwise" and not any(label > 0 for _, label in pairs):
        raise UsageError(
            "listwise needs a relevant document", code="TRAIN-174", where=where, hint="Remove the row, or add a positive document."
        )
    others = [pair for pair in pairs if pair[1] <= 0]
    kept = others if options.negatives is None else others[: options.negatives]
    return [*(pair for pair in pairs if pair[1] > 0), *kept]
