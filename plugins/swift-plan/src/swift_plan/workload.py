"""The largest forward pass of a run, and its number of steps, from options alone: no row is read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from swift_core.contract import TaskSpec
from swift_core.plugins import registry

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_plan.checkpoint_shapes import Shapes

CPU_TOKENS = 512  # the default of micro_tokens on a CPU (swift_train.row_groups)
ASSUMED_LENGTH = 2048  # of a row, if neither the options nor the data tell


@dataclass(frozen=True, slots=True)
class MediaRow:
    """A row with media files: the ids of its tokens, and each file as `swift_train.media.files.MediaFile` has it."""

    ids: tuple[int, ...]
    files: tuple[tuple[Any, ...], ...]  # kind, path, bytes, time of change, extent

    @classmethod
    def from_json(cls, data: Any) -> MediaRow:
        """Create the object from its JSON values."""
        return cls(tuple(data["ids"]), tuple((*file[:-1], tuple(file[-1])) for file in data["files"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The largest pass of a step: the lengths of its sequences, in tokens, and how many of them are supervised."""

    lengths: tuple[int, ...]  # of the sequences in the pass
    sequences: int = 1  # of each row: a chosen and a rejected answer are 2
    passes: int = 1  # forward passes per step, in each process
    supervised: float = 1.0  # fraction of the tokens
    steps: int = 0  # optimizer steps; 0: unknown
    note: str = ""  # what was assumed
    media: MediaRow | None = None  # what each sequence begins with, if it is long enough

    @property
    def tokens(self) -> int:
        """Tokens of the pass."""
        return sum(self.lengths)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Workload:
        """Create the object from what `to_json` returned."""
        media = MediaRow.from_json(data["media"]) if data.get("media") else None
        return cls(**{**data, "lengths": tuple(data["lengths"]), "media": media})


@dataclass(frozen=True, slots=True)
class Rows:
    """Known facts of a run's rows: their longest sequence, in tokens, the fraction of supervised tokens, their number (0: unknown), the
    sequences of a row, and the longest sequence with media files."""

    longest: int
    supervised: float = 1.0
    count: int = 0
    sequences: int = 1
    media: MediaRow | None = None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Rows:
        """Create the object from its JSON values."""
        return cls(**{**data, "media": MediaRow.from_json(data["media"]) if data.get("media") else None})


def workload_of(run: Run, shapes: Shapes, *, kind: str, rows: Rows | None = None) -> Workload:
    """Return the largest pass of a training run: as many of the longest rows as the options let share one, and a shorter one.

    Args:
        run: the run.
        shapes: of its model.
        kind: kind of the device (cpu, cuda, …), on which the default of `micro_tokens` depends.
        rows: what is known of the rows; None: each is as long as the options allow.
    """
    options = run.part("task").options
    note, limit = "", int(options.get("max_length") or shapes.context or 0)
    if rows:
        length = min(rows.longest, limit or rows.longest)
    elif options.get("max_length"):
        length = int(options["max_length"])
        note = f"Each row is assumed to have max_length ({length}) tokens, all supervised."
    else:
        length = min(limit or ASSUMED_LENGTH, ASSUMED_LENGTH)
        note = f"Each row is assumed to have {length} tokens, all supervised; --max-length sets another limit."
    if answers := int(options.get("max_completion_length") or 0):  # sampled while it trains
        length += answers
        more = f"Each answer is assumed to have max_completion_length ({answers}) tokens; the engine that samples them is not counted."
        note = f"{note} {more}".strip()
    if options.get("packing") and limit:
        length = min(limit, ASSUMED_LENGTH) if not options.get("max_length") else limit
    batch, accumulation = int(options.get("batch_size", 1)), int(options.get("gradient_accumulation_steps", 1))
    per_pass = int(options.get("micro_tokens") or (CPU_TOKENS if kind == "cpu" else 1 << 40))
    together = rows.sequences if rows else _sequences(run)
    row = length * together
    tokens = min(batch * row, max(per_pass, row))  # shorter rows fill a pass up to its limit
    rest = tokens % row // together
    return Workload(
        lengths=(length,) * (tokens // row * together) + (rest,) * (together if rest else 0),
        sequences=together,
        passes=ceil(batch * row / tokens) * accumulation,
        supervised=rows.supervised if rows else _supervised(run),
        steps=_steps(options, run.workers, rows.count if rows else 0),
        note=note,
        media=rows.media if rows and rows.media and len(rows.media.ids) <= length else None,  # a file is never cut: such a row is dropped
    )


def _sequences(run: Run) -> int:
    """Return the sequences of a row by its kind: pairs of answers, or of a query and a document, are in one row."""
    return 2 if registry().spec(run.part("task"), TaskSpec).rows[:1] in (("preference",), ("retrieval",)) else 1


def _supervised(run: Run) -> float:
    """Return the fraction of supervised tokens if no row is known: a head scores one token of each sequence, or each token has a tag."""
    spec = registry().spec(run.part("task"), TaskSpec)
    return 0.0 if spec.head and spec.rows[:1] != ("tagged",) else 1.0


def _steps(options: Any, processes: int, rows: int) -> int:
    if options.get("max_steps"):
        return int(options["max_steps"])
    per_step = int(options.get("batch_size", 1)) * int(options.get("gradient_accumulation_steps", 1)) * processes
    held_out = float(options.get("validation_ratio") or 0)
    trained = rows - held_out if held_out >= 1 else rows * (1 - held_out)
    return ceil(max(trained, 0) / per_step * float(options.get("epochs", 1))) if rows else 0
