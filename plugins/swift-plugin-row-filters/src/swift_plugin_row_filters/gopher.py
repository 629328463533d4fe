"""Quality rules of Gopher's training data: J. Rae et al. (2021), Scaling Language Models, arXiv:2112.11446, appendix A.1.1, table A1.

They are for documents in languages that separate words by spaces; each threshold is an option.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from swift_data.row_filters import RowFilter

from swift_core.options import Names, option

_STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
_BULLETS = ("•", "-", "*", "‣", "◦")
_WORD = re.compile(r"\S+")
_LETTER = re.compile(r"[^\W\d_]")


class GopherQuality(RowFilter):
    """Keep documents whose length, words, symbols and lines are those of prose."""

    min_words: int = option(50, "Fewest words.", ge=0)
    max_words: int = option(100_000, "Most words.", ge=1)
    min_word_length: float = option(3.0, "Smallest mean length of words, in characters.", ge=0)
    max_word_length: float = option(10.0, "Largest mean length of words.", ge=0)
    max_symbols: float = option(0.1, "Largest number of # and of … per word.", ge=0)
    max_bullets: float = option(0.9, "Largest share of lines that start with a bullet.", ge=0, le=1)
    max_ellipses: float = option(0.3, "Largest share of lines that end with an ellipsis.", ge=0, le=1)
    min_alphabetic: float = option(0.8, "Smallest share of words with a letter.", ge=0, le=1)
    stop_words: Names = option(_STOP_WORDS, "Words of which a document has at least `min_stop_words`; another language has others.")
    min_stop_words: int = option(2, "Fewest different stop words; 0: no such rule.", ge=0)

    def reason(self, texts: Sequence[str]) -> str:
        """Return the first rule that a row breaks."""
        text = "\n".join(texts)
        words, lines = _WORD.findall(text), [line.strip() for line in text.splitlines() if line.strip()]
        if not self.min_words <= len(words) <= self.max_words or not words:
            return f"not {self.min_words:,} to {self.max_words:,} words"
        if not self.min_word_length <= sum(map(len, words)) / len(words) <= self.max_word_length:
            return "mean length of words"
        if max(text.count("#"), text.count("…") + text.count("...")) / len(words) > self.max_symbols:
            return "too many symbols"
        if _share(line.startswith(_BULLETS) for line in lines) > self.max_bullets:
            return "too many bullets"
        if _share(line.endswith(("…", "...")) for line in lines) > self.max_ellipses:
            return "too many ellipses"
        if _share(bool(_LETTER.search(word)) for word in words) < self.min_alphabetic:
            return "too few words with letters"
        known = {word.strip(".,;:!?\"'()").casefold() for word in words}
        return "too few stop words" if len(known & set(self.stop_words)) < self.min_stop_words else ""


class GopherRepetition(RowFilter):
    """Keep documents that do not repeat lines, paragraphs or word sequences."""

    max_lines: float = option(0.3, "Largest share of lines that are repeated.", ge=0, le=1)
    max_paragraphs: float = option(0.3, "Largest share of paragraphs that are repeated.", ge=0, le=1)
    max_line_characters: float = option(0.2, "Largest share of characters in repeated lines.", ge=0, le=1)
    max_paragraph_characters: float = option(0.2, "Largest share of characters in repeated paragraphs.", ge=0, le=1)
    max_top_2: float = option(0.20, "Largest share of characters in the most frequent sequence of 2 words.", ge=0, le=1)
    max_top_3: float = option(0.18, "Of 3 words.", ge=0, le=1)
    max_top_4: float = option(0.16, "Of 4 words.", ge=0, le=1)

    def reason(self, texts: Sequence[str]) -> str:
        """Return the first rule that a row breaks."""
        text = "\n".join(texts)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
        for name, parts, most, characters in (
            ("lines", lines, self.max_lines, self.max_line_characters),
            ("paragraphs", paragraphs, self.max_paragraphs, self.max_paragraph_characters),
        ):
            repeated = _repeated(parts)
            if repeated and (len(repeated) / len(parts) > most or sum(map(len, repeated)) / len(text) > characters):
                return f"repeated {name}"
        words = _WORD.findall(text.casefold())
        for length, most in ((2, self.max_top_2), (3, self.max_top_3), (4, self.max_top_4)):
            if _top(words, length) > most * sum(map(len, words)):
                return f"repeated sequences of {length} words"
        return ""


def _repeated(parts: Sequence[str]) -> list[str]:
    """Return the parts that equal an earlier one."""
    seen: set[str] = set()
    return [part for part in parts if part in seen or seen.add(part)]  # type: ignore[func-returns-value]


def _top(words: Sequence[str], length: int) -> int:
    """Return the characters of the most frequent sequence of words, each time that it occurs; 0 if none occurs twice."""
    counts = Counter(tuple(words[start : start + length]) for start in range(len(words) - length + 1))
    most = max(counts.values(), default=0)
    return max((sum(map(len, found)) for found, count in counts.items() if count == most), default=0) * most if most > 1 else 0


def _share(values: Iterable[bool]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0
