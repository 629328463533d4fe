"""Personal data in rows: found by detectors, which are plugins, and replaced by what it is: `[EMAIL]`.

A detector is a class without arguments, named in the entry-point group `swift.pii`; all that are installed are used. Nothing that is found
is printed or stored: results name places and kinds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Protocol

from swift_core.contract import RawRow, SwiftError, UsageError

GROUP = "swift.pii"
_MEDIA = ("image", "images", "video", "videos", "audio", "audios", "image_url", "video_url", "audio_url")
_NO_TEXT = {"role", "from", "type", "id", "tool_call_id", *_MEDIA}
_FIRST = 5


@dataclass(frozen=True, slots=True)
class Found:
    """Personal data in a text: its kind in capitals, such as EMAIL, and where it is (characters, the end excluded)."""

    kind: str  # in capitals, such as EMAIL
    start: int  # index of its first character
    end: int  # index after its last character


class Detector(Protocol):
    """Finds personal data in texts."""

    def find(self, text: str) -> Iterable[Found]:
        """Return what is in a text, in any order; of those that overlap the longest counts."""
        ...


@dataclass(frozen=True, slots=True)
class Personal:
    """The personal data of a data set: rows with any, numbers by kind, and the first places (row, path, kind)."""

    rows: int  # rows with personal data
    kinds: Mapping[str, int]  # how often each kind occurs
    first: tuple[tuple[str, str, str], ...]  # the first places: row, path in the row, kind


@dataclass(slots=True)
class Finding:
    """Count personal data in rows; `result` returns the numbers."""

    rows: int = 0  # rows with personal data so far
    kinds: Counter[str] = field(default_factory=Counter)  # how often each kind occurred
    first: list[tuple[str, str, str]] = field(default_factory=list)  # the first places: row, path in the row, kind

    def add(self, row: RawRow) -> None:
        """Count a row."""
        found = [(f"{row.file}, row {row.number}", path, each.kind) for path, text in texts(row.data) for each in find(text)]
        self.rows += bool(found)
        self.kinds.update(kind for _, _, kind in found)
        self.first += found[: _FIRST - len(self.first)]

    def result(self) -> Personal:
        """Return the numbers of all rows so far."""
        return Personal(self.rows, dict(self.kinds.most_common()), tuple(self.first))


@cache
def detectors() -> tuple[Detector, ...]:
    """Return the installed detectors.

    Raises:
        UsageError: there is none.
        SwiftError: one can't be imported.
    """
    found: list[Detector] = []
    for point in sorted(entry_points(group=GROUP), key=lambda item: item.name):
        try:
            found.append(point.load()())
        except Exception as error:
            raise SwiftError(
                f"the detector '{point.name}' can't be loaded: {type(error).__name__}: {error}",
                code="DATA-151",
                where=point.value,
                hint="Reinstall its plugin.",
            ) from error
    if not found:
        raise UsageError("no detector of personal data is installed", code="DATA-152", where="data", hint="pip install swift-plugin-pii")
    return tuple(found)


def find(text: str) -> list[Found]:
    """Return the personal data in a text, without overlaps, from left to right."""
    candidates = [each for detector in detectors() for each in detector.find(text)]
    chosen: list[Found] = []
    for each in sorted(candidates, key=lambda item: (item.start - item.end, item.start)):
        if all(each.end <= other.start or other.end <= each.start for other in chosen):
            chosen.append(each)
    return sorted(chosen, key=lambda item: item.start)


def redact(text: str) -> str:
    """Return a text with personal data replaced by its kind: `[EMAIL]`."""
    pieces, end = [], 0
    for each in find(text):
        pieces += [text[end : each.start], f"[{each.kind}]"]
        end = each.end
    return "".join([*pieces, text[end:]])


def redacted(row: RawRow) -> RawRow:
    """Return a row with personal data in its texts replaced."""
    return replace(row, data=_redacted(row.data))


def texts(value: Any, path: str = "$") -> Iterator[tuple[str, str]]:
    """Yield every text of a row with its path; roles, ids and references to media are no texts."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key not in _NO_TEXT:
                yield from texts(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from texts(item, f"{path}[{index}]")


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: item if key in _NO_TEXT else _redacted(item) for key, item in value.items()}
    return [_redacted(item) for item in value] if isinstance(value, list | tuple) else value
