"""The largest forward pass of a run, and its number of steps, from options alone: no row is read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_plan.checkpoint_shapes import Shapes

CPU_TOKENS = 512  # the default of micro_tokens on a CPU (swift_train.row_groups)
ASSUMED_LENGTH = 2048  # of a row, if neither the options nor the data tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The largest pass of a step: the lengths of its rows, in tokens, and how many of them are supervised."""

    lengths: tuple[int, ...]  # of the rows in the pass
    passes: int = 1  # forward passes per step, in each process
    supervised: float = 1.0  # fraction of the tokens
    steps: int = 0  # optimizer steps; 0: unknown
    note: str = ""  # what was assumed

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
        return cls(**{**data, "lengths": tuple(data["lengths"])})


@dataclass(frozen=True, slots=True)
class Rows:
    """Known facts of a run's rows: the longest sequence, in tokens, the fraction of supervised tokens, and their number (0: unknown)."""

    longest: int
    supervised: float = 1.0
    count: int = 0


def workload_of(run: Run, shapes: Shapes, *, kind: str, rows: Rows | None = None) -> Workload:
    """Return the largest pass of a training run: as many of the longest rows as the options let share one.

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
    if options.get("packing") and limit:
        length = min(limit, ASSUMED_LENGTH) if not options.get("max_length") else limit
    batch, accumulation = int(options.get("batch_size", 1)), int(options.get("gradient_accumulation_steps", 1))
    per_pass = int(options.get("micro_tokens") or (CPU_TOKENS if kind == "cpu" else 1 << 40))
    together = 1 if options.get("packing") and kind == "cpu" else max(1, min(batch, per_pass // length))
    passes = ceil(batch / together) * accumulation
    return Workload(
        lengths=(length,) * together,
        passes=passes,
        supervised=rows.supervised if rows else 1.0,
        steps=_steps(options, run.workers, rows.count if rows else 0),
        note=note,
    )


def _steps(options: Any, processes: int, rows: int) -> int:
    if options.get("max_steps"):
        return int(options["max_steps"])
    per_step = int(options.get("batch_size", 1)) * int(options.get("gradient_accumulation_steps", 1)) * processes
    held_out = float(options.get("validation_ratio") or 0)
    trained = rows - held_out if held_out >= 1 else rows * (1 - held_out)
    return ceil(max(trained, 0) / per_step * float(options.get("epochs", 1))) if rows else 0
