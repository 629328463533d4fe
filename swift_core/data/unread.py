"""Fields that nobody reads, and control tokens in texts, counted over the rows of a data set, and how they are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from swift_core.errors import suggestion
from swift_core.rows.fields import is_metadata
from swift_core.rows.shapes import SHAPES

_KNOWN = tuple(dict.fromkeys(name for shape in SHAPES for name in (*shape.fields, *shape.optional)))
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class UnreadField:
    """A field that nobody reads: its path in a row, in how many rows it has a value, whether it plainly only describes them, a hint."""

    path: str
    rows: int
    share: float
    metadata: bool
    hint: str

    def __str__(self) -> str:
        return f"'{self.path}' in {_percent(self.share)} of the rows" + (f" ({self.hint})" if self.hint else "")


class Unread:
    """Counts rows, their unread fields, and the control tokens of the model that stand in their texts."""

    def __init__(self, counts: Mapping[str, int] | None = None, rows: int = 0, control: Mapping[str, int] | None = None) -> None:
        self.counts, self.rows, self.control = Counter[str](counts or {}), rows, Counter[str](control or {})

    def add(self, paths: Iterable[str], control: Iterable[str] = ()) -> None:
        """Count a row in."""
        self.rows += 1
        self.counts.update(paths)
        self.control.update(control)

    def take(self) -> Unread:
        """What was counted since it was last taken."""
        found = Unread(self.counts, self.rows, self.control)
        self.counts, self.rows, self.control = Counter(), 0, Counter()
        return found

    def tokens(self) -> str:
        """A clause on the control tokens; '' if there are none."""
        found = [f"'{token}' in {_percent(count / self.rows)} of the rows" for token, count in self.control.most_common()]
        return f"texts hold control tokens of the model, which are read as such: {_few(found)}" if found else ""

    def sentences(self, name: str) -> Iterator[str]:
        """All that should be told of the data set `name`."""
        if fields := self.sentence(name):
            yield fields
        if tokens := self.tokens():
            yield f"{name}: {tokens}."

    def fields(self) -> tuple[UnreadField, ...]:
        """What was found, the most frequent first."""
        return tuple(
            UnreadField(path, count, count / self.rows, is_metadata(path), "" if is_metadata(path) else _near(path))
            for path, count in self.counts.most_common()
        )

    def sentence(self, name: str) -> str:
        """All in one sentence about the data set `name`; '' if every field is read."""
        fields = self.fields()
        strange = [str(each) for each in fields if not each.metadata]
        plain = [f"'{each.path}'" for each in fields if each.metadata]
        parts = [_few(strange)] if strange else []
        parts += [f"metadata: {_few(plain)}"] if plain else []
        return f"{name}: nothing reads these fields: {'; '.join(parts)}." if parts else ""


def _near(path: str) -> str:
    """A name here that a field of a row may have meant."""
    return "" if "." in path else suggestion(path, _KNOWN)


def _few(texts: list[str]) -> str:
    more = [f"and {len(texts) - _SHOWN} more; swift data check lists all"] if len(texts) > _SHOWN else []
    return ", ".join([*texts[:_SHOWN], *more])


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else f"{share:.2%}"
