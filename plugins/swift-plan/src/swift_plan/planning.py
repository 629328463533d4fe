"""Compute the plan of a run: shapes from headers, the step by a trace or a formula, then host memory, disk and time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.contract import SwiftError
from swift_core.plugins import find_verb
from swift_plan import conversion, formula, serving
from swift_plan.calibration import overhead_of
from swift_plan.checkpoint_shapes import Shapes, shapes_of
from swift_plan.disk import free_for, training_disk
from swift_plan.plan import Phase, Plan
from swift_plan.trace import Peak
from swift_plan.workload import Rows, Workload, workload_of

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_plan.client import Tracer
    from swift_plan.devices import Device
    from swift_plan.trace import Trace

SERVED_TOKENS, SERVED_REQUESTS = 4096, 1
_HOST = int(0.6 * 2**30)  # bytes of a process that has imported torch and transformers, measured
STEP = ("forward", "loss", "backward start", "backward top", "backward middle", "backward end")
_UNTRACED = "Its memory is estimated by formulas, within about a third."


def plan_of(
    run: Run, device: Device, *, traced: bool, tracer: Tracer | None = None, rows: Rows | None = None, absent: int = 0,
    tokens: int = SERVED_TOKENS, requests: int = SERVED_REQUESTS,
) -> Plan:  # fmt: skip
    """Compute the plan of a run on a device.

    Args:
        run: the run.
        device: where it is to run.
        traced: whether a training step is traced, in the process of `tracer` or a new one.
        tracer: traces steps.
        rows: what is known of the rows.
        absent: bytes of the model that are not on this machine.
        tokens, requests: of a server, for its KV cache.
    """
    if run.model is None:
        return _base(run, device, (Phase("load", {}),), notes=("The run has no model.",))
    if device.kind == "cpu" and run.workers > 1:  # the processes of a machine share its memory
        device = replace(device, memory=device.memory // int(run.options.get("processes", 1)))
    shapes = shapes_of(Path(run.model.path))
    dtype = dtype_of(run, shapes, device)
    if not shapes.weights:
        return _base(run, device, (Phase("load", {}),), notes=(f"Weights in the format {run.model.format} are not planned.",))
    if "task" in run.parts:
        return _training(run, device, shapes, dtype, traced=traced, tracer=tracer, rows=rows, absent=absent)
    disk = {"download": absent} if absent else {}
    if "backend" in run.parts:
        phases = serving.serving_phases(run, shapes, dtype, tokens=tokens, requests=requests)
        many = "1 request" if requests == 1 else f"{requests} requests"
        note = f"The KV cache is that of {many} of {tokens} tokens; engines that reserve all free memory use more."
        return replace(_base(run, device, phases, notes=(note,)), disk=disk, tokens=tokens * requests, length=tokens)
    verb = find_verb(run.verb)
    if verb is None or verb.gives not in ("checkpoint", "file"):
        return _base(run, device, (Phase("load", {"weights": formula.loaded_bytes(shapes, dtype, run.parts.get("quantizer"))}),))
    phases, written = conversion.conversion_phases(run, shapes, dtype)
    return replace(_base(run, device, phases), disk={**disk, **written}, disk_free=free_for(run))


def dtype_of(run: Run, shapes: Shapes, device: Device) -> str:
    """Return the dtype in which the run loads the weights on a device, as `swift_train.devices.pick_dtype` chooses it."""
    asked = str(run.options.get("dtype", "auto"))
    if asked != "auto":
        return asked
    if shapes.dtype == "float32" or device.kind == "cpu":
        return "float32"
    return device.narrow if device.kind != "cpu" else shapes.dtype


def _base(run: Run, device: Device, phases: tuple[Phase, ...], *, notes: tuple[str, ...] = ()) -> Plan:
    overhead = overhead_of(device)
    return Plan(
        verb=run.verb, model=run.model.reference if run.model else "", device=device, method="formula", phases=phases, overhead=overhead,
        host=_HOST, notes=notes, processes=run.workers,
    )  # fmt: skip


def _training(
    run: Run, device: Device, shapes: Shapes, dtype: str, *, traced: bool, tracer: Tracer | None, rows: Rows | None, absent: int
) -> Plan:
    work = workload_of(run, shapes, kind=device.kind, rows=rows)
    state = formula.state_of(run, shapes, dtype)
    notes = [work.note] if work.note else []
    found: Trace | None = None
    if traced:
        from swift_plan.client import Tracer

        try:
            found = (tracer or Tracer.shared()).trace(replace(run, options={**run.options, "device": device.kind}), work, dtype)
        except SwiftError as error:
            notes.append(f"The step could not be traced ({error.message}). {_UNTRACED}")
    notes += _towers(shapes, counted=bool(found and work.media))
    if found and run.workers > 1 and formula.sharing_of(run).gradients == 1:
        notes.append("The buckets in which gradients are exchanged are added by formula.")
        found = _with_buckets(found)
    phases = _phases(found) if found else formula.training_phases(run, shapes, work, dtype, state, kind=device.kind)
    if found:
        state = replace(state, trained=found.trained)
    plan = replace(
        _base(run, device, phases),
        method="trace" if found else "formula",
        disk=training_disk(run, shapes, state, work, dtype, absent=absent),
        disk_free=free_for(run),
        tokens=work.tokens,
        length=max(work.lengths),
        steps=work.steps,
        least=state.least,
        notes=tuple(notes),
    )
    if shards_host(run):
        plan = replace(plan, host=_HOST + formula.loaded_bytes(shapes, dtype, None))
    flops, moved = _arithmetic(run, shapes, work, found)
    return _timed(plan, flops, moved, dtype)


def _towers(shapes: Shapes, *, counted: bool) -> list[str]:
    """Return a note on what is not counted of a model with encoders of media, unless a row with media was traced."""
    kinds = [name.removesuffix("_config") for name in ("vision_config", "audio_config") if isinstance(shapes.config.get(name), dict)]
    if counted or not kinds:
        return []
    what = " and ".join(kinds)
    return [f"The activations of the {what} encoder are not counted: only a trace with rows that have media counts them."]


def _with_buckets(found: Trace) -> Trace:
    """Add the buckets of replicas, which are as large as the gradients, to every segment."""
    size = formula.GRADIENT * found.trained
    peaks = {}
    for name, peak in found.peaks.items():
        gradients = peak.parts.get("gradients", 0) + size
        peaks[name] = Peak(peak.total + size, {**peak.parts, "gradients": gradients})
    return replace(found, peaks=peaks)


def _phases(found: Trace) -> tuple[Phase, ...]:
    peaks = found.peaks
    step = max((peaks[name] for name in STEP if name in peaks), key=lambda peak: peak.total)
    loaded = {name: peaks["save"].parts.get(name, 0) for name in ("weights", "adapter")}
    named = {
        "load": loaded,
        "step": step.parts,
        "update": peaks["update"].parts,
        "evaluate": peaks["evaluate"].parts,
        "save": peaks["save"].parts,
    }
    return tuple(Phase(name, {part: size for part, size in parts.items() if size}) for name, parts in named.items())


def _arithmetic(run: Run, shapes: Shapes, work: Workload, found: Trace | None) -> tuple[float, float]:
    if found:
        return sum(done.flops for done in found.work.values()), sum(done.bytes for done in found.work.values())
    return formula.flops_per_token(run, shapes) * work.tokens * work.passes, 3.0 * shapes.parameters * 4 * work.passes


def _timed(plan: Plan, flops: float, moved: float, dtype: str) -> Plan:
    rate, bandwidth = plan.device.rate(dtype), plan.device.bandwidth
    if not rate or not bandwidth:
        return replace(plan, notes=(*plan.notes, "The speed of this device is unknown: swift plan calibrate measures it."))
    computing, moving = flops / rate, moved / bandwidth
    return replace(plan, seconds=max(computing, moving), bound="compute" if computing >= moving else "memory bandwidth")


def shards_host(run: Run) -> bool:
    """Return whether one process reads the whole model into main memory, to share it out."""
    from swift_core.contract import ParallelSpec
    from swift_core.plugins import registry

    parallel = run.parts.get("parallel")
    return bool(parallel and run.workers > 1 and registry().spec(parallel, ParallelSpec).shards)
