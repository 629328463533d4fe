"""Changes of a run that make it fit: the cheapest first, each planned like the run itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from swift_core.contract import TunerSpec, UsageError
from swift_core.plugins import registry
from swift_core.system import write_text

if TYPE_CHECKING:
    from swift_core.contract import Choice, Run
    from swift_plan.plan import Plan

_MOST = 3
_HOPELESS = 1.6  # a formula's peak this many times the memory is not worth a trace
_SHORTEST = 256  # tokens: rows are not cut below that


@dataclass(frozen=True, slots=True)
class Change:
    """Options to set, by dotted path, what they cost, and the plan with them."""

    options: Mapping[str, Any]
    cost: str
    plan: Plan

    @property
    def flags(self) -> str:
        """The change on the command line."""
        return " ".join(
            f"--{name.replace('_', '-')}" if value is True else f"--{name.replace('_', '-')} {value}"
            for name, value in self.options.items()
        )


def changes(run: Run, plan: Plan, quick: Callable[[Run], Plan], exact: Callable[[Run], Plan]) -> list[Change]:
    """Return up to three changes with which a training run fits, cheapest first.

    Args:
        run: the run, which does not fit.
        plan: its plan.
        quick: plans a run by formulas.
        exact: plans a run by a trace.
    """
    found: list[Change] = []
    for options, cost in _candidates(run, plan):
        changed = with_options(run, options)
        if plan.device.memory and quick(changed).peak > _HOPELESS * plan.device.memory:
            continue
        planned = exact(changed)
        if planned.fits and not any(set(other.options.items()) <= set(options.items()) for other in found):
            found.append(Change(options, cost, planned))
        if len(found) == _MOST:
            break
    return found


def _candidates(run: Run, plan: Plan) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield sets of options: what costs no quality before what does, few before many."""
    options = run.part("task").options
    batch = int(options.get("batch_size", 1))
    smaller = (
        {"batch_size": 1, "gradient_accumulation_steps": batch * int(options.get("gradient_accumulation_steps", 1))} if batch > 1 else {}
    )
    recompute = {} if options.get("gradient_checkpointing") else {"gradient_checkpointing": True}
    frugal = {**smaller, **recompute}
    for single, cost in ((smaller, "smaller micro-batches"), (recompute, "about a third more time")):
        if single:
            yield single, cost
    if smaller and recompute:
        yield frugal, "smaller micro-batches, about a third more time"
    shorter = {"max_length": max(_SHORTEST, plan.length // 2)} if plan.length > _SHORTEST else {}
    for name, cost in _other_tuners(run):
        yield {"tuner": name}, cost
        if frugal:
            yield {"tuner": name, **frugal}, f"{cost}; smaller micro-batches, about a third more time"
    if shorter:
        yield {**frugal, **shorter}, "longer rows are truncated or dropped (--truncation); about a third more time"
        for name, cost in _other_tuners(run):
            yield {"tuner": name, **frugal, **shorter}, f"{cost}; longer rows are truncated or dropped (--truncation)"


def _other_tuners(run: Run) -> Iterator[tuple[str, str]]:
    known, chosen = registry(), registry().spec(run.part("tuner"), TunerSpec)
    if chosen.trains == "weights" and (name := next((spec.name for spec in known.all(TunerSpec) if spec.name == "lora"), "")):
        yield name, "an adapter can learn less than full fine-tuning"
    if not chosen.implies and "quantizer" not in run.parts:
        for spec in known.all(TunerSpec):
            if spec.implies and known.matching("quantizer", spec.implies):
                yield spec.name, "an adapter on quantized weights"


def with_options(run: Run, options: Mapping[str, Any]) -> Run:
    """Return the run with options of its task, and another tuner."""
    known, parts = registry(), dict(run.parts)
    values = dict(options)
    if name := values.pop("tuner", None):
        own = run.part("tuner").options
        spec = next(spec for spec in known.all(TunerSpec) if spec.name == name)
        shared = {key: value for key, value in own.items() if key in _fields(spec)}
        parts["tuner"] = known.choose("tuner", name, shared)
        if spec.implies:
            parts["quantizer"] = known.default("quantizer", spec.implies)
    task: Choice = parts["task"]
    parts["task"] = replace(task, options={**task.options, **values})
    return replace(run, parts=parts)


def _fields(spec: TunerSpec) -> set[str]:
    return set(spec.options.load().model_fields) if spec.options else set()


def apply(file: Path, options: Mapping[str, Any]) -> None:
    """Set options in a YAML file: lines that have them are replaced, others appended; comments stay.

    Raises:
        UsageError: an option stands there as a mapping, which a line can't replace.
    """
    text = file.read_text(encoding="utf-8")
    values: Any = yaml.safe_load(text) or {}
    kept = text.splitlines()
    for name, value in options.items():
        line = yaml.safe_dump({name: value}).strip()
        at = [number for number, old in enumerate(kept) if old.partition(":")[0].replace("-", "_") == name]
        if at and isinstance(values.get(name), dict):
            hint = f"Set it in the mapping: {line}"
            raise UsageError(f"'{name}' is a mapping in this file", code="PLAN-004", where=str(file), hint=hint)
        if at:
            kept[at[0]] = line
        else:
            kept.append(line)
    write_text(file, "\n".join(kept) + "\n")
