"""`swift data check`: read datasets once and report every problem in them; memory use hardly depends on their size.

Every row is normalised as in training; with a model, it is tokenised, truncated and masked too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from swift_provenance.licences import terms_of_data

from swift_core.contract import DataChoice, RawRow, Run, SwiftError, UsageError, Watch, progress
from swift_core.plugins import registry
from swift_data.bad_rows import Fault, Faults
from swift_data.duplicates import Prints, Same
from swift_data.facts import Counting, Facts, characters
from swift_data.histogram import Distribution, Spread
from swift_data.inspector import Measured, RowInspector
from swift_data.overlap import questions_of
from swift_data.personal_data import Finding, Personal
from swift_data.reading import raw_rows
from swift_data.rows import learned_by, normalise
from swift_data.rows.forms import Form, form_of, way_on
from swift_data.task import inspector_of
from swift_data.unread import Unread, UnreadField

_TOLD_EVERY = 1000
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCheck:
    """The result for one dataset. `lengths` are of sequences, in tokens, or without a model of rows, in characters.

    `bad` is the number of invalid rows; `faults` are the reasons, and the error that stopped the reading before the end of a file.
    `long` is the number of rows that exceed the maximum sequence length, `learned` that of supervised tokens. `unread` are fields of
    valid rows that are not used, `control` is a clause on control tokens in their texts. `personal` is the personal data that was found,
    `overlapping` are the first of the `overlaps` rows that contain a question of the evaluation data, with that question. `licence` is
    what its source states.
    """

    name: str
    rows: int
    bad: int
    facts: Facts
    lengths: Spread | None
    learned: int
    long: int
    faults: tuple[Fault, ...]
    unread: tuple[UnreadField, ...] = ()
    control: str = ""
    personal: Personal | None = None
    overlaps: int = 0
    overlapping: tuple[tuple[str, str], ...] = ()
    licence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCheck:
    """The result for all datasets. `unit` is that of lengths; `max_length` and `truncation` are set if there is a model."""

    kinds: Sequence[str]
    task: str
    model: str
    unit: str
    max_length: int | None
    truncation: str
    train: tuple[SetCheck, ...]
    validation: tuple[SetCheck, ...]
    duplicates: Same
    validation_duplicates: Same
    leaked: Same
    leaked_prompts: Same

    @property
    def problems(self) -> list[str]:
        """Reasons why a run with this data would fail, or give misleading results."""
        found = [_count(bad, "row is invalid", "rows are invalid")] if (bad := sum(each.bad for each in self.sets)) else []
        broken = sum(fault.count for each in self.sets for fault in each.faults) - bad
        found += [_count(broken, "dataset could not be read to the end", "datasets could not be read to the end")] if broken else []
        found += [f"{each.name} has no valid rows" for each in self.sets if each.rows == each.bad]
        if self.leaked.count:
            texts = "validation row is also a training row", "validation rows are also training rows"
            found.append(_count(self.leaked.count, *texts))
        if personal := sum(each.personal.rows for each in self.sets if each.personal):
            found.append(_count(personal, "row has personal data", "rows have personal data"))
        if overlaps := sum(each.overlaps for each in self.sets):
            found.append(
                _count(overlaps, "row contains a question of the evaluation data", "rows contain questions of the evaluation data")
            )
        return found

    @property
    def warnings(self) -> list[str]:
        """Findings that are probably mistakes."""
        found = []
        for same, split in ((self.duplicates, ""), (self.validation_duplicates, "validation ")):
            if same.count:
                found.append(_count(same.count, f"{split}row repeats an earlier one", f"{split}rows repeat an earlier one"))
        if self.leaked_prompts.count:
            texts = "validation row has a prompt of a training row", "validation rows have a prompt of a training row"
            found.append(_count(self.leaked_prompts.count, *texts))
        found += [f"{each.name}: unused field {field}" for each in self.sets for field in each.unread if not field.metadata]
        found += [f"{each.name}: {each.control}" for each in self.sets if each.control]
        long = sum(each.long for each in self.sets)
        if long and self.truncation != "error":
            verb = {"drop": "dropped", "split": "split"}.get(self.truncation, f"truncated on the {self.truncation}")
            text = f"longer than {self.max_length} tokens, and {verb} (truncation: {self.truncation})"
            found.append(_count(long, f"row is {text}", f"rows are {text}"))
        return found

    @property
    def sets(self) -> tuple[SetCheck, ...]:
        """All datasets, training and validation."""
        return (*self.train, *self.validation)

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {"ok": not self.problems, "problems": self.problems, "warnings": self.warnings, **asdict(self)}


def check(run: Run, kinds: Sequence[str], watch: Watch | None = None) -> DataCheck:
    """Check a run's datasets.

    Args:
        run: as returned by `swift_data.task.resolve_rows`.
        kinds: the accepted kinds of row.
        watch: receives progress events.

    Raises:
        SwiftError: the model can't be used. Errors in rows are part of the result.
    """
    inspector = inspector_of(run)
    reader = _Reader(run, kinds, inspector, watch)
    training, held_out = Prints(prompts=bool(run.validation)), Prints(prompts=True)
    train = tuple(reader.read(choice, training) for choice in run.datasets)
    validation = tuple(reader.read(choice, held_out) for choice in run.validation)
    return DataCheck(
        kinds=list(kinds),
        task=run.part("task").name if "task" in run.parts else "",
        model=run.model.reference if run.model and inspector else "",
        unit="tokens" if inspector else "characters",
        max_length=inspector.max_length if inspector else None,
        truncation=inspector.truncation if inspector else "",
        train=train,
        validation=validation,
        duplicates=training.repeated(),
        validation_duplicates=held_out.repeated(),
        leaked=held_out.found_in(training),
        leaked_prompts=held_out.prompts_found_in(training),
    )


class _Reader:
    """Read datasets one after the other."""

    def __init__(self, run: Run, kinds: Sequence[str], inspector: RowInspector | None, watch: Watch | None) -> None:
        how: Mapping[str, Any] = run.options["data"]
        self._how, self._learned = how, "task" in run.parts
        self._media = Path(how["media_folder"]) if how["media_folder"] else None
        self._kinds, self._inspector, self._watch = kinds, inspector, watch
        self._questions = questions_of(run.options["against"], run.options["hub"]) if run.options.get("against") else None
        self._personal = bool(run.options.get("pii"))
        self._done = 0

    def read(self, choice: DataChoice, prints: Prints) -> SetCheck:
        """Read a whole dataset."""
        found = _Found(prints)
        good = self._good(choice, found)
        if self._inspector is None:
            for _ in good:
                pass
        else:
            for raw, measured in self._inspector.measure(good, found.faults):
                found.measure(raw, measured, self._inspector.max_length)
            found.unread = self._inspector.unread()
        return SetCheck(
            name=choice.asked,
            rows=found.rows,
            bad=found.faults.count,
            facts=found.counting.facts(),
            lengths=found.lengths.spread(),
            learned=found.learned,
            long=found.long,
            faults=(*found.broken.faults(), *found.faults.faults()),
            unread=found.unread.fields(),
            control=found.unread.tokens(),
            personal=found.personal.result() if self._personal else None,
            overlaps=found.overlaps,
            overlapping=tuple(found.overlapping),
            licence=terms_of_data(choice, registry()).licence,
        )

    def _good(self, choice: DataChoice, found: _Found) -> Iterator[RawRow]:
        """Yield the valid rows and count them; record invalid ones, and an error that ends the reading."""
        rows = raw_rows(choice, self._how)
        while True:
            try:
                raw = next(rows, None)
            except SwiftError as error:
                found.broken.add(error, error.where or choice.asked)
                return
            if raw is None:
                return
            found.rows += 1
            self._tell()
            self._look(raw, found)
            try:
                row = normalise(raw, self._kinds, media_folder=self._media)
            except SwiftError as error:
                found.faults.bad(error, raw)
                continue
            form = form_of(raw.data, self._kinds)
            found.counting.add(row, form)
            found.prints.add(row, raw)
            if not self._learned:
                found.faults.bad(_of_no_use(form, raw), raw)
            if self._inspector is None:
                found.lengths.add(characters(row))
                found.unread.add(row.unread)
            yield raw

    def _look(self, raw: RawRow, found: _Found) -> None:
        """Look for personal data, and for questions of the evaluation data."""
        if self._personal:
            found.personal.add(raw)
        if self._questions and (questions := self._questions.found_in(raw.data)):
            found.overlaps += 1
            if len(found.overlapping) < _SHOWN:
                found.overlapping.append((f"{raw.file}, row {raw.number}", min(questions)))

    def _tell(self) -> None:
        self._done += 1
        if self._watch and self._done % _TOLD_EVERY == 0:
            self._watch(progress("check", self._done, None, "rows"))


@dataclass(slots=True)
class _Found:
    """The counts of one dataset while its rows are read."""

    prints: Prints
    counting: Counting = field(default_factory=Counting)
    faults: Faults = field(default_factory=Faults)
    broken: Faults = field(default_factory=Faults)
    lengths: Distribution = field(default_factory=Distribution)
    unread: Unread = field(default_factory=Unread)
    rows: int = 0
    learned: int = 0
    long: int = 0
    personal: Finding = field(default_factory=Finding)
    overlaps: int = 0
    overlapping: list[tuple[str, str]] = field(default_factory=list)

    def measure(self, raw: RawRow, measured: Measured, most: int) -> None:
        """Count the tokens of a row."""
        for length in measured.lengths:
            self.lengths.add(length)
        self.learned += measured.learned
        self.long += max(measured.lengths, default=0) > most
        if measured.fault:
            self.faults.bad(measured.fault, raw)


def _of_no_use(form: Form, raw: RawRow) -> UsageError:
    """Return the error of a row for whose kind no task is selected."""
    hint = way_on(raw.data) or learned_by(form, ())
    return UsageError(
        f"no task is selected for {form.kind} rows ({form.reason})",
        code="DATA-001",
        where=f"{raw.file}, row {raw.number}, $",
        hint=hint,
    )


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
