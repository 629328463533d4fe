"""Metrics that compare the answer with the expected one: exact match, F1, a pattern, a number, the letter of a choice."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import field_validator

from swift_core.options import option
from swift_evaluate.metrics.metric import Graded, Metric
from swift_evaluate.regular_expression import check_regular_expression

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WIDE = re.compile(r"([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af])")  # scripts without spaces
_PUNCTUATION = str.maketrans("", "", string.punctuation + "，。、；：？！“”‘’（）《》【】…")
_NUMBER = re.compile(r"[-+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?")


def normalized(text: str) -> str:
    """Return the text as SQuAD compares it: lower case, without punctuation and articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def words(text: str) -> list[str]:
    """Return the words of a text; each character of a script without spaces is one."""
    return _WIDE.sub(r" \1 ", text).split()


def last_number(text: str) -> Decimal | None:
    """Return the last number in a text; thousands separators are removed."""
    found = _NUMBER.findall(text)
    try:
        return Decimal(found[-1].replace(",", "")) if found else None
    except InvalidOperation:
        return None


class Exact(Metric):
    """1 if the answer is one of the expected ones, apart from spaces at its ends."""

    normalize: bool = option(False, "Ignore case, punctuation and English articles, as SQuAD does.")

    def score(self, given: Graded) -> Mapping[str, float]:
        """Return `exact`."""
        form = normalized if self.normalize else str.strip
        return {"exact": float(form(given.text) in map(form, given.expected))}


class F1(Metric):
    """Harmonic mean of precision and recall of words, as SQuAD computes it; the best of the expected answers counts."""

    def score(self, given: Graded) -> Mapping[str, float]:
        """Return `f1`."""
        return {"f1": max(_f1(words(normalized(given.text)), words(normalized(expected))) for expected in given.expected)}


class Regex(Metric):
    """1 if a regular expression is found in the answer."""

    pattern: str = option("", "Regular expression; default: the expected answer is one.")

    _compiles = field_validator("pattern")(check_regular_expression)

    def check(self, row: Mapping[str, Any], expected: Sequence[str]) -> None:
        """Check that there is a valid pattern."""
        if not self.pattern:
            super().check(row, expected)
        for pattern in () if self.pattern else expected:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"the expected answer is no regular expression: {error}") from None

    def score(self, given: Graded) -> Mapping[str, float]:
        """Return `regex`."""
        patterns = (self.pattern,) if self.pattern else given.expected
        return {"regex": float(any(re.search(pattern, given.text.strip()) for pattern in patterns))}


class Numeric(Metric):
    """1 if the last number of the answer is the expected one."""

    tolerance: float = option(0.0, "Largest difference, relative to the expected number.", ge=0)

    def check(self, row: Mapping[str, Any], expected: Sequence[str]) -> None:
        """Check that the expected answer has a number."""
        super().check(row, expected)
        for answer in expected:
            if last_number(answer) is None:
                raise ValueError(f"the expected answer {answer!r} has no number")

    def score(self, given: Graded) -> Mapping[str, float]:
        """Return `numeric`."""
        number = last_number(given.text)
        return {"numeric": float(number is not None and any(self._equal(number, last_number(answer)) for answer in given.expected))}

    def _equal(self, number: Decimal, expected: Decimal | None) -> bool:
        return expected is not None and abs(number - expected) <= abs(expected) * Decimal(str(self.tolerance))


class Choice(Metric):
    """1 if the answer names the letter of the right choice; an answer that names several, or none, is wrong."""

    letters: str = option("", "Letters of the choices; default: those of the row, else ABCD.")

    def check(self, row: Mapping[str, Any], expected: Sequence[str]) -> None:
        """Check that the expected answer is a letter."""
        super().check(row, expected)
        for answer in expected:
            if len(answer) != 1 or not answer.isupper() or (self.letters and answer not in self.letters):
                raise ValueError(f"the expected answer {answer!r} is no letter of a choice")

    def score(self, given: Graded) -> Mapping[str, float]:
        """Return `accuracy`."""
        return {"accuracy": float(self.letter(given.text, given.choices) in given.expected)}

    def letter(self, text: str, choices: Mapping[str, str]) -> str:
        """Return the letter that the text answers with: `B`, `(B)`, `B. Paris`, `The answer is B`, `Paris`; '' if it is not clear."""
        named = [letter for letter, choice in choices.items() if choice.strip().lower() == text.strip().rstrip(".").lower()]
        if len(named) == 1:
            return named[0]
        letters = f"[{re.escape(self.letters or ''.join(choices) or 'ABCD')}]"
        stated = re.findall(rf"(?i:answer|choice|option|答案)\W*(?i:is|为|是)?\W*({letters})(?![A-Za-z])", text)
        if stated:
            return str(stated[-1])
        found = re.findall(rf"(?<![A-Za-z])({letters})(?![A-Za-z'])", text)
        if begin := re.match(rf"\W*({letters})(?:\W|$)", text):  # "A" may be an article after it
            return begin[1] if set(found[1:]) <= {begin[1], "A"} else ""
        return str(found[0]) if len(set(found)) == 1 else ""


def _f1(given: list[str], expected: list[str]) -> float:
    if not given or not expected:
        return float(given == expected)
    common = sum((Counter(given) & Counter(expected)).values())
    return 2 * common / (len(given) + len(expected))
