"""Format the result of a check as lines of text."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from swift_data.commands.printable import printable

if TYPE_CHECKING:
    from swift_data.bad_rows import Fault
    from swift_data.check import DataCheck, SetCheck
    from swift_data.duplicates import Same
    from swift_data.histogram import Spread

_MOST_FAULTS, _MOST_UNREAD = 10, 20
_EIGHTHS = " ▏▎▍▌▋▊▉"


def set_lines(found: SetCheck, check: DataCheck) -> Iterator[str]:
    """Yield a dataset's statistics, its histogram, and its errors."""
    facts = found.facts
    yield _line("rows", f"{found.rows:,}" + (f", of which {found.bad:,} are invalid" if found.bad else ""))
    yield _line("licence", printable(found.licence) or "not stated")
    if facts.forms:
        yield _line("formats", "; ".join(f"{count:,} {name}" for name, count in facts.forms.items()))
    if turns := facts.turns:
        yield _line("messages", f"{turns.total:,}: {_counts(facts.roles)}")
        yield _line("per row", f"{turns.min:,} to {turns.max:,} messages, median {turns.median:,}")
    if facts.with_system:
        yield _line("system prompts", f"in {facts.with_system:,} rows, {facts.systems:,} distinct")
    if facts.with_tools:
        yield _line("tools", f"in {facts.with_tools:,} rows")
    if facts.media:
        yield _line("media", _counts(facts.media))
    if found.unread:
        yield _line("unused fields", ", ".join(f"{printable(each.path)} ({each.rows:,} rows)" for each in found.unread[:_MOST_UNREAD]))
    if lengths := found.lengths:
        yield _line(check.unit, _spread(lengths) + (f"; {found.learned:,} supervised" if check.model else ""))
        if check.max_length and found.long:
            yield _line("too long", f"{found.long:,} rows have more than {check.max_length:,} tokens (truncation: {check.truncation})")
        yield from histogram_lines(lengths)
    if (personal := found.personal) is not None:
        yield _line("personal data", f"{_counts(personal.kinds)}, in {personal.rows:,} rows" if personal.rows else "none found")
        yield from (f"      {place}, {path}: {kind}" for place, path, kind in personal.first)
    if found.overlaps:
        yield _line("contamination", f"{found.overlaps:,} rows contain a question of the evaluation data")
        yield from (f"      {place}: {question}" for place, question in found.overlapping)
    for fault in found.faults[:_MOST_FAULTS]:
        yield from _fault_lines(fault)
    if (more := len(found.faults) - _MOST_FAULTS) > 0:
        yield f"  and {more} more kinds of errors; list them with --json"


def histogram_lines(spread: Spread, width: int = 0) -> Iterator[str]:
    """Yield one bar per bin, fitted to `width` columns (0: the terminal's)."""
    borders = [(each.low, spread.max if each.high is None else each.high - 1) for each in spread.bins]
    labels = [f"{low:,}" if low == high else f"{low:,} to {high:,}" for low, high in borders]
    before, after = max(map(len, labels)), len(f"{spread.count:,}")
    most = max(each.count for each in spread.bins)
    room = max(10, min(width or shutil.get_terminal_size((80, 24)).columns, 100) - before - after - 8)
    for each, label in zip(spread.bins, labels, strict=True):
        yield f"    {label:>{before}}  {each.count:>{after},}  {_bar(each.count / most * room)}".rstrip()


def same_lines(check: DataCheck) -> Iterator[str]:
    """Yield the duplicate rows, and the validation rows that are also training rows."""
    yield from _same("duplicate rows", check.duplicates, "equals")
    yield from _same("duplicate validation rows", check.validation_duplicates, "equals")
    yield from _same("validation rows among the training rows", check.leaked, "equals")
    yield from _same("validation rows with a prompt of a training row", check.leaked_prompts, "has the prompt of")


def _same(title: str, same: Same, word: str) -> Iterator[str]:
    if same.count:
        yield f"{title}: {same.count:,}"
        yield from (f"    {place} {word} {other}" for place, other in same.first)


def _fault_lines(fault: Fault) -> Iterator[str]:
    path = f"{fault.path}: " if fault.path else ""
    yield f"  ✗ {fault.count:,} × {printable(path + fault.message)}"
    if fault.hint:
        yield from (f"      {printable(line.strip())}" for line in fault.hint.splitlines())
    for place in fault.first:
        yield f"      {place.where}" + (f": {printable(place.message)}" if place.message != fault.message else "")
    if fault.count > len(fault.first):
        yield f"      and {fault.count - len(fault.first):,} more"


def _spread(spread: Spread) -> str:
    parts = (("min", spread.min), ("median", spread.median), ("p95", spread.p95), ("max", spread.max))
    return f"{spread.total:,}: " + ", ".join(f"{name} {value:,}" for name, value in parts)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _line(name: str, text: str) -> str:
    return f"  {name:<15} {text}"


def _bar(length: float) -> str:
    whole, part = divmod(round(length * 8), 8)
    return "█" * whole + _EIGHTHS[part].strip() or ("▏" if length else "")
