"""Prepared benchmarks as questions for Inspect's solvers and scorers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from swift_evaluate.prepare import FORMATS, PreparedBenchmark

LOCAL = frozenset({"arc", "ceval", "cmmlu", "cmnli", "gsm8k", "hellaswag", "mmlu"})
LETTERS = "ABCDEFGHIJ"
ARITHMETIC = frozenset({"gsm8k"})
TEMPLATE = """{prompt}

Solve the problem step by step. The last line of your answer must be of the form "ANSWER: $ANSWER" (without quotes), where $ANSWER is the
number."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question; `choices` is empty if the answer is a number."""

    id: str
    text: str
    target: str
    cluster: str = ""
    choices: tuple[str, ...] = ()
    examples: str = ""  # what precedes the text in the prompt


def questions(found: PreparedBenchmark, *, limit: int = 0, few_shot: int = 0) -> Iterator[Question]:
    """Yield the questions of a prepared benchmark.

    Args:
        found: the benchmark.
        limit: maximum number of questions per subset; 0: all.
        few_shot: number of worked examples before each question.
    """
    for subset in found.subsets:
        examples = ""
        if few_shot:
            rows = found.rows(subset, FORMATS[found.name].few_shot)[:few_shot]
            examples = "".join(f"{_example(found.name, row)}\n\n" for row in rows)
        for row in found.rows(subset)[: limit or None]:
            text, choices, target = _parts(found.name, row)
            yield Question(str(row["id"]), text, target, subset if len(found.subsets) > 1 else "", choices, examples)


def _parts(name: str, row: Mapping[str, Any]) -> tuple[str, tuple[str, ...], str]:
    """Return text, choices and target of a row."""
    if name == "gsm8k":
        return row["question"], (), row["answer"].rpartition("####")[2].strip().replace(",", "")
    if name == "mmlu":
        return row["question"], tuple(row["choices"]), LETTERS[row["answer"]]
    if name == "cmmlu":
        return row["question"], tuple(row[letter] for letter in "ABCD"), row["Answer"]
    if name == "arc":
        return row["question"], tuple(row["choices"]["text"]), LETTERS[row["choices"]["label"].index(row["answerKey"])]
    if name == "hellaswag":
        context = f"{row['activity_label']}: {row['ctx']}"
        return f"How does the text go on?\n\n{_clean(context)}", tuple(map(_clean, row["endings"])), LETTERS[int(row["label"])]
    letters = [letter for letter in LETTERS if letter in row]
    return row["question"], tuple(row[letter] for letter in letters), row["answer"]


def _example(name: str, row: Mapping[str, Any]) -> str:
    text, choices, target = _parts(name, row)
    listed = "".join(f"\n{letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=False))
    worked = f"\n{row['answer'].rpartition('####')[0].strip()}" if name == "gsm8k" else ""
    return f"{text}{listed}{worked}\nANSWER: {target}"


def _clean(text: str) -> str:
    """Without the markup of WikiHow in HellaSwag."""
    return re.sub(r"\[.*?\]", "", text.replace(" [title]", ". ")).replace("  ", " ").strip()
