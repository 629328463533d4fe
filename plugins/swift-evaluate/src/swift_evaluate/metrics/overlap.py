"""Metrics of overlap with reference texts: ROUGE, BLEU, chrF. Scores are between 0 and 1."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from swift_core.contract import UsageError
from swift_core.options import option
from swift_evaluate.metrics.metric import Graded, Metric, Summary
from swift_evaluate.metrics.texts import words


class Rouge(Metric):
    """ROUGE-1, ROUGE-2 and ROUGE-L (F-measure), without stemming; the best reference counts."""

    def score(self, given: Graded) -> Mapping[str, float]:
        """Return `rouge1`, `rouge2` and `rougeL`."""
        answer = _tokens(given.text)
        references = [_tokens(expected) for expected in given.expected]
        return {
            "rouge1": max(_ngrams_f(answer, reference, 1) for reference in references),
            "rouge2": max(_ngrams_f(answer, reference, 2) for reference in references),
            "rougeL": max(_f(_longest_common(answer, reference), len(answer), len(reference)) for reference in references),
        }


class _Sacre(Metric):
    """A corpus metric of sacrebleu: the mean over answers in `score`, the score of the corpus in `summarize`."""

    def check(self, row: Mapping[str, Any], expected: Sequence[str]) -> None:
        """Check that there is a reference, and that sacrebleu is installed."""
        super().check(row, expected)
        _sacrebleu()

    def _corpus(self, questions: Sequence[Sequence[Graded]], metric: Any, name: str) -> Summary:
        graded = [answer for answers in questions for answer in answers]
        if not graded:
            return {}
        count = max(len(answer.expected) for answer in graded)
        references = [[answer.expected[min(place, len(answer.expected) - 1)] for answer in graded] for place in range(count)]
        return {name: (metric.corpus_score([answer.text for answer in graded], references).score / 100, None)}


class Bleu(_Sacre):
    """BLEU of sacrebleu, of the whole task (`bleu`) and of each sentence (`sentence_bleu`)."""

    tokenize: Literal["13a", "zh", "char", "intl", "none"] = option("13a", "Tokenization of sacrebleu; zh for Chinese.")

    def score(self, given: Graded) -> Mapping[str, float]:
        """Return `sentence_bleu`."""
        metric = _sacrebleu().BLEU(tokenize=self.tokenize, effective_order=True)
        return {"sentence_bleu": metric.sentence_score(given.text, list(given.expected)).score / 100}

    def summarize(self, questions: Sequence[Sequence[Graded]]) -> Summary:
        """Return `bleu`."""
        return self._corpus(questions, _sacrebleu().BLEU(tokenize=self.tokenize), "bleu")


class Chrf(_Sacre):
    """chrF of sacrebleu, of the whole task (`chrf`) and of each sentence (`sentence_chrf`)."""

    word_order: int = option(0, "Length of word n-grams; 2 for chrF++.", ge=0)

    def score(self, given: Graded) -> Mapping[str, float]:
        """Return `sentence_chrf`."""
        return {"sentence_chrf": _sacrebleu().CHRF(word_order=self.word_order).sentence_score(given.text, list(given.expected)).score / 100}

    def summarize(self, questions: Sequence[Sequence[Graded]]) -> Summary:
        """Return `chrf`."""
        return self._corpus(questions, _sacrebleu().CHRF(word_order=self.word_order), "chrf")


def _sacrebleu() -> Any:
    try:
        from sacrebleu import metrics
    except ImportError:
        raise UsageError("BLEU and chrF need sacrebleu", code="EVAL-093", hint="pip install 'swift-evaluate[bleu]'") from None
    return metrics


def _tokens(text: str) -> list[str]:
    return [token for token in words(re.sub(r"[^\w]+", " ", text.lower())) if token]


def _ngrams_f(answer: list[str], reference: list[str], size: int) -> float:
    one, other = (Counter(zip(*(tokens[start:] for start in range(size)), strict=False)) for tokens in (answer, reference))
    return _f(sum((one & other).values()), one.total(), other.total())


def _longest_common(one: list[str], other: list[str]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for token in one:
        before = row
        row = [0]
        for place, candidate in enumerate(other):
            row.append(before[place] + 1 if token == candidate else max(row[-1], before[place + 1]))
    return row[-1]


def _f(common: int, given: int, expected: int) -> float:
    return 2 * common / (given + expected) if given + expected else 0.0
