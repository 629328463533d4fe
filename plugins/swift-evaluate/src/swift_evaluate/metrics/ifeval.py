"""IFEval: the share of prompts, and of instructions, that the answers follow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from swift_evaluate.metrics.instructions import CHECKS
from swift_evaluate.metrics.metric import Graded, Metric, Summary

INSTRUCTIONS = "instruction_id_list"  # the field by which a row of IFEval is known
_EXAMPLE = "this is a text in english."


class IfEval(Metric):
    """Prompts whose instructions are all followed, strictly and loosely: without `*`, the first line or the last line, if that helps.

    Rows have `instruction_id_list` and `kwargs`, as in IFEval's own `input_data.jsonl`.
    """

    def check(self, row: Mapping[str, Any], expected: Sequence[str]) -> None:
        """Check that every instruction is known and has its arguments."""
        for name, arguments in instructions_of(row):
            if name not in CHECKS:
                raise ValueError(f"the instruction '{name}' is unknown")
            try:
                CHECKS[name](_EXAMPLE.upper() if name.endswith("_capital") else _EXAMPLE, arguments)
            except KeyError as error:
                raise ValueError(f"the instruction '{name}' lacks {error} in kwargs") from None

    def score(self, given: Graded) -> Mapping[str, float]:
        """Return `prompt_strict` and `prompt_loose`, 1 if all instructions are followed, and the shares `followed_…` that are."""
        asked = list(instructions_of(given.row))
        strict = [follows(name, arguments, given.text) for name, arguments in asked]
        loose = [any(follows(name, arguments, text) for text in loose_texts(given.text)) for name, arguments in asked]
        return {
            "prompt_strict": float(all(strict)),
            "prompt_loose": float(all(loose)),
            "followed_strict": sum(strict) / len(strict),
            "followed_loose": sum(loose) / len(loose),
        }

    def summarize(self, questions: Sequence[Sequence[Graded]]) -> Summary:
        """Return `instruction_strict` and `instruction_loose`: the shares of all instructions, whose prompts are their clusters."""
        graded = [answer for answers in questions for answer in answers]
        counts = [len(list(instructions_of(answer.row))) for answer in graded]
        found: dict[str, tuple[float, float | None]] = {}
        for kind in ("strict", "loose") if graded else ():
            followed = [count * answer.scores[f"followed_{kind}"] for count, answer in zip(counts, graded, strict=True)]
            share, n = math.fsum(followed) / sum(counts), len(graded)
            squares = math.fsum((one - share * count) ** 2 for one, count in zip(followed, counts, strict=True))
            found[f"instruction_{kind}"] = (share, math.sqrt(n / (n - 1) * squares) / sum(counts) if n > 1 else None)
        return found


def instructions_of(row: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the instructions of a row with their arguments; the repeated prompt is that of the row, unless it is given.

    Raises:
        ValueError: the row has no instructions.
    """
    names, arguments = row.get(INSTRUCTIONS), row.get("kwargs")
    if not isinstance(names, list) or not names or not isinstance(arguments, list) or len(names) != len(arguments):
        raise ValueError(f"the row has no lists '{INSTRUCTIONS}' and 'kwargs' of equal length")
    given = ({key: value for key, value in dict(each or {}).items() if value not in (None, "", [])} for each in arguments)
    return list(zip(names, given, strict=True))


def follows(name: str, arguments: Mapping[str, Any], text: str) -> bool:
    """Return whether a text follows an instruction; an empty one follows none."""
    return bool(text.strip()) and CHECKS[name](text, arguments)


def loose_texts(text: str) -> list[str]:
    """Return a text as it is, and without its first line, its last line, both, each also without asterisks."""
    lines = text.split("\n")
    cut = [text, *("\n".join(lines[start : len(lines) - end]).strip() for start, end in product((0, 1), repeat=2) if start or end)]
    return [each for part in cut for each in (part, part.replace("*", ""))]
