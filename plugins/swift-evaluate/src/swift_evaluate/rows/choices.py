"""Multiple choice: the choices and the right letter of a row, in the layouts in use (MMLU, C-Eval, CMMLU, ARC, general_mcq)."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_LETTERS = string.ascii_uppercase
_LISTS = ("choices", "options", "endings")
_ANSWERS = ("answer", "answerKey", "label", "expected", "target")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The choices by letter, and the letter of the right one."""

    texts: Mapping[str, str]  # letter -> text
    right: str  # letter of the right choice

    def listed(self) -> str:
        """Return the choices as text, one per line."""
        return "\n".join(f"{letter}. {text}" for letter, text in self.texts.items())


def choices_of(row: Mapping[str, Any]) -> Choices | None:
    """Return the choices of a row, or None if it has none.

    Raises:
        ValueError: the right answer is missing or is none of the choices.
    """
    found = _texts(row)
    if found is None:
        return None
    texts, names = found
    given = next((row[name] for name in _ANSWERS if row.get(name) not in (None, "")), None)
    if given is None:
        raise ValueError(f"the row has choices and no answer; expected one of the fields {', '.join(_ANSWERS)}")
    return Choices(texts=texts, right=_letter(given, texts, names))


def _texts(row: Mapping[str, Any]) -> tuple[dict[str, str], list[str]] | None:
    """Return the choices by letter, and their names in the row."""
    for name in _LISTS:
        value = row.get(name)
        if isinstance(value, Mapping) and isinstance(value.get("text"), list):  # ARC
            names = [str(label) for label in value.get("label", ())] or list(_LETTERS[: len(value["text"])])
            return dict(zip(_LETTERS, map(str, value["text"]), strict=False)), names
        if isinstance(value, Mapping) and value:
            return dict(zip(_LETTERS, map(str, value.values()), strict=False)), [str(key) for key in value]
        if isinstance(value, list) and value:  # MMLU, HellaSwag; CMMLU writes "(A) …"
            texts = [re.sub(rf"^\({letter}\)\s*", "", str(text)) for letter, text in zip(_LETTERS, value, strict=False)]
            return dict(zip(_LETTERS, texts, strict=False)), list(_LETTERS[: len(value)])
    columns = [letter for letter in _LETTERS[:10] if row.get(letter) not in (None, "")]
    if len(columns) >= 2 and columns == list(_LETTERS[: len(columns)]):
        return {letter: str(row[letter]) for letter in columns}, columns
    return None


def _letter(given: Any, texts: Mapping[str, str], names: list[str]) -> str:
    """Return the letter of the right answer, which is given as a letter, a label, an index from 0, or the text of the choice."""
    letters = list(texts)
    if isinstance(given, bool):
        raise ValueError(f"the answer {given!r} is none of the choices {', '.join(letters)}")
    if isinstance(given, int):
        if 0 <= given < len(letters):
            return letters[given]
        raise ValueError(f"the answer {given} is no index of the {len(letters)} choices")
    text = str(given).strip()
    bare = text.strip("().")
    if bare in names:
        return letters[names.index(bare)]
    if bare in letters:
        return bare
    same = [letter for letter, choice in texts.items() if choice == text]
    if len(same) == 1:
        return same[0]
    if bare.isdigit() and int(bare) < len(letters):
        return letters[int(bare)]
    raise ValueError(f"the answer {given!r} is none of the choices {', '.join(letters)}")
