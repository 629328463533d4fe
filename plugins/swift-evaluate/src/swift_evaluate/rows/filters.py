"""Extract the answer from an output: without the model's reasoning, and the part that a regular expression finds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_MARKS = (  # (begin, end) of the thinking, as families write it
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<|channel|>analysis", "<|channel|>final<|message|>"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
)
_TEMPLATES = ("chat_template.jinja", "tokenizer_config.json", "added_tokens.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFilter:
    """Returns the answer in an output.

    Args:
        marks: begin and end of the thinking.
        extract: regular expression; '' for the whole text.
    """

    marks: tuple[tuple[str, str], ...] = _MARKS
    extract: str = ""

    def __call__(self, output: str) -> str:
        """Return the answer; '' if the thinking does not end, or the regular expression is not found."""
        text = self._answer(output)
        if not self.extract:
            return text
        found = list(re.finditer(self.extract, text))
        if not found:
            return ""
        return (found[-1][1] if found[-1].re.groups else found[-1][0]) or ""

    def matches(self, output: str) -> bool:
        """True if the regular expression is found."""
        return re.search(self.extract, self._answer(output)) is not None

    def _answer(self, output: str) -> str:
        return self._without_thinking(output).lstrip("\r\n").rstrip()  # the indentation of code stays

    def _without_thinking(self, output: str) -> str:
        for begin, end in self.marks:
            if end in output:
                output = output.rpartition(end)[2]
            elif output.lstrip().startswith(begin):
                return ""
        return output


def thinking_marks(checkpoint: Path | None) -> tuple[tuple[str, str], ...]:
    """Return the marks of thinking that the checkpoint's chat template or tokenizer has; every known one if there is no checkpoint."""
    if checkpoint is None:
        return _MARKS
    texts = [path.read_text(encoding="utf-8", errors="replace") for name in _TEMPLATES if (path := checkpoint / name).is_file()]
    return tuple((begin, end) for begin, end in _MARKS if any(end in text for text in texts))
