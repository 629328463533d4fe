"""Checks shared by the parallel strategies' plugins, without importing torch: engine, device, quantized weights."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from swift_core.checkpoints import Checkpoint
from swift_core.contract import OptimizerSpec, Problem, TaskSpec
from swift_core.plugins import device_kind, engine_state, registry

if TYPE_CHECKING:
    from swift_core.contract import Choice, Run


def kind_of(device: str) -> str:
    """Return the kind of device that an option names: cpu, cuda, mps, …; `auto` is resolved to that of this machine.

    Where a distribution brings a device of its own to torch (its entry points `torch.backends`), only torch can tell: the result is ''.
    """
    if device != "auto":
        return device.partition(":")[0]
    kind = device_kind()
    return "" if kind == "cpu" and entry_points(group="torch.backends") else kind


def missing_engine(choice: Choice, how: str = "pip install") -> Iterator[Problem]:
    """Yield a problem if the strategy's engine is not installed; `how` is the start of the install command in the hint."""
    found = engine_state(registry().spec(choice), choice.distribution)
    if not found.present:
        hint = " ".join((how, *map(repr, found.missing)))
        yield Problem(
            code="PARALLEL-058",
            where="parallel",
            message=f"'{choice.name}' needs {', '.join(found.missing)}, which is not installed",
            hint=hint,
        )


def unsupported_device(who: str, device: str, hint: str = "Use --device cpu, or --parallel ddp.") -> Iterator[Problem]:
    """Yield a problem if torch has no collectives for the device (mps); `who` is the strategy in the message."""
    if kind_of(device) == "mps":
        yield Problem(code="PARALLEL-059", where="device", message=f"{who} can't run on mps: torch has no collectives for it", hint=hint)


def quantized_weights(who: str, run: Run) -> Iterator[Problem]:
    """Yield a problem if the model's weights are or will be quantized; bnb is checked by its own plugin."""
    hint = "Use --parallel ddp, or an unquantized model."
    quantizer = run.parts["quantizer"].name if "quantizer" in run.parts else ""
    if quantizer not in ("", "bnb"):
        yield Problem(code="PARALLEL-060", where="parallel", message=f"{who} can't shard weights quantized by {quantizer}", hint=hint)
    form = Checkpoint.at(run.model.path).quantization if run.model and not quantizer else ""
    if form:
        yield Problem(code="PARALLEL-061", where="parallel", message=f"{who} can't shard the model's quantized weights ({form})", hint=hint)


def language_model_head(who: str, run: Run, where: str) -> Iterator[Problem]:
    """Yield a problem if the task needs a head of scores."""
    if "task" in run.parts and registry().spec(run.part("task"), TaskSpec).head:
        message = f"{who} supports only the head of a language model, and '{run.part('task').name}' trains scores"
        yield Problem(code="PARALLEL-063", where=where, message=message, hint="Use --parallel ddp or fsdp.")


def sharded_optimizer(who: str, run: Run, *, flat: bool = False) -> Iterator[Problem]:
    """Yield a problem if the optimizer would compute other updates on shards of the weights; `flat`: they have no shape of a matrix."""
    if "optimizer" not in run.parts:
        return
    found = registry().spec(run.part("optimizer"), OptimizerSpec)
    if not found.shards or (flat and found.shards == "tensors"):
        able = [spec.name for spec in registry().all(OptimizerSpec) if spec.shards and not (flat and spec.shards == "tensors")]
        hint = f"Use --parallel ddp, or --optimizer {', '.join(able)}."
        message = f"{who} shards weights, but '{found.name}' needs whole ones"
        yield Problem(code="PARALLEL-002", where="optimizer", message=message, hint=hint)
