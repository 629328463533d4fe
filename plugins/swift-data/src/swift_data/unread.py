"""Unused fields, and control tokens in texts: counted over the rows of a dataset, and formatted for reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from swift_core.contract import suggestion
from swift_data.rows.fields import is_metadata
from swift_data.rows.shapes import SHAPES

_KNOWN = tuple(dict.fromkeys(name for shape in SHAPES for name in (*shape.fields, *shape.optional)))
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class UnreadField:
    """An unused field: its path, the number and share of rows that have it, whether it only describes the row, and a hint."""

    path: str  # JSON path of the field
    rows: int  # number of rows with it
    share: float  # share of rows with it, 0 to 1
    metadata: bool  # it only describes the row
    hint: str  # how it could be used; '' if it can't

    def __str__(self) -> str:
        return f"'{self.path}' in {_percent(self.share)} of the rows" + (f" ({self.hint})" if self.hint else "")


class Unread:
    """Count rows, their unused fields, and control tokens of the model in their texts."""

    def __init__(self, counts: Mapping[str, int] | None = None, rows: int = 0, control: Mapping[str, int] | None = None) -> None:
        self.counts, self.rows, self.control = Counter[str](counts or {}), rows, Counter[str](control or {})

    def add(self, paths: Iterable[str], control: Iterable[str] = ()) -> None:
        """Count a row with its unused fields and control tokens."""
        self.rows += 1
        self.counts.update(paths)
        self.control.update(control)

    def take(self) -> Unread:
        """Return the counts since the last call, and reset them."""
        found = Unread(self.counts, self.rows, self.control)
        self.counts, self.rows, self.control = Counter(), 0, Counter()
        return found

    def tokens(self) -> str:
        """Return a clause on the control tokens, or '' if there are none."""
        found = [f"'{token}' in {_percent(count / self.rows)} of the rows" for token, count in self.control.most_common()]
        return f"texts contain control tokens of the model, which are tokenised as such: {_few(found)}" if found else ""

    def sentences(self, name: str) -> Iterator[str]:
        """Yield the sentences to report on the dataset `name`."""
        if fields := self.sentence(name):
            yield fields
        if tokens := self.tokens():
            yield f"{name}: {tokens}."

    def fields(self) -> tuple[UnreadField, ...]:
        """Return the unused fields, the most frequent first."""
        return tuple(
            UnreadField(path, count, count / self.rows, is_metadata(path), "" if is_metadata(path) else _near(path))
            for path, count in self.counts.most_common()
        )

    def sentence(self, name: str) -> str:
        """Return one sentence on the unused fields of the dataset `name`, or '' if there are none."""
        fields = self.fields()
        strange = [str(each) for each in fields if not each.metadata]
        plain = [f"'{each.path}'" for each in fields if each.metadata]
        parts = [_few(strange)] if strange else []
        parts += [f"metadata: {_few(plain)}"] if plain else []
        return f"{name}: unused fields: {'; '.join(parts)}." if parts else ""


def _near(path: str) -> str:
    """Return a suggestion for a misspelt field name, or ''."""
    return "" if "." in path else suggestion(path, _KNOWN)


def _few(texts: list[str]) -> str:
    more = [f"and {len(texts) - _SHOWN} more; swift data check lists all"] if len(texts) > _SHOWN else []
    return ", ".join([*texts[:_SHOWN], *more])


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else f"{share:.2%}"
