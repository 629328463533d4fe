"""Filter by language, as py3langid finds it (M. Lui and T. Baldwin, 2012, langid.py)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic import field_validator
from swift_data.row_filters import RowFilter

from swift_core.options import Names, option

_READ = 4000  # characters of a row by which its language is found


class Language(RowFilter):
    """Keep rows in certain languages."""

    languages: Names = option(..., "Languages to keep, as ISO 639-1 codes: en,zh.", min_length=1)
    probability: float = option(0.5, "Smallest probability of the language that is found.", ge=0, le=1)

    @field_validator("languages")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        if unknown := sorted(set(value) - set(_identifier().labels)):
            raise ValueError(f"py3langid does not know {', '.join(unknown)}; it knows {', '.join(sorted(_identifier().labels))}")
        return value

    def reason(self, texts: Sequence[str]) -> str:
        """Return the reason if the language is another one or uncertain."""
        text = "\n".join(texts)[:_READ]
        found, probability = _identifier().classify(text)
        if found not in self.languages:
            return f"in another language than {', '.join(self.languages)}"
        return "" if probability >= self.probability else "language uncertain"


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
